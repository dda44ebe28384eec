"""Tables, their Markdown, and numbers as text. The page's template renders the same tables as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .svg import minus

DASH = "\N{EN DASH}"  # where there is no value


@dataclass(frozen=True)
class Column:
    """A column. Adjacent columns with the same ``group`` share a heading."""

    title: str
    group: str = ""
    numeric: bool = False

    @property
    def flat(self) -> str:
        """Group and title as one heading."""
        return f"{self.group}: {self.title}" if self.group else self.title


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: as shown.
        value: sort key at full precision; None sorts by the text.
        under: a second, smaller line.
        best: whether it is the best value of its column.
        warning: a problem of the row, shown after the text.
    """

    text: str
    value: float | str | None = None
    under: str = ""
    best: bool = False
    warning: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows; ``key`` names it in the page."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each common heading and the number of its columns; no heading is ""."""
        return [(name, len(list(members))) for name, members in groupby(column.group for column in self.columns)]


def markdown(table: Table) -> str:
    """A GitHub table; the best value of a column is bold, numbers are right-aligned."""
    titles = [column.flat for column in table.columns]
    rules = ["--:" if column.numeric else ":--" for column in table.columns]
    lines = [_line([plain(title) for title in titles]), _line(rules)]
    lines += [_line([_markdown_cell(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    text = plain(" ".join(part for part in (cell.text, cell.under) if part))
    text = f"**{text}**" if cell.best and text else text
    return f"{text} ({plain(cell.warning)})" if cell.warning else text


def plain(text: str) -> str:
    """``text`` on one line, escaped for Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


# --- numbers -----------------------------------------------------------------------------------------------


def rate(value: float, *, tpr: float | None) -> str:
    """An AUC with four decimals, or an FPR in per cent with one."""
    return f"{value:.4f}" if tpr is None else f"{value * 100:.1f}"


def signed(value: float, *, tpr: float | None) -> str:
    """A difference in the same format, with its sign."""
    text = f"{value:+.4f}" if tpr is None else f"{value * 100:+.1f}"
    return minus("0.0000" if text in ("+0.0000", "-0.0000") else "0.0" if text in ("+0.0", "-0.0") else text)


def bounds(low: float, high: float, *, tpr: float | None, sign: bool = False) -> str:
    """An interval in brackets."""
    one, other = (signed(value, tpr=tpr) if sign else rate(value, tpr=tpr) for value in (low, high))
    return f"[{one}, {other}]"


def p_value(value: float | None) -> str:
    """A p value with about two significant digits, or a dash."""
    if value is None:
        return DASH
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


# --- cells and columns of numbers --------------------------------------------------------------------------


def numeric(*titles: str, group: str = "") -> tuple[Column, ...]:
    """Columns of numbers under one common heading."""
    return tuple(Column(title, group, numeric=True) for title in titles)


def count(value: int) -> Cell:
    """A whole number."""
    return Cell(str(value), float(value))


def percent(value: float) -> Cell:
    """A rate in per cent, with one decimal."""
    return Cell(f"{value * 100:.1f}", value)


def p_cell(value: float | None) -> Cell:
    """A p value; a missing one sorts after all others."""
    return Cell(p_value(value), 2.0 if value is None else value)
