"""The ROC of a set of scores, and the confusion matrix at a threshold. Nothing is rounded.

Legend: n samples, P positives (label 1), N negatives (label 0).
A sample is classified as positive where score >= threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rates:
    """The confusion matrix at one threshold, and its rates."""

    tp: int
    fp: int
    tn: int
    fn: int

    def __post_init__(self) -> None:
        for name in ("tp", "fp", "tn", "fn"):  # products of NumPy's integers would overflow
            object.__setattr__(self, name, int(getattr(self, name)))

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
        """TP / (TP + FP); 0 if no sample is classified as positive."""
        return self.tp / max(self.tp + self.fp, 1)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and TPR."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Matthews correlation of label and prediction, in [-1, 1]; 0 if all predictions are the same.

        (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))

        Reference: Matthews, Biochimica et Biophysica Acta 405 (1975).
        """
        product = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(max(product, 1))

    def expected_cost(self, cost_ratio: float) -> float:
        """Mean cost of a sample at the class mix of this set, in units of a false positive: (cost_ratio FN + FP) / n.

        At another share pi of positives it is  cost_ratio pi (1 - TPR) + (1 - pi) FPR.
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
        ValueError: labels other than 0 and 1, a missing class, scores that are not finite, or different lengths.
    """
    from sklearn.metrics import roc_curve  # imported late, here and below: it takes as long as the first steps of a run

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
    """The confusion matrix where score >= ``threshold`` counts as positive.

    Raises:
        ValueError: as for ``roc``, or the threshold is NaN.
    """
    labels, scores = checked(labels, scores)
    if math.isnan(threshold):
        raise ValueError("a threshold must be a number or infinite, got NaN")
    called = scores >= threshold
    tp, fp = int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum())
    return Rates(tp=tp, fp=fp, tn=int((labels == 0).sum()) - fp, fn=int((labels == 1).sum()) - tp)
