"""Samples that are rows of an .npz file, with the splits that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.image_pixels import BrokenImageError, refitted
from ..data.npz import read_parts
from ..data.prepared_files import PreparedForm
from .collection import Bar, Collection, Survey

Pixels = npt.NDArray[Any]


@dataclass
class ArraySource:
    """Images (n, H, W, C) uint8 in memory."""

    path: Path
    parts: list[Pixels]
    kind: str = "images"

    def survey(self, bar: Bar, *, workers: int) -> Survey:
        count, shape = sum(map(len, self.parts)), self.parts[0].shape
        survey = Survey(grey=shape[3] == 1)
        survey.sizes[shape[1:3]] = survey.depths[8] = count
        bar.update(count)
        return survey

    def batches(
        self, form: PreparedForm, *, start: int, size: int, workers: int
    ) -> Iterator[tuple[range, list[Pixels | BrokenImageError]]]:
        bounds = np.cumsum([0, *map(len, self.parts)])
        for first in range(start, bounds[-1], size):
            numbers = range(first, min(first + size, int(bounds[-1])))
            batch: list[Pixels | BrokenImageError] = []
            for number in numbers:
                part = int(np.searchsorted(bounds, number, side="right")) - 1
                image = refitted(
                    self.parts[part][number - bounds[part]], size=form.size, channels=form.channels, fit=form.fit
                )
                batch.append(image if form.bits == 8 else image.astype(np.uint16) * 257)
            yield numbers, batch

    def stamp(self, number: int) -> str:
        found = os.stat(self.path)
        return f"{found.st_size} {found.st_mtime_ns}"


def collect_arrays(path: Path) -> Collection:
    """The images of an .npz file with the keys of Keras or MedMNIST (``data.npz``).

    Raises:
        UserError: see ``npz.read_parts``.
    """
    parts = read_parts(path)
    return Collection(
        source=ArraySource(path, [images for images, _ in parts.values()]),
        names=[f"{path.name}#{split}/{k}" for split, (images, _) in parts.items() for k in range(len(images))],
        labels=[str(label) for _, labels in parts.values() for label in labels.tolist()],
        splits=[split for split, (images, _) in parts.items() for _ in range(len(images))],
    )
