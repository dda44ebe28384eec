"""Classes as messages name them and as users type them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

EXPECTED = "class numbers, such as 1 3 5 or 0-4,7, or names"
LARGEST = 2**53  # number of a class
NUMBER = re.compile(r"[+-]?[0-9]+")  # a class without a name, or a name that is one
RANGE = re.compile(r"(-?[0-9]+)-(-?[0-9]+)")  # the numbers may be negative: -3--1
LONGEST_RANGE = 10_000
_DIGITS = re.compile(r"[+\-0-9\s]+")


def plain_name(text: str) -> str:
    """The one spelling of the name of a class, a patient or the like: accents with their letters (NFC), single blanks.

    >>> len("u\N{COMBINING DIAERESIS}"), len(plain_name("u\N{COMBINING DIAERESIS}")), plain_name(" in  situ")
    (2, 1, 'in situ')
    """
    return unicodedata.normalize("NFC", " ".join(text.split()))


def named(classes: Sequence[int], names: Sequence[str] | None) -> list[str]:
    """The classes by their names, where they have some."""
    return [str(c) if names is None else names[c] for c in classes]


def listed(classes: Sequence[object], *, most: int = 30) -> str:
    """The first classes, separated by commas."""
    text = ", ".join(str(c) for c in classes[:most])
    return text if len(classes) <= most else f"{text}, ... ({len(classes)} in all)"


def spelled_out(item: int | str) -> list[int | str]:
    """The classes that a text lists, where it is not the name of one itself.

    Raises:
        ValueError: a range runs backwards or is too long, or a number is too large.

    >>> spelled_out("0-2,7"), spelled_out("1 3"), spelled_out("benign nevus,melanoma"), spelled_out(5)
    ([0, 1, 2, 7], [1, 3], ['benign nevus', 'melanoma'], [5])
    """
    if not isinstance(item, str):
        return [item]
    found: list[int | str] = []
    for text in filter(None, map(str.strip, item.split(","))):
        for part in text.split() if _DIGITS.fullmatch(text) else [text]:
            if ends := RANGE.fullmatch(part):
                found += number_range(_number(ends[1]), _number(ends[2]), what="classes")
            else:
                found.append(_number(part) if NUMBER.fullmatch(part) else part)
    return found


def number_range(first: int, last: int, *, what: str) -> range:
    """From ``first`` to ``last``.

    Raises:
        ValueError: it runs backwards, or is too long.
    """
    if last < first:
        raise ValueError(f"{first}-{last} runs backwards; write {last}-{first}")
    if last >= first + LONGEST_RANGE:
        raise ValueError(f"at most {LONGEST_RANGE:,} {what} in one range")
    return range(first, last + 1)


def _number(text: str) -> int:
    if len(text) > len(str(LARGEST)) + 1 or abs(int(text)) > LARGEST:
        raise ValueError(f"at most {LARGEST}")
    return int(text)
