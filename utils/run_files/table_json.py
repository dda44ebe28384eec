"""table.json: the rows that a sweep was asked for, and where their runs are. A folder of single runs has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.files import write_json
from ..system.text_files import read_json
from .paths import SweepPaths


@dataclass(frozen=True)
class PlannedRow:
    """One row.

    Args:
        folder: the name of its run.
        seeds: those that were asked for.
        name: its name in the table.
        options: its options, as text.
        trial: whether it is a run of a grid or a search, from which the options of later rows are chosen.
    """

    folder: str
    seeds: tuple[int, ...]
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    trial: bool = False


@dataclass(frozen=True)
class Plan:
    """A title and the rows in order. Without a sweep there are no rows and the title is the folder's name."""

    title: str
    rows: tuple[PlannedRow, ...] = ()

    def row(self, folder: str) -> PlannedRow | None:
        """The row of that folder."""
        return next((row for row in self.rows if row.folder == folder), None)

    def position(self, folder: str) -> int:
        """Its place in the order; after all rows if it is not one of them."""
        return next((place for place, row in enumerate(self.rows) if row.folder == folder), len(self.rows))


def write_plan(path: Path, plan: Plan, *, source: str) -> None:
    """Write table.json; ``source`` is the table file that the rows are from."""
    rows = [
        {"name": row.name, "folder": row.folder, "seeds": list(row.seeds), "options": row.options, "trial": row.trial}
        for row in plan.rows
    ]
    write_json(path, {"title": plan.title, "file": source, "rows": rows})


def read_plan(folder: Path) -> Plan:
    """The plan of the sweep in ``folder``. Of a row, ``folder`` and ``seeds`` are required.

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
        raise UserError(f"cannot read {path} ({type(error).__name__}); fix or remove it") from None


def _row(item: dict[str, Any]) -> PlannedRow:
    seeds = tuple(int(seed) for seed in item["seeds"])
    options, trial = dict(item.get("options", {})), item.get("trial") is True
    return PlannedRow(str(item["folder"]), seeds, str(item.get("name", "")), options, trial)
