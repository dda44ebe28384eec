"""Numbers of K classes of which some are critical: labels and outputs in, numbers out.

Legend: n samples, labels y in 0..K-1, outputs z (n, K), one for each class; C critical classes, each with a column of
scores (n, C), the log-odds of the class against the rest. What is known of two classes holds for each of these views:
``roc.auc(labels == c, scores[:, column])``, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .roc import Array, auc, threshold_at_tpr

Labels = NDArray[np.int64]


def log_odds(outputs: Array, classes: Sequence[int]) -> Array:
    """(n, C) scores of the ``classes``: z_c - log sum_{m != c} exp(z_m), the log-odds of c in a softmax of the outputs.

    >>> log_odds(np.log([[6.0, 1.0, 1.0]]), [0]).round(4).tolist()        # log 6/2
    [[1.0986]]
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    columns = []
    for own in classes:
        others = np.delete(outputs, own, axis=1)
        largest = others.max(axis=1)
        columns.append(outputs[:, own] - largest - np.log(np.exp(others - largest[:, None]).sum(axis=1)))
    return np.stack(columns, axis=1)


def softmax(outputs: Array) -> Array:
    """(n, K) shares of the classes, which sum to 1; not calibrated.

    >>> softmax(np.log([[6.0, 1.0, 1.0]])).round(4).tolist()
    [[0.75, 0.125, 0.125]]
    """
    from scipy.special import softmax as share

    shares: Array = share(outputs, axis=1)
    return shares


# ---------------------------------------------------------------- of decisions


def confusion_matrix(labels: Labels, predicted: Labels, *, classes: int) -> NDArray[np.int64]:
    """(K, K) numbers of samples: row their class, column the one that they were decided to be.

    Raises:
        ValueError: different lengths, no sample, or a class outside 0..K-1.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    labels, predicted = _checked(labels, classes, "labels"), _checked(predicted, classes, "decisions")
    if labels.shape != predicted.shape:
        raise ValueError(f"labels and decisions must have one shape (n,), got {labels.shape} and {predicted.shape}")
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Share of all samples that are decided rightly."""
    return float(np.trace(matrix) / matrix.sum())


def recalls(matrix: NDArray[np.int64]) -> Array:
    """(K,) share of each class that is decided rightly; NaN for a class without samples."""
    sizes = matrix.sum(axis=1)
    return np.where(sizes > 0, np.diag(matrix) / np.maximum(sizes, 1), np.nan)


def balanced_accuracy(matrix: NDArray[np.int64]) -> float:
    """Mean recall of the classes that have samples.

    >>> balanced_accuracy(np.array([[9, 1], [1, 1]]))                     # (9/10 + 1/2) / 2
    0.7
    """
    return float(np.nanmean(recalls(matrix)))


def shot_accuracies(
    matrix: NDArray[np.int64], train_counts: Sequence[int], *, many: int = 100, few: int = 20
) -> dict[str, float | None]:
    """Mean recall of the classes with more than ``many``, of those with fewer than ``few`` training samples, and of
    the others; None where there is no such class.

    Reference: Liu, Miao, Zhan, Wang, Gong, Yu, "Large-scale long-tailed recognition in an open world", CVPR 2019.

    >>> shot_accuracies(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 4]]), [500, 100, 20])
    {'many': 0.75, 'medium': 0.75, 'few': None}
    """
    counts, found = np.asarray(train_counts), recalls(matrix)
    if counts.shape != found.shape:
        raise ValueError(f"train_counts must be those of {len(found)} classes, got {counts.shape}")
    if few > many:
        raise ValueError(f"few must be at most many, got {few} and {many}")
    groups = {"many": counts > many, "medium": (counts >= few) & (counts <= many), "few": counts < few}
    present = ~np.isnan(found)
    chosen = {name: found[is_member & present] for name, is_member in groups.items()}
    return {name: float(values.mean()) if len(values) else None for name, values in chosen.items()}


def error_of_others(labels: Labels, predicted: Labels, *, critical: Sequence[int]) -> float:
    """Share of the samples of the other classes that are decided wrongly: as critical, or as another of the others.

    Raises:
        ValueError: every sample is of a critical class.

    >>> error_of_others(np.array([0, 0, 1, 2]), np.array([0, 1, 0, 2]), critical=[2])
    0.6666666666666666
    """
    is_other = ~np.isin(labels, list(critical))
    if not is_other.any():
        raise ValueError("there must be samples of other classes than the critical ones, got none")
    return float((labels[is_other] != predicted[is_other]).mean())


# ---------------------------------------------------------------- of scores


