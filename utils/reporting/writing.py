"""The report's files: one page, one Markdown file, the numbers as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..system.files import make_folder, write_text
from . import contents, provenance
from .analysis import Report, analyse, default_tprs
from .changed_seeds import with_changes
from .comparison import Comparison, compare
from .csv_files import changes_csv, points_csv, rows_csv, rules_csv, seeds_csv
from .decisions import rankings_table, rules_table
from .fold_tables import crosses, resampling_table
from .page import HOW_TO_READ, page
from .runs import read_folder
from .tables import markdown, plain


def write_report(folder: Path, *, out: Path | None, tprs: Sequence[float] | None, command: str) -> list[Path]:
    """Read ``folder``, write the report into ``out`` (default: ``folder``/report); the files, the page first.

    Raises:
        UserError: nothing to report, or ``out`` cannot be written to; nothing was written.
    """
    found = with_changes(read_folder(folder))
    given = out is not None
    out = folder / "report" if out is None else out
    if not given and out.is_symlink():
        raise UserError(f"{out} is a link: the report would come to lie elsewhere; remove it or choose an --out")
    if (out / "config.yaml").exists() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} holds a run or is no folder; choose another --out")
    report = analyse(found, tprs=tprs or default_tprs(found))
    comparisons = compare(report)
    texts = {
        "report.html": page(report, comparisons, command=command),
        "report.md": markdown_report(report, comparisons, command=command),
        "rows.csv": rows_csv(report),
        "seeds.csv": seeds_csv(report),
        "alm.csv": changes_csv(report, comparisons),
        "operating_points.csv": points_csv(report),
        "thresholds.csv": rules_csv(report),
    }
    make_folder(out)
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts]


def markdown_report(report: Report, comparisons: Sequence[Comparison], *, command: str) -> str:
    """The tables of the page as Markdown."""
    parts = [f"# {plain(report.folder.plan.title)}\n"]
    parts.append("".join(f"- {name}: {plain(value)}\n" for name, value in provenance.summary_facts(report)))
    warnings = provenance.warnings(report)
    if warnings:
        parts.append("".join(f"> {plain(text)}\n>\n" for text in warnings).removesuffix(">\n"))
    if report.rows:
        parts += ["## Results\n", markdown(contents.results_table(report))]
    if comparisons:
        sentences = "".join(f"- {contents.tally_sentence(each)}\n" for each in contents.tallies(report, comparisons))
        parts += ["## With ALM and without\n", sentences]
        for metric in report.metrics:
            parts += [f"### {metric.title}\n", markdown(contents.comparison_table(metric, comparisons))]
    if report.folds:
        parts += ["## Cross-validation\n", markdown(resampling_table(crosses(report.folds)))]
    if report.rows:
        parts += ["## Operating points\n", markdown(contents.points_table(report))]
        parts += ["## Thresholds by other rules, and calibration\n", markdown(rules_table(report))]
        parts += [markdown(rankings_table(report))]
    if report.folder.problems:
        parts += ["## Failed or missing\n", markdown(provenance.problems_table(report))]
    parts.append("## Data, versions, commands\n")
    if report.rows:
        parts.append(markdown(provenance.data_table(report)))
    parts.append(markdown(provenance.versions_table(report)))
    commands = provenance.commands([row.run for row in (*report.rows, *report.folds)])
    parts.append("".join(f"    {' '.join(each.split())}\n" for each in [*commands, command]))
    parts += ["## How to read this\n", "\n\n".join(HOW_TO_READ) + "\n"]
    return "\n".join(parts)
