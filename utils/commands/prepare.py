"""Make a data set of your own images or tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.command_line import NEGATIVE, Parser, print_version
from ..config.kinds import DECIMAL, INTEGER, NAME, PATH, SWITCH, TEXT, WHOLE, Kind, read
from ..data import DATASETS
from ..data.class_names import plain_name
from ..errors import UserError, one_line
from ..preparing.request import Request
from ..system.installation import called, typed
from ..system.resources import core_count
from .ending import exit_code_of

EXAMPLES = (
    "images/ --out datasets/scans --size 224 --positive tumour",
    "images/ --csv labels.csv --path path --label label --group patient_id --out datasets/scans --size 224",
    "--csv zip.train.gz --pixels 16x16x1 --label 1 --range -1 1 --out datasets/zip",
    "--csv table.csv --features --label outcome --out datasets/table",
    "old.npz --out datasets/new",
)
MOST_SIDE = 2**14  # pixels of --size
# flag -> the only tables that read it
TABLES = ("path", "label", "group", "split_column", "drop", "pixels", "range", "header", "encoding")
OF_NUMBERS = ("drop", "range", "header")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("prepare"),
        description="Make a data set of images in folders, of a table of images or of numbers, or of an .npz file.",
        epilog="\n".join(["examples:", *(f"  {typed('prepare')} {more}" for more in EXAMPLES)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    switch: dict[str, Any] = {"nargs": "?", "const": "1", "metavar": "0|1"}
    source = (
        "a folder for each class (or those below train/ val/ test/), the folder of a table's images, or an .npz file"
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=source)
    parser.add_argument("--out", metavar="FOLDER", help="the result; its name is the --dataset_name of training")
    parser.add_argument("--version", action="store_true", help="print the version")
    add = parser.add_argument_group("table").add_argument
    add("--csv", metavar="FILE", help="a table: commas, semicolons, tabs or spaces; .gz too")
    add("--path", metavar="COLUMN", help="of the images' paths, relative to SOURCE, else to the table's folder (path)")
    add("--label", metavar="COLUMN", help="of the classes: a name, or a number from 1 (label)")
    add("--group", metavar="COLUMN", help="of what must lie on one side as a whole, such as the patient")
    add(
        "--split_column",
        metavar="COLUMN",
        help="of the splits, if they are given: train, validation, calibration, test",
    )
    add("--pixels", metavar="HxWxC", help="the other columns are the pixels of an image, row by row")
    add("--range", nargs=2, metavar=("LOW", "HIGH"), help="the values that become black and white")
    add("--features", **switch, help="the other columns are features, for linear and dense models")
    add("--drop", nargs="+", metavar="COLUMN", help="columns that are neither pixels nor features")
    add("--header", metavar="0|1", help="whether the table of numbers has a header (found out)")
    add("--encoding", metavar="NAME", help="of the table's text (utf-8)")
    add = parser.add_argument_group("images").add_argument
    add("--size", metavar="N|HxW", help="height and width; needed where the images differ")
    add("--fit", metavar="letterbox|crop|squeeze", help="how others get that size (letterbox: black borders)")
    add("--colour", metavar="auto|grey|rgb", help="auto: grey if every image is; transparency is dropped")
    add("--bits", metavar="8|16", help="a channel; found out unless the images differ")
    add("--frames", metavar="refuse|first", help="of files with several images (refuse)")
    add = parser.add_argument_group("classes and splits").add_argument
    add("--positive", metavar="CLASS", help="the rare class")
    add(
        "--split",
        metavar="A/B/C",
        help="percent of train/validation/test or train/validation/calibration/test (60/15/25)",
    )
    add("--seed", metavar="N", help="of the split (1)")
    add = parser.add_argument_group("run").add_argument
    add("--skip_broken", **switch, help="1 leaves out what cannot be read; broken.csv names it")
    add("--resume", **switch, help="1 goes on with what a stopped command has begun")
    add("--overwrite", **switch, help="1 replaces the result if it is there")
    add("--workers", metavar="N", help="threads that read; 0: one a core (0)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 for success, 2 for bad input, 130 for Ctrl-C."""
    if "--version" in argv:
        print_version()
        return 0
    return exit_code_of(lambda: _prepare(argv))


def _prepare(argv: Sequence[str]) -> int:
    request = _request(_given(argv), typed("prepare", _recorded(argv)))
    from ..preparing.preparation import prepare  # it imports NumPy and pillow, which --help does not need

    prepare(request)
    return 0


