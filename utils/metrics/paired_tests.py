"""Tests for two classifiers on the same samples.

Legend: n samples, P positives, N negatives, K classifiers, R bootstrap resamples, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata, wilcoxon

from .groups import Groups
from .roc import Array, checked

NOISE = 5e-13  # differences are known to 1e-12: magnitudes that lie closer together than this are equal


@dataclass(frozen=True)
class DeLong:
    """Two AUCs of the same samples: second minus first, its standard error and the two-sided p."""

    difference: float
    standard_error: float
    p: float


def placements(labels: NDArray[np.int64], scores: Array) -> tuple[Array, Array]:
    """For each positive the share of negatives below it (P,), for each negative the share of positives above it (N,).

    Ties count one half. From midranks, in n log n (Sun and Xu 2014).

    >>> placements(np.array([1, 1, 0, 0]), np.array([2.0, 0.0, 1.0, 0.0]))
    (array([1.  , 0.25]), array([0.5 , 0.75]))
    """
    labels, scores = checked(labels, scores)
    positive, negative = scores[labels == 1], scores[labels == 0]
    together = rankdata(scores)
    below = (together[labels == 1] - rankdata(positive)) / len(negative)
    above = 1 - (together[labels == 0] - rankdata(negative)) / len(positive)
    return below, above


def auc_covariance(labels: NDArray[np.int64], scores: Sequence[Array]) -> Array:
    """(K, K) covariance of the AUCs of K classifiers: S_positive / P + S_negative / N of their placements.

    Raises:
        ValueError: fewer than two positives or two negatives, too few to estimate a covariance.

    Reference: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    parts = [placements(labels, each) for each in scores]
    below, above = (np.stack(columns) for columns in zip(*parts, strict=True))
    if min(below.shape[1], above.shape[1]) < 2:
        raise ValueError("DeLong's test needs at least 2 positives and 2 negatives")
    covariance: Array = np.atleast_2d(np.cov(below)) / below.shape[1] + np.atleast_2d(np.cov(above)) / above.shape[1]
    return covariance


def delong(labels: NDArray[np.int64], first: Array, second: Array) -> DeLong:
    """DeLong's test of equal AUCs on the same samples.

    If the variance is 0 (both rank every pair alike, or both are perfect), p is 1 for equal AUCs, else 0.
    """
    covariance = auc_covariance(labels, [first, second])
    difference = float(placements(labels, second)[0].mean() - placements(labels, first)[0].mean())
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = math.sqrt(max(variance, 0.0))
    if error < 1e-12:
        return DeLong(difference, 0.0, 1.0 if abs(difference) < 1e-12 else 0.0)
    return DeLong(difference, error, float(2 * norm.sf(abs(difference) / error)))


def without_noise(differences: Sequence[float] | Array) -> Array:
    """``differences`` whose magnitudes are equal, or 0, where they agree to 1e-12.

    Rates in units of 1/N have differences that are equal but for the last bit, which would break every tie. Rounding to
    a grid of 1e-12 would not do: where N is a multiple of 2^13, k/N lies exactly between two of its points.

    >>> without_noise([0.3 - 0.2, 0.2 - 0.3, 0.1, 0.3 - (0.1 + 0.2)]).round(3).tolist()
    [0.1, -0.1, 0.1, -0.0]
    >>> len(set(abs(without_noise([0.3 - 0.2, 0.2 - 0.3, 0.1]))))
    1
    """
    values = np.asarray(differences, dtype=np.float64)
    sizes = np.concatenate([[0.0], np.abs(values)])
    order = sizes.argsort(kind="stable")
    ascending = sizes[order]
    starts = np.concatenate([[True], np.diff(ascending) > NOISE])
    sizes[order] = ascending[starts][starts.cumsum() - 1]
    equal: Array = np.copysign(sizes[1:], values)
    return equal


def bootstrap_p(differences: Array) -> float:
    """Two-sided p of "no difference", from R resampled differences: twice the smaller tail, never below 2 / (R + 1).

    >>> bootstrap_p(np.array([1.0, 2.0, 3.0]))
    0.5
    """
    differences = without_noise(differences)
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (1 + tail) / (1 + len(differences)))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test, from the samples that only one of two classifiers gets wrong.

    >>> mcnemar(0, 3)
    0.25
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def mcnemar_by_groups(only_first: NDArray[np.bool_], only_second: NDArray[np.bool_], groups: Groups) -> float:
    """``mcnemar`` with each group as one: the classifier that is wrong alone more often in it has lost it.

    Exact if, without a difference, the two classifiers could change places in each group on its own.

    Args:
        only_first: (n,) the samples that the first classifier alone gets wrong.
        only_second: (n,) likewise.
        groups: (n,) the number of the group of each sample.

    >>> lost, other = np.array([1, 1, 0, 0, 0, 1], dtype=bool), np.array([0, 0, 1, 0, 0, 0], dtype=bool)
    >>> mcnemar_by_groups(lost, other, np.array([0, 0, 0, 1, 1, 2]))    # 2 groups to 0
    0.5
    """
    net = np.zeros(int(groups.max(initial=0)) + 1, dtype=np.int64)
    np.add.at(net, groups, only_first.astype(np.int64) - only_second.astype(np.int64))
    return mcnemar(int((net > 0).sum()), int((net < 0).sum()))


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed ranks over S seeds; None without seeds. Not below 2 / 2^S.

    Ties are those of :func:`without_noise`.

    >>> wilcoxon_p([0.1, 0.2, 0.3])
    0.25
    """
    if not differences:
        return None
    values = without_noise(differences)
    if not values.any():
        return 1.0
    return float(wilcoxon(values).pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm 1979); None stays None and does not count.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    present = sorted((value, position) for position, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, position) in enumerate(present):
        largest = min(1.0, max(largest, (len(present) - rank) * value))
        corrected[position] = largest
    return corrected
