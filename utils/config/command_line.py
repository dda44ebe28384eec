"""The command line of main.py and its help."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from ..errors import UserError
from ..registry import near
from .options import GROUPS, OPTIONS


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see python {self.prog} --help)")


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, as text.

    Raises:
        UserError: an unknown flag, or one without its value.
    """
    parsed, rest = parser().parse_known_args(argv)
    if rest:
        flags = [f"--{name}" for name in OPTIONS]
        close = near(rest[0].split("=")[0], flags)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"unknown argument {rest[0]!r}{hint} (see python main.py --help)")
    return vars(parsed)


def parser(*, models: Iterable[str] = ()) -> argparse.ArgumentParser:
    """The command line; flags that are not given leave no trace in what it returns. ``models`` are for the help."""
    result = Parser(
        prog="main.py",
        description="Train and evaluate classifiers whose rare class must not be missed.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    groups = {name: result.add_argument_group(title) for name, title in GROUPS.items()}
    for name, item in OPTIONS.items():
        kind = item.metadata["kind"]
        several: dict[str, Any] = {"nargs": "+"} if kind.name in ("ints", "floats", "seeds") else {}
        groups[item.metadata["group"]].add_argument(
            f"--{name}", metavar=_metavar(kind.name, kind.choices), help=_help(item, models), **several
        )
    return result


def _metavar(kind: str, choices: tuple[str, ...]) -> str:
    return {"switch": "0|1", "int": "N", "float": "X", "ints": "N", "floats": "X", "seeds": "S"}.get(
        kind, "|".join(choices) or "TEXT"
    )


def _help(item: Any, models: Iterable[str]) -> str:
    """The help of an option: its text, the names of its table, its default."""
    text = item.metadata["help"].replace("{models}", ", ".join(models))
    text = text.replace("{names}", ", ".join(item.metadata["names"]))
    if item.name == "seeds":
        text += f" (default: {item.default[0]}-{item.default[-1]})"
    elif item.default not in (None, ""):
        value = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        text += f" (default: {value})"
    return str(text).replace("%", "%%")
