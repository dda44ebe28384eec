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
from .card import Card
from .charts import epoch_figure, families, forest, lowest_auc, roc_figure, roc_overview
from .class_rows import ClassRow
from .class_tables import accuracies_table, class_warning, recalls_table, runs_table
from .comparison import WITH_ALM, Comparison, Tally, tallies
from .confusion_charts import confusion_charts
from .fold_tables import class_resampling_table, crosses, resampling_figure, resampling_table
from .runs import CURVES
from .tables import CLEAR, exact_percent, number, plain
from .threshold_tables import promised_table

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=select_autoescape(disabled_extensions=["md.j2"], default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {"number": number, "plain": plain, "exact_percent": exact_percent}


def rendered(
    report: Report,
    comparisons: Sequence[Comparison],
    *,
    cards: Sequence[Card],
    of_classes: Sequence[ClassRow] = (),
    class_folds: Sequence[ClassRow] = (),
    command: str,
) -> dict[str, str]:
    """The page and the Markdown file, by name.

    ``of_classes`` and ``class_folds`` are the runs of K classes among the rows and among the folds.
    """
    shown = _content(report, comparisons, command) | {"cards": cards, "of_classes": _of_classes(of_classes)}
    shown["class_folds"] = class_resampling_table(class_folds) if class_folds else None
    if of_classes:
        shown["style"] += Markup((HERE / "classes.css").read_text(encoding="utf-8"))
    files = {"report.html": "page.html.j2", "report.md": "report.md.j2"}
    return {name: TEMPLATES.get_template(template).render(shown) for name, template in files.items()}


def rendered_card(cards: Sequence[Card], *, command: str) -> str:
    """The page of the card of one run, or of those of its critical classes."""
    first = cards[0].row
    title = first.name if len(cards) == 1 else first.run_name
    shown = {"contents": cards, "title": title, "command": command, **_assets()}
    return TEMPLATES.get_template("card.html.j2").render(shown)


def _of_classes(rows: Sequence[ClassRow]) -> dict[str, Any] | None:
    """The variables of ``class_parts.html.j2``; None without a run of K classes."""
    if not rows:
        return None
    runs = [
        {
            "row": row,
            "warning": class_warning(row),
            "charts": confusion_charts(row),
            "accuracies": accuracies_table(row, f"run{place}"),
            "recalls": recalls_table(row, f"run{place}"),
        }
        for place, row in enumerate(rows, 1)
    ]
    return {"table": runs_table(rows), "runs": runs}


def _assets() -> dict[str, Any]:
    """Style and script, and the hash by which the page's policy admits the script."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "digest": digest}


def _content(report: Report, comparisons: Sequence[Comparison], command: str) -> dict[str, Any]:
    """The variables of the templates."""
    found, counted = crosses(report.folds), tallies(report, comparisons)
    members = families(report.rows)
    sizes = [sum(row.group == group for row in report.rows) for group in range(len(report.differences))]
    overviews = [group for group, size in enumerate(sizes) if size > 1 and len(members) > 1]
    of_runs = {tuple(row.run.folder for row, _ in family.rows): family for family in reversed(members)}
    lows = {name: lowest_auc(report.rows, name) for name in CURVES}
    tables = (
        contents.results_table(report),
        contents.seeds_table(report),
        contents.points_table(report),
        promised_table(report),
        contents.point_changes_table(comparisons),
        contents.rankings_table(report),
        contents.rules_table(report),
        contents.results_table(report, trials=True),
        provenance.problems_table(report),
        provenance.problems_table(report, unfinished=True),
        provenance.data_table(report),
        provenance.versions_table(report),
    )
    return {
        **_assets(),
        "title": report.folder.plan.title,
        "facts": provenance.summary_facts(report),
        "findings": _findings(report, counted),
        "warnings": provenance.warnings(report),
        "rows": report.rows,
        "tprs": report.tprs,
        "tables": {table.key: table for table in tables},
        "tallies": [contents.tally_sentence(each) for each in counted],
        "contrast": (comparisons[0].words if comparisons else WITH_ALM).heading,
        "not_compared": _not_compared(report, comparisons),
        "clear": CLEAR,
        "alm": [(each.metric.title, contents.comparison_table(each.metric, comparisons)) for each in counted],
        "forests": [forest(each.metric, comparisons) for each in counted],
        "folds": {"figure": resampling_figure(found), "table": resampling_table(found)} if found else None,
        "roc_figures": [roc_overview(report, group) for group in overviews]
        + [roc_figure(report, family) for family in members],
        "epoch_figures": [figure for family in reversed(of_runs.values()) if (figure := epoch_figure(family, lows))],
        "row_warning": contents.row_warning,
        "threshold_text": contents.threshold_text,
        "commands": list(
            dict.fromkeys(text for row in (*report.rows, *report.folds) for text in row.run.record.commands)
        ),
        "command": command,
    }


def _not_compared(report: Report, comparisons: Sequence[Comparison]) -> list[str]:
    """The rows that a baseline has no part in: other data, or none of its seeds."""
    if not comparisons or comparisons[0].words is WITH_ALM:
        return []
    shown = {row.name for each in comparisons for row in (each.base, each.row)}
    return [row.name for row in report.rows if row.name not in shown]


def _findings(report: Report, counted: Sequence[Tally]) -> list[tuple[str, str]]:
    """The large numbers at the top: the best rows, and how many are better than their reference."""
    found, top = [], best(report)
    for metric in report.metrics[:2]:
        rows = [row for row in report.rows if row.group == 0 and (row.run.name, metric.key, "ensemble") in top]
        if rows:
            value = metric.shown(rows[0].measures[metric.key].ensemble)
            which = "highest AUC" if metric.tpr is None else f"lowest {metric.title}"
            others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            others += ", data A" if any(report.differences) else ""
            found.append((value, f"{which} of an ensemble: {rows[0].name}{others}"))
    for tally in counted[:2]:
        what = "a higher AUC" if tally.metric.tpr is None else f"a lower {tally.metric.title}"
        clear = f"{tally.clearly_improved} of them clearly; {tally.clearly_worsened} are clearly worse"
        text = f"rows have {what} {tally.words.than}, {clear} (corrected p < {CLEAR})"
        found.append((f"{tally.improved} of {tally.rows}", text))
    return found
