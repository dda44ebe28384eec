"""The numbers as CSV, at full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from operator import attrgetter

from .analysis import Report
from .comparison import WITH_ALM, Comparison
from .contents import rules_of

TEST = "t over seeds and images"
Value = float | int | str | None

NAMES = ("model_name", "objective", "constraint", "data_group")
MEASURE = ("mean", "deviation", "ensemble", "low", "high")
RATES = ("tp", "fn", "fp", "tn", "tpr", "fpr")
MORE_RATES = (*RATES, "precision", "f1", "mcc", "balanced_accuracy")
POINT = ("target", "threshold", *(f"rates.{name}" for name in RATES))
RULE = ("name", "target", "threshold", *(f"rates.{name}" for name in MORE_RATES), "cost")
DIFFERENCE = ("difference", "low", "high", "p", "p_corrected")
ENSEMBLES = ("ensemble_difference", "ensemble_low", "ensemble_high")
CHANGE = (*DIFFERENCE, "before", "after", *ENSEMBLES)
SIDES = {"alm.csv": ("without", "with_alm"), "baseline.csv": ("baseline", "row")}


def csv_files(report: Report, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Each file's content by its name: a line per row or pair and metric, seed, operating point or rule."""
    keys = [metric.key for metric in report.metrics]
    compared = "alm.csv" if not comparisons or comparisons[0].words is WITH_ALM else "baseline.csv"
    names = attrgetter("run.name", "label", "constraint", "group")
    measure, change, at, rule = (attrgetter(*given) for given in (MEASURE, CHANGE, POINT, RULE))
    rows = [(row, names(row)) for row in report.rows]
    seeds = [(*each, *numbered) for each in rows for numbered in each[0].run.seeds.items()]
    changes = [((*names(each.row), each.base.run.name, key), each, key) for each in comparisons for key in keys]
    header = ("metric", "seeds", "mean", "sd", "ensemble", "ensemble_low", "ensemble_high")
    measured = {"rows.csv": report.rows} | ({"trials.csv": report.trials} if report.trials else {})
    of_rows = {
        name: csv_text(
            header, [(*names(row), key, len(row.run.seeds), *measure(row.measures[key])) for row in of for key in keys]
        )
        for name, of in measured.items()
    }
    return of_rows | {
        "seeds.csv": csv_text(
            ("seed", "best_epoch", *keys, "epochs"),
            [
                (*own, number, seed.best_epoch, *(row.measures[key].per_seed[number] for key in keys), seed.epochs)
                for row, own, number, seed in seeds
            ],
        ),
        compared: csv_text(
            ("compared_with", "metric", "test", "seeds", *DIFFERENCE, *SIDES[compared], *ENSEMBLES),
            [(*own, TEST, len(each.seeds), *change(each.changes[key])) for own, each, key in changes],
        ),
        "operating_points.csv": csv_text(
            ("target_tpr", "threshold", *RATES), [(*own, *at(point)) for row, own in rows for point in row.points]
        ),
        "thresholds.csv": csv_text(
            ("rule", "target", "threshold", *MORE_RATES, "expected_cost"),
            [(*own, *rule(point)) for row, own in rows for point in rules_of(row)],
        ),
    }


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """Rows as CSV, with the names of their rows; text that a spreadsheet would run as a formula gets a quote."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*NAMES, *header))
    writer.writerows([_safe(value) for value in row] for row in rows)
    return stream.getvalue()


def _safe(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
