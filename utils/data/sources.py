"""Where the samples of a task come from: arrays in memory, or a prepared data set on the disk. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..metrics.groups import numbered
from ..registry import unknown
from .class_names import EXPECTED, NUMBER, spelled_out
from .mapped_images import MappedImages
from .moments import Moments, moments_of_features, moments_of_pixels, moments_of_statistics
from .prepared_files import SPLITS, PreparedFiles
from .raw import Int64Array, RawData
from .repeats import count_repeats, shared_digests
from .rows import data_checksum, rows_in_use


@dataclass(frozen=True, eq=False)
class Rows:
    """The M samples in use, in the order of a task: by split, and in each split in the order of the file.

    ``index`` (M,) is the row in the file of the split, of prepared data in samples.csv; ``original_class`` and
    ``original_split`` (M,) are those there. ``groups`` (M,) int64 and ``paths`` are None where the data have none.
    """

    index: Int64Array
    original_class: Int64Array
    original_split: npt.NDArray[np.str_]
    groups: Int64Array | None = None
    paths: npt.NDArray[np.object_] | None = None
    group_names: npt.NDArray[np.object_] | None = None


class ArraySource:
    """The arrays of a public data set or an .npz file."""

    class_names: tuple[str, ...] | None = None
    positive: str | None = None  # the class that the data say is the rare one
    bits = 8
    reading: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, raw: RawData) -> None:
        self.raw, self.name, self.source = raw, raw.name, raw.source

    def parts(self) -> list[tuple[str, Int64Array]]:
        """(split, labels) of each set, train first and test last."""
        return [(split, labels) for split, _, labels in self.raw.parts()]

    def select(self, classes: tuple[int, ...]) -> Rows:
        """The samples of these classes; what follows is about them."""
        self.images, index, original_class, original_split = rows_in_use(self.raw, classes)
        self._rows = Rows(index, original_class, original_split)
        return self._rows

    @property
    def size_in_file(self) -> tuple[int, int]:
        """Height and width before small images were enlarged."""
        return self.raw.size_in_file or self.raw.train_images.shape[1:3]

    def moments(self, rows: Int64Array) -> Moments:
        """Mean and standard deviation of each channel over ``rows``, in 0..1."""
        if self.raw.mean and self.raw.std:
            return self.raw.mean, self.raw.std
        return moments_of_pixels(self.images, rows, full=255)

    def checksum(self) -> str:
        """SHA-256 of the data."""
        return data_checksum(self.images, self._rows.original_class, self._rows.original_split)

    def repeats(self, sets: Mapping[str, Int64Array]) -> dict[str, int]:
        """See ``repeats.count_repeats``."""
        return count_repeats(self.images, sets)


class PreparedSource:
    """A prepared data set. All but the pixels of small images follows from statistics.npy and samples.csv."""

    def __init__(self, files: PreparedFiles) -> None:
        self.files, self.name, self.source = files, files.form.name, str(files.folder)
        self.class_names, self.positive = files.form.classes, files.form.positive
        self.bits = files.form.bits
        self.reading = {name: getattr(files.form, name) for name in ("fit", "any_depth", "first_frame", "features")}

    def parts(self) -> list[tuple[str, Int64Array]]:
        files = self.files
        return [(split, files.labels[files.splits == split]) for split in SPLITS if (files.splits == split).any()]

    def select(self, classes: tuple[int, ...]) -> Rows:
        files = self.files
        in_use = np.isin(files.labels, classes)
        self._rows = np.concatenate([np.flatnonzero(in_use & (files.splits == split)) for split in SPLITS])
        names = None if files.groups is None else files.groups[self._rows]
        return Rows(
            index=self._rows,
            original_class=files.labels[self._rows],
            original_split=files.splits[self._rows],
            groups=None if names is None else numbered(names.tolist()),
            paths=np.array(files.paths, dtype=object)[self._rows],
            group_names=names,
        )

    @property
    def images(self) -> MappedImages:
        mapped = self.files.images
        assert isinstance(mapped, np.memmap)
        return MappedImages(
            self.files.folder / "images.npy",
            offset=mapped.offset,
            dtype=mapped.dtype,
            shape=mapped.shape,
            rows=self._rows,
            enlarges=self.files.form.kind == "images",
        )

    @property
    def size_in_file(self) -> tuple[int, int]:
        return self.files.form.size

    def moments(self, rows: Int64Array) -> Moments:
        form, images = self.files.form, self.images
        statistics = self.files.statistics[self._rows[rows]]
        if form.kind == "features":
            return moments_of_features(statistics[:, :, 0])
        if images.shape[2:] != form.size:  # enlarged: small, so that their pixels are soon read
            chunks = [images.read(rows[start : start + 1024]) for start in range(0, len(rows), 1024)]
            pixels = np.concatenate(chunks)
            return moments_of_pixels(pixels, np.arange(len(pixels)), full=form.full)
        return moments_of_statistics(statistics, pixels=form.size[0] * form.size[1], full=form.full)

    def checksum(self) -> str:
        return self.files.checksum

    def repeats(self, sets: Mapping[str, Int64Array]) -> dict[str, int]:
        return shared_digests(self.files.digests[self._rows], sets)


Source = ArraySource | PreparedSource


def class_numbers(
    given: Sequence[int | str] | None, source: Source, *, flag: str, origin: str
) -> tuple[int, ...] | None:
    """The classes that a user named, by name or number; where a name is a number, by name alone.

    A text that is the name of a class means that class, even if it could be read as several: ``0-1``, ``a, b``.

    Raises:
        UserError: there is no such class, and the text lists the near names; or one stands twice.
    """
    if given is None:
        return None
    names = source.class_names or ()
    found: list[int] = []
    try:
        for item in given:
            for each in [item] if str(item) in names else spelled_out(item):
                found.append(_class_number(each, source, flag=flag, origin=origin))
                if found[-1] in found[:-1]:
                    raise ValueError(f"{each} stands twice")
    except ValueError as error:
        shown = " ".join(map(str, given))
        raise UserError(f"{flag} must be {EXPECTED}, got {shown:.80} (from {origin}): {error}") from None
    return tuple(found)


def _class_number(each: int | str, source: Source, *, flag: str, origin: str) -> int:
    """The number of one class."""
    names = source.class_names
    if names is None:
        if isinstance(each, str):
            raise UserError(
                f"{flag} must be class numbers, as {source.name} has no class names, got {each!r:.80} (--{flag})"
            )
        return each
    if str(each) in names:
        return names.index(str(each))
    has_numbers = any(NUMBER.fullmatch(name) for name in names)  # 0 is none of the classes 1..5
    if isinstance(each, int) and 0 <= each < len(names) and not has_numbers:
        return each
    raise unknown(flag, str(each), names, origin=origin)
