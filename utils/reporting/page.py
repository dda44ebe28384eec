"""One HTML page that holds all it needs: style, script, charts. It asks no network and runs its own script only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..metrics.summary import OperatingPoint
from . import contents, provenance
from .analysis import Report, Row, best
from .charts import Entry, Figure, epoch_figure, families, forest, lowest_auc, roc_figure, roc_overview
from .comparison import CLEAR, Comparison
from .decisions import rankings_table, rules_table
from .fold_tables import crosses, resampling_figure, resampling_table
from .runs import CURVES
from .svg import minus
from .tables import Table, html

HERE = Path(__file__).parent
HOW_TO_READ = (
    "Mean and SD are over the seeds: each trains on its own draw of the training data. The ensemble averages the "
    "scores of the seeds. Its interval is the middle 95 % of 1000 bootstrap resamples of the test samples, each class "
    "by itself.",
    "FPR at a TPR is that of the first ROC point of the test set that reaches the TPR. An operating point is stricter: "
    "its threshold is chosen on the validation set, so that its TPR on the test set may fall short of the target.",
    "Other rules for a threshold: log(P/N) of the training set (for a model trained by plain cross-entropy on natural "
    "batches), the least cost on the validation set, an FPR that the validation set keeps to. Costs and calibration "
    "errors hold for the class mix of these sets, and a calibration error says little of a score that is no log-odds.",
    "With ALM minus without: both on the same test samples and the same seeds. The interval of a difference is the "
    "middle 95 % of 2000 paired bootstrap resamples. DeLong's test compares AUCs; FPRs at a TPR, whose threshold moves "
    "with the sample, are tested by the paired bootstrap (p not below 0.001); at fixed thresholds McNemar's exact test "
    "counts the samples that only one of the two gets wrong. These speak of the test samples. Wilcoxon's signed ranks "
    "over the seeds speak of training: with S seeds p is never below 2 / 2^S, so 5 seeds cannot give p < 0.05.",
    "Each family of p values is corrected for the number of rows by Holm's method. Rows share their test samples, so a "
    "count of improved rows is no test. The best of a column is the highest or lowest number and need not differ "
    "clearly from the next.",
)


def page(report: Report, comparisons: Sequence[Comparison], *, command: str) -> str:
    """The whole page."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    sections = [section for section in _sections(report, comparisons, command) if section[2]]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(title)}</h2>{text}</section>'
        for key, title, text in sections
    )
    title = escape(report.folder.plan.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head>\n'
        f"<body><header><h1>{title}</h1>{_head(report, comparisons)}<nav>{links}</nav></header>\n"
        f"<main>{body}</main>\n<script>{script}</script></body></html>\n"
    )


def _sections(report: Report, comparisons: Sequence[Comparison], command: str) -> list[tuple[str, str, str]]:
    """(key, title, content), empty content for what this report does not have."""
    return [
        ("table", "Results", _results(report)),
        ("alm", "With ALM and without", _alm(report, comparisons)),
        ("resampled", "Cross-validation", _resampling(report)),
        ("roc", "ROC", _roc(report, comparisons)),
        ("epochs", "AUC against epoch", _epochs(report, comparisons)),
        ("operating", "Operating points", _points(report, comparisons)),
        ("missing", "Failed or missing", _problems(report)),
        ("origin", "Data, versions, commands", _origin(report, command)),
        ("reading", "How to read this", "".join(f"<p>{escape(text)}</p>" for text in HOW_TO_READ)),
    ]


def _head(report: Report, comparisons: Sequence[Comparison]) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in provenance.summary_facts(report)
    )
    findings = "".join(
        f"<li><b>{escape(big)}</b><small>{escape(small)}</small></li>" for big, small in _findings(report, comparisons)
    )
    warnings = "".join(f"<li>{escape(text)}</li>" for text in provenance.warnings(report))
    warnings = f'<ul class="warnings" role="note">{warnings}</ul>' if warnings else ""
    return f'<dl class="facts">{facts}</dl><ul class="findings">{findings}</ul>{warnings}'


