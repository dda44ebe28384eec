"""Compare the runs of a folder: tables, tests and ROC curves in one HTML page. Reads the runs' files only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config.command_line import Parser, print_version
from ..config.options import convert
from ..errors import UserError, message_of, one_line
from ..reporting.writing import write_report
from ..system.installation import called, typed


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("report"),
        description="Compare the runs of a folder: tables, tests and ROC curves in one page. Needs no GPU and no data.",
        epilog=f"{typed('report')} --version prints the version.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="checkpoint/<subfolder_name>, the folder that holds the runs")
    parser.add_argument("--out", type=Path, help="where to write the report (default: <folder>/report)")
    rates = "true positive rates at which to report the false positive rate (default: the --tpr of the runs)"
    parser.add_argument("--tpr", nargs="+", metavar="X", help=rates)
    return parser


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 for success, 2 for bad input."""
    if "--version" in argv:
        print_version()
        return 0
    try:
        asked = _parser().parse_args(argv)
        tprs = convert("tpr", asked.tpr, "the command line") if asked.tpr else None
        files = write_report(asked.folder, out=asked.out, tprs=tprs, command=typed("report", argv))
    except (UserError, ValueError, OSError) as error:
        print("error:", one_line(message_of(error)), file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0
