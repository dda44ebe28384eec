"""Samples that are rows of numbers in a table: the pixels of an image, or features."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.image_pixels import BrokenImageError, refitted
from ..data.prepared_files import DTYPES, PreparedForm
from ..data.table_rows import Table, counts_columns, is_number, open_table
from ..errors import UserError, one_line
from .collection import Bar, Collection, Survey, alike, known_groups, known_labels, known_splits
from .request import Request

Pixels = npt.NDArray[Any]
INDEX = re.compile(r"(Unnamed: \d+)?")  # the name of the column in which pandas writes the numbers of its rows


@dataclass
class NumberSource:
    """Rows of a table, which is read twice: for the survey and for the pixels. Neither holds it in memory.

    ``columns`` are those of the values; ``shape`` of an image is height, width, channels; ``value_range`` the values
    that become black and white, or None where they are pixels already.
    """

    table: Table
    has_header: bool
    columns: Sequence[int]
    shape: tuple[int, int, int]
    kind: str
    value_range: tuple[float, float] | None
    depth: int
    found: Survey = field(default_factory=Survey)

    def survey(self, bar: Bar, *, workers: int) -> Survey:
        return self.found

    def batches(
        self, form: PreparedForm, *, start: int, size: int, workers: int
    ) -> Iterator[tuple[range, list[Pixels | BrokenImageError]]]:
        batch: list[Pixels | BrokenImageError] = []
        first = start
        for number, row in enumerate(self.rows()):
            if number < start:
                continue
            batch.append(self._image(number, row, form))
            if len(batch) == size:
                yield range(first, first + len(batch)), batch
                first, batch = first + len(batch), []
        if batch:
            yield range(first, first + len(batch)), batch

    def stamp(self, number: int) -> str:
        found = os.stat(self.table.path)
        return f"{found.st_size} {found.st_mtime_ns}"

    def rows(self) -> Iterator[list[str]]:
        """The rows below the header.

        Raises:
            UserError: one has too many or too few values.
        """
        for number, row in enumerate(self.table.rows()):
            if number == 0 and self.has_header:
                continue
            if len(row) != len(self.table.first):
                place = number + (not self.has_header)
                expected = f"{len(self.table.first)} values, as the first line has"
                raise UserError(f"row {place} of {self.table.path} must have {expected}, got {len(row)}")
            yield row

    def values(self, row: Sequence[str]) -> npt.NDArray[np.float64]:
        """The numbers of a row.

        Raises:
            BrokenImageError: one is missing, infinite, or no number.
        """
        try:
            values = np.array([row[column] for column in self.columns], dtype=np.float64)
        except ValueError:
            column = next(column for column in self.columns if not is_number(row[column]))
            raise BrokenImageError(
                f"{one_line(row[column])!r:.80} in column {self._name(column)}: each value must be a number;"
                f" --drop {shlex.quote(self._name(column))} would leave the column out"
            ) from None
        if not np.isfinite(values).all():
            column = self.columns[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise BrokenImageError(f"{row[column] or 'nothing'} in column {self._name(column)}: values must be finite")
        return values

    def _name(self, column: int) -> str:
        return one_line(self.table.first[column]) if self.has_header else str(column + 1)

    def _image(self, number: int, row: Sequence[str], form: PreparedForm) -> Pixels | BrokenImageError:
        if number in self.found.broken:
            return BrokenImageError(self.found.broken[number])
        values = self.values(row)
        if self.value_range is not None:
            low, high = self.value_range
            values = np.rint((values - low) / (high - low) * form.full)
        pixels: Pixels = values.reshape(self.shape).astype(DTYPES[form.bits])
        if self.kind == "features":
            return pixels
        return refitted(pixels, size=form.size, channels=form.channels, fit=form.fit)


def collect_numbers(request: Request) -> Collection:
    """The rows of ``request.csv``: a label and pixels (``request.pixels``), or a label and features.

    Raises:
        UserError: columns that do not fit, or values that are neither pixels nor in ``request.value_range``.
    """
    assert request.csv is not None
    table = open_table(request.csv, encoding=request.encoding)
    has_header = _has_header(table, request)
    header = table.first if has_header else None
    asked = {"label": request.label, "group": request.group, "split": request.split_column}
    if asked["label"] is None:
        if not has_header:
            raise UserError(f"{table.path} has no header: --label 1 would say that its first column is the label")
        asked["label"] = "label"
    flags = {"label": "--label", "group": "--group", "split": "--split_column"}
    places = {name: table.column(header, text, flag=flags[name]) for name, text in asked.items() if text}
    left_out = [table.column(header, text, flag="--drop") for text in request.drop]
    used = [*places.values(), *left_out]
    if len(set(used)) < len(used):
        raise UserError(f"--label, --group, --split_column and --drop must name columns of their own in {table.path}")
    columns = [column for column in range(len(table.first)) if column not in used]
    if has_header:
        _check_named(table, columns, features=request.features)
    shape = request.pixels or (1, 1, len(columns))
    if not columns or len(columns) != int(np.prod(shape)):
        words = "x".join(map(str, shape)) if request.pixels else "a feature or more"
        needed = f"{words} takes {int(np.prod(shape))} columns" if request.pixels else f"--features takes {words}"
        raise UserError(f"{needed} of {table.path} beside the label, got {len(columns)} (--pixels, --label, --drop)")
    source = NumberSource(
        table=table,
        has_header=has_header,
        columns=columns,
        shape=shape,
        kind="features" if request.features else "images",
        value_range=request.value_range,
        depth=32 if request.features else request.bits or 8,
    )
    return _collected(source, places, request)


def _check_named(table: Table, columns: Sequence[int], *, features: bool) -> None:
    """Refuse a column that is the index of pandas, which tells the order of the rows, and features of one name."""
    unnamed = [column for column in columns if INDEX.fullmatch(table.first[column])]
    if unnamed:
        name = table.first[unnamed[0]]
        drop = [name] if len(unnamed) == 1 else [str(column + 1) for column in unnamed]
        raise UserError(
            f"column {unnamed[0] + 1} of {table.path} has the name {name!r}, as the numbers of the rows that pandas"
            f" writes; add --drop {shlex.join(drop)} to leave it out, or name it"
        )
    names = [table.first[column] for column in columns]
    if features and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{table.path} has two features with the name {one_line(twice)!r}; rename one, or --drop it")


def _has_header(table: Table, request: Request) -> bool:
    """Whether the first row holds names: the label's among them, or no number at all.

    Raises:
        UserError: it counts the columns, as tools do that have no names for them, and nothing says which it is.
    """
    if request.header is not None:
        return request.header
    wanted = (request.label or "label", request.group, request.split_column, *request.drop)
    if any(text in table.first and not text.isdigit() for text in wanted if text):
        return True
    if counts_columns(table.first):
        raise UserError(
            f"{table.path} begins with {one_line(' '.join(table.first)):.40}: add --header 1 if these are the names of"
            " the columns, or --header 0 if they are values"
        )
    return not any(map(is_number, table.first))


def _collected(source: NumberSource, places: dict[str, int], request: Request) -> Collection:
    """Read the table once: its labels, groups and splits, and what is broken."""
    cells: dict[str, list[str]] = {name: [] for name in places}
    least, most, whole = np.inf, -np.inf, True
    low, high = request.value_range or (-np.inf, np.inf)
    if request.features:
        low, high = -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)
    elif request.value_range is None and request.bits:
        low, high = 0, 2**request.bits - 1
    for number, row in enumerate(source.rows()):
        for name, place in places.items():
            cells[name].append(sys.intern(row[place]))
        try:
            values = source.values(row)
        except BrokenImageError as error:
            source.found.broken[number] = str(error)
            continue
        if values.min() < low or values.max() > high:
            outside = values.min() if values.min() < low else values.max()
            source.found.broken[number] = f"{outside:g} lies outside {low:g} to {high:g}"
            continue
        least, most = min(least, values.min()), max(most, values.max())
        whole = whole and bool((values == np.rint(values)).all())
    path = source.table.path
    count = len(cells["label"])
    if not count:
        raise UserError(f"{path} must hold rows below its header, got none")
    if count == len(source.found.broken):
        raise UserError(f"{path} holds no row that can be read: row 1 has {source.found.broken[0]}")
    if source.kind == "images" and request.value_range is None:
        source.depth = request.bits or _depth(path, least, most, whole)
        if not whole:
            raise UserError(_no_pixels(path, least, most))
    good = count - len(source.found.broken)
    source.found.sizes[source.shape[:2]] = source.found.depths[source.depth] = good
    source.found.grey, source.found.channels = source.shape[2] == 1, source.shape[2]
    if request.features and source.has_header:
        source.found.features = tuple(source.table.first[column] for column in source.columns)
    return _named(path, cells, request, source)


def _named(path: Path, cells: dict[str, list[str]], request: Request, source: NumberSource) -> Collection:
    names = [f"{path.name}#{number}" for number in range(1, len(cells["label"]) + 1)]
    labels = known_labels(cells["label"], names, what=str(path))
    groups, splits = cells.get("group"), cells.get("split")
    if groups is not None:
        groups = known_groups(groups, names, what=str(path), column=one_line(request.group))
    return Collection(
        source=source,
        names=names,
        labels=labels,
        groups=groups,
        splits=None if splits is None else known_splits(splits, what=f"{request.split_column} of {path}"),
        group_column=request.group or "group",
        notes=alike(groups or []),
    )


def _depth(path: Path, least: float, most: float, whole: bool) -> int:
    if not whole or least < 0 or most > 65535:
        raise UserError(_no_pixels(path, least, most))
    return 8 if most <= 255 else 16


def _no_pixels(path: Path, least: float, most: float) -> str:
    return (
        f"the pixels in {path} must be whole numbers from 0 to 255 or 65535, got {least:g} to {most:g};"
        f" --range {least:g} {most:g} would make the first black and the second white (--bits 16 keeps more of them)"
    )
