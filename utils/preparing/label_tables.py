"""Images whose paths and labels stand in a table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..data.listed_paths import name_on_disk
from ..data.table_rows import Table, open_table
from ..errors import UserError, one_line
from .collection import Collection, alike, known_groups, known_labels, known_splits
from .image_source import ImageSource, check_inside, encodable
from .request import Request


def collect_table(request: Request) -> Collection:
    """The images that ``request.csv`` names, in its order, relative to ``request.source`` or to its own folder.

    Raises:
        UserError: a column is missing, a path leads out of the folder or stands twice, or a value is missing.
    """
    assert request.csv is not None
    table = open_table(request.csv, encoding=request.encoding)
    base = request.csv.parent if request.source is None else request.source
    if not base.is_dir():
        raise UserError(f"the folder of the images must be a folder, got {base}")
    columns = _columns(table, request)
    cells: dict[str, list[str]] = {name: [] for name in columns}
    rows = table.rows()
    next(rows)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(table.first):
            expected = f"{len(table.first)} values, as the first line has"
            raise UserError(f"row {number} of {table.path} must have {expected}, got {len(row)}")
        for name, place in columns.items():
            cells[name].append(sys.intern(row[place]))  # of equal labels one is kept
    if not cells["path"]:
        raise UserError(f"{table.path} must hold rows below its header, got none")
    names = _names(cells["path"], cells["label"], table.path, base)
    real = os.path.realpath(base)
    for name in names:
        check_inside(base, name, real_base=real)
    what = str(table.path)
    labels = known_labels(cells["label"], names, what=what)
    groups, splits = cells.get("group"), cells.get("split")
    if groups is not None:
        groups = known_groups(groups, names, what=what, column=one_line(request.group))
    return Collection(
        source=ImageSource(base, names, request.frames == "first"),
        names=names,
        labels=labels,
        groups=groups,
        splits=None if splits is None else known_splits(splits, what=f"{request.split_column} of {table.path}"),
        group_column=request.group or "group",
        notes=alike(groups or []),
    )


def _columns(table: Table, request: Request) -> dict[str, int]:
    """What is read -> the place of its column."""
    asked = {
        "path": (request.path, "--path"),
        "label": (request.label or "label", "--label"),
        "group": (request.group, "--group"),
        "split": (request.split_column, "--split_column"),
    }
    places = {name: table.column(table.first, text, flag=flag) for name, (text, flag) in asked.items() if text}
    if len(set(places.values())) < len(places):
        shown = ", ".join(f"{asked[name][1]} {asked[name][0]}" for name in places)
        raise UserError(f"each of {one_line(shown)} must be a column of its own in {table.path}")
    return places


def _names(texts: list[str], labels: list[str], table: Path, base: Path) -> list[str]:
    """The paths, each once, without ./ and the like and, of those in ``base``, relative to it."""
    inside = os.path.join(os.path.abspath(base), "")
    names: dict[str, str] = {}
    for number, (text, label) in enumerate(zip(texts, labels, strict=True), start=1):
        if not text:
            raise UserError(f"row {number} of {table} names no path; fill it in or remove the row")
        if "\0" in text or not encodable(text):
            raise UserError(f"row {number} of {table} must name a path, got {one_line(ascii(text)):.80}")
        name = os.path.normpath(text)
        name = name_on_disk(base, name.removeprefix(inside))
        if name in names:
            if names[name] != label:
                both = f"{one_line(names[name])} and {one_line(label)}"
                raise UserError(f"{table} gives {one_line(name)} two labels, {both}; keep one row of it")
            raise UserError(f"{table} names {one_line(name)} twice; keep one row of it")
        names[name] = label
    return list(names)
