"""What can be read off the scores once training is over: other rules for the threshold, fixed FPRs, calibration.

All of a row's ensemble: chosen on its validation scores or from the class counts, judged on its test scores, as
results.json has it for each seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config.options import OPTIONS, convert
from ..metrics.calibration import calibration_error, fitted_temperature
from ..metrics.curves import Rates, auprc, rates_at, roc
from ..metrics.thresholds import thresholds_by_rule
from .analysis import Report, Row
from .contents import name_cell
from .svg import minus
from .tables import Cell, Column, Table

DEFAULT_THRESHOLD = 0.0  # of every objective


@dataclass(frozen=True)
class Rule:
    """A threshold, why it is that, and what it gives on the test set."""

    name: str
    target: float
    threshold: float
    rates: Rates
    cost: float  # expected, a sample


@dataclass(frozen=True)
class Ranking:
    """What needs no threshold of its own, and how good the scores are as log-odds."""

    auprc: float
    prior: float
    tpr_at_fpr: tuple[tuple[float, float], ...]
    temperature: float
    calibration_error: float
    error_scaled: float


def asked(options: Mapping[str, Any], name: str) -> Any:
    """An option of the run; its default where config.yaml holds none that can be used."""
    try:
        return convert(name, options[name], "config.yaml")
    except (KeyError, ValueError):
        return OPTIONS[name].default


def rules_of(row: Row) -> tuple[Rule, ...]:
    """The default threshold, and those by the priors, by the cost, and by each FPR."""
    counts = row.run.record.class_counts["train"]
    cost_ratio, fprs = asked(row.run.record.options, "cost_ratio"), asked(row.run.record.options, "fpr")
    validation = row.validation
    positives = int(validation.label.sum())
    found = thresholds_by_rule(
        roc(validation.label, validation.score),
        validation_counts=(len(validation.label) - positives, positives),
        trained_counts=(counts["negative"], counts["positive"]),
        cost_ratio=cost_ratio,
        fprs=fprs,
    )
    found = [("default", DEFAULT_THRESHOLD, DEFAULT_THRESHOLD), *found]
    rules = []
    for name, target, threshold in found:
        rates = rates_at(row.test.label, row.test.score, threshold)
        rules.append(Rule(name, target, threshold, rates, rates.expected_cost(cost_ratio)))
    return tuple(rules)


def ranking_of(row: Row) -> Ranking:
    """See ``Ranking``."""
    labels, scores = row.test.label, row.test.score
    fprs = asked(row.run.record.options, "fpr")
    temperature = fitted_temperature(row.validation.label, row.validation.score).value
    return Ranking(
        auprc(labels, scores),
        float(labels.mean()),
        tuple((fpr, row.curve.tpr_at(fpr)) for fpr in fprs),
        temperature,
        calibration_error(labels, scores),
        calibration_error(labels, scores, temperature=temperature),
    )


def rules_table(report: Report) -> Table:
    """A line a row and rule."""
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
    """A line a row; the columns of fixed FPRs are those of all rows together."""
    found = [(row, ranking_of(row)) for row in report.rows]
    fprs = sorted({fpr for _, ranking in found for fpr, _ in ranking.tpr_at_fpr})
    error = "calibration error of sigma(score)"
    columns = [Column("objective"), Column("average precision", numeric=True), Column("prior", numeric=True)]
    columns += [Column(f"{fpr * 100:g} %", "TPR at FPR (in %)", numeric=True) for fpr in fprs]
    columns += [Column(name, error, numeric=True) for name in ("as it is", "after scaling", "temperature")]
    rows = []
    for row, ranking in found:
        at = dict(ranking.tpr_at_fpr)
        cells = [name_cell(row), *(Cell(f"{value:.4f}", value) for value in (ranking.auprc, ranking.prior))]
        cells += [_percent(at[fpr]) if fpr in at else Cell("\N{EN DASH}", -1.0) for fpr in fprs]
        cells += [Cell(f"{value:.3f}", value) for value in (ranking.calibration_error, ranking.error_scaled)]
        cells.append(Cell(f"{ranking.temperature:.3g}", ranking.temperature))
        rows.append(tuple(cells))
    return Table("rankings", "Without a threshold of their own, and as probabilities", tuple(columns), tuple(rows))


def _percent(value: float) -> Cell:
    return Cell(f"{value * 100:.1f}", value)
