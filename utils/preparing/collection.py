"""The samples that a source names, one entry each, before a pixel is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..data.image_pixels import BrokenImageError
from ..data.prepared_files import SPLITS, PreparedForm
from ..errors import UserError, one_line

if TYPE_CHECKING:
    from tqdm import tqdm

Pixels = npt.NDArray[Any]
Bar: TypeAlias = "tqdm[NoReturn]"

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("calibration", "calib", "cal"), "calibration"),
    **dict.fromkeys(("test", "testing"), "test"),
}
BLANK = ("", "nan", "na", "n/a", "<na>", "#n/a", "null", ".")  # what tools write for a missing value, in lower case
DECIMAL = re.compile(r"([0-9]+)\.0+")  # a whole number with a decimal point


@dataclass
class Survey:
    """What a look at all samples found.

    Args:
        sizes: (height, width) -> number of samples.
        depths: 8, 16 or, of features, 32 bits -> number of samples.
        grey: whether all are grey.
        broken: number of a sample -> why it cannot be read.
        notes: a remark -> on how many samples.
        channels: of features their number.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    grey: bool = True
    broken: dict[int, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    channels: int = 0


class Source(Protocol):
    """Where the pixels of a collection come from."""

    kind: str  # images or features

    def survey(self, bar: Bar, *, workers: int) -> Survey:
        """Look at each sample; ``bar`` is moved on by each."""
        ...

    def batches(
        self, form: PreparedForm, *, any_depth: bool, start: int, size: int, workers: int
    ) -> Iterator[tuple[range, list[Pixels | BrokenImageError]]]:
        """The samples from ``start`` on in the form (H, W, C) that was chosen, or why they cannot be read."""
        ...

    def stamp(self, number: int) -> str:
        """A text that changes when the file of a sample does."""
        ...


@dataclass
class Collection:
    """The samples of a source: ``names`` as samples.csv has them, ``labels`` as they were written."""

    source: Source
    names: list[str]
    labels: list[str]
    groups: list[str] | None = None
    splits: list[str] | None = None
    group_column: str = "group"
    notes: list[str] = field(default_factory=list)


def check_labels(labels: Sequence[str], names: Sequence[str], *, what: str) -> None:
    """Refuse labels that are missing.

    Raises:
        UserError: one is.
    """
    for label, name in zip(labels, names, strict=True):
        if label.lower() in BLANK:
            raise UserError(f"{what}: {one_line(name)} has no label (got {label!r}); fill it in or remove the row")


def known_groups(groups: Sequence[str], names: Sequence[str], *, what: str, column: str) -> list[str]:
    """The names of the groups: 12 and 12.0 are one, which tools write where a column has gaps.

    Raises:
        UserError: one is missing: such a sample could lie on two sides.
    """
    for group, name in zip(groups, names, strict=True):
        if group.lower() in BLANK:
            raise UserError(f"{what}: {one_line(name)} has no {column} (got {group!r}); fill it in or remove the row")
    return [found.group(1) if (found := DECIMAL.fullmatch(group)) else group for group in groups]


def known_splits(texts: Sequence[str], *, what: str) -> list[str]:
    """The names of the splits as samples.csv has them.

    Raises:
        UserError: one is unknown.
    """
    unknown = sorted({text for text in texts if text.lower() not in SPLIT_NAMES})
    if unknown:
        shown = one_line(", ".join(map(repr, unknown[:5])))
        raise UserError(f"{what} must be one of {', '.join(SPLITS)} (val, valid, dev, calib too), got {shown}")
    return [SPLIT_NAMES[text.lower()] for text in texts]


def class_names(labels: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The classes, and the index of each label: whole numbers in their order, other texts in that of the alphabet.

    >>> class_names(["10", "9", "10"])
    (('9', '10'), array([1, 0, 1]))
    """
    found = sorted(set(labels))
    values = {label: _whole(label) for label in found}
    if None not in values.values():  # 1 and 1.0 are one class
        numbers = sorted({value for value in values.values() if value is not None})
        place = {value: number for number, value in enumerate(numbers)}
        return tuple(map(str, numbers)), np.array([place[values[label]] for label in labels], dtype=np.int64)  # type: ignore[index]
    order = {label: number for number, label in enumerate(found)}
    return tuple(found), np.array([order[label] for label in labels], dtype=np.int64)


def _whole(label: str) -> int | None:
    try:
        value = float("" if "_" in label else label)  # Python reads 1_0 as 10
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else None