def _given(argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, as text."""
    # argparse would take negative numbers for flags
    return vars(_parser().parse_args([f" {text}" if NEGATIVE.match(text) else text for text in argv]))


def _recorded(argv: Sequence[str]) -> list[str]:
    """The arguments without those that change nothing in the result."""
    kept: list[str] = []
    dropped = False
    for word in argv:
        name = word.partition("=")[0]
        if dropped and not word.startswith("--"):  # its value
            dropped = False
            continue
        dropped = name in ("--resume", "--overwrite", "--workers")
        if not dropped:
            kept.append(word)
        dropped = dropped and "=" not in word
    return kept


def _request(given: dict[str, Any], command: str) -> Request:
    """The values, after a check that they fit each other."""
    if not given.get("out"):
        raise UserError("--out FOLDER is needed: where the data set goes, such as datasets/scans")
    if not given.get("source") and not given.get("csv"):
        raise UserError("SOURCE is needed: a folder with a folder for each class, or an .npz file; or --csv FILE")
    values = {name: _READERS[name](given[name], name) for name in given if name in _READERS}
    _check_read(values)
    values["workers"] = values.get("workers") or core_count()
    if "range" in values:
        values["value_range"] = values.pop("range")
    request = Request(**{"source": None, "csv": None, **values, "command": command})
    try:
        read(NAME, request.out.name)
    except ValueError:
        raise UserError(f"the name of --out must be {NAME.expected}, got {one_line(request.out.name)!r}") from None
    if request.out.name in DATASETS:
        own = f"{request.out.name}, a data set of the program, which --dataset_name would train on"
        raise UserError(f"the name of --out must be one of your own, got {own}; choose another --out")
    return request


def _check_read(values: dict[str, Any]) -> None:
    """Refuse a value that nothing would read."""
    numbers = values.get("features") or "pixels" in values
    if values.get("features") and "pixels" in values:
        raise UserError("--pixels and --features say what the other columns are; leave one of them out")
    if "csv" not in values:
        for name in (*TABLES, "features"):
            if values.get(name):
                raise UserError(f"--{name} is about a table: add --csv FILE, or leave it out")
        return
    if numbers and "source" in values:
        raise UserError("SOURCE is the folder of images, but this table holds the numbers themselves; leave it out")
    for name in OF_NUMBERS if not numbers else ("path", "frames"):
        if name in values:
            need = "needs --pixels HxWxC or --features" if not numbers else "is about image files"
            raise UserError(f"--{name} {need}; leave it out")
    for name in ("size", "fit", "colour", "bits", "range") if values.get("features") else ():
        if name in values:
            raise UserError(f"--{name} is about images, not --features; leave it out")


# --- values ------------------------------------------------------------------------------------------------


def _value(kind: Kind, text: str, name: str) -> Any:
    try:
        return read(kind, text.strip() if kind in (WHOLE, SWITCH) else text)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"--{name} must be {kind.expected}, got {one_line(text):.80}") from None


def _text(text: str, name: str) -> str:
    return str(_value(TEXT, text.strip(), name))


def _path(text: str, name: str) -> Path:
    return Path(_value(PATH, text, name))


def _one_of(*choices: str) -> Any:
    def check(text: str, name: str) -> str:
        if text not in choices:
            raise UserError(f"--{name} must be one of {', '.join(choices)}, got {one_line(text):.80}")
        return text

    return check


def _sides(text: str, name: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    sides = tuple(int(part) for part in (parts if len(parts) == 2 else parts * 2) if INTEGER.fullmatch(part))
    if len(sides) != 2 or not all(1 <= side <= MOST_SIDE for side in sides):
        raise UserError(f"--{name} must be N or HxW, each from 1 to {MOST_SIDE:,}, got {one_line(text):.80}")
    return sides[0], sides[1]


def _shape(text: str, name: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    sides = [int(part) for part in parts if INTEGER.fullmatch(part)]
    shape = [*sides, 1] if len(sides) == 2 else sides
    if (
        len(sides) != len(parts)
        or len(shape) != 3
        or not all(1 <= s <= MOST_SIDE for s in shape)
        or shape[2] not in (1, 3)
    ):
        raise UserError(f"--{name} must be HxW, HxWx1 or HxWx3, such as 16x16x1, got {one_line(text):.80}")
    return shape[0], shape[1], shape[2]


def _ends(texts: list[str], name: str) -> tuple[float, float]:
    ends = [float(text) for text in map(str.strip, texts) if DECIMAL.fullmatch(text)]
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise UserError(f"--{name} must be two numbers, the lower first, got {one_line(' '.join(texts)):.80}")
    return ends[0], ends[1]


def _percentages(text: str, name: str) -> tuple[float, ...]:
    parts = text.split("/")
    shares = tuple(float(part) for part in parts if DECIMAL.fullmatch(part.strip()))
    if len(shares) != len(parts) or len(parts) not in (3, 4) or min(shares) <= 0 or abs(sum(shares) - 100) > 1e-6:
        raise UserError(
            f"--{name} must be three or four percentages whose sum is 100, train/validation/test or"
            f" train/validation/calibration/test, such as 60/15/25, got {one_line(text):.80}"
        )
    return shares


def _columns(texts: list[str], name: str) -> tuple[str, ...]:
    return tuple(_text(text, name) for text in texts)


def _switch(text: str, name: str) -> bool:
    return bool(_value(SWITCH, text, name))


_READERS: dict[str, Any] = {
    **dict.fromkeys(("source", "csv", "out"), _path),
    **dict.fromkeys(("path", "label", "group", "split_column", "encoding"), _text),
    "positive": lambda text, name: plain_name(_text(text, name)),
    **dict.fromkeys(("features", "skip_broken", "resume", "overwrite", "header"), _switch),
    **dict.fromkeys(("seed", "workers"), lambda text, name: _value(WHOLE, text, name)),
    "drop": _columns,
    "pixels": _shape,
    "range": _ends,
    "size": _sides,
    "fit": _one_of("letterbox", "crop", "squeeze"),
    "colour": _one_of("auto", "grey", "rgb"),
    "bits": lambda text, name: int(_one_of("8", "16")(text, name)),
    "frames": _one_of("refuse", "first"),
    "split": _percentages,
}
