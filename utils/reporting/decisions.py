"""Other rules for the threshold, TPR at fixed FPRs, and calibration, of each row's ensemble.

Thresholds are chosen on its validation scores or from the class counts and evaluated on its test scores, by the same
functions as the numbers of results.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.options import OPTIONS, convert
from ..metrics.roc import auprc
from ..metrics.summary import EvaluationOptions, RulePoint, fitted_calibration, rule_point, rule_points
from .analysis import Report, Row
from .contents import name_cell
from .svg import minus
from .tables import Cell, Column, Table


def asked(options: Mapping[str, Any], name: str) -> Any:
    """An option of the run; the default if config.yaml has no valid value."""
    try:
        return convert(name, options[name], "config.yaml")
    except (KeyError, ValueError):
        return OPTIONS[name].default


def options_of(row: Row) -> EvaluationOptions:
    """How main.py evaluated the run: its options, class counts and default threshold."""
    values, counts = row.run.record.options, row.run.record.class_counts["train"]
    return EvaluationOptions(
        tprs=(),
        alpha=asked(values, "alpha"),
        default_threshold=row.run.default_threshold,
        fprs=asked(values, "fpr"),
        cost_ratio=asked(values, "cost_ratio"),
        class_counts=(counts["negative"], counts["positive"]),
    )


def rules_of(row: Row) -> tuple[RulePoint, ...]:
    """The default threshold, and those by the priors, by the cost, and by each FPR."""
    options = options_of(row)
    default = options.default_threshold
    return (
        rule_point("default", default, default, row.test, options=options),
        *rule_points(row.validation_curve, row.validation, row.test, options=options),
    )


def rules_table(report: Report) -> Table:
    """One line for each row and rule."""
    columns = [Column("objective"), Column("rule"), Column("target", numeric=True), Column("threshold", numeric=True)]
    names = ("TPR, %", "FPR, %", "precision, %", "F1", "MCC", "balanced accuracy, %", "cost a sample")
    columns += [Column(name, numeric=True) for name in names]
    rows = []
    for row in report.rows:
        for rule in rules_of(row):
            rates = rule.rates
            cells = [name_cell(row), Cell(rule.name), Cell(f"{rule.target:.3g}", rule.target)]
            cells.append(Cell(minus(f"{rule.threshold:.4g}"), rule.threshold))
            cells += [_percent(value) for value in (rates.tpr, rates.fpr, rates.precision)]
            cells += [Cell(minus(f"{value:.3f}"), value) for value in (rates.f1, rates.mcc)]
            cells += [_percent(rates.balanced_accuracy), Cell(f"{rule.cost:.4f}", rule.cost)]
            rows.append(tuple(cells))
    caption = "Thresholds chosen on validation or from the class counts, and what they give on the test set"
    return Table("rules", caption, tuple(columns), tuple(rows))


def rankings_table(report: Report) -> Table:
    """One line for each row, with a column for every FPR that any row asks for."""
    fprs_of = {row.run.name: asked(row.run.record.options, "fpr") for row in report.rows}
    fprs = sorted({fpr for found in fprs_of.values() for fpr in found})
    error = "calibration error of sigma(score)"
    columns = [Column("objective"), Column("average precision", numeric=True), Column("prior", numeric=True)]
    columns += [Column(f"{fpr * 100:g} %", "TPR at FPR (in %)", numeric=True) for fpr in fprs]
    columns += [Column(name, error, numeric=True) for name in ("as it is", "after scaling", "temperature")]
    rows = []
    for row in report.rows:
        labels, scores = row.test.label, row.test.score
        precision, prior = auprc(labels, scores), float(labels.mean())
        cells = [name_cell(row), *(Cell(f"{value:.4f}", value) for value in (precision, prior))]
        own = fprs_of[row.run.name]
        cells += [_percent(row.curve.tpr_at(fpr)) if fpr in own else Cell("\N{EN DASH}", -1.0) for fpr in fprs]
        found = fitted_calibration(row.validation, row.test)
        cells += [Cell(f"{found[name]:.3f}", found[name]) for name in ("error", "error_scaled")]
        cells.append(Cell(f"{found['temperature']:.3g}", found["temperature"]))
        rows.append(tuple(cells))
    return Table("rankings", "Without a threshold of their own, and as probabilities", tuple(columns), tuple(rows))


def _percent(value: float) -> Cell:
    return Cell(f"{value * 100:.1f}", value)
