"""The command line of main.py (``rarecall train``) and its help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UserError
from ..registry import near
from ..system.installation import RUN_WITH, VERSION, called, typed
from .constructors import takers
from .options import ALIASES, GROUPS, MOST_USED, OPTIONS
from .synonyms import ABSENT, FLAGS

NEGATIVE = re.compile(r"-[0-9.]")
MARKED = re.compile(r"^ (?=-[0-9.])")
EXAMPLES = (
    "--dataset_name digits --resnet_type lenet5 --training_type BCE --seeds 1-3 --num_epochs 20",
    "--dataset_name scans --positive_classes tumour --resnet_type resnet18 --dry_run 1",
    "--name_file_bs baseline_bce --name_file_alm ALM_14_beg --ratio_pos_train 200",
)
SEVERAL = {"ints": "N", "floats": "X", "pairs": "X", "seeds": "S", "classes": "CLASS", "ratios": "X"}  # kind -> metavar


class _ByTypedName(argparse.Action):
    """Keeps a value under the name that was typed: an option may have two."""

    def __call__(self, parser: object, namespace: object, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, (option_string or self.dest).removeprefix("--"), values)


class Parser(argparse.ArgumentParser):
    """Raises its errors as ``UserError``, one of them for an option that stands twice, of which the last would win.

    Args:
        repeated: options that may, as each adds to those before it.
        options: of the base class.
    """

    def __init__(self, *, repeated: Collection[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self._repeated = repeated

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class does, after a check of ``args`` (a sequence of texts)."""
        found = set[str]()
        for text in args or ():
            if text == "--":
                break
            name = text.partition("=")[0]
            if name not in self._option_string_actions or name in self._repeated:
                continue
            if name in found:
                several = self._option_string_actions[name].nargs not in (None, 0, "?")
                remedy = "all its values behind it" if several else "the value that is meant"
                raise UserError(f"{name} stands twice on the command line; give it once, with {remedy}")
            found.add(name)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {RUN_WITH}{self.prog} --help)")


def path(text: str) -> Path:
    """The type of an argument that is a path; an empty one, as of a variable that is not set, would be the folder."""
    if not text:
        raise argparse.ArgumentTypeError("must be a path, got an empty text")
    return Path(text).expanduser()  # as the shell does, but for --flag=~/folder


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, by the name that was typed, as text.

    Raises:
        UserError: an unknown flag, or one without its value.
    """
    # a space before a number such as -1 or -1,2: argparse would take some of them for flags
    parsed, rest = parser().parse_known_args([f" {text}" if NEGATIVE.match(text) else text for text in argv])
    if rest:
        rest = [MARKED.sub("", text) for text in rest]
        name = rest[0].split("=")[0].lstrip("-")
        close = [f"--{other}" for other in near(name, [*OPTIONS, *ALIASES], meanings=FLAGS)]
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        reason = ABSENT.get(name.lower().replace("-", "_"))
        hint = f"; {reason}" if reason else hint
        raise UserError(f"unknown argument {rest[0]!r}{hint} (see {typed('train')} --help all)")
    return {
        name: [MARKED.sub("", text) for text in value] if isinstance(value, list) else MARKED.sub("", value)
        for name, value in vars(parsed).items()
    }


def print_help(*, models: Iterable[str], whole: bool) -> None:
    """The options most used, or all of them. ``models`` are the names that --resnet_type takes."""
    parser(models=models, shown=OPTIONS if whole else MOST_USED).print_help()


def parser(*, models: Iterable[str] = (), shown: Collection[str] = ()) -> argparse.ArgumentParser:
    """The command line; flags that are not given leave no trace in what it returns.

    ``models`` and ``shown``, the names of options, are for the help.
    """
    rest = len(OPTIONS) - len(shown)
    more = f"{typed('train')} --help all lists {rest} more options; " if rest else ""
    result = Parser(
        prog=called("train"),
        usage="%(prog)s --dataset_name NAME [option value ...]",
        description="Train and evaluate classifiers whose rare class must not be missed.",
        epilog="\n".join(["examples:", *(f"  {typed('train')} {each}" for each in EXAMPLES), ""])
        + f"\n{more}{typed('train')} --version prints the version.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=110),
    )
    groups = {name: result.add_argument_group(title) for name, title in GROUPS.items()}
    for name, item in OPTIONS.items():
        kind = item.metadata["kind"]
        number: dict[str, Any] = {"nargs": "+"} if kind.name in SEVERAL else {}
        if kind.name == "switch":
            number = {"nargs": "?", "const": "1"}
        names = [f"--{each}" for each in (name, item.metadata["alias"]) if each]
        metavar = _metavar(kind.name, kind.choices)
        group = groups[item.metadata["group"]]
        text = _help(item, models) if name in shown else argparse.SUPPRESS
        group.add_argument(*names, action=_ByTypedName, metavar=metavar, help=text, **number)
    return result


def print_version() -> None:
    """What ``--version`` of each command prints."""
    print(f"rarecall {VERSION}")


def _metavar(kind: str, choices: tuple[str, ...]) -> str:
    simple = {"switch": "0|1", "int": "N", "float": "X", "ratio": "X", "epochs": "N|all"}
    return {**SEVERAL, **simple}.get(kind, "|".join(choices) or "TEXT")


def _help(item: Any, models: Iterable[str]) -> str:
    """The help of an option: its text, the names of its table, its default."""
    text = item.metadata["help"].replace("{models}", ", ".join(models))
    text = text.replace("{names}", ", ".join(item.metadata["names"]))
    if "{takers}" in text:
        text = text.replace("{takers}", ", ".join(takers()[item.name]))
    if item.name == "seeds":
        text += f" (default: {item.default[0]}-{item.default[-1]})"
    elif item.default not in (None, ""):
        value = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        text += f" (default: {value})"
    return str(text).replace("%", "%%")
