"""A table that can be written as Markdown or as HTML, and numbers as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .svg import minus

Sortable = float | str | None


@dataclass(frozen=True)
class Column:
    """A column. Columns side by side with one ``group`` stand under a common heading."""

    title: str
    group: str = ""
    numeric: bool = False

    @property
    def flat(self) -> str:
        """Both headings in one."""
        return f"{self.group}: {self.title}" if self.group else self.title


@dataclass(frozen=True)
class Cell:
    """What stands in a field.

    Args:
        text: as shown.
        value: by which it is sorted, with all its digits; the text where None.
        under: a second, smaller line.
        best: whether it is the best of its column.
        warning: what is wrong with the row, shown beside the text.
    """

    text: str
    value: Sortable = None
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


def markdown(table: Table) -> str:
    """GitHub's form of a table; the best of a column is bold, numbers stand to the right."""
    titles = [column.flat for column in table.columns]
    rules = ["--:" if column.numeric else ":--" for column in table.columns]
    lines = [_line([plain(title) for title in titles]), _line(rules)]
    lines += [_line([_markdown_cell(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    text = plain(" ".join(part for part in (cell.text, cell.under) if part))
    text = f"**{text}**" if cell.best and text else text
    return f"{text} ({plain(cell.warning)})" if cell.warning else text


def plain(text: str) -> str:
    """Text that Markdown takes literally, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def html(table: Table) -> str:
    """A table whose columns sort when their heading is chosen."""
    body = "".join(f"<tr>{_html_row(row, table.columns)}</tr>" for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.caption)}">'
        f'<table id="{table.key}" class="sortable"><caption>{escape(table.caption)}</caption>'
        f"<thead>{_html_head(table.columns)}</thead><tbody>{body}</tbody></table></div>"
    )


def _html_head(columns: Sequence[Column]) -> str:
    groups, position = [], 0
    while position < len(columns):
        group = columns[position].group
        end = position + 1
        while group and end < len(columns) and columns[end].group == group:
            end += 1
        label = f'<th colspan="{end - position}" scope="colgroup" class="group">{escape(group)}</th>'
        groups.append(label if group else '<td class="nogroup"></td>')
        position = end
    heads = "".join(
        f'<th scope="col"{_side(column)}><button type="button">{escape(column.title)}</button></th>'
        for column in columns
    )
    first = f"<tr>{''.join(groups)}</tr>" if any(column.group for column in columns) else ""
    return f'{first}<tr class="heads">{heads}</tr>'


def _html_row(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    cells = []
    for number, (cell, column) in enumerate(zip(row, columns, strict=True)):
        value = cell.text if cell.value is None else cell.value
        shown = repr(value) if isinstance(value, float) else str(value)
        text = escape(cell.text)
        if cell.best:
            text = f'<strong class="best">{text}<span class="star" aria-hidden="true">\u2605</span>'
            text += '<span class="unseen"> (best)</span></strong>'
        if cell.warning:
            text += f' <span class="warning">{escape(cell.warning)}</span>'
        if cell.under:
            text += f' <span class="under">{escape(cell.under)}</span>'
        tag = 'th scope="row"' if number == 0 else "td"
        cells.append(f'<{tag}{_side(column)} data-value="{escape(shown)}">{text}</{tag.split()[0]}>')
    return "".join(cells)


def _side(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


# --- numbers -----------------------------------------------------------------------------------------------


def rate(value: float, *, tpr: float | None) -> str:
    """An AUC with four decimals, or an FPR in per cent with one."""
    return f"{value:.4f}" if tpr is None else f"{value * 100:.1f}"


def signed(value: float, *, tpr: float | None) -> str:
    """The same for a difference, with its sign."""
    text = f"{value:+.4f}" if tpr is None else f"{value * 100:+.1f}"
    return minus("0.0000" if text in ("+0.0000", "-0.0000") else "0.0" if text in ("+0.0", "-0.0") else text)


def bounds(low: float, high: float, *, tpr: float | None, sign: bool = False) -> str:
    """An interval."""
    one, other = (signed(value, tpr=tpr) if sign else rate(value, tpr=tpr) for value in (low, high))
    return f"[{one}, {other}]"


def p_value(value: float | None) -> str:
    """A p with two significant digits, or a dash."""
    if value is None:
        return "\N{EN DASH}"
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
