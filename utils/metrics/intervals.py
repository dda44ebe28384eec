"""Confidence intervals of AUC and rates on new samples, for one scored set. Their coverage: ``studies/coverage.py``.

Legend: n positives with sorted scores S, m negatives, alpha = 1 - TPR, f(t) = number of negatives with score >= t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .roc import Array, checked

LEVEL = 0.95
DRAWS = 1000
EXACT, DRAWN = 45, 14  # halvings that find an end to 3e-14, and to 6e-5
EXTRA = 0.5  # weight of the sample that ``auc_interval`` adds to each class
METHODS = {
    "auc_interval": "weighted resampling with half a worst-case sample in each class",
    "fpr_at_tpr_interval": "melded order statistics and Clopper-Pearson",
    "tpr_interval": "Clopper-Pearson",
    "fpr_interval": "Clopper-Pearson",
}


def clopper_pearson(count: int, n: int, *, level: float = LEVEL) -> list[float]:
    """Exact interval of a probability of which ``count`` of ``n`` independent samples are seen.

    [the (1-level)/2 quantile of Beta(x, n-x+1), the (1+level)/2 quantile of Beta(x+1, n-x)]; 0 and 1 where x = 0 and n.

    Reference: Clopper and Pearson, Biometrika 26 (1934).

    >>> [round(end, 4) for end in clopper_pearson(0, 100)]    # 1 - 0.025^(1/100)
    [0.0, 0.0362]
    """
    from scipy.special import betaincinv  # imported late, here and below: it takes as long as the first steps of a run

    if not 0 <= count <= n or n < 1:
        raise ValueError(f"an interval needs 0 <= count <= n and n >= 1, got {count} of {n}")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return [low, high]


def fpr_at_tpr_interval(labels: NDArray[np.int64], scores: Array, tpr: float, *, level: float = LEVEL) -> list[float]:
    """Interval of the FPR at the highest threshold t* whose TPR is at least ``tpr``, for any two distributions.

    Of n positives a number K ~ Bin(n, alpha) lies below t* (at most that many below, at least that many at or below,
    if there are ties), so that S_K <= t* <= S_(K+1) with S_0 = -inf, S_(n+1) = inf. At a given t the Clopper-Pearson
    ends are quantiles of Beta(f(t), m - f(t) + 1) and Beta(f(t) + 1, m - f(t)). Both sources of chance together are the
    mixtures over K:

        low = lower tail of  sum_k P(K = k) Beta(f(S_(k+1)), m - f + 1),
        high = upper tail of  sum_k P(K = k) Beta(f(S_k) + 1, m - f).

    With too few positives P(K = 0) alone exceeds the tail, and the upper end is 1. It is narrower than a band that adds
    the levels of the two parts.

    Reference: Fay, Proschan, Brittain, "Combining one-sample confidence procedures for inference in the two-sample
    case", Biometrics 71 (2015), of melding; Tong, Feng, Li 2018 of the order statistics.
    """
    (interval,) = roc_band(labels, scores, [tpr], level=level, steps=EXACT)
    return interval


def roc_band(
    labels: NDArray[np.int64], scores: Array, tprs: Sequence[float], *, level: float = LEVEL, steps: int = DRAWN
) -> list[list[float]]:
    """``fpr_at_tpr_interval`` at each TPR: a pointwise band of the ROC, of the kind of Tong, Feng and Li's NP-ROC band.

    At any one TPR it holds the FPR with probability ``level``; that it holds the whole curve is less likely.

    Args:
        labels: (n + m,) 0 or 1.
        scores: (n + m,) finite.
        tprs: each in (0, 1].
        level: of each interval.
        steps: halvings of [0, 1] that find an end; 14 find it to 6e-5, enough for a picture.
    """
    from scipy.stats import binom

    labels, scores = checked(labels, scores)
    if not all(0 < tpr <= 1 for tpr in tprs):
        raise ValueError(f"a target TPR must be in (0, 1], got {', '.join(map(str, tprs))}")
    positives, negatives = (np.sort(scores[labels == side]) for side in (1, 0))
    n, m = len(positives), len(negatives)
    ends = np.concatenate([[-math.inf], positives, [math.inf]])
    alarms = m - np.searchsorted(negatives, ends, side="left")
    tail = (1 - level) / 2
    found = []
    for tpr in tprs:
        chance = binom.pmf(np.arange(n + 1), n, 1 - tpr)
        (below,) = np.nonzero(chance > 1e-12)
        weights = chance[below] / chance[below].sum()
        fewest, most = alarms[below + 1], alarms[below]
        low = _mixture_quantile(weights, fewest, m - fewest + 1, tail, steps)
        found.append([low, _mixture_quantile(weights, most + 1, m - most, 1 - tail, steps)])
    return found


def auc_interval(
    labels: NDArray[np.int64], scores: Array, *, generator: np.random.Generator, draws: int = DRAWS
) -> list[float]:
    """Interval of the AUC, for any two distributions: samples of each class are weighted at random.

    The n positives have weights from Dirichlet(1, ..., 1), the negatives likewise; the weighted AUC is the sum over
    pairs of both weights, ties one half. For the lower end each class has one more sample, with weight 1/2 in the
    Dirichlet's parameters and in the worst place, below or above all others; for the upper end in the best. So the
    interval does not shrink to a point where every pair is in order, and covers where a few hard positives are
    rarely drawn. With weight 1 and one class it is Gaffke's interval of a bounded mean, and for counts Clopper-Pearson;
    with weight 1/2 it is less conservative, as the mid-p interval is.

    Args:
        labels: (n + m,) 0 or 1.
        scores: (n + m,) finite.
        generator: the random stream.
        draws: number of draws.

    Reference: Gaffke, Statistics 39 (2005); Learned-Miller and Thomas, arXiv 1905.06208.
    """
    labels, scores = checked(labels, scores)
    positives, negatives = scores[labels == 1], np.sort(scores[labels == 0])
    left, right = (np.searchsorted(negatives, positives, side=side) for side in ("left", "right"))
    lows, highs = [], []
    for start in range(0, draws, 50):
        rows = min(50, draws - start)
        heavy, light = (generator.standard_exponential((rows, len(part))) for part in (positives, negatives))
        extra = generator.gamma(EXTRA, size=(rows, 2))
        below = np.zeros((rows, len(negatives) + 1))
        np.cumsum(light, axis=1, out=below[:, 1:])
        ordered = (heavy * (below[:, left] + below[:, right])).sum(axis=1) / 2
        heavies, lights = heavy.sum(axis=1), light.sum(axis=1)
        whole = (heavies + extra[:, 0]) * (lights + extra[:, 1])
        lows.append(ordered / whole)
        highs.append((ordered + whole - heavies * lights) / whole)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(lows), tail), np.quantile(np.concatenate(highs), 1 - tail)
    return [float(low), min(1.0, float(high))]


def _mixture_quantile(
    weights: Array, first: NDArray[np.int64], second: NDArray[np.int64], level: float, steps: int
) -> float:
    """Quantile of a mixture of Beta(first, second); all of it lies at 0 where ``first`` is 0, at 1 where ``second``."""
    from scipy.special import betainc

    proper = (first > 0) & (second > 0)
    at_zero, a, b, mixed = weights[first <= 0].sum(), first[proper], second[proper], weights[proper]
    if at_zero >= level:
        return 0.0
    if at_zero + mixed.sum() < level:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if at_zero + mixed @ betainc(a, b, middle) >= level else (middle, high)
    return (low + high) / 2
