"""Samples that are image files."""

from __future__ import annotations

import concurrent.futures
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..data.image_pixels import BrokenImageError, Header, read_header, read_pixels
from ..data.prepared_files import PreparedForm
from ..data.reading_ahead import read_ahead
from ..errors import UserError, one_line
from .collection import Bar, Survey

Pixels = npt.NDArray[Any]
AT_ONCE = 256  # headers that a thread reads before it reports


@dataclass
class ImageSource:
    """A file each, ``names`` in ``base``; what the survey found broken is not opened again."""

    base: Path
    names: Sequence[str]
    first_frame: bool
    kind: str = "images"
    broken: dict[int, str] = field(default_factory=dict)

    def survey(self, bar: Bar, *, workers: int) -> Survey:
        survey = Survey()
        parts = [range(first, min(first + AT_ONCE, len(self.names))) for first in range(0, len(self.names), AT_ONCE)]
        with concurrent.futures.ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decoders, about damaged entries that they can do without
            try:
                for numbers, headers in zip(parts, pool.map(self._headers, parts), strict=True):
                    for number, header in zip(numbers, headers, strict=True):
                        _count(survey, number, header)
                    bar.update(len(numbers))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        self.broken = survey.broken
        return survey

    def _headers(self, numbers: range) -> list[Header | BrokenImageError]:
        headers: list[Header | BrokenImageError] = []
        for number in numbers:
            try:
                headers.append(read_header(self.base / self.names[number], first_frame=self.first_frame))
            except BrokenImageError as error:
                headers.append(error)
        return headers

    def batches(
        self, form: PreparedForm, *, start: int, size: int, workers: int
    ) -> Iterator[tuple[range, list[Pixels | BrokenImageError]]]:
        images = _Read(self.base, self.names, form, self.broken)
        yield from read_ahead(images, size=size, start=start, workers=workers)

    def stamp(self, number: int) -> str:
        try:
            found = os.stat(self.base / self.names[number])
        except OSError:
            return "gone"
        return f"{found.st_size} {found.st_mtime_ns}"


@dataclass(frozen=True)
class _Read:
    base: Path
    names: Sequence[str]
    form: PreparedForm
    broken: Mapping[int, str]

    def read(self, number: int) -> Pixels:
        if number in self.broken:
            raise BrokenImageError(self.broken[number])
        return read_pixels(
            self.base / self.names[number],
            size=self.form.size,
            channels=self.form.channels,
            bits=self.form.bits,
            fit=self.form.fit,
            any_depth=self.form.any_depth,
            first_frame=self.form.first_frame,
        )


def _count(survey: Survey, number: int, header: Header | BrokenImageError) -> None:
    if isinstance(header, BrokenImageError):
        survey.broken[number] = str(header)
        return
    survey.sizes[header.height, header.width] += 1
    survey.depths[header.bits] += 1
    survey.grey = survey.grey and header.grey
    if header.note:
        survey.notes[header.note] += 1


def check_inside(base: Path, name: str, *, real_base: str) -> None:
    """Refuse a file that does not lie in ``base``, links resolved.

    Raises:
        UserError: it leads out.
    """
    if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == "..":
        raise UserError(f"{one_line(name)} leads out of {base}, the folder of the images; write paths relative to it")
    if not os.path.realpath(base / name).startswith(os.path.join(real_base, "")):
        raise UserError(f"{one_line(name)} is a link that leads out of {base}; copy the file there")


def encodable(name: str) -> bool:
    """Whether a name can be written as UTF-8; names of files may hold any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
