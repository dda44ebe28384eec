"""Which rows a sweep runs. A plain table runs all of its rows; a block adds rows as results come in.

A new kind of block is a module here with a subclass of ``Block``, and one line in ``table_file.BLOCKS``, whose key is
the block's name in a table file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..registry import load
from .job_state import Look
from .jobs import Job
from .table_file import BLOCKS, Row, Table, check_keys

Scan = Callable[[Row], list[tuple[Job, Look]]]


@dataclass(frozen=True)
class Stage:
    """The rows known so far, a description of those to come ('' if none), and the choices made."""

    rows: tuple[Row, ...]
    later: str = ""
    notes: tuple[str, ...] = ()


class Block:
    """Decides which rows to run, given the results so far; this one, of a table without a block, runs all.

    Args:
        content: what the table file says under the block's key.
    """

    keys: Sequence[str] = ()  # known in the content

    def __init__(self, table: Table, content: Mapping[str, Any], origin: str) -> None:
        check_keys(content, self.keys, origin)
        self.table = table

    def examples(self) -> tuple[Row, ...]:
        """Typical rows, so that their settings can be checked before anything starts."""
        return self.table.rows()

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """The rows so far. ``scan`` returns the jobs of a row with their states. Writes nothing without ``advance``."""
        return Stage(self.examples())


def block_of(table: Table) -> Block:
    """The block of a table.

    Raises:
        UserError: its content is not what it must be.
    """
    if table.block is None:
        return Block(table, {}, "")
    name, content = table.block
    block: Block = load(BLOCKS, name, kind="block", package=__package__)(table, content, f"{name} of {table.path}")
    return block
