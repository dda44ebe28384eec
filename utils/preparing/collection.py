"""The samples that a source names, one entry each, before a pixel is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..data.class_names import NUMBER, plain_name
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
DECIMAL = re.compile(r"(-?[0-9]+)\.0+")  # a whole number with a decimal point
WHOLE = re.compile(r"-?[0-9]+(\.0+)?")
LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


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
        features: the names of their columns, if the table has a header.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    grey: bool = True
    broken: dict[int, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    channels: int = 0
    features: tuple[str, ...] = ()


class Source(Protocol):
    """Where the pixels of a collection come from."""

    kind: str  # images or features

    def survey(self, bar: Bar, *, workers: int) -> Survey:
        """Look at each sample; ``bar`` is moved on by each."""
        ...

    def batches(
        self, form: PreparedForm, *, start: int, size: int, workers: int
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


def known_labels(labels: Sequence[str], names: Sequence[str], *, what: str) -> list[str]:
    """The labels of a table; where all are whole numbers 1 and 1.0 are one class, as of ``known_groups``.

    Raises:
        UserError: one is missing.
    """
    _check_filled(labels, names, what=what, column="label")
    return _without_decimals(labels) if all(map(WHOLE.fullmatch, labels)) else list(labels)


def known_groups(groups: Sequence[str], names: Sequence[str], *, what: str, column: str) -> list[str]:
    """The names of the groups: 12 and 12.0 are one, which tools write where a column has gaps.

    Raises:
        UserError: one is missing: such a sample could lie on two sides.
    """
    _check_filled(groups, names, what=what, column=column)
    return list(map(plain_name, _without_decimals(groups)))


def _check_filled(values: Sequence[str], names: Sequence[str], *, what: str, column: str) -> None:
    for value, name in zip(values, names, strict=True):
        if value.lower() in BLANK:
            raise UserError(f"{what}: {one_line(name)} has no {column} (got {value!r}); fill it in or remove the row")


def _without_decimals(values: Sequence[str]) -> list[str]:
    return [found.group(1) if (found := DECIMAL.fullmatch(value)) else value for value in values]


def alike(groups: Sequence[str]) -> list[str]:
    """A note on groups whose names differ in capitals or leading zeros alone, where there are any.

    >>> alike(["P07", "p7", "P07", "8"])
    ['P07 and p7 count as two groups; if they are one, write both alike']
    """
    first: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(groups):
        other = first.setdefault(LEADING_ZEROS.sub("", name.casefold()), name)
        if other != name:
            pairs.append(f"{one_line(other)} and {one_line(name)}")
    if not pairs:
        return []
    more = f" (and {len(pairs) - 1:,} such pairs more)" if len(pairs) > 1 else ""
    return [f"{pairs[0]} count as two groups{more}; if they are one, write both alike"]


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

    >>> class_names(["10", "9", "10", "010"])
    (('9', '010', '10'), array([2, 0, 2, 1]))
    """
    texts = list(map(plain_name, labels))
    found = sorted(set(texts))
    if all(map(NUMBER.fullmatch, found)):
        found.sort(key=int)
    order = {name: number for number, name in enumerate(found)}
    return tuple(found), np.array([order[text] for text in texts], dtype=np.int64)
