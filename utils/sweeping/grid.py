"""A grid: all combinations of the values of some flags, and rows that are then trained with the best combination.

grid:
  flags: {training_type: [BCE, LDAM], lr: [0.001, 0.01, 0.1]}
  also: {training_type: {LDAM: {scale: 20}}}      # options set together with one value of a flag
  for_each: [training_type]         # choose the best for each of its values; default: one choice
  set: {num_epochs: 20}             # options of the grid's runs only
  seeds: 1-2                        # of the grid's runs only
  select: validation AUC            # or: validation FPR at TPR 0.95
rows:
  - {name: chosen, seeds: 1-10}     # trained once for each choice, with its flags

A combination goes without the flags that its run does not read, and those that are then equal are one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..registry import unknown
from .blocks import Scan, Stage
from .selection import Candidate, Selection
from .table_file import Row, Table, option_name, options_of, shown, why_left_out

MOST = 10_000  # combinations
Point = dict[str, Any]


class Grid(Selection):
    """See above."""

    keys = ("flags", "also", "for_each", "set", "seeds", "select")

    def __init__(self, table: Table, content: Mapping[str, Any], origin: str) -> None:
        super().__init__(table, content, origin)
        self.flags = _flags(content.get("flags"), origin)
        self.also = _also(content.get("also", {}), self.flags, origin)
        self.for_each = _for_each(content.get("for_each", []), self.flags, origin)
        self.points = self._points(origin)
        for row in self.examples():
            self.rule.check(row)

    def _points(self, origin: str) -> list[Point]:
        """All combinations, each of the flags that its run reads; the values of the last flag change fastest."""
        found: dict[str, Point] = {}
        for values in itertools.product(*self.flags.values()):
            point = dict(zip(self.flags, values, strict=True))
            row = self.row(point)
            read = {flag: value for flag, value in point.items() if flag not in row.left_out}
            found.setdefault(repr(read), read)
        for flag in self.flags:
            if not any(flag in point for point in found.values()):
                raise UserError(f"{flag} of the {origin} is read by none of its runs: it {why_left_out(row, flag)}")
        return list(found.values())

    def row(self, point: Point) -> Row:
        """The run of a combination."""
        return self.run(f"grid_{label(point)}", self._options(point))

    def _options(self, point: Point) -> Point:
        """The flags of a combination, and the options set together with them."""
        brought = [self.also.get((flag, repr(value)), {}) for flag, value in point.items()]
        return {**{name: value for options in brought for name, value in options.items()}, **point}

    def examples(self) -> tuple[Row, ...]:
        """The grid's rows, and those that would follow from the first combination."""
        return (*map(self.row, self.points), *self._followers(self.points[0]))

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """The grid's rows, and the rows that follow from the choices made so far."""
        rows, notes, open_groups = [], [], 0
        groups: dict[str, list[tuple[Candidate, Point]]] = {}
        for point in self.points:
            rows.append(self.row(point))
            groups.setdefault(self._group(point), []).append((self.candidate(rows[-1], scan(rows[-1])), point))
        for group, members in groups.items():
            candidates = [item for item, _ in members]
            if any(item.pending for item in candidates):
                open_groups += 1
                continue
            chosen, note = self.best(candidates, of=group or "grid")
            notes.append(note)
            rows += [row for item, point in members if item is chosen for row in self._followers(point)]
        later = f"{open_groups} of {len(groups)} choices wait for the grid" if open_groups and self.table.lines else ""
        return Stage(tuple(rows), later, tuple(notes))

    def _followers(self, point: Point) -> tuple[Row, ...]:
        group = self._group(point)
        return self.table.rows(self._options(point), suffix=f"_{group}" if group else "")

    def _group(self, point: Point) -> str:
        return label({flag: point[flag] for flag in self.for_each if flag in point})


def label(point: Mapping[str, Any]) -> str:
    """``m=0.5_lr=0.01``, usable as the name of a folder; of a config file only the name."""
    parts = [
        (shown(value) or f"no_{name}") if name.startswith("name_file_") else f"{name}={shown(value)}"
        for name, value in point.items()
    ]
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", "_".join(parts))


def _flags(content: Any, origin: str) -> dict[str, list[Any]]:
    if not isinstance(content, dict) or not content:
        raise UserError(f"flags of the {origin} must hold lists such as lr: [0.001, 0.01], got {content!r}")
    flags: dict[str, list[Any]] = {}
    for given, values in content.items():
        name = option_name(given, origin)
        if name in flags:
            raise UserError(f"flags of the {origin} have {name} twice, under two names; remove one")
        if not isinstance(values, list) or not values:
            raise UserError(f"{given} of the {origin} must be a list of values, got {values!r}")
        checked = [options_of({name: value}, origin)[name] for value in values if value is not None]
        if len(checked) < len(values) or len(set(map(repr, checked))) < len(checked):
            raise UserError(f"{given} of the {origin} has a value twice, or an empty one: {values}")
        flags[name] = checked
    combinations = math.prod(map(len, flags.values()))
    if combinations > MOST:
        raise UserError(f"the {origin} has {combinations} combinations; at most {MOST} are sensible, see search:")
    return flags


def _also(content: Any, flags: Mapping[str, list[Any]], origin: str) -> dict[tuple[str, str], Point]:
    """The options for each flag and value (as ``repr``, since lists cannot be hashed)."""
    found: dict[tuple[str, str], Point] = {}
    if not isinstance(content, dict) or not all(isinstance(values, dict) for values in content.values()):
        raise UserError(f"also of the {origin} must hold lines such as training_type: {{LDAM: {{scale: 20}}}}")
    for given, values in content.items():
        flag = option_name(given, origin)
        if flag not in flags:
            raise unknown("flag in also", flag, flags, origin=origin)
        for value, options in values.items():
            checked = options_of({flag: value}, origin).get(flag)
            if checked not in flags[flag]:
                raise UserError(f"also of the {origin} names {flag} {value}, which is not among its values")
            if (flag, repr(checked)) in found:
                raise UserError(f"also of the {origin} has {flag} {value} twice; remove one")
            own = options_of(options, origin)
            if twice := sorted(set(own) & set(flags)):
                raise UserError(f"also of the {origin} sets {twice[0]}, which is a flag of the grid")
            found[flag, repr(checked)] = own
    return found


def _for_each(content: Any, flags: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    if not isinstance(content, list):
        raise UserError(f"for_each of the {origin} must be a list of its flags, got {content!r}")
    names = tuple(option_name(item, origin) for item in content)
    for name in names:
        if name not in flags:
            raise unknown("flag in for_each", name, flags, origin=origin)
    return names
