"""Tables as data, which the templates render as HTML and as Markdown, and numbers as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

DASH = "\N{EN DASH}"  # where there is no value
SAME = 1e-12  # smaller differences are rounding errors
CLEAR = 0.05  # a corrected p below this is called clear


@dataclass(frozen=True)
class Column:
    """A column. Adjacent columns with the same ``group`` share a heading."""

    title: str
    group: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    value: float | None = None  # sort key at full precision; None sorts by the text
    under: str = ""  # a second, smaller line
    best: bool = False  # whether it is the best value of its column
    warning: str = ""  # a problem of the row, shown after the text


@dataclass(frozen=True)
class Table:
    """Columns and rows; ``key`` names it in the page."""

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each common heading and the number of its columns; no heading is ""."""
        return [(name, len(list(members))) for name, members in groupby(column.group for column in self.columns)]


def plain(text: str) -> str:
    """``text`` on one line, escaped for Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def cut(text: str, length: int) -> str:
    """``text``, or its beginning and an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def minus(text: str) -> str:
    """``text`` with minus signs instead of hyphens."""
    return text.replace("-", "\N{MINUS SIGN}")


# --- numbers -----------------------------------------------------------------------------------------------


def number(value: float, places: int, *, percent: bool = False, sign: bool = False, apart: Sequence[float] = ()) -> str:
    """``value`` with ``places`` decimals, and with more where these would show it as a limit that it is not.

    Args:
        percent: show 100 times the value.
        sign: show the sign of a positive value too.
        apart: limits beside 0, 1 and -1, such as the target of a rate.

    >>> number(0.99996, 4), number(0.0004, 1, percent=True), number(0.9796, 1, percent=True, apart=(0.98,))
    ('0.99996', '0.04', '97.96')
    """
    scale = 100 if percent else 1
    others = [round(limit * scale, 10) for limit in (-1, 0, 1, *apart) if abs(value - limit) > SAME]
    for more in range(12):  # SAME has 12 places
        text = f"{value * scale:{'+' if sign else ''}.{places + more}f}"
        if float(text) not in others:
            break
    return minus(text if float(text) else text.lstrip("+-"))


def significant(value: float, digits: int = 3) -> str:
    """A positive number with that many digits, and with more where these would show it as 1."""
    while (text := f"{value:.{digits}g}") == "1" and abs(value - 1) > SAME:
        digits += 1
    return text


def exact(value: float) -> str:
    """A number as it was given: with all its digits."""
    return f"{value:.15g}"


def exact_percent(value: float) -> str:
    """A rate as it was given, in per cent."""
    return f"{value * 100:.13g}"


def p_value(value: float) -> str:
    """A p value with about two significant digits; one that is not 0.05 is not shown as 0.05."""
    if value < 0.0001:
        return "< 0.0001"
    return number(value, 4 if value < 0.001 else 3 if value < 0.1 else 2, apart=(CLEAR,))


# --- cells and columns of numbers --------------------------------------------------------------------------


def numeric(*titles: str, group: str = "") -> tuple[Column, ...]:
    """Columns of numbers under one common heading."""
    return tuple(Column(title, group, numeric=True) for title in titles)


def count(value: int | None) -> Cell:
    """A whole number, or a dash."""
    return Cell(DASH) if value is None else Cell(str(value), float(value))


def decimal(value: float, places: int) -> Cell:
    """See ``number``."""
    return Cell(number(value, places), value)


def percent(value: float | None, *apart: float) -> Cell:
    """A rate in per cent (see ``number``), or a dash."""
    return Cell(DASH) if value is None else Cell(number(value, 1, percent=True, apart=apart), value)


def p_cell(value: float | None) -> Cell:
    """A p value, or a dash."""
    return Cell(DASH) if value is None else Cell(p_value(value), value)
