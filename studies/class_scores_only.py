"""Numbers of K classes from score files with NumPy alone; see ``studies.scores_only`` for those of two sides.

A second implementation, independent of ``utils``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studies.scores_only import TPRS, Sample, auc, fpr_at_tpr


@dataclass(frozen=True)
class ClassSample:
    """The rows of a score file of K classes.

    Args:
        index, label: (n,); labels are 0..K-1.
        outputs: (n, K).
        scores: (n,) of each critical class, by its label.
        names: of the classes.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    outputs: NDArray[np.float64]
    scores: dict[int, NDArray[np.float64]]
    names: tuple[str, ...]


def has_classes(path: Path) -> bool:
    """Whether a score file is of K classes."""
    with path.open(encoding="utf-8", newline="") as stream:
        return any(name.startswith("output_") for name in next(csv.reader(stream), []))


def read_class_sample(path: Path) -> ClassSample:
    """Read the columns ``index``, ``label``, ``score_<name>`` and ``output_<name>`` of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = list(reader.fieldnames or [])
        rows = list(reader)
    names = tuple(name.removeprefix("output_") for name in columns if name.startswith("output_"))
    critical = [name.removeprefix("score_") for name in columns if name.startswith("score_")]
    return ClassSample(
        np.array([int(row["index"]) for row in rows]),
        np.array([int(row["label"]) for row in rows]),
        np.array([[float(row[f"output_{name}"]) for name in names] for row in rows]),
        {names.index(name): np.array([float(row[f"score_{name}"]) for row in rows]) for name in critical},
        names,
    )


def class_numbers(sample: ClassSample) -> dict[str, float]:
    """Mean AUC of the classes, accuracy, mean recall; AUC and FPR at each of ``TPRS`` of the critical classes.

    >>> outputs = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
    >>> found = class_numbers(ClassSample(np.arange(4), np.array([0, 0, 0, 1]), outputs, {}, ("a", "b")))
    >>> found["accuracy"], round(found["balanced_accuracy"], 4), found["auc"]
    (0.75, 0.8333, 1.0)
    """
    classes, decided = range(len(sample.names)), sample.outputs.argmax(axis=1)
    found = {
        "auc": float(np.mean([auc(_against_rest(sample, own, _log_odds(sample.outputs, own))) for own in classes])),
        "accuracy": float((decided == sample.label).mean()),
        "balanced_accuracy": float(np.mean([(decided[sample.label == own] == own).mean() for own in classes])),
    }
    for own, scores in sample.scores.items():
        view = _against_rest(sample, own, scores)
        found[f"auc of {sample.names[own]}"] = auc(view)
        found |= {f"fpr_at_tpr_{tpr:g} of {sample.names[own]}": fpr_at_tpr(view, tpr) for tpr in TPRS}
    return found


def averaged_classes(samples: Sequence[ClassSample]) -> ClassSample:
    """The same samples with the mean of their outputs and scores.

    Raises:
        ValueError: the files list different samples.
    """
    first = samples[0]
    for other in samples[1:]:
        if not (np.array_equal(first.index, other.index) and np.array_equal(first.label, other.label)):
            raise ValueError("the seeds were scored on different samples")
    scores = {own: np.mean([sample.scores[own] for sample in samples], axis=0) for own in first.scores}
    return replace(first, outputs=np.mean([sample.outputs for sample in samples], axis=0), scores=scores)


def _against_rest(sample: ClassSample, own: int, scores: NDArray[np.float64]) -> Sample:
    return Sample(sample.index, (sample.label == own).astype(np.int64), scores)


def _log_odds(outputs: NDArray[np.float64], own: int) -> NDArray[np.float64]:
    others = np.delete(outputs, own, axis=1)
    largest = others.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = outputs[:, own] - largest[:, 0] - np.log(np.exp(others - largest).sum(axis=1))
    return found
