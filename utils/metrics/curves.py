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
        return self.expected_cost(1)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 0 where nothing is called positive."""
        return self.tp / max(self.tp + self.fp, 1)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and TPR."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Matthews' correlation of label and call, in [-1, 1]; 0 where all samples are called the same.

        (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))

        Reference: Matthews, Biochimica et Biophysica Acta 405 (1975).
        """
        product = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(max(product, 1))

    def expected_cost(self, cost_ratio: float) -> float:
        """(cost_ratio * FN + FP) / n, of a sample at the class mix of the set, in units of a false alarm.

        Where a share pi of the samples met in use is positive, it is cost_ratio pi (1 - TPR) + (1 - pi) FPR instead.
        """
        return (cost_ratio * self.fn + self.fp) / (self.tp + self.fp + self.tn + self.fn)

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

    def first_at(self, tpr: float) -> int:
        """The first point whose TPR is at least ``tpr``."""
        if not (0 < tpr <= 1 and math.isfinite(tpr)):
            raise ValueError(f"a target TPR must be in (0, 1], got {tpr}")
        return int(np.argmax(self.tpr >= tpr))

    def fpr_at(self, tpr: float) -> float:
        """Its FPR."""
        return float(self.fpr[self.first_at(tpr)])

    def threshold_at(self, tpr: float) -> float:
        """The highest threshold at which the TPR is at least ``tpr``."""
        return float(self.thresholds[self.first_at(tpr)])

    def last_within(self, fpr: float) -> int:
        """The last point whose FPR is at most ``fpr``; 0, the origin, where there is no other."""
        if not 0 <= fpr <= 1:
            raise ValueError(f"a target FPR must be in [0, 1], got {fpr}")
        return int(np.searchsorted(self.fpr, fpr, side="right")) - 1

    def tpr_at(self, fpr: float) -> float:
        """Its TPR; nothing is rounded or interpolated."""
        return float(self.tpr[self.last_within(fpr)])


def roc(labels: NDArray[np.int64], scores: Array) -> Roc:
    """The ROC with every point kept.

    Raises:
        ValueError: labels other than 0 and 1, a class that is missing, scores that are not finite, lengths that differ.
    """
    from sklearn.metrics import roc_curve  # here and below: loading it takes as long as the first steps of a run

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
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*checked(labels, scores)))


def auprc(labels: NDArray[np.int64], scores: Array) -> float:
    """Average precision, the area under the precision-recall curve; of a useless score it is the prior P / n."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*checked(labels, scores)))


def fpr_at_tpr(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """FPR of the first ROC point whose TPR is at least ``tpr``, in [0, 1]; nothing is rounded or interpolated.

    >>> fpr_at_tpr(np.array([1, 1, 0, 0]), np.array([2.0, 0.0, 1.0, -1.0]), 0.98)    # both positives: one negative too
    0.5
    """
    return roc(labels, scores).fpr_at(tpr)


def threshold_at_tpr(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """The highest threshold at which the TPR is at least ``tpr``."""
    return roc(labels, scores).threshold_at(tpr)


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
    """Resample positives and negatives, each class with replacement, its size kept."""
    (result,) = bootstraps(
        labels, [scores], tprs=tprs, thresholds=thresholds, generator=generator, resamples=resamples
    )
    return result


def bootstraps(
    labels: NDArray[np.int64],
    several: Sequence[Array],
    *,
    tprs: Sequence[float],
    thresholds: Sequence[float],
    generator: np.random.Generator,
    resamples: int = 1000,
) -> list[Bootstrap]:
    """``bootstrap`` of several scores of the same samples: row by row of the results, the same samples were drawn.

    Samples are counted, not copied: scores are sorted once, and each resample is a row of counts.
    """
    curves = [_Curves.of(labels, scores) for scores in several]
    counts = [int((np.asarray(labels) == side).sum()) for side in (1, 0)]
    parts: list[list[tuple[Array, ...]]] = [[] for _ in curves]
    for start in range(0, resamples, 100):
        rows = min(100, resamples - start)
        positives, negatives = (_drawn(count, rows, generator) for count in counts)
        for curve, part in zip(curves, parts, strict=True):
            columns = curve.columns(thresholds)
            for few in (slice(row, row + 25) for row in range(0, rows, 25)):  # what the cache holds
                tpr, fpr = curve.positives.resampled(positives[few]), curve.negatives.resampled(negatives[few])
                part.append((_area(fpr, tpr), _fpr_at(fpr, tpr, tprs), tpr[:, columns], fpr[:, columns]))
    return [Bootstrap(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in parts]


def interval(values: Array) -> list[float]:
    """The middle 95 % of resampled values, as [low, high]."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


@dataclass(frozen=True)
class _Side:
    """One class on the curve."""

    order: NDArray[np.int64]  # its samples in descending order of score
    reached: NDArray[np.int64]  # (G + 1,) how many of them lie at or above each distinct score, from 0 to all

    def resampled(self, counts: NDArray[np.int32]) -> Array:
        """(R, G + 1) share of the class at or above each distinct score, given how often each sample was drawn."""
        sums = np.zeros((len(counts), counts.shape[1] + 1), dtype=np.int32)
        np.cumsum(counts.take(self.order, axis=1), axis=1, out=sums[:, 1:])
        curve: Array = sums.take(self.reached, axis=1) / counts.shape[1]
        return curve


@dataclass(frozen=True)
class _Curves:
    """What the resamples of one set of scores share."""

    distinct: Array  # (G,) negated scores, ascending
    positives: _Side
    negatives: _Side

    @classmethod
    def of(cls, labels: NDArray[np.int64], scores: Array) -> _Curves:
        labels, scores = checked(labels, scores)
        distinct, group = np.unique(-scores, return_inverse=True)  # descending scores
        sides = []
        for side in (1, 0):
            own = group[labels == side]
            reached = np.concatenate([[0], np.bincount(own, minlength=len(distinct)).cumsum()])
            sides.append(_Side(own.argsort(kind="stable"), reached))
        return cls(distinct, *sides)

    def columns(self, thresholds: Sequence[float]) -> list[int]:
        """Where on the curve each threshold lies."""
        return [int(np.searchsorted(self.distinct, -threshold, side="right")) for threshold in thresholds]


def _drawn(count: int, rows: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """(rows, count) how often each of ``count`` samples is drawn in each of ``rows`` resamples."""
    cells = generator.integers(0, count, size=(rows, count)) + np.arange(rows)[:, None] * count
    return np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count).astype(np.int32)


def _area(fpr: Array, tpr: Array) -> Array:
    parts = np.diff(fpr, axis=1)
    heights = tpr[:, 1:] + tpr[:, :-1]
    parts *= heights
    parts /= 2
    area: Array = parts.sum(axis=1)
    return area


def _fpr_at(fpr: Array, tpr: Array, targets: Sequence[float]) -> Array:
    at = [np.take_along_axis(fpr, (tpr >= target).argmax(axis=1)[:, None], axis=1) for target in targets]
    return np.concatenate(at, axis=1) if at else np.zeros((len(fpr), 0))
