"""Numbers from labels and scores. Pure: arrays in, numbers out; nothing is rounded.

Legend: n samples, P positives (label 1), N negatives (label 0), R bootstrap resamples, G distinct scores.
A sample counts as positive where score >= threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Array = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rates:
    """The confusion matrix at one threshold, and its rates."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def tpr(self) -> float:
        """True positive rate (recall, sensitivity) = TP / P."""
        return self.tp / (self.tp + self.fn)

    @property
    def fpr(self) -> float:
        """False positive rate = FP / N."""
        return self.fp / (self.fp + self.tn)

    @property
    def error(self) -> float:
        """Share of all samples that are misclassified."""
        return (self.fp + self.fn) / (self.tp + self.fp + self.tn + self.fn)

    @property
    def balanced_accuracy(self) -> float:
        """(TPR + TNR) / 2."""
        return self.weighted_rate(0.5)

    def weighted_rate(self, alpha: float) -> float:
        """alpha * TPR + (1 - alpha) * TNR."""
        return alpha * self.tpr + (1 - alpha) * (1 - self.fpr)


@dataclass(frozen=True)
class Roc:
    """All points of the ROC, one for each distinct score and the origin; ``thresholds[0]`` is infinity."""

    fpr: Array
    tpr: Array
    thresholds: Array


def roc(labels: NDArray[np.int64], scores: Array) -> Roc:
    """The ROC with every point kept.

    Raises:
        ValueError: labels other than 0 and 1, a class that is missing, scores that are not finite, lengths that differ.
    """
    labels, scores = checked(labels, scores)
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return Roc(fpr, tpr, thresholds)


def checked(labels: NDArray[np.int64], scores: Array) -> tuple[NDArray[np.int64], Array]:
    """Labels as integers and scores as float64, both (n,)."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels and scores must have one shape (n,), got {labels.shape} and {scores.shape}")
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) != 2:
        raise ValueError(f"labels must hold both 0 and 1 and nothing else, got {np.unique(labels).tolist()}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(scores)).sum())} that are not")
    return labels.astype(np.int64), scores


def auc(labels: NDArray[np.int64], scores: Array) -> float:
    """Area under the ROC: the share of (positive, negative) pairs in the right order, ties one half.

    >>> auc(np.array([1, 1, 0, 0]), np.array([2.0, 0.0, 1.0, 0.0]))    # pairs: right, right, wrong, tie
    0.625
    """
    return float(roc_auc_score(*checked(labels, scores)))


def auprc(labels: NDArray[np.int64], scores: Array) -> float:
    """Average precision, the area under the precision-recall curve; of a useless score it is the prior P / n."""
    return float(average_precision_score(*checked(labels, scores)))


def fpr_at_tpr(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """FPR of the first ROC point whose TPR is at least ``tpr``, in [0, 1]; nothing is rounded or interpolated.

    >>> fpr_at_tpr(np.array([1, 1, 0, 0]), np.array([2.0, 0.0, 1.0, -1.0]), 0.98)    # both positives: one negative too
    0.5
    """
    curve = roc(labels, scores)
    return float(curve.fpr[_first_at_least(curve.tpr, tpr)])


def threshold_at_tpr(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """The highest threshold at which the TPR is at least ``tpr``."""
    curve = roc(labels, scores)
    return float(curve.thresholds[_first_at_least(curve.tpr, tpr)])


def rates_at(labels: NDArray[np.int64], scores: Array, threshold: float) -> Rates:
    """The confusion matrix where score >= ``threshold`` counts as positive."""
    labels, scores = checked(labels, scores)
    called = scores >= threshold
    tp, fp = int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum())
    return Rates(tp=tp, fp=fp, tn=int((labels == 0).sum()) - fp, fn=int((labels == 1).sum()) - tp)


@dataclass(frozen=True)
class Bootstrap:
    """Resampled values, each with R rows; take ``interval`` of a column."""

    auc: Array  # (R,)
    fpr_at_tpr: Array  # (R, len(tprs))
    tpr_at_threshold: Array  # (R, len(thresholds))
    fpr_at_threshold: Array  # (R, len(thresholds))


def bootstrap(
    labels: NDArray[np.int64],
    scores: Array,
    *,
    tprs: Sequence[float],
    thresholds: Sequence[float],
    generator: np.random.Generator,
    resamples: int = 1000,
) -> Bootstrap:
    """Resample positives and negatives, each class with replacement, its size kept.

    Samples are counted, not copied: scores are sorted once, and each resample is a row of counts per distinct score.
    """
    labels, scores = checked(labels, scores)
    distinct, group = np.unique(-scores, return_inverse=True)  # descending scores
    positive_groups, negative_groups = group[labels == 1], group[labels == 0]
    columns = [int(np.searchsorted(distinct, -threshold, side="right")) for threshold in thresholds]
    parts = []
    for start in range(0, resamples, 100):
        rows = min(100, resamples - start)
        tpr = _resampled_curve(positive_groups, len(distinct), rows, generator)
        fpr = _resampled_curve(negative_groups, len(distinct), rows, generator)
        parts.append((_area(fpr, tpr), _fpr_at(fpr, tpr, tprs), tpr[:, columns], fpr[:, columns]))
    return Bootstrap(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def interval(values: Array) -> list[float]:
    """The middle 95 % of resampled values, as [low, high]."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


def _resampled_curve(groups: NDArray[np.int64], size: int, rows: int, generator: np.random.Generator) -> Array:
    """(rows, size + 1) share of a class at or above each distinct score, from 0 to 1, for ``rows`` resamples."""
    count = len(groups)
    drawn = groups[generator.integers(0, count, size=(rows, count))]
    cells = (drawn + np.arange(rows)[:, None] * size).ravel()
    counts = np.bincount(cells, minlength=rows * size).reshape(rows, size)
    curve = np.zeros((rows, size + 1))
    np.cumsum(counts, axis=1, out=curve[:, 1:])
    curve /= count
    return curve


def _area(fpr: Array, tpr: Array) -> Array:
    area: Array = (np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1)
    return area


def _fpr_at(fpr: Array, tpr: Array, targets: Sequence[float]) -> Array:
    at = [np.take_along_axis(fpr, (tpr >= target).argmax(axis=1)[:, None], axis=1) for target in targets]
    return np.concatenate(at, axis=1) if at else np.zeros((len(fpr), 0))


def _first_at_least(tpr: Array, target: float) -> int:
    if not (0 < target <= 1 and math.isfinite(target)):
        raise ValueError(f"a target TPR must be in (0, 1], got {target}")
    return int(np.argmax(tpr >= target))
