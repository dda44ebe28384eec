"""The tables of the report, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .analysis import Metric, Report, Row, best, group_letter
from .comparison import Comparison, Tally, tally
from .svg import minus
from .tables import DASH, Cell, Column, Table, bounds, count, numeric, p_cell, percent, rate, signed


def row_warning(row: Row) -> str:
    """Why a row may not be compared with the others."""
    return f"not comparable: data {group_letter(row.group)}" if row.group else ""


def name_cell(row: Row) -> Cell:
    """The row's name, with the constraint's numbers below it."""
    return Cell(row.name, under=row.constraint.removeprefix("ALM "), warning=row_warning(row))


def results_table(report: Report) -> Table:
    """A line per row: mean and SD over the seeds, and the ensemble with its interval, for each metric."""
    columns = [Column("objective"), *numeric("seeds")]
    for metric in report.metrics:
        group = metric.title if metric.tpr is None else f"{metric.title} (in %)"
        columns += numeric("mean \N{PLUS-MINUS SIGN} SD", "ensemble", group=group)
    groups = range(len(report.differences))
    top = {
        (metric.key, ens): {name for group in groups for name in best(report, metric, of_ensemble=ens, group=group)}
        for metric in report.metrics
        for ens in (True, False)
    }
    rows = []
    for row in report.rows:
        cells = [name_cell(row), count(len(row.run.seeds))]
        for metric in report.metrics:
            measure, tpr, name = row.measures[metric.key], metric.tpr, row.run.name
            spread = "" if measure.deviation is None else f"\N{PLUS-MINUS SIGN} {rate(measure.deviation, tpr=tpr)}"
            of_seeds, of_ensemble = name in top[metric.key, False], name in top[metric.key, True]
            interval = bounds(measure.low, measure.high, tpr=tpr)
            cells.append(Cell(rate(measure.mean, tpr=tpr), measure.mean, spread, best=of_seeds))
            cells.append(Cell(rate(measure.ensemble, tpr=tpr), measure.ensemble, interval, best=of_ensemble))
        rows.append(tuple(cells))
    return Table("results", "Test set: mean over the seeds, and their ensemble", tuple(columns), tuple(rows))


def comparison_table(metric: Metric, comparisons: Sequence[Comparison]) -> Table:
    """One metric: each objective without and with ALM, over test samples and over seeds."""
    tpr = metric.tpr
    test, unit = ("DeLong p", "") if tpr is None else ("bootstrap p", " (in %)")
    columns = [Column("objective")]
    columns += numeric(
        "without", "with ALM", "difference", test, "p, Holm", group=f"ensembles, over test samples{unit}"
    )
    columns += numeric("n", "difference", "Wilcoxon p", "p, Holm", group=f"seeds{unit}")
    rows = []
    for each in comparisons:
        change = each.changes[metric.key]
        interval = bounds(change.low, change.high, tpr=tpr, sign=True)
        cells = [
            name_cell(each.alm),
            *(Cell(rate(value, tpr=tpr), value) for value in (change.without, change.with_alm)),
            Cell(signed(change.difference, tpr=tpr), change.difference, interval),
            *(p_cell(p) for p in (change.p, change.p_corrected)),
            count(len(each.seeds)),
            Cell(signed(change.seed_difference, tpr=tpr), change.seed_difference),
            *(p_cell(p) for p in (change.seed_p, change.seed_p_corrected)),
        ]
        rows.append(tuple(cells))
    key = f"alm_{metric.key.replace('.', '_')}"
    return Table(key, f"{metric.title}: with ALM minus without", tuple(columns), tuple(rows))


def tally_sentence(found: Tally) -> str:
    """How many rows ALM improves, in words."""
    better = f"better with ALM in {found.improved} of {found.rows} rows ({found.clearly_improved} clearly)"
    return f"{found.metric.title}: {better}, worse in {found.worsened} ({found.clearly_worsened} clearly)."


def tallies(report: Report, comparisons: Sequence[Comparison]) -> list[Tally]:
    """One for each metric."""
    return [tally(metric, comparisons) for metric in report.metrics] if comparisons else []


def points_table(report: Report) -> Table:
    """The confusion matrix of each operating point of each row's ensemble."""
    names = ("target TPR, %", "threshold", "TP", "FN", "FP", "TN", "TPR, %", "FPR, %")
    rows = []
    for row in report.rows:
        for point in row.points:
            rates = point.rates
            cells = [
                name_cell(row),
                Cell(f"{point.target * 100:g}", point.target),
                Cell(minus(f"{point.threshold:.4g}"), point.threshold),
                *(count(number) for number in (rates.tp, rates.fn, rates.fp, rates.tn)),
                *(percent(value) for value in (rates.tpr, rates.fpr)),
            ]
            rows.append(tuple(cells))
    caption = "Thresholds chosen on the validation set, evaluated on the test set"
    return Table("points", caption, (Column("objective"), *numeric(*names)), tuple(rows))


def point_changes_table(comparisons: Sequence[Comparison]) -> Table:
    """At each operating point: samples that only one of the two models gets wrong, with McNemar's p."""
    columns = [Column("objective"), *numeric("target TPR, %")]
    for group in ("false positives of one only", "false negatives of one only"):
        columns += numeric("without", "with ALM", "McNemar p", "p, Holm", group=group)
    rows = []
    for each in comparisons:
        for point in each.points:
            cells = [
                name_cell(each.alm),
                Cell(f"{point.without.target * 100:g}", point.without.target),
                *(count(number) for number in point.negatives),
                *(p_cell(p) for p in (point.negatives_p, point.negatives_p_corrected)),
                *(count(number) for number in point.positives),
                *(p_cell(p) for p in (point.positives_p, point.positives_p_corrected)),
            ]
            rows.append(tuple(cells))
    caption = "At the chosen thresholds: test samples that only one of the two models gets wrong"
    return Table("point_changes", caption, tuple(columns), tuple(rows))


def seeds_table(report: Report) -> Table:
    """Each seed separately."""
    titles = [metric.title if metric.tpr is None else f"{metric.title}, in %" for metric in report.metrics]
    rows = []
    for row in report.rows:
        for number, seed in row.run.seeds.items():
            epoch = Cell(DASH, -1.0) if seed.best_epoch is None else count(seed.best_epoch)
            values = [(metric.tpr, row.measures[metric.key].per_seed[number]) for metric in report.metrics]
            cells = [
                name_cell(row),
                count(number),
                epoch,
                *(Cell(rate(value, tpr=tpr), value) for tpr, value in values),
            ]
            rows.append(tuple(cells))
    columns = (Column("objective"), *numeric("seed", "best epoch", *titles))
    return Table("seeds", "Test set: each seed", columns, tuple(rows))
