"""The tables of the report, for the page and for Markdown.

Thresholds are chosen on the validation scores of a row's ensemble, or from the class counts, and evaluated on its test
scores, by the same functions as the numbers of results.json.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.roc import auprc
from ..metrics.summary import EvaluationOptions, OperatingPoint, RulePoint, fitted_calibration, rule_point, rule_points
from ..metrics.thresholds import shown_threshold
from .analysis import Metric, Report, Row, best
from .comparison import WITH_ALM, Change, Comparison, Tally
from .data_groups import group_letter
from .labels import asked
from .tables import (
    DASH,
    SAME,
    Cell,
    Column,
    Table,
    count,
    decimal,
    exact,
    exact_percent,
    numeric,
    p_cell,
    percent,
    significant,
)

NAME = Column("row")


def row_warning(row: Row) -> str:
    """Why a row may not be compared with the others."""
    return f"not comparable: data {group_letter(row.group)}" if row.difference else ""


def name_cell(row: Row) -> Cell:
    """The row's name as the user gave it, with its settings below."""
    return Cell(row.name, under=row.settings, warning=row_warning(row))


def threshold_text(row: Row, point: OperatingPoint) -> str:
    """The threshold with the digits that give the counts of the row's ensemble when it is typed in again."""
    return shown_threshold(point.threshold, row.validation.score, row.test.score)


def results_table(report: Report, *, trials: bool = False) -> Table:
    """A line per row, or per trial: mean and SD over the seeds, and the ensemble with its interval, for each metric."""
    columns = [NAME, *numeric("seeds")]
    for metric in report.metrics:
        group = metric.title if metric.tpr is None else f"{metric.title} (in %)"
        columns += numeric("mean \N{PLUS-MINUS SIGN} SD", "ensemble", group=group)
    top = best(report)
    key, of, caption = "results", report.rows, "Test set: mean over the seeds, and their ensemble"
    if trials:
        key, of, caption = "trials", report.trials, "Runs of the grid or search, from which the options were chosen"
    rows = []
    for row in of:
        cells = [name_cell(row), count(len(row.run.seeds))]
        for metric in report.metrics:
            measure = row.measures[metric.key]
            spread = "" if measure.deviation is None else f"\N{PLUS-MINUS SIGN} {metric.text(measure.deviation)}"
            unders = {"mean": spread, "ensemble": metric.bounds(measure.low, measure.high)}
            for kind, under in unders.items():
                cells.append(metric.cell(getattr(measure, kind), under, best=(row.run.name, metric.key, kind) in top))
        rows.append(cells)
    return Table(key, caption, columns, rows)


def seeds_table(report: Report) -> Table:
    """Each seed separately."""
    titles = [metric.title if metric.tpr is None else f"{metric.title}, in %" for metric in report.metrics]
    rows = []
    for row in report.rows:
        for number, seed in row.run.seeds.items():
            cells = [name_cell(row), Cell(row.run.name), *map(count, (number, seed.epochs, seed.best_epoch))]
            cells += [metric.cell(row.measures[metric.key].per_seed[number]) for metric in report.metrics]
            rows.append(cells)
    columns = [NAME, Column("run"), *numeric("seed", "epochs", "best epoch", *titles)]
    return Table("seeds", "Test set: each seed", columns, rows)


# --- rows beside their reference ---------------------------------------------------------------------------


def comparison_table(metric: Metric, comparisons: Sequence[Comparison]) -> Table:
    """One metric: each row beside its reference, over seeds and images, and the two ensembles."""
    words = comparisons[0].words
    unit = "" if metric.tpr is None else " (in %)"
    columns = [NAME, *numeric("n", "difference", "p", "p, Holm", "seeds needed", group=f"mean over seeds{unit}")]
    columns += numeric(words.before, words.after, "difference", group=f"ensembles, these models on other images{unit}")
    rows = []
    for each in comparisons:
        change = each.changes[metric.key]
        interval = "" if change.low is None else metric.bounds(*change.ends, sign=True)
        cells = [name_cell(each.row), count(len(each.seeds)), metric.cell(change.difference, interval, sign=True)]
        cells += [p_cell(change.p), p_cell(change.p_corrected), _seeds_needed(each, change)]
        cells += [metric.cell(change.before), metric.cell(change.after)]
        bounds = metric.bounds(change.ensemble_low, change.ensemble_high, sign=True)
        rows.append([*cells, metric.cell(change.ensemble_difference, bounds, sign=True)])
    key = f"alm_{metric.key.replace('.', '_')}"
    return Table(key, f"{metric.title}: {words.difference}", columns, rows)


def _seeds_needed(each: Comparison, change: Change) -> Cell:
    """How many seeds would make the difference clear; a dash where it is, or where there is none."""
    if change.clear or abs(change.difference) < SAME:
        return Cell(DASH)
    if len(each.seeds) < 2:
        return Cell("at least 2", 2.0)
    return Cell("more images") if change.needed is None else count(change.needed)


