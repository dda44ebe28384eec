"""The tables of the report, as they stand on the page and in the Markdown file."""

from __future__ import annotations

from collections.abc import Sequence

from .analysis import Metric, Report, Row, best, group_letter
from .comparison import Comparison, Tally, tally
from .svg import minus
from .tables import Cell, Column, Table, bounds, p_value, rate, signed

DASH = "\N{EN DASH}"


def row_warning(row: Row) -> str:
    """Why a row may not be compared with the others."""
    return f"not comparable: data {group_letter(row.group)}" if row.group else ""


def name_cell(row: Row) -> Cell:
    """The row's name, with the constraint's numbers under it."""
    return Cell(row.name, under=row.constraint.removeprefix("ALM "), warning=row_warning(row))


def _metric_columns(metric: Metric) -> tuple[Column, ...]:
    group = metric.title if metric.tpr is None else f"{metric.title} (in %)"
    return (
        Column("mean \N{PLUS-MINUS SIGN} SD", group, numeric=True),
        Column("ensemble", group, numeric=True),
    )


def results_table(report: Report) -> Table:
    """A line a row: mean and SD over the seeds, and the ensemble with its interval, for each metric."""
    columns = [Column("objective"), Column("seeds", numeric=True)]
    for metric in report.metrics:
        columns += _metric_columns(metric)
    top = {
        (metric.key, ens): {
            name
            for group in range(len(report.differences))
            for name in best(report, metric, of_ensemble=ens, group=group)
        }
        for metric in report.metrics
        for ens in (True, False)
    }
    rows = []
    for row in report.rows:
        cells = [
            name_cell(row),
            Cell(str(len(row.run.seeds)), float(len(row.run.seeds))),
        ]
        for metric in report.metrics:
            measure, tpr, name = row.measures[metric.key], metric.tpr, row.run.name
            spread = "" if measure.deviation is None else f"\N{PLUS-MINUS SIGN} {rate(measure.deviation, tpr=tpr)}"
            of_seeds, of_ensemble = name in top[metric.key, False], name in top[metric.key, True]
            under = bounds(measure.low, measure.high, tpr=tpr)
            cells.append(Cell(rate(measure.mean, tpr=tpr), measure.mean, spread, best=of_seeds))
            cells.append(Cell(rate(measure.ensemble, tpr=tpr), measure.ensemble, under, best=of_ensemble))
        rows.append(tuple(cells))
    return Table("results", "Test set: single seeds and their ensemble", tuple(columns), tuple(rows))


def comparison_table(metric: Metric, comparisons: Sequence[Comparison]) -> Table:
    """One metric: each objective without and with ALM, over test samples and over seeds."""
    test = "DeLong p" if metric.tpr is None else "bootstrap p"
    unit = "" if metric.tpr is None else " (in %)"
    samples, seeds = f"ensembles, over test samples{unit}", f"seeds{unit}"
    columns = (
        Column("objective"),
        Column("without", samples, numeric=True),
        Column("with ALM", samples, numeric=True),
        Column("difference", samples, numeric=True),
        Column(test, samples, numeric=True),
        Column("p, Holm", samples, numeric=True),
        Column("n", seeds, numeric=True),
        Column("difference", seeds, numeric=True),
        Column("Wilcoxon p", seeds, numeric=True),
        Column("p, Holm", seeds, numeric=True),
    )
    rows = []
    for each in comparisons:
        change, tpr = each.changes[metric.key], metric.tpr
        rows.append(
            (
                name_cell(each.alm),
                Cell(rate(change.without, tpr=tpr), change.without),
                Cell(rate(change.with_alm, tpr=tpr), change.with_alm),
                Cell(
                    signed(change.difference, tpr=tpr),
                    change.difference,
                    bounds(change.low, change.high, tpr=tpr, sign=True),
                ),
                _p_cell(change.p),
                _p_cell(change.p_corrected),
                Cell(str(len(each.seeds)), float(len(each.seeds))),
                Cell(signed(change.seed_difference, tpr=tpr), change.seed_difference),
                _p_cell(change.seed_p),
                _p_cell(change.seed_p_corrected),
            )
        )
    return Table(f"alm_{metric.key.replace('.', '_')}", f"{metric.title}: with ALM minus without", columns, tuple(rows))


