"""The numbers of runs with K classes as CSV, at full precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .class_rows import ClassRow, Spread
from .csv_files import Value, csv_text

SPREAD = ("seeds", "mean", "sd", "ensemble", "ensemble_low", "ensemble_high")


def class_csv_files(rows: Sequence[ClassRow]) -> dict[str, str]:
    """Each file's content by its name: a line per run and measure, class and rule, or cell of a confusion matrix."""
    if not rows:
        return {}
    runs: list[Sequence[Value]] = []
    classes: list[Sequence[Value]] = []
    cells: list[Sequence[Value]] = []
    for row in rows:
        view = row.views[0]
        own = (row.run.folder, view.run_label, view.constraint, row.data)
        runs += [(*own, name, *_spread(found)) for name, found in row.measures.items()]
        runs += [(*own, f"last_{name}", *_spread(found)) for name, found in row.last_measures.items()]
        for outcome in row.outcomes:
            error = row.error_of_others(outcome)
            runs += [(*own, f"error_of_others: {outcome.key}", *_spread(error))] if error is not None else []
            matrix = row.matrix(outcome.ensemble)
            for label, name in enumerate(row.classes):
                sizes = (int(label in row.critical), row.train_counts[label], int(matrix[label].sum()))
                classes.append((*own, outcome.key, name, *sizes, *_spread(row.recall(outcome, label))))
            for label, decided in np.argwhere(matrix > 0).tolist():
                found = (row.classes[label], row.classes[decided], int(matrix[label, decided]))
                cells.append((*own, outcome.key, *found))
    return {
        "class_runs.csv": csv_text(("measure", *SPREAD), runs),
        "classes.csv": csv_text(("rule", "class", "critical", "training_samples", "test_samples", *SPREAD), classes),
        "confusion.csv": csv_text(("rule", "class", "decided_as", "samples"), cells),
    }


def _spread(found: Spread) -> Sequence[Value]:
    low, high = found.interval or (None, None)
    return (len(found.per_seed), found.mean, found.deviation, found.ensemble, low, high)