def point_changes_table(comparisons: Sequence[Comparison]) -> Table:
    """At each operating point: samples that only one of the two models gets wrong, with McNemar's p."""
    columns = [NAME, *numeric("target TPR, %")]
    words = comparisons[0].words if comparisons else WITH_ALM
    for group in ("false positives of one only", "false negatives of one only"):
        columns += numeric(words.before, words.after, "McNemar p", "p, Holm", group=group)
    rows = [
        [
            name_cell(each.row),
            Cell(exact_percent(point.target), point.target),
            *map(count, point.negatives),
            *map(p_cell, (point.negatives_p, point.negatives_p_corrected)),
            *map(count, point.positives),
            *map(p_cell, (point.positives_p, point.positives_p_corrected)),
        ]
        for each in comparisons
        for point in each.points
    ]
    caption = "At the chosen thresholds: test samples that only one of the two models gets wrong"
    return Table("point_changes", caption, columns, rows)


def tally_sentence(found: Tally) -> str:
    """How many rows are better than their reference, in words."""
    better = f"better {found.words.than} in {found.improved} of {found.rows} rows ({found.clearly_improved} clearly)"
    return f"{found.metric.title}: {better}, worse in {found.worsened} ({found.clearly_worsened} clearly)."


# --- thresholds --------------------------------------------------------------------------------------------


def points_table(report: Report) -> Table:
    """The confusion matrix of each operating point of each row's ensemble."""
    names = ("target TPR, %", "threshold", "TP", "FN", "FP", "TN", "TPR, %", "FPR, %")
    rows = [
        [
            name_cell(row),
            Cell(exact_percent(point.target), point.target),
            Cell(threshold_text(row, point), point.threshold),
            *map(count, (point.rates.tp, point.rates.fn, point.rates.fp, point.rates.tn)),
            percent(point.rates.tpr, point.target),
            percent(point.rates.fpr),
        ]
        for row in report.rows
        for point in row.points
    ]
    caption = "Thresholds chosen on the validation set, evaluated on the test set"
    return Table("points", caption, [NAME, *numeric(*names)], rows)


def rules_of(row: Row) -> tuple[RulePoint, ...]:
    """The default threshold, and those by the priors, by the cost, and by each FPR, as main.py evaluated the run."""
    values, counts, default = row.run.record.options, row.run.record.class_counts["train"], row.run.default_threshold
    options = EvaluationOptions(
        tprs=(),
        alpha=asked(values, "alpha"),
        default_threshold=default,
        fprs=asked(values, "fpr"),
        cost_ratio=asked(values, "cost_ratio"),
        class_counts=(counts["negative"], counts["positive"]),
    )
    return (
        rule_point("default", default, default, row.test, options=options),
        *rule_points(row.validation_curve, row.validation, row.test, options=options),
    )


def rules_table(report: Report) -> Table:
    """One line for each row and rule."""
    names = ("TPR, %", "FPR, %", "precision, %", "F1", "MCC", "balanced accuracy, %", "cost a sample")
    rows = []
    for row in report.rows:
        for rule in rules_of(row):
            rates = rule.rates
            target = significant(rule.target) if rule.name == "prior" else exact(rule.target)  # a share, or as given
            cells = [name_cell(row), Cell(rule.name), Cell(target, rule.target)]
            cells += [Cell(threshold_text(row, rule), rule.threshold), percent(rates.tpr)]
            cells += [percent(rates.fpr, *([rule.target] if rule.name == "fpr" else [])), percent(rates.precision)]
            cells += [decimal(rates.f1, 3), decimal(rates.mcc, 3), percent(rates.balanced_accuracy)]
            rows.append([*cells, decimal(rule.cost, 4)])
    caption = "Thresholds chosen on validation or from the class counts, and what they give on the test set"
    return Table("rules", caption, [NAME, Column("rule"), *numeric("target", "threshold", *names)], rows)


def rankings_table(report: Report) -> Table:
    """One line for each row, with a column for every FPR that any row asks for."""
    fprs_of = {row.run.name: asked(row.run.record.options, "fpr") for row in report.rows}
    fprs = sorted({fpr for found in fprs_of.values() for fpr in found})
    columns = [NAME, *numeric("average precision", "prior")]
    columns += numeric(*(f"{exact_percent(fpr)} %" for fpr in fprs), group="TPR at FPR (in %)")
    columns += numeric("as it is", "after scaling", "temperature", group="calibration error of sigma(score)")
    rows = []
    for row in report.rows:
        labels, scores, own = row.test.label, row.test.score, fprs_of[row.run.name]
        found = fitted_calibration(row.validation, row.test)
        cells = [name_cell(row), decimal(auprc(labels, scores), 4), decimal(float(labels.mean()), 4)]
        cells += [percent(row.curve.tpr_at(fpr) if fpr in own else None) for fpr in fprs]
        cells += [decimal(found[name], 3) for name in ("error", "error_scaled")]
        bound = "bound of the search" if found["at_bound"] else ""
        rows.append([*cells, Cell(significant(found["temperature"]), found["temperature"], bound)])
    return Table("rankings", "Without a threshold of their own, and as probabilities", columns, rows)
