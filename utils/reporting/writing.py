"""Write the report: an HTML page, a Markdown file, and the numbers as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..system.files import make_folder, write_text
from .analysis import analyse, default_tprs
from .comparison import compare
from .csv_files import csv_files
from .page import rendered
from .runs import read_folder


def write_report(folder: Path, *, out: Path | None, tprs: Sequence[float] | None, command: str) -> list[Path]:
    """Report the runs of ``folder`` in ``out`` (default: ``folder``/report).

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
    report = analyse(found, tprs=tprs or default_tprs(found))
    comparisons = compare(report)
    texts = rendered(report, comparisons, command=command) | csv_files(report, comparisons)
    make_folder(out)
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts]
