"""The numbers as CSV, at full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from operator import attrgetter

from .analysis import Report, Row
from .comparison import Comparison
from .decisions import rules_of

Value = float | int | str | None

NAMES = ("model_name", "objective", "constraint", "data_group")
RATES = ("tp", "fn", "fp", "tn", "tpr", "fpr")
MORE_RATES = (*RATES, "precision", "f1", "mcc", "balanced_accuracy")
CHANGE = ("without", "with_alm", "difference", "low", "high", "p", "p_corrected")
OVER_SEEDS = ("seed_difference", "seed_p", "seed_p_corrected")


def csv_files(report: Report, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Each file's content by its name."""
    return {
        "rows.csv": rows_csv(report),
        "seeds.csv": seeds_csv(report),
        "alm.csv": changes_csv(report, comparisons),
        "operating_points.csv": points_csv(report),
        "thresholds.csv": rules_csv(report),
    }


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """A header and rows as CSV; text that a spreadsheet would run as a formula is prefixed with a quote."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_safe(value) for value in row] for row in rows)
    return stream.getvalue()


def _safe(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _names(row: Row) -> tuple[Value, ...]:
    return (row.run.name, row.label, row.constraint, row.group)


def rows_csv(report: Report) -> str:
    """A line per row and metric."""
    header = (*NAMES, "metric", "seeds", "mean", "sd", "ensemble", "ensemble_low", "ensemble_high")
    numbers = attrgetter("mean", "deviation", "ensemble", "low", "high")
    lines = [
        (*_names(row), metric.key, len(row.run.seeds), *numbers(row.measures[metric.key]))
        for row in report.rows
        for metric in report.metrics
    ]
    return csv_text(header, lines)


def seeds_csv(report: Report) -> str:
    """A line per seed."""
    keys = [metric.key for metric in report.metrics]
    lines = [
        (*_names(row), number, seed.best_epoch, *(row.measures[key].per_seed[number] for key in keys))
        for row in report.rows
        for number, seed in row.run.seeds.items()
    ]
    return csv_text((*NAMES, "seed", "best_epoch", *keys), lines)


def changes_csv(report: Report, comparisons: Sequence[Comparison]) -> str:
    """A line per pair and metric."""
    header = (*NAMES, "compared_with", "metric", "test", "seeds", *CHANGE, *OVER_SEEDS)
    numbers = attrgetter(*CHANGE, *OVER_SEEDS)
    lines = []
    for each in comparisons:
        for metric in report.metrics:
            test = "DeLong" if metric.tpr is None else "paired bootstrap"
            start = (*_names(each.alm), each.base.run.name, metric.key, test, len(each.seeds))
            lines.append((*start, *numbers(each.changes[metric.key])))
    return csv_text(header, lines)


def points_csv(report: Report) -> str:
    """A line per row and operating point."""
    numbers = attrgetter(*RATES)
    lines = [
        (*_names(row), point.target, point.threshold, *numbers(point.rates))
        for row in report.rows
        for point in row.points
    ]
    return csv_text((*NAMES, "target_tpr", "threshold", *RATES), lines)


def rules_csv(report: Report) -> str:
    """A line per row and threshold rule."""
    numbers = attrgetter(*MORE_RATES)
    lines = [
        (*_names(row), rule.name, rule.target, rule.threshold, *numbers(rule.rates), rule.cost)
        for row in report.rows
        for rule in rules_of(row)
    ]
    return csv_text((*NAMES, "rule", "target", "threshold", *MORE_RATES, "expected_cost"), lines)