def _p_cell(value: float | None) -> Cell:
    return Cell(p_value(value), 2.0 if value is None else value)


def tally_sentence(found: Tally) -> str:
    """How many rows ALM improves, in words."""
    better = f"better with ALM in {found.improved} of {found.rows} rows ({found.clearly_improved} clearly)"
    return f"{found.metric.title}: {better}, worse in {found.worsened} ({found.clearly_worsened} clearly)."


def tallies(report: Report, comparisons: Sequence[Comparison]) -> list[Tally]:
    """One for each metric."""
    return [tally(metric, comparisons) for metric in report.metrics] if comparisons else []


def points_table(report: Report) -> Table:
    """The confusion matrix of each operating point of each row's ensemble."""
    columns = [Column("objective"), Column("target TPR, %", numeric=True)]
    columns += [Column(name, numeric=True) for name in ("threshold", "TP", "FN", "FP", "TN", "TPR, %", "FPR, %")]
    rows = []
    for row in report.rows:
        for point in row.points:
            rates = point.rates
            cells = [
                name_cell(row),
                Cell(f"{point.target * 100:g}", point.target),
                Cell(minus(f"{point.threshold:.4g}"), point.threshold),
            ]
            cells += [Cell(str(count), float(count)) for count in (rates.tp, rates.fn, rates.fp, rates.tn)]
            cells += [Cell(f"{value * 100:.1f}", value) for value in (rates.tpr, rates.fpr)]
            rows.append(tuple(cells))
    caption = "Thresholds chosen on the validation set, and what they give on the test set"
    return Table("points", caption, tuple(columns), tuple(rows))


def point_changes_table(comparisons: Sequence[Comparison]) -> Table:
    """At each operating point: samples that only one of the two gets wrong, with McNemar's p."""
    alarms, misses = "false alarms of one only", "misses of one only"
    columns = [Column("objective"), Column("target TPR, %", numeric=True)]
    for group in (alarms, misses):
        columns += [Column(name, group, numeric=True) for name in ("without", "with ALM", "McNemar p", "p, Holm")]
    rows = []
    for each in comparisons:
        for point in each.points:
            cells = [
                name_cell(each.alm),
                Cell(f"{point.without.target * 100:g}", point.without.target),
            ]
            for counts, p, corrected in (
                (point.negatives, point.negatives_p, point.negatives_p_corrected),
                (point.positives, point.positives_p, point.positives_p_corrected),
            ):
                cells += [Cell(str(count), float(count)) for count in counts]
                cells += [_p_cell(p), _p_cell(corrected)]
            rows.append(tuple(cells))
    caption = "At the chosen thresholds: test samples that only one of the two gets wrong"
    return Table("point_changes", caption, tuple(columns), tuple(rows))


def seeds_table(report: Report) -> Table:
    """Every seed by itself."""
    columns = [
        Column("objective"),
        Column("seed", numeric=True),
        Column("best epoch", numeric=True),
    ]
    columns += [
        Column(metric.title if metric.tpr is None else f"{metric.title}, in %", numeric=True)
        for metric in report.metrics
    ]
    rows = []
    for row in report.rows:
        for number, seed in row.run.seeds.items():
            epoch = seed.best_epoch
            cells = [
                name_cell(row),
                Cell(str(number), float(number)),
                Cell(DASH if epoch is None else str(epoch), -1.0 if epoch is None else float(epoch)),
            ]
            for metric in report.metrics:
                value = row.measures[metric.key].per_seed[number]
                cells.append(Cell(rate(value, tpr=metric.tpr), value))
            rows.append(tuple(cells))
    return Table("seeds", "Test set: every seed", tuple(columns), tuple(rows))
