"""Images of noise in the shape of a data set, for machines without the data set and for other sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from utils.data import load_raw
from utils.errors import UserError


@dataclass(frozen=True)
class Shape:
    """Of a data set: images of each class for training and test, and the image itself."""

    classes: tuple[int, ...]
    train: int
    test: int
    image: tuple[int, ...]


# the classes in use; less of each with --quick
SHAPES = {
    "cifar100": Shape((4, 30, 55, 72, 95, 73), 500, 100, (32, 32, 3)),
    "mnist": Shape(tuple(range(10)), 6000, 1000, (28, 28)),
}
QUICK_SHAPES = {
    "cifar100": Shape(SHAPES["cifar100"].classes, 100, 20, (32, 32, 3)),
    "mnist": Shape(SHAPES["mnist"].classes, 280, 20, (28, 28)),
}


@dataclass(frozen=True)
class Data:
    """Where a data set is stored, and what it is."""

    root: Path
    source: str


@contextmanager
def found_or_synthetic(name: str, *, data_root: str, quick: bool) -> Iterator[Data]:
    """The data set ``name`` under ``data_root``, or noise of its shape in a temporary folder if it is missing."""
    try:
        raw = load_raw(name, data_root=Path(data_root), download=False)
    except UserError:
        with TemporaryDirectory() as folder:
            shape = (QUICK_SHAPES if quick else SHAPES)[name]
            write(Path(folder) / f"{name}.npz", shape)
            print(f"note: no {name} in {data_root}: synthetic images of its shape ({shape.train} of each class)")
            yield Data(Path(folder), f"synthetic images of the shape of {name}, {shape.train} of each class")
        return
    source = f"{name} ({Path(raw.source).name})"
    del raw
    yield Data(Path(data_root).resolve(), source)


def write(path: Path, shape: Shape) -> None:
    """An .npz of noise that ``load_raw`` reads."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, per_class in (("train", shape.train), ("test", shape.test)):
        labels = np.tile(np.array(shape.classes, dtype=np.uint8), per_class)
        arrays[f"x_{part}"] = generator.integers(0, 256, (len(labels), *shape.image), dtype=np.uint8)
        arrays[f"y_{part}"] = labels
    np.savez(path, **arrays)  # type: ignore[arg-type]


def two_classes(path: Path, *, images: int, side: int, channels: int = 1, ratio: int = 9) -> None:
    """An .npz of noise with classes 0 and 1: ``images`` to train on, one in ``ratio`` + 1 of them positive."""
    shape: Sequence[int] = (side, side) if channels == 1 else (side, side, channels)
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", images), ("test", max(200, images // 10))):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(count) % (ratio + 1) == 0).astype(np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Split:
    """A set of an .npz: the end of its keys, and its images."""

    name: str
    images: int


def splits_of_two_classes(path: Path, splits: Sequence[Split], image: Sequence[int], *, ratio: int = 99) -> None:
    """An .npz of noise with classes 0 and 1 in the sets ``splits``, one in ``ratio`` + 1 of each positive."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split in splits:
        arrays[f"x_{split.name}"] = generator.integers(0, 256, (split.images, *image), dtype=np.uint8)
        arrays[f"y_{split.name}"] = (np.arange(split.images) % (ratio + 1) == 0).astype(np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]
