"""The commands of the program ``rarecall``, by name. In the source tree each has a script: main.py is ``train``.

To add one, put a file here with a function ``main(argv) -> exit code`` and add a line to ``COMMANDS``. The first line
of the file is its help. Nothing is imported before it is used.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError
from ..registry import load
from ..system.installation import VERSION

COMMANDS: dict[str, str] = {
    "prepare": "prepare:main",
    "train": "main:main",
    "sweep": "sweep:main",
    "report": "report:main",
    "predict": "predict:main",
}
EXTRA = "experiments"  # the extra of the wheel that holds what the commands need


def main(argv: Sequence[str]) -> int:
    """Run ``argv[0]`` with the arguments after it; returns its exit code, or 2 if it cannot be run."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0
    if argv[0] == "--version":
        print(f"rarecall {VERSION}")
        return 0
    try:
        if argv[0] in COMMANDS and (missing := _missing()):
            raise UserError(f"rarecall {argv[0]} needs {', '.join(missing)}: pip install 'rarecall[{EXTRA}]'")
        command: Callable[[Sequence[str]], int] = load(COMMANDS, argv[0], kind="command", package=__name__)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2
    return command(argv[1:])


def _help() -> str:
    lines = ["usage: rarecall COMMAND ...", "", *(f"  {name:<10}{_first_line(name)}" for name in COMMANDS), ""]
    return "\n".join([*lines, "rarecall COMMAND --help lists the options; rarecall --version prints the version."])


def _first_line(name: str) -> str:
    """The first line of a command's file, which is read, not imported."""
    path = Path(__file__).with_name(f"{COMMANDS[name].partition(':')[0]}.py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _missing() -> list[str]:
    """The packages of the extra that are not installed; none if rarecall itself is not installed, but a source tree."""
    from importlib import metadata  # takes a third of the time of --help

    try:
        lines = metadata.requires("rarecall") or []
    except metadata.PackageNotFoundError:
        return []
    extra = [line for line in lines if EXTRA in line.partition(";")[2]]
    return [name for line in extra for name in re.findall(r"^[\w.-]+", line) if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