def _findings(report: Report, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """The big numbers: the best rows, and in how many rows ALM helps."""
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
        clear = f"clearly in {tally.clearly_improved}; clearly worse in {tally.clearly_worsened}"
        found.append((f"{tally.improved} of {tally.rows}", f"rows get {what} with ALM, {clear} (corrected p < 0.05)"))
    return found


def _results(report: Report) -> str:
    if not report.rows:
        return ""
    text = "<p>Choose a heading to sort. A star marks the best of a column, brackets hold a 95 % interval.</p>"
    table = html(contents.results_table(report))
    more = _more("Every seed", html(contents.seeds_table(report)))
    more += _more("TPR at fixed FPRs, average precision, calibration", html(rankings_table(report)))
    return text + table + more


def _alm(report: Report, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    sentences = "".join(
        f"<li>{escape(contents.tally_sentence(each))}</li>" for each in contents.tallies(report, comparisons)
    )
    charts = [forest(metric, comparisons) for metric in report.metrics]
    text = f"<p>Clearly: p &lt; {CLEAR:g} after correction for the number of rows, a filled dot in the charts.</p>"
    tables = [contents.comparison_table(metric, comparisons) for metric in report.metrics]
    first, *others = (html(table) for table in tables)
    more = "".join(_more(table.caption, other) for table, other in zip(tables[1:], others, strict=True))
    return f'<ul>{sentences}</ul>{text}<div class="panels">{"".join(charts)}</div>{first}{more}'


def _resampling(report: Report) -> str:
    found = crosses(report.folds)
    return _figure(resampling_figure(found)) + html(resampling_table(found)) if found else ""


def _roc(report: Report, comparisons: Sequence[Comparison]) -> str:
    groups = [group for group in range(len(report.differences)) if sum(row.group == group for row in report.rows) > 1]
    members = families(report.rows, comparisons)
    figures = [roc_overview(report, group) for group in groups] if len(members) > 1 else []
    figures += [roc_figure(report, family) for family in members]
    if not figures:
        return ""
    text = "Ensembles on the test set. The corner of high TPR has one scale for all; dots mark the target TPRs."
    return f"<p>{text}</p>" + "".join(map(_figure, figures))


def _epochs(report: Report, comparisons: Sequence[Comparison]) -> str:
    lows = {name: lowest_auc(report.rows, name) for name in CURVES}
    figures = [epoch_figure(family, lows) for family in families(report.rows, comparisons)]
    shown = "".join(_figure(figure) for figure in figures if figure is not None)
    text = "Line: mean over the seeds. Band: lowest to highest seed. Dots: the best epoch of each seed."
    return f"<p>{text}</p>{shown}" if shown else ""


def _points(report: Report, comparisons: Sequence[Comparison]) -> str:
    if not report.rows:
        return ""
    heads = "".join(f'<th scope="col">threshold for TPR {tpr * 100:g} %</th>' for tpr in report.tprs)
    rows = "".join(f'<tr><th scope="row">{_flagged(row)}</th>{_matrices(row)}</tr>' for row in report.rows)
    text = "<p>Each threshold is chosen on the validation set; the counts are of the test set, by the ensemble.</p>"
    matrices = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrices"><table class="matrices">'
        f'<thead><tr><th scope="col">row</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    more = _more("The same as a table", html(contents.points_table(report)))
    if comparisons:
        more += _more("With ALM and without, at these thresholds", html(contents.point_changes_table(comparisons)))
    more += _more("Thresholds by the priors, the cost, an FPR", html(rules_table(report)))
    return text + matrices + more


def _flagged(row: Row) -> str:
    """The name of a row, with the reason why it may not be compared."""
    warning = contents.row_warning(row)
    mark = f' <span class="warning">{escape(warning)}</span>' if warning else ""
    return escape(row.full_name) + mark


def _matrices(row: Row) -> str:
    return "".join(f"<td>{_matrix(point)}</td>" for point in row.points)


def _matrix(point: OperatingPoint) -> str:
    rates = point.rates
    positives, negatives = rates.tp + rates.fn, rates.fp + rates.tn
    first = _count(rates.tp, positives, "right") + _count(rates.fn, positives, "wrong")
    second = _count(rates.fp, negatives, "wrong") + _count(rates.tn, negatives, "right")
    return (
        f'<table class="matrix"><caption>score \u2265 {minus(f"{point.threshold:.4g}")}</caption>'
        '<tr><td></td><th scope="col">called +</th><th scope="col">called \u2212</th></tr>'
        f'<tr><th scope="row">positive</th>{first}</tr><tr><th scope="row">negative</th>{second}</tr></table>'
    )


def _count(count: int, total: int, css: str) -> str:
    share = count / total
    return f'<td class="{css}" style="--share:{share:.3f}">{count}<span class="under">{share * 100:.1f} %</span></td>'


def _problems(report: Report) -> str:
    if not report.folder.problems:
        return "<p>Nothing: every row has the seeds that the others have.</p>"
    return html(provenance.problems_table(report))


def _origin(report: Report, command: str) -> str:
    tables: list[Table] = [provenance.data_table(report)] if report.rows else []
    shown = "".join(html(table) for table in [*tables, provenance.versions_table(report)])
    commands = "\n".join(provenance.commands([row.run for row in (*report.rows, *report.folds)]))
    own = f"<p>This page: <code>{escape(command)}</code></p>"
    return f"{shown}<h3>Commands</h3><pre>{escape(commands)}</pre>{own}"


def _more(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _figure(figure: Figure) -> str:
    caption = f'<p class="soft">{escape(figure.caption)}</p>' if figure.caption else ""
    return (
        f'<div class="figure"><h3>{escape(figure.heading)}</h3>{caption}'
        f'<ul class="legend">{_entries(figure.legend)}</ul><div class="panels">{"".join(figure.panels)}</div></div>'
    )


def _entries(entries: Iterable[Entry]) -> str:
    items = []
    for entry in entries:
        stroke = f'<svg viewBox="0 0 30 10" aria-hidden="true"><path class="line {entry.css}" d="M1 5H29"/></svg>'
        sample = stroke + escape(entry.text)
        if entry.row:
            sample = f'<button type="button" aria-pressed="false" data-row="{escape(entry.row)}">{sample}</button>'
        items.append(f"<li>{sample}</li>")
    return "".join(items)
