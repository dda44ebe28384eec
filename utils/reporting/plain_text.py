"""Tables and cards as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .card import Card
from .tables import Table

WIDTH = 110
GAP = 2  # between columns


def card_text(cards: Sequence[Card], *, command: str) -> str:
    """The card of a run, or those of its critical classes, without charts."""
    parts = []
    for card in cards:
        parts += [card.row.name, "\n".join(f"{name}: {value}" for name, value in card.facts)]
        for section in card.sections:
            parts.append(f"{section.heading}\n{'-' * len(section.heading)}")
            if section.text:
                parts.append(textwrap.fill(section.text, WIDTH))
            parts += [table_text(table) for table in section.tables]
    return "\n\n".join([*parts, command])


def table_text(table: Table) -> str:
    """Aligned columns, numbers to the right; a heading that columns share stands above the first of them."""
    titles = [column.title for column in table.columns]
    cells = [[" ".join(filter(None, (cell.text, cell.under))) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    place, shared = 0, ""
    for name, span in table.groups:
        first = sum(width + GAP for width in widths[:place])
        shared = f"{shared.ljust(first)}{name}{' ' * GAP}" if name else shared
        place += span
    lines = [table.caption, *filter(None, [shared.rstrip()])]
    for texts in (titles, *cells):
        placed = [
            text.rjust(width) if column.numeric else text.ljust(width)
            for text, width, column in zip(texts, widths, table.columns, strict=True)
        ]
        lines.append((" " * GAP).join(placed).rstrip())
    return "\n".join(lines)
