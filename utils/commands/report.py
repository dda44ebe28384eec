"""Compare the runs of a folder: tables, tests and ROC curves in one HTML page. Reads the runs' files only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..config.command_line import Parser, path, print_version
from ..config.kinds import Kind, read
from ..config.options import convert
from ..errors import UserError, message_of, one_line
from ..reporting.writing import write_card, write_report
from ..system.installation import called, typed

PREVALENCES = Kind("floats", "shares of positives in (0, 1), each once", low=0, high=0.999999, open_low=True)
COUNTS = Kind("int", "a number of images, 0 to 200", low=0, high=200)
PICTURES = 12
OF_A_REPORT = ("out", "baseline", "latex")  # flags without a meaning for a card


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("report"),
        description="Compare the runs of a folder: tables, tests and ROC curves in one page. Or, with --card,\n"
        "say what one run is evidence for. Needs no GPU and no data.",
        epilog=f"examples:\n  {typed('report')} checkpoint/runs\n"
        f"  {typed('report')} checkpoint/runs/digits_demo --card --prevalence 0.01 0.001",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=path, help="checkpoint/<subfolder_name>, the folder that holds the runs")
    parser.add_argument("--out", type=path, help="where to write the report (default: <folder>/report)")
    rates = "true positive rates at which to report the false positive rate (default: the --tpr of the runs)"
    parser.add_argument("--tpr", nargs="+", metavar="X", help=rates)
    row = "compare every row with this one, not only each objective with ALM with the same without"
    parser.add_argument("--baseline", metavar="ROW", help=row)
    table = "also write the table of results for a paper, in LaTeX with booktabs"
    parser.add_argument("--latex", type=path, metavar="FILE", help=table)
    shares = "shares of positives at which a card says what an alarm is worth (default: of the test and training set)"
    parser.add_argument("--prevalence", nargs="+", metavar="X", help=shares)
    card = "print the evidence card of a single run, checkpoint/<subfolder_name>/<model_name>, and write no report"
    parser.add_argument("--card", action="store_true", help=card)
    images = "missed positives and worst false alarms to show of each row, from the data set if it is there; 0: none"
    parser.add_argument("--gallery", metavar="N", help=f"{images} (default: {PICTURES})")
    parser.add_argument("--html", type=path, metavar="FILE", help="with --card: also write the card as a page")
    return parser


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 for success, 2 for bad input."""
    if "--version" in argv:
        print_version()
        return 0
    try:
        asked = _parser().parse_args(argv)
        tprs = convert("tpr", asked.tpr, "the command line") if asked.tpr else None
        prevalences = _prevalences(asked.prevalence) if asked.prevalence else ()
        command = typed("report", argv)
        _check(asked)
        pictures = PICTURES if asked.gallery is None else _pictures(asked.gallery)
        if asked.card:
            text = write_card(
                asked.folder,
                html=asked.html,
                tprs=tprs,
                prevalences=prevalences,
                pictures=pictures,
                command=command,
            )
            print(text)
            return 0
        files = write_report(
            asked.folder,
            out=asked.out,
            tprs=tprs,
            prevalences=prevalences,
            baseline=asked.baseline,
            latex=asked.latex,
            pictures=pictures,
            command=command,
        )
    except BrokenPipeError:  # the reader of what is printed has gone
        raise
    except (UserError, ValueError, OSError) as error:
        print("error:", one_line(message_of(error)), file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0


def _prevalences(given: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(read(PREVALENCES, given))
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"--prevalence must be {PREVALENCES.expected}, got {' '.join(given)}") from None


def _pictures(given: str) -> int:
    try:
        return int(read(COUNTS, given))
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"--gallery must be {COUNTS.expected}, got {given}") from None


def _check(asked: argparse.Namespace) -> None:
    """Refuse a flag that nothing would read."""
    unread = [f"--{name}" for name in OF_A_REPORT if asked.card and getattr(asked, name) is not None]
    if unread:
        raise UserError(f"{unread[0]} is for a report; --card prints a card, and --html FILE writes it as a page")
    if asked.card and asked.html is None and asked.gallery is not None:
        raise UserError("--gallery shows images, which the text of a card has none of; give --html FILE too")
    if asked.html is not None and not asked.card:
        raise UserError("--html is for --card; a report is written to --out")
