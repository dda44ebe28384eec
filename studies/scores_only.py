"""AUC, FPR at a TPR, their mean over seeds: computed from score files with NumPy alone.

A second implementation, independent of ``utils``: what ``studies.verify`` holds the stored numbers against.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

TPRS = (0.98, 0.95, 0.9)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sample:
    """The rows of a score file: index, label (0 or 1) and score, all (n,)."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]


def read_sample(path: Path) -> Sample:
    """Read the columns ``index``, ``label`` and ``score`` of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [(int(row["index"]), int(row["label"]), float(row["score"])) for row in csv.DictReader(stream)]
    index, label, score = zip(*rows, strict=True)
    return Sample(np.array(index), np.array(label), np.array(score))


def auc(sample: Sample) -> float:
    """Share of the pairs (positive, negative) in which the positive scores higher; a tie counts one half.

    >>> auc(Sample(np.arange(4), np.array([0, 1, 1, 0]), np.array([0.0, 2.0, 1.0, 1.0])))   # 2 + 1 + 1/2 of 4
    0.875
    """
    positives, negatives = sample.score[sample.label == 1], np.sort(sample.score[sample.label == 0])
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def fpr_at_tpr(sample: Sample, tpr: float) -> float:
    """FPR at the highest threshold whose TPR is at least ``tpr``.

    >>> fpr_at_tpr(Sample(np.arange(4), np.array([0, 1, 1, 0]), np.array([0.0, 2.0, 1.0, 1.0])), 0.9)
    0.5
    """
    positives = np.sort(sample.score[sample.label == 1])
    misses = max(k for k in range(len(positives)) if (len(positives) - k) / len(positives) >= tpr)
    return float((sample.score[sample.label == 0] >= positives[misses]).mean())


def numbers(sample: Sample) -> dict[str, float]:
    """AUC and FPR at each of ``TPRS``."""
    return {"auc": auc(sample), **{f"fpr_at_tpr_{tpr:g}": fpr_at_tpr(sample, tpr) for tpr in TPRS}}


def averaged(samples: Sequence[Sample]) -> Sample:
    """The same samples with the mean of their scores.

    Raises:
        ValueError: the files list different samples.
    """
    first = samples[0]
    for other in samples[1:]:
        if not (np.array_equal(first.index, other.index) and np.array_equal(first.label, other.label)):
            raise ValueError("the seeds were scored on different samples")
    return Sample(first.index, first.label, np.mean([sample.score for sample in samples], axis=0))


def over_seeds(values: Sequence[float]) -> dict[str, float | int | list[float] | None]:
    """Mean, standard deviation (n - 1), n, and the 95 % t interval of the mean; None where one seed gives none.

    >>> over_seeds([1.0, 3.0])["sd"]
    1.4142135623730951
    """
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return {"mean": mean, "sd": None, "n": n, "interval": None}
    sd = statistics.stdev(values)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return {"mean": mean, "sd": sd, "n": n, "interval": [mean - half, mean + half]}
