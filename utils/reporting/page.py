"""The report as an HTML page and as Markdown: the variables and rendering of ``page.html.j2`` and ``report.md.j2``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from . import contents, provenance
from .analysis import Report, best
from .charts import Figure, epoch_figure, families, forest, lowest_auc, roc_figure, roc_overview
from .comparison import CLEAR, Comparison
from .decisions import rankings_table, rules_table
from .fold_tables import crosses, resampling_figure, resampling_table
from .runs import CURVES
from .svg import minus
from .tables import Table, markdown, plain

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=select_autoescape(disabled_extensions=["md.j2"], default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {"markdown": markdown, "minus": minus, "plain": plain}
HOW_TO_READ = (
    "Mean and SD are over the seeds; each seed trains on its own draw of the training data. The ensemble averages the "
    "scores of the seeds. Its interval holds the middle 95 % of 1000 bootstrap resamples of the test samples, drawn "
    "within each class.",
    "The FPR at a TPR is that of the first point of the test ROC curve that reaches the TPR. An operating point is "
    "stricter: its threshold is chosen on the validation set, so its TPR on the test set may fall short of the target.",
    "Other threshold rules: log(P/N) of the training set (for a model trained with plain cross-entropy on batches with "
    "the natural class frequencies), the lowest cost on the validation set, and an FPR that holds on the validation "
    "set. Costs and calibration errors apply to the class proportions of these sets, and a calibration error says "
    "little about a score that is not a log-odds.",
    "Differences with ALM minus without use the same test samples and the same seeds. The interval of a difference "
    "holds the middle 95 % of 2000 paired bootstrap resamples. DeLong's test compares AUCs. FPRs at a TPR, whose "
    "threshold varies with the sample, are tested by the paired bootstrap (p is never below 0.001). At fixed "
    "thresholds, McNemar's exact test counts the samples that only one of the two models gets wrong. These tests are "
    "about the test samples. Wilcoxon's signed-rank test over the seeds is about training: with S seeds p is never "
    "below 2 / 2^S, so 5 seeds cannot give p < 0.05.",
    "Each family of p values is corrected for the number of rows by Holm's method. Rows share their test samples, so a "
    "count of improved rows is not a test. The best value of a column is the highest or lowest number; it need not "
    "differ clearly from the next.",
)


def rendered(report: Report, comparisons: Sequence[Comparison], *, command: str) -> dict[str, str]:
    """The page and the Markdown file, by name."""
    shown = _content(report, comparisons, command)
    files = {"report.html": "page.html.j2", "report.md": "report.md.j2"}
    return {name: TEMPLATES.get_template(template).render(shown) for name, template in files.items()}


def _content(report: Report, comparisons: Sequence[Comparison], command: str) -> dict[str, Any]:
    """The variables of the templates."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    found = crosses(report.folds)
    return {
        "style": Markup(style),
        "script": Markup(script),
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "title": report.folder.plan.title,
        "facts": provenance.summary_facts(report),
        "findings": _findings(report, comparisons),
        "warnings": provenance.warnings(report),
        "rows": report.rows,
        "tprs": report.tprs,
        "tables": _tables(report, comparisons),
        "tallies": [contents.tally_sentence(each) for each in contents.tallies(report, comparisons)],
        "clear": CLEAR,
        "alm": [(metric.title, contents.comparison_table(metric, comparisons)) for metric in report.metrics]
        if comparisons
        else [],
        "forests": [forest(metric, comparisons) for metric in report.metrics] if comparisons else [],
        "folds": {"figure": resampling_figure(found), "table": resampling_table(found)} if found else None,
        "roc_figures": _roc_figures(report, comparisons),
        "epoch_figures": _epoch_figures(report, comparisons),
        "row_warning": contents.row_warning,
        "commands": provenance.commands([row.run for row in (*report.rows, *report.folds)]),
        "command": command,
        "how_to_read": HOW_TO_READ,
    }


def _tables(report: Report, comparisons: Sequence[Comparison]) -> dict[str, Table]:
    tables = (
        contents.results_table(report),
        contents.seeds_table(report),
        contents.points_table(report),
        contents.point_changes_table(comparisons),
        rankings_table(report),
        rules_table(report),
        provenance.problems_table(report),
        provenance.data_table(report),
        provenance.versions_table(report),
    )
    return {table.key: table for table in tables}


def _findings(report: Report, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """The large numbers at the top: the best rows, and in how many rows ALM helps."""
    found = []
    for metric in report.metrics[:2]:
        names = best(report, metric, of_ensemble=True, group=0)
        rows = [row for row in report.rows if row.run.name in names]
        if rows:
            measure = rows[0].measures[metric.key]
            value = f"{measure.ensemble:.4f}" if metric.tpr is None else f"{measure.ensemble * 100:.1f} %"
            which = "highest AUC" if metric.tpr is None else f"lowest {metric.title}"
            others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            others += ", data A" if len(report.differences) > 1 else ""
            found.append((value, f"{which} of an ensemble: {rows[0].name}{others}"))
    for tally in contents.tallies(report, comparisons)[:2]:
        what = "a higher AUC" if tally.metric.tpr is None else f"a lower {tally.metric.title}"
        clear = f"{tally.clearly_improved} of them clearly; {tally.clearly_worsened} are clearly worse"
        found.append((f"{tally.improved} of {tally.rows}", f"rows have {what} with ALM, {clear} (corrected p < 0.05)"))
    return found


def _roc_figures(report: Report, comparisons: Sequence[Comparison]) -> list[Figure]:
    groups = [group for group in range(len(report.differences)) if sum(row.group == group for row in report.rows) > 1]
    members = families(report.rows, comparisons)
    figures = [roc_overview(report, group) for group in groups] if len(members) > 1 else []
    return figures + [roc_figure(report, family) for family in members]


def _epoch_figures(report: Report, comparisons: Sequence[Comparison]) -> list[Figure]:
    lows = {name: lowest_auc(report.rows, name) for name in CURVES}
    figures = [epoch_figure(family, lows) for family in families(report.rows, comparisons)]
    return [figure for figure in figures if figure is not None]
