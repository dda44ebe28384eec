"""Which rows are wanted by now. A plain table wants all of its rows; a block finds out more as results come in.

A new kind of block (say, folds and subsets of the data) is a module here with a class that has ``stage`` and
``examples``, and one line in ``BLOCKS``; its key in a table file is that name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from .job_state import Look
from .jobs import Job
from .table_file import Row, Table

# key in a table file -> "module:class"
BLOCKS: dict[str, str] = {
    "grid": ".grid:Grid",
    "search": ".search:Search",
    "resampling": ".cross_validation:Resampling",
}

Scan = Callable[[Row], list[tuple[Job, Look]]]


@dataclass(frozen=True)
class Stage:
    """The rows that are wanted by now, what is still to come ('' = nothing), and what was decided."""

    rows: tuple[Row, ...]
    later: str = ""
    notes: tuple[str, ...] = ()


class Block(Protocol):
    """Decides from the results so far which rows come next."""

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """The rows by now; ``scan`` shows a row's jobs. Without ``advance`` it looks only and writes nothing."""

    def examples(self) -> tuple[Row, ...]:
        """Rows such as will come, so that their settings can be checked before anything starts."""


@dataclass(frozen=True)
class Plain:
    """A table without a block."""

    table: Table

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """All rows, at once."""
        return Stage(self.table.rows())

    def examples(self) -> tuple[Row, ...]:
        """All rows."""
        return self.table.rows()


def block_of(table: Table) -> Block:
    """The block of a table.

    Raises:
        UserError: its content is not what it must be.
    """
    if table.block is None:
        return Plain(table)
    name, content = table.block
    module, attribute = BLOCKS[name].split(":")
    make = cast(
        "Callable[[Table, Mapping[str, Any]], Block]",
        getattr(importlib.import_module(module, package=__package__), attribute),
    )
    return make(table, content)
