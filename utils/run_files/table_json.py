"""table.json: the rows that a sweep was asked for. A folder of single runs has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.text_files import read_json
from .paths import SweepPaths


@dataclass(frozen=True)
class PlannedRow:
    """One row: its folder's name and its seeds."""

    folder: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A title and the rows in their order; without a sweep no rows, and the folder's name."""

    title: str
    rows: tuple[PlannedRow, ...] = ()

    def row(self, folder: str) -> PlannedRow | None:
        """The row of that folder."""
        return next((row for row in self.rows if row.folder == folder), None)

    def position(self, folder: str) -> int:
        """Its place in the order; behind all where it is none of them."""
        return next((place for place, row in enumerate(self.rows) if row.folder == folder), len(self.rows))


def read_plan(folder: Path) -> Plan:
    """What a sweep left in ``folder``.

    Raises:
        UserError: table.json is not what a sweep writes.
    """
    folder = folder.resolve()
    path = SweepPaths(folder.parent, folder.name).table
    if not path.exists():
        return Plan(folder.name)
    try:
        content = read_json(path)
        rows = tuple(_row(item) for item in content["rows"])
        return Plan(str(content.get("title") or folder.name)[:200], rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UserError(f"cannot read {path} ({type(error).__name__}); mend or remove it") from None


def _row(item: dict[str, Any]) -> PlannedRow:
    return PlannedRow(str(item["folder"]), tuple(int(seed) for seed in item["seeds"]))
