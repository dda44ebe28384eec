"""The numbers as CSV, with all their digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from .analysis import Report, Row
from .comparison import Comparison
from .decisions import rules_of

Value = float | int | str | None


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """CSV; a text that a spreadsheet would take for a formula gets a quote before it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_safe(value) for value in row] for row in rows)
    return stream.getvalue()


def _safe(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _names(row: Row) -> list[Value]:
    return [row.run.name, row.label, row.constraint, row.group]


NAMES = ["model_name", "objective", "constraint", "data_group"]


def rows_csv(report: Report) -> str:
    """A line a row and metric."""
    header = [*NAMES, "metric", "seeds", "mean", "sd", "ensemble", "ensemble_low", "ensemble_high"]
    return csv_text(
        header,
        (
            [
                *_names(row),
                metric.key,
                len(row.run.seeds),
                *(getattr(row.measures[metric.key], name) for name in ("mean", "deviation", "ensemble", "low", "high")),
            ]
            for row in report.rows
            for metric in report.metrics
        ),
    )


def seeds_csv(report: Report) -> str:
    """A line a seed."""
    header = [*NAMES, "seed", "best_epoch", *(metric.key for metric in report.metrics)]
    return csv_text(
        header,
        (
            [
                *_names(row),
                number,
                seed.best_epoch,
                *(row.measures[metric.key].per_seed[number] for metric in report.metrics),
            ]
            for row in report.rows
            for number, seed in row.run.seeds.items()
        ),
    )


CHANGE = ("without", "with_alm", "difference", "low", "high", "p", "p_corrected")
OVER_SEEDS = ("seed_difference", "seed_p", "seed_p_corrected")


def changes_csv(report: Report, comparisons: Sequence[Comparison]) -> str:
    """A line a pair and metric."""
    header = [*NAMES, "compared_with", "metric", "test", "seeds", *CHANGE, *OVER_SEEDS]
    return csv_text(
        header,
        (
            [
                *_names(each.alm),
                each.base.run.name,
                metric.key,
                "DeLong" if metric.tpr is None else "paired bootstrap",
                len(each.seeds),
                *(getattr(each.changes[metric.key], name) for name in (*CHANGE, *OVER_SEEDS)),
            ]
            for each in comparisons
            for metric in report.metrics
        ),
    )


def points_csv(report: Report) -> str:
    """A line a row and operating point."""
    header = [*NAMES, "target_tpr", "threshold", "tp", "fn", "fp", "tn", "tpr", "fpr"]
    return csv_text(
        header,
        (
            [
                *_names(row),
                point.target,
                point.threshold,
                *(getattr(point.rates, name) for name in ("tp", "fn", "fp", "tn", "tpr", "fpr")),
            ]
            for row in report.rows
            for point in row.points
        ),
    )


def rules_csv(report: Report) -> str:
    """A line a row and rule for the threshold."""
    of_rates = ("tp", "fn", "fp", "tn", "tpr", "fpr", "precision", "f1", "mcc", "balanced_accuracy")
    header = [*NAMES, "rule", "target", "threshold", *of_rates, "expected_cost"]
    return csv_text(
        header,
        (
            [
                *_names(row),
                rule.name,
                rule.target,
                rule.threshold,
                *(getattr(rule.rates, name) for name in of_rates),
                rule.cost,
            ]
            for row in report.rows
            for rule in rules_of(row)
        ),
    )