def macro_auc(labels: Labels, outputs: Array) -> float:
    """Mean over the classes of the AUC of each against the rest, by its log-odds.

    Raises:
        ValueError: a class without samples, outputs that are not finite or of another shape.
    """
    labels, outputs = np.asarray(labels), np.asarray(outputs, dtype=np.float64)
    scores = log_odds(outputs, range(outputs.shape[1]))
    missing = sorted(set(range(outputs.shape[1])) - set(labels.tolist()))
    if missing:
        raise ValueError(f"there must be samples of each of the {outputs.shape[1]} classes, got none of {missing[:5]}")
    return float(np.mean([auc((labels == own).astype(np.int64), scores[:, own]) for own in range(outputs.shape[1])]))


def decide(outputs: Array, scores: Array, *, critical: Sequence[int], thresholds: Sequence[float]) -> Labels:
    """The class of each sample: a critical class whose score reaches its threshold, else the best of the others.

    Of several critical classes that do, the one with the largest s_c - t_c; where all classes are critical and none
    does, that too. Equal ones go to the first.

    Args:
        outputs: (n, K).
        scores: (n, C), in the order of ``critical``.
        critical: the C critical classes.
        thresholds: C, one for each.

    Class 2 is critical, and its score reaches 0 in the second row alone:

    >>> outputs, scores = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), np.array([[-0.5], [0.5]])
    >>> decide(outputs, scores, critical=[2], thresholds=[0.0]).tolist()
    [1, 2]
    """
    scores = np.asarray(scores)
    if scores.shape != (len(outputs), len(critical)):
        raise ValueError(f"scores must be (n, {len(critical)}), a column for each critical class, got {scores.shape}")
    if len(thresholds) != len(critical):
        raise ValueError(f"thresholds must be {len(critical)}, one for each critical class, got {len(thresholds)}")
    excess = scores - np.asarray(thresholds)
    best_critical: Labels = np.asarray(critical, dtype=np.int64)[excess.argmax(axis=1)]
    others = np.setdiff1d(np.arange(outputs.shape[1]), critical)
    if len(others) == 0:
        return best_critical
    best_other = others[outputs[:, others].argmax(axis=1)]
    predicted: Labels = np.where(excess.max(axis=1) >= 0, best_critical, best_other).astype(np.int64)
    return predicted


def thresholds_at(labels: Labels, scores: Array, *, critical: Sequence[int], tpr: float) -> tuple[float, ...]:
    """For each critical class the highest threshold at which so many of its samples are called, in (0, 1]."""
    views = [((labels == own).astype(np.int64), scores[:, column]) for column, own in enumerate(critical)]
    return tuple(threshold_at_tpr(is_own, column, tpr) for is_own, column in views)


@dataclass(frozen=True)
class AtRecall:
    """What the other classes pay for a recall of the critical ones.

    Args:
        tpr: recall asked for, in (0, 1].
        thresholds: of each critical class.
        recalls: share of each critical class that is decided rightly; lower than ``tpr`` where a sample that reaches
            its threshold is decided to be another critical class.
        error_of_others: share of the samples of the other classes that are decided wrongly.
    """

    tpr: float
    thresholds: tuple[float, ...]
    recalls: tuple[float, ...]
    error_of_others: float


def at_recall(
    labels: Labels,
    outputs: Array,
    scores: Array,
    *,
    critical: Sequence[int],
    tpr: float,
    thresholds: Sequence[float] | None = None,
) -> AtRecall:
    """Decide at the thresholds of a recall of every critical class, and count.

    Args:
        labels, outputs, scores: (n,), (n, K) and (n, C).
        critical: the C critical classes.
        tpr: recall asked for, in (0, 1].
        thresholds: from another set, such as ``thresholds_at`` of a validation set; None: chosen on this one.

    Class 2 is critical; its sample at -1 has to be called too, and with it one of the others:

    >>> outputs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> at_recall(np.array([0, 1, 2, 2]), outputs, np.array([[-2.0], [-1.0], [-1.0], [3.0]]), critical=[2], tpr=1.0)
    AtRecall(tpr=1.0, thresholds=(-1.0,), recalls=(1.0,), error_of_others=0.5)
    """
    if thresholds is None:
        thresholds = thresholds_at(labels, scores, critical=critical, tpr=tpr)
    predicted = decide(outputs, scores, critical=critical, thresholds=thresholds)
    of_each = recalls(confusion_matrix(labels, predicted, classes=outputs.shape[1]))
    found = tuple(float(of_each[own]) for own in critical)
    return AtRecall(tpr, tuple(thresholds), found, error_of_others(labels, predicted, critical=critical))


def _checked(values: Labels, classes: int, name: str) -> Labels:
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} must be (n,) with n >= 1, got {values.shape}")
    if not np.isin(values, np.arange(classes)).all():
        raise ValueError(f"{name} must be classes 0..{classes - 1}, got {np.unique(values)[:5].tolist()}")
    return values.astype(np.int64)
