"""Kinds of option values: how each is parsed from text or YAML, and which values are valid."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

from ..data import AUGMENTS, NATURAL, augment_name
from ..data.class_names import EXPECTED, number_range

MOST = 2**53  # of an integer: arrays and checkpoints hold it exactly
SMALLEST, LARGEST = 1e-30, 1e30  # magnitude of a number that is not 0: float32 holds it, and products of two
INTEGER = re.compile(r"[+-]?[0-9]+")  # Python would also read 1_3 as 13
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,127}")


@dataclass(frozen=True)
class Kind:
    """How a value is parsed and which values are valid.

    Args:
        name: one of int, float, text, path, name (a file or folder name), switch (0 or 1), ints, floats,
            pairs, seeds, classes, ratio, ratios, augment, epochs (a number, or the text ``all``).
        expected: the legal values in words, for ``--help`` and error messages.
        low, high: bounds of a number, or of each number of a list.
        open_low: whether ``low`` itself is excluded.
        choices: the valid texts, if there are only a few.
    """

    name: str
    expected: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    choices: tuple[str, ...] = ()


SWITCH = Kind("switch", "0 or 1")
TEXT = Kind("text", "printable text")
PATH = Kind("path", "a path in printable text")  # ~ is the home folder
NAME = Kind("name", "a plain name of letters, digits and _ . + = - (no path)")
COUNT = Kind("int", "an integer >= 1", low=1)
WHOLE = Kind("int", "an integer >= 0", low=0)
POSITIVE = Kind("float", "a number > 0", low=0, open_low=True)
NON_NEGATIVE = Kind("float", "a number >= 0", low=0)
UNIT = Kind("float", "a number in [0, 1]", low=0, high=1)
RATE = Kind("float", "a rate in (0, 1]", low=0, high=1, open_low=True)
SHARE = Kind("float", "a fraction in (0, 1)", low=0, high=0.999, open_low=True)
TPRS = Kind("floats", "true positive rates in (0, 1]", low=0, high=1, open_low=True)
FPRS = Kind("floats", "false positive rates in (0, 1]", low=0, high=1, open_low=True)
PROMISES = Kind("pairs", "pairs of a true positive rate and an allowed probability of missing it, each in (0, 1), such "
    "as 0.98 0.05", low=0, high=0.999999, open_low=True)  # fmt: skip
EPOCHS = Kind("epochs", "an integer >= 0, or all", low=0)
CLASSES = Kind("classes", EXPECTED)
RATIO = Kind("ratio", "natural or a number >= 1 (negatives per positive)", low=1)
RATIOS = Kind("ratios", "numbers >= 1, such as 1 99, or natural alone", low=1)
AUGMENT = Kind("augment", f"one of {', '.join(AUGMENTS)}, or transforms such as flip,rotate", choices=(*AUGMENTS,))


def choice(*choices: str) -> Kind:
    """One of a few texts."""
    return Kind("text", "one of " + ", ".join(choices), choices=choices)


def read(kind: Kind, value: Any) -> Any:
    """``value``, a text or a value from a file, converted to ``kind``.

    Raises:
        ValueError: it is no such value; its text, if any, is the rule that ``kind.expected`` leaves unsaid.
        TypeError, OverflowError: likewise.
    """
    return _READERS[kind.name](value, kind)


def _int(value: Any, kind: Kind) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    if isinstance(value, str) and not INTEGER.fullmatch(value.strip()):
        raise ValueError
    number = int(value)
    if abs(number) > MOST:
        raise ValueError(f"at most {MOST}")
    _check_bounds(number, kind)
    return number


def _epochs(value: Any, kind: Kind) -> int | str:
    return "all" if value == "all" else _int(value, kind)


def _float(value: Any, kind: Kind) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and not DECIMAL.fullmatch(value.strip())):
        raise ValueError
    number = float(value)
    if number and not SMALLEST <= abs(number) <= LARGEST:
        raise ValueError(f"its magnitude must be 0 or in [{SMALLEST:g}, {LARGEST:g}]")
    _check_bounds(number, kind)
    return number


def _check_bounds(number: float, kind: Kind) -> None:
    too_low = number <= kind.low if kind.open_low else number < kind.low
    if not math.isfinite(number) or too_low or number > kind.high:
        raise ValueError


def _text(value: Any, kind: Kind) -> str:
    if not isinstance(value, str) or (kind.choices and value not in kind.choices):
        raise ValueError
    for character in value:
        if not character.isprintable():
            raise ValueError(f"it holds {character!a}, which cannot be printed")
    return value


def _augment(value: Any, kind: Kind) -> str:
    return augment_name(_text(value, Kind("text", kind.expected)))


def _path(value: Any, kind: Kind) -> str:
    if value == "":
        raise ValueError("an empty text would be the working folder")
    return os.path.expanduser(_text(value, kind))


def _name(value: Any, kind: Kind) -> str:
    name = str(value)
    if not SAFE_NAME.fullmatch(name):
        if len(name) > 128:
            raise ValueError(f"at most 128 characters, got {len(name)}")
        if SAFE_NAME.fullmatch(f"_{name}"):
            raise ValueError("the first character must be a letter, a digit or _")
        raise ValueError
    return name


def _switch(value: Any, kind: Kind) -> int:
    if str(value).lower() not in ("0", "1", "false", "true"):
        raise ValueError
    return int(str(value).lower() in ("1", "true"))


def _items(value: Any) -> list[Any]:
    """The items of a list, or the parts of a text such as ``1 3,5``."""
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    return [part for item in items for part in (item.replace(",", " ").split() if isinstance(item, str) else [item])]


def _ints(value: Any, kind: Kind) -> tuple[int, ...]:
    return _unrepeated([_int(item, kind) for item in _items(value)], repeats=kind.low == 1)


def _classes(value: Any, kind: Kind) -> tuple[int | str, ...]:
    """Numbers, and texts as they are: only the data know whether ``0-4`` or ``a, b`` is the name of a class."""
    return _unrepeated([_class(item, kind) for item in (value if isinstance(value, (list, tuple)) else [value])])


def _class(value: Any, kind: Kind) -> int | str:
    if not isinstance(value, str):
        return _int(value, kind)
    if not value.isprintable() or not value.strip(", "):
        raise ValueError
    is_number = INTEGER.fullmatch(value) and len(value) <= len(str(MOST)) + 1 and str(int(value)) == value
    return _int(value, kind) if is_number else value


def _ratio(value: Any, kind: Kind) -> int | float | str:
    """An integer where it is one, so that 100 and 100.0 are the same ratio."""
    if value == NATURAL:
        return NATURAL
    number = _float(value, kind)
    return int(number) if number.is_integer() else number


def _ratios(value: Any, kind: Kind) -> tuple[int | float | str, ...]:
    ratios = _unrepeated([_ratio(item, kind) for item in _items(value)], repeats=True)
    if NATURAL in ratios and len(ratios) > 1:
        raise ValueError("natural stands alone: all images are one subset")
    return ratios


def _floats(value: Any, kind: Kind) -> tuple[float, ...]:
    return _unrepeated([_float(item, kind) for item in _items(value)])


def _pairs(value: Any, kind: Kind) -> tuple[float, ...]:
    items = [_float(item, kind) for item in _items(value)]
    if not items or len(items) % 2:
        raise ValueError("an even number of values")
    return tuple(items)


def _seeds(value: Any, kind: Kind) -> tuple[int, ...]:
    seeds: list[int] = []
    for item in _items(value):
        first, dash, last = str(item).partition("-")
        start, end = _int(first, kind), _int(last if dash else first, kind)
        seeds.extend(number_range(start, end, what="seeds"))
    return _unrepeated(seeds)


def _unrepeated(items: list[Any], *, repeats: bool = False) -> tuple[Any, ...]:
    if not items:
        raise ValueError
    if not repeats and (twice := [item for item in items if items.count(item) > 1]):
        raise ValueError(f"{twice[0]} stands twice")
    return tuple(items)


_READERS = {
    "int": _int,
    "float": _float,
    "text": _text,
    "augment": _augment,
    "path": _path,
    "name": _name,
    "switch": _switch,
    "ints": _ints,
    "floats": _floats,
    "pairs": _pairs,
    "seeds": _seeds,
    "epochs": _epochs,
    "classes": _classes,
    "ratio": _ratio,
    "ratios": _ratios,
}
