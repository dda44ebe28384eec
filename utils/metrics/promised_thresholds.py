"""Thresholds that promise a rate on new samples.

Legend: n calibration samples of one class, S sorted scores, alpha = 1 - wanted TPR, d allowed probability of a miss.
A sample is classified as positive where score >= threshold. A promise holds for any distribution of the scores, ties
included, as long as the calibration samples and those to come are exchangeable and the calibration samples were used
for nothing else: not for training, and not for choosing the epoch, the step size or the row. ``compared`` corrects for
a choice among that many models (a union bound).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .roc import Array

USUAL_RISK = 0.05
TINY = 1e-300  # a probability that no union bound makes smaller


@dataclass(frozen=True)
class Promise:
    """A TPR in (0, 1) that the threshold is to reach, and the probability in (0, 1) with which it may miss it."""

    tpr: float
    risk: float

    def __post_init__(self) -> None:
        for name, value in (("TPR", self.tpr), ("probability", self.risk)):
            if not 0 < value < 1:
                raise ValueError(f"the {name} of a promise must lie between 0 and 1, got {value}")


def allowed_misses(n: int, rate: float, risk: float) -> int | None:
    """k = max{k : P(Bin(n, rate) <= k) <= risk}: the number of n samples that may lie beyond the threshold.

    None if not even k = 0 is allowed, (1 - rate)^n > risk.

    Raises:
        ValueError: the rate is not in (0, 1], or the risk not in (0, 1), such as a percentage.

    >>> [allowed_misses(n, 0.05, 0.05) for n in (58, 59, 92, 93)]    # 0.95^58 = 0.0510, 0.95^59 = 0.0485
    [None, 0, 0, 1]
    """
    from scipy.special import bdtr  # imported late, here and below: it takes as long as the first steps of a run

    _check(rate, risk)
    if n < 1 or bdtr(0, n, rate) > risk:
        return None
    low, high = 0, n  # P(Bin <= low) <= risk < P(Bin <= high) = 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bdtr(middle, n, rate) <= risk else (low, middle)
    return low


def samples_needed(rate: float, risk: float) -> int:
    """The smallest n for which ``allowed_misses`` is not None: log(risk) / log(1 - rate), rounded up.

    Raises:
        ValueError: as ``allowed_misses``.

    >>> [samples_needed(1 - tpr, 0.05) for tpr in (0.98, 0.95, 0.90)]
    [149, 59, 29]
    """
    from scipy.special import bdtr

    _check(rate, risk)
    n = max(1, math.floor(math.log(risk) / math.log1p(-rate)) - 1) if rate < 1 else 1
    while bdtr(0, n, rate) > risk:
        n += 1
    return n


def _check(rate: float, risk: float) -> None:
    if not 0 < rate <= 1 or not 0 < risk < 1:
        raise ValueError(f"a promise needs a rate in (0, 1] and a risk in (0, 1), got {rate:g} and {risk:g}")


def np_threshold(positives: Array, promise: Promise, *, compared: float = 1) -> float | None:
    """The highest order statistic t with P(TPR of t < promise.tpr) <= promise.risk; None of too few positives.

    With S_1 <= ... <= S_n the scores of the positives and k = ``allowed_misses(n, 1 - tpr, risk / compared)``,
    t = S_(k+1). The TPR of t is below 1 - alpha only if t lies above the alpha quantile of the scores, that is if at
    most k of the n positives lie at or below that quantile: with probability P(Bin(n, p) <= k) for some p >= alpha,
    which is at most P(Bin(n, alpha) <= k) <= risk.

    The authors' package (nproc) bounds the error of class 0, whose samples lie low. Of its n scores, ascending, it
    takes that of the smallest order r with  v(r) = sum_{j=r}^{n} C(n, j) (1 - alpha)^j alpha^(n-j) <= d,  the
    probability that at least r of them lie below the 1 - alpha quantile. Our positives are that class with scores -s:
    order r of -s is order n - r + 1 of s, so k = n - r; with i = n - j,  v(r) = sum_{i=0}^{k} C(n, i) alpha^i
    (1 - alpha)^(n-i) = P(Bin(n, alpha) <= k),  and the smallest r is the largest k. At n = 59, alpha = d = .05:
    v(59) = .95^59 = .0485, v(58) = .0485 + 59 * .05 * .95^58 = .199; so r = 59, k = 0.

    Args:
        positives: (n,) scores of the positives alone of the calibration set: ``scores[labels == 1]``. Score them as new
            samples will be scored, at the same precision.
        promise: the TPR, and the probability of missing it.
        compared: among how many models the scored one was chosen by the same positives.

    Raises:
        ValueError: the scores are not of shape (n,), or not finite.

    Reference: Tong, Feng, Li, "Neyman-Pearson classification algorithms and NP receiver operating characteristics",
    Science Advances 4 (2018).

    >>> np_threshold(np.arange(59.0), Promise(0.95, 0.05)), np_threshold(np.arange(58.0), Promise(0.95, 0.05))
    (0.0, None)
    """
    ordered = _ascending(positives)
    k = allowed_misses(len(ordered), 1 - promise.tpr, max(promise.risk / compared, TINY))
    return None if k is None else float(ordered[k])


def _ascending(scores: Array) -> Array:
    """(n,) the scores of one class in ascending order, after a check."""
    if scores.ndim != 1:
        raise ValueError(f"scores of one class must have the shape (n,), got {tuple(scores.shape)}")
    ordered = np.sort(scores)
    if not np.isfinite(ordered).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(ordered)).sum())} that are not")
    return ordered


def crc_threshold(positives: Array, tpr: float) -> float | None:
    """The threshold whose TPR is at least ``tpr`` on average over calibration sets; None of too few positives.

    t = S_(k+1), k = floor(alpha (n + 1)) - 1, from conformal risk control of the loss 1(s < t): the mean loss may be at
    most alpha - (1 - alpha) / n. It needs n >= 1 / alpha - 1 positives: 49, 19, 9 for .98, .95, .90. A single
    calibration may well lie below.

    Reference: Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal risk control", ICLR 2024, arXiv 2208.02814.

    >>> crc_threshold(np.arange(49.0), 0.98), crc_threshold(np.arange(48.0), 0.98), crc_threshold(np.arange(39.0), 0.95)
    (0.0, None, 1.0)
    """
    _check(tpr, USUAL_RISK)
    k = math.floor((1 - tpr) * (len(positives) + 1) + 1e-9) - 1  # 0.02 * 50 is 0.99999...
    ordered = _ascending(positives)
    return float(ordered[k]) if k >= 0 else None


def fpr_promise_threshold(negatives: Array, fpr: float, risk: float) -> float | None:
    """The lowest threshold t with P(FPR of t > fpr) <= risk, from the scores of n negatives; None of too few.

    Just above the (k+1)-th largest score, k = ``allowed_misses(n, fpr, risk)``: the mirror image of ``np_threshold``.

    >>> fpr_promise_threshold(np.arange(59.0), 0.05, 0.05) == math.nextafter(58.0, math.inf)
    True
    """
    ordered = _ascending(negatives)
    k = allowed_misses(len(ordered), fpr, risk)
    return None if k is None else float(np.nextafter(ordered[-1 - k], math.inf))  # in the precision of the scores


@dataclass(frozen=True)
class TwoThresholds:
    """Rule out below ``low``, rule in at or above ``high``, refer what lies between; low <= high."""

    low: float
    high: float


def two_thresholds(positives: Array, negatives: Array, *, tpr: float, fpr: float, risk: float) -> TwoThresholds | None:
    """Two thresholds with  P(TPR of low < tpr or FPR of high > fpr) <= risk, half of it for each; None of too few.

    Where the threshold for the FPR lies below that for the TPR, one threshold keeps both, and nothing is referred.

    Reference: Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test", arXiv 2110.01052 (a test for each of two
    risks at half the level).

    >>> two_thresholds(np.arange(50.0, 150.0), np.arange(100.0), tpr=0.9, fpr=0.1, risk=0.1)    # 4 may lie beyond
    TwoThresholds(low=54.0, high=95.00000000000001)
    """
    low = np_threshold(positives, Promise(tpr, risk / 2))
    high = fpr_promise_threshold(negatives, fpr, risk / 2)
    return None if low is None or high is None else TwoThresholds(low, max(low, high))


def positives_for_claim(tpr: float, risk: float, seen_tpr: float) -> int:
    """How many test positives a claim "the TPR is at least ``tpr``" needs at level 1 - risk, if ``seen_tpr`` are found.

    The smallest n with  P(Bin(n, 1 - tpr) <= n - ceil(n seen_tpr)) <= risk.

    Raises:
        ValueError: ``seen_tpr`` is not above ``tpr``.

    >>> positives_for_claim(0.98, 0.05, 1.0), positives_for_claim(0.95, 0.05, 0.98)
    (149, 93)
    """
    from scipy.special import bdtr

    if not tpr < seen_tpr <= 1:
        raise ValueError(f"a claim of a TPR of {tpr:g} needs a higher one to be seen, got {seen_tpr:g}")
    n = samples_needed(1 - tpr, risk)
    while bdtr(n - math.ceil(n * seen_tpr - 1e-9), n, 1 - tpr) > risk:
        n += 1
    return n
