"""Write the report: an HTML page, a Markdown file, and the numbers as CSV; or the evidence card of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..system.files import make_folder, write_text
from .analysis import analyse, default_tprs, given_names, rows_of
from .card import card_of
from .class_csv_files import class_csv_files
from .class_rows import class_rows
from .comparison import compare, rows_named
from .csv_files import csv_files
from .gallery import Originals
from .latex import results_latex
from .page import rendered, rendered_card
from .plain_text import card_text
from .runs import read_folder, read_single


def write_report(
    folder: Path,
    *,
    out: Path | None,
    tprs: Sequence[float] | None,
    prevalences: Sequence[float] = (),
    baseline: str | None = None,
    latex: Path | None = None,
    pictures: int = 0,
    command: str,
) -> list[Path]:
    """Report the runs of ``folder`` in ``out`` (default: ``folder``/report).

    Args:
        prevalences: see ``card.card_of``.
        baseline: the name of the row that the others are compared with; by default each objective with ALM is compared
            with the same without.
        latex: where to write the table of results for a paper.
        pictures: missed positives and false alarms of each row that are shown, if the data are there.

    Returns:
        The files written, the page first.

    Raises:
        UserError: there is nothing to report, or ``out`` is unsuitable; nothing was written.
    """
    found = read_folder(folder)
    given = out is not None
    out = folder / "report" if out is None else out
    if not given and out.is_symlink():
        raise UserError(f"{out} is a link, so the report would be written elsewhere; remove it or choose another --out")
    if (out / "config.yaml").exists() or (out.exists() and not out.is_dir()):
        raise UserError(f"expected a folder for the report, {out} holds a run or is not a folder; choose another --out")
    _check_file("latex", latex)
    report = analyse(found, tprs=tprs or default_tprs(found))
    if latex is not None and not report.rows:
        raise UserError(f"--latex writes the table of results, and {folder} holds the folds of a cross-validation only")
    comparisons = compare(report, [] if baseline is None else rows_named(report.rows, baseline))
    of_classes = class_rows(report)
    originals = Originals()
    cards = [
        card_of(row, prevalences, place=place, originals=originals, most=pictures)
        for place, row in enumerate(report.rows, 1)
    ]
    texts = rendered(
        report,
        comparisons,
        cards=cards,
        of_classes=of_classes,
        class_folds=class_rows(report, folds=True),
        command=command,
    )
    texts |= csv_files(report, comparisons) | class_csv_files(of_classes)
    make_folder(out)
    for name, text in texts.items():
        write_text(out / name, text)
    if latex is not None:
        write_text(latex, results_latex(report, of_classes, command=command))
    return [*(out / name for name in texts), *([latex] if latex is not None else [])]


def _check_file(flag: str, path: Path | None) -> None:
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UserError(f"--{flag} must be a file in a folder that exists, got {path}")


def write_card(
    folder: Path,
    *,
    html: Path | None,
    tprs: Sequence[float] | None,
    prevalences: Sequence[float],
    pictures: int,
    command: str,
) -> str:
    """The evidence card of the run in ``folder`` as text, of K classes one for each critical class.

    Also written to ``html`` as a page, if that is given.

    Args:
        folder: of the run.
        html: the page has up to ``pictures`` missed positives and false alarms too.
        tprs: at which the FPR is read; None for those of the run.
        prevalences: see ``card.card_of``.
        pictures: of each kind.
        command: of the card.

    Raises:
        UserError: there is no run with a finished seed, or ``html`` is not a file to write to.
    """
    found = read_single(folder)
    _check_file("html", html)
    rows = rows_of(found.runs, tprs or default_tprs(found), 1, names=given_names(found))  # nothing is compared
    originals = None if html is None else Originals()
    made = [
        card_of(row, prevalences, place=place, originals=originals, most=pictures) for place, row in enumerate(rows, 1)
    ]
    if html is not None:
        write_text(html, rendered_card(made, command=command))
    return card_text(made, command=command)
