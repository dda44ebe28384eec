"""Confidence intervals of AUC and rates on new samples, for one scored set. Their coverage: ``studies/coverage.py``.

Legend: n positives with sorted scores S, m negatives, alpha = 1 - TPR, f(t) = number of negatives with score >= t.

Where samples belong to groups, such as the images of a patient, ``groups`` (n + m,) numbers the group of each. An
interval of rates then takes as many samples as ``groups.effective_number`` gives, with the same rates and order
statistics; that of the AUC draws one weight for each group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .groups import Groups, effective_number
from .roc import Array, checked

LEVEL = 0.95
DRAWS = 1000
EXTRA = 0.5  # weight of the sample that ``auc_interval`` adds to each class
RATIO = 1.25  # the positives, mostly the fewer, decide the width: their part of the joint test is the sharper one
METHODS = {
    "auc_interval": "weighted resampling with half a worst-case sample in each class",
    "fpr_at_tpr_interval": "order statistics and Clopper-Pearson, tested jointly",
    "tpr_interval": "Clopper-Pearson",
    "fpr_interval": "Clopper-Pearson",
}


def methods(groups: Groups | None) -> dict[str, str]:
    """How each interval is made: ``METHODS``, and that they count groups where there are some."""
    return {name: method if groups is None else f"{method}, by groups" for name, method in METHODS.items()}


def clopper_pearson(count: float, n: float, *, level: float = LEVEL) -> list[float]:
    """Exact interval of a probability of which ``count`` of ``n`` independent samples are seen; fractions for groups.

    [the (1-level)/2 quantile of Beta(x, n-x+1), the (1+level)/2 quantile of Beta(x+1, n-x)]; 0 and 1 where x = 0 and n.

    Reference: Clopper and Pearson, Biometrika 26 (1934).

    >>> [round(end, 4) for end in clopper_pearson(0, 100)]    # 1 - 0.025^(1/100)
    [0.0, 0.0362]
    """
    from scipy.special import betaincinv  # imported late, here and below: it takes as long as the first steps of a run

    if not 0 <= count <= n or n < 1:
        raise ValueError(f"an interval needs 0 <= count <= n and n >= 1, got {count} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval must lie between 0 and 1, got {level:g}")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return [low, high]


def rate_interval(called: NDArray[np.bool_], *, groups: Groups | None = None, level: float = LEVEL) -> list[float]:
    """``clopper_pearson`` of the share of samples that are ``called`` (n,), with their effective number.

    Reference: Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24 (1998), with the worst case for the design effect.

    >>> [round(end, 4) for end in rate_interval(np.ones(8, dtype=bool), groups=np.repeat(np.arange(4), 2))]    # 4 of 4
    [0.3976, 1.0]
    """
    if groups is None:
        return clopper_pearson(int(called.sum()), len(called), level=level)
    n = effective_number(groups)
    count = n if called.all() else float(called.mean()) * n
    return clopper_pearson(count, n, level=level)


def fpr_at_tpr_interval(
    labels: NDArray[np.int64], scores: Array, tpr: float, *, groups: Groups | None = None, level: float = LEVEL
) -> list[float]:
    """Interval of the FPR at the highest threshold t* whose TPR is at least ``tpr``, for any two distributions.

    Of n positives, those below t* are Bin(n, p) with p <= alpha, those at or below it Bin(n, p) with p >= alpha. So if
    t* lies in (S_k, S_(k+1)], with S_0 = -inf and S_(n+1) = inf,

        U_k = P(Bin(n, alpha) >= k)    is a p value of "t* is not above S_k",    z_k = max(0, -Phi^-1(U_k)),

    and the alarms at t*, at least f(S_(k+1)) of m, give a p value V of an FPR (Clopper-Pearson) that is independent
    of it, z' = max(0, -Phi^-1(V)). Rejected are the k and FPRs with  (z_k / r)^2 + (z' / (RATIO r))^2 > 1;  by the
    choice of r two independent normal variables are there with probability (1 - level) / 2. What is left:

        q_k  = Phi(-RATIO r sqrt(1 - (z_k / r)^2)),
        low  = min over k with z_k < r of the quantile of Beta(f(S_(k+1)), m - f + 1) at q_k,
        high = max over k with z_k < r of the quantile of Beta(f(S_k) + 1, m - f) at 1 - q_k,

    with U_k = P(Bin(n, alpha) <= k) for the upper end. With too few positives k = 0 is left, and the upper end is 1.

    It covers at least ``level`` for every n, m and distribution, ties and gaps included, and is narrower than a band
    that adds the levels of the two parts. Averaging the Beta quantiles over k (melding) is narrower still, but with a
    step of the ROC beside t* it rejects where U V < .025, which has probability .12.

    Reference: Tong, Feng, Li 2018 of the order statistics; Fay, Proschan, Brittain, "Combining one-sample confidence
    procedures for inference in the two-sample case", Biometrics 71 (2015), of melding.
    """
    (interval,) = roc_band(labels, scores, [tpr], groups=groups, level=level)
    return interval


def roc_band(
    labels: NDArray[np.int64],
    scores: Array,
    tprs: Sequence[float],
    *,
    groups: Groups | None = None,
    level: float = LEVEL,
) -> list[list[float]]:
    """``fpr_at_tpr_interval`` at each TPR: a pointwise band of the ROC, of the kind of Tong, Feng and Li's NP-ROC band.

    At any one TPR it holds the FPR with probability ``level``; that it holds the whole curve is less likely.

    Args:
        labels: (n + m,) 0 or 1.
        scores: (n + m,) finite.
        tprs: each in (0, 1].
        groups: see the module.
        level: of each interval.
    """
    from scipy.special import betaincinv

    labels, scores = checked(labels, scores)
    if not all(0 < tpr <= 1 for tpr in tprs):
        raise ValueError(f"a target TPR must be in (0, 1], got {', '.join(map(str, tprs))}")
    positives, negatives = (np.sort(scores[labels == side]) for side in (1, 0))
    n, m = float(len(positives)), float(len(negatives))
    if groups is not None:
        n, m = (effective_number(groups[labels == side]) for side in (1, 0))
    ends = np.concatenate([[-math.inf], positives, [math.inf]])
    alarms = (len(negatives) - np.searchsorted(negatives, ends, side="left")) * (m / len(negatives))
    found = []
    for tpr in tprs:
        above, below = _tails(math.floor(n + 1e-9), 1 - tpr, (1 - level) / 2)
        # the k-th of n stands for the (k share)-th of all positives
        share = len(positives) / math.floor(n + 1e-9)
        fewest = alarms[np.ceil((above.index + 1) * share - 1e-9).astype(np.int64).clip(max=len(positives) + 1)]
        most = alarms[np.floor(below.index * share + 1e-9).astype(np.int64)]
        lows = np.where(fewest > 0, betaincinv(np.maximum(fewest, 1), m - fewest + 1, above.tail), 0.0)
        highs = np.where(most < m, betaincinv(most + 1, np.maximum(m - most, 1), 1 - below.tail), 1.0)
        found.append([float(lows.min()), float(highs.max())])
    return found


def auc_interval(
    labels: NDArray[np.int64],
    scores: Array,
    *,
    generator: np.random.Generator,
    draws: int = DRAWS,
    groups: Groups | None = None,
) -> list[float]:
    """Interval of the AUC, for any two distributions: samples of each class are weighted at random.

    The n positives have weights from Dirichlet(1, ..., 1), the negatives likewise; the weighted AUC is the sum over
    pairs of both weights, ties one half. For the lower end each class has one more sample, with weight 1/2 in the
    Dirichlet's parameters and in the worst place, below or above all others; for the upper end in the best. So the
    interval does not shrink to a point where every pair is in order, and covers where a few hard positives are
    rarely drawn. Samples of one class with none of the other between them are drawn together: their weights' sum is
    Gamma(their number), and nothing else of them counts. With weight 1 and one class it is Gaffke's interval of a
    bounded mean, and for counts Clopper-Pearson; with weight 1/2 it is less conservative, as the mid-p interval is.
    Of groups, each has one weight, Gamma(1), for all its samples of both classes, and the one more of a class is a
    group of the mean size sum of m_g^2 / sum of m_g.

    Args:
        labels: (n + m,) 0 or 1.
        scores: (n + m,) finite.
        generator: the random stream.
        draws: number of draws.
        groups: see the module.

    Reference: Gaffke, Statistics 39 (2005); Learned-Miller and Thomas, arXiv 1905.06208.
    """
    labels, scores = checked(labels, scores)
    weights = _Independent(labels, scores) if groups is None else _Grouped(labels, scores, groups)
    lows, highs = [], []
    for start in range(0, draws, 50):
        rows = min(50, draws - start)
        heavy, light = weights.draw(rows, generator)
        extra = generator.gamma(EXTRA, size=(rows, 2)) * weights.size
        below = np.cumsum(light, axis=1)
        ordered = (heavy * (below - light / 2)).sum(axis=1)
        heavies, lights = heavy.sum(axis=1), below[:, -1]
        whole = (heavies + extra[:, 0]) * (lights + extra[:, 1])
        lows.append(ordered / whole)
        highs.append((ordered + whole - heavies * lights) / whole)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(lows), tail), np.quantile(np.concatenate(highs), 1 - tail)
    return [float(low), min(1.0, float(high))]


class _Independent:
    """Weights of ``auc_interval`` in each run of scores of one class, ascending; a tied score is a run."""

    size: Array = np.ones(2)

    def __init__(self, labels: NDArray[np.int64], scores: Array) -> None:
        distinct, place = np.unique(scores, return_inverse=True)
        counts = [np.bincount(place[labels == side], minlength=len(distinct)) for side in (1, 0)]
        kind = (counts[0] > 0) + 2 * (counts[1] > 0)
        (starts,) = np.nonzero(np.concatenate([[True], (kind[1:] != kind[:-1]) | (kind[1:] == 3)]))
        self._counts = [np.add.reduceat(side, starts).astype(np.float64) for side in counts]

    def draw(self, rows: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """(rows, runs) of the positives and of the negatives."""
        heavy, light = (generator.standard_gamma(part, size=(rows, len(part))) for part in self._counts)
        return heavy, light


class _Grouped:
    """The same with one weight for each group, at each distinct score."""

    def __init__(self, labels: NDArray[np.int64], scores: Array, groups: Groups) -> None:
        order = np.argsort(scores, kind="stable")
        ordered = scores[order]
        (self._starts,) = np.nonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self._group = np.unique(groups, return_inverse=True)[1][order]
        self._positive = labels[order] == 1
        # one more group of each class
        self.size = np.array([(labels == side).sum() / effective_number(groups[labels == side]) for side in (1, 0)])

    def draw(self, rows: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """(rows, distinct scores) of the positives and of the negatives."""
        drawn = generator.standard_exponential(size=(rows, self._group.max() + 1))[:, self._group]
        heavy, light = (
            np.add.reduceat(np.where(side, drawn, 0.0), self._starts, axis=1)
            for side in (self._positive, ~self._positive)
        )
        return heavy, light


@dataclass(frozen=True)
class _Tails:
    """Of ``fpr_at_tpr_interval``: the k that are left, and the tail of the Beta distribution at each."""

    index: NDArray[np.int64]
    tail: Array


@lru_cache
def _tails(n: int, alpha: float, tail: float) -> tuple[_Tails, _Tails]:
    """For the lower end, where few positives lie below t*, and for the upper one."""
    from scipy.special import bdtr, bdtrc, ndtr, ndtri

    radius, k, kept = _radius(tail), np.arange(n + 1), []
    at_least = np.where(k > 0, bdtrc(np.maximum(k - 1, 0), n, alpha), 1.0)
    for p in (at_least, bdtr(k, n, alpha)):
        z = np.maximum(0.0, -ndtri(p))
        (left,) = np.nonzero(z < radius)
        kept.append(_Tails(left, ndtr(-RATIO * radius * np.sqrt(1 - (z[left] / radius) ** 2))))
    return kept[0], kept[1]


@lru_cache
def _radius(tail: float) -> float:
    """r with  P((max(0, Z) / r)^2 + (max(0, Z') / (RATIO r))^2 > 1) = tail  of independent normal Z, Z'.

    Its complement is  Phi(RATIO r) / 2 + integral over z from 0 to r of phi(z) Phi(RATIO sqrt(r^2 - z^2)).
    """
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(100)
    low, high = 0.0, 20.0
    for _ in range(60):
        radius = (low + high) / 2
        z = radius * (nodes + 1) / 2
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        inside = ndtr(RATIO * radius) / 2 + radius / 2 * weights @ (density * ndtr(RATIO * np.sqrt(radius**2 - z**2)))
        low, high = (radius, high) if inside < 1 - tail else (low, radius)
    return high
