"""Which rows a sweep runs. A plain table runs all of its rows; a block adds rows as results come in.

A new kind of block is a module here with a class that has ``stage`` and ``examples``, and one line in ``BLOCKS``, whose
key is the block's name in a table file.
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
    """The rows known so far, a description of those to come ('' if none), and the choices made."""

    rows: tuple[Row, ...]
    later: str = ""
    notes: tuple[str, ...] = ()


class Block(Protocol):
    """Decides which rows to run, given the results so far."""

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """The rows so far. ``scan`` returns the jobs of a row with their states. Writes nothing without ``advance``."""

    def examples(self) -> tuple[Row, ...]:
        """Typical rows, so that their settings can be checked before anything starts."""


@dataclass(frozen=True)
class Plain:
    """A table without a block."""

    table: Table

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """All rows."""
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
