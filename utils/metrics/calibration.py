"""How well sigma(score) is calibrated as a probability: temperature scaling and the expected calibration error.

Both hold for the class mix of the set that they are computed on. A well-calibrated model trained at 1:100 gives the
posterior under that prior. On a set with as many positives as negatives those probabilities are too low: the
calibration error shows it, and a temperature cannot correct it, since it moves no score across 0. For a score that is
not a log-odds (a cosine, a ranking score) both only measure how far sigma(score) is from a probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .roc import Array, checked

BINS = 15
LEAST, MOST = 1e-6, 1e6  # temperatures
LARGEST_EXPONENT = 700.0  # of e in a float64


@dataclass(frozen=True)
class Temperature:
    """The divisor of the scores; ``at_bound`` if it is a bound of the search and not a minimum."""

    value: float
    at_bound: bool


def fitted_temperature(labels: NDArray[np.int64], scores: Array) -> Temperature:
    """Temperature scaling: the T > 0 that minimises  mean over the samples of  -log sigma(y s / T),  y = +-1.

    The mean is convex in 1/T, so there is at most one minimum. There is none if the sign of every score is right (the
    smaller T the better) or the mean of y s is not above 0 (the larger the better): then T is 1e-6 or 1e6, a bound of
    the search. T does not change the ranking, and so neither AUC nor the FPR at a TPR.

    Args:
        labels: (n,) 0 or 1, both present; of a validation set.
        scores: (n,) finite.

    Raises:
        ValueError: see ``metrics.roc.roc``.

    Reference: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.

    Three of four samples stand on their side of 0, all by 2: sigma(2 / T) = 3/4 at T = 2 / log 3.

    >>> found = fitted_temperature(np.array([1, 1, 1, 0]), np.array([2.0, 2.0, -2.0, -2.0]))
    >>> round(found.value * math.log(3), 6), found.at_bound
    (2.0, False)
    >>> fitted_temperature(np.array([1, 0]), np.array([0.1, -0.1]))
    Temperature(value=1e-06, at_bound=True)
    """
    from scipy.optimize import brentq  # scikit-learn depends on scipy
    from scipy.special import expit

    labels, scores = checked(labels, scores)
    scale = float(np.abs(scores).max()) or 1.0  # so that no exponential overflows, however large the scores
    margins = np.where(labels == 1, scores, -scores) / scale

    def slope(log_temperature: float) -> float:
        """Derivative of the mean with respect to scale / T; it increases, and is 0 at the minimum."""
        steepness = math.exp(min(math.log(scale) - log_temperature, LARGEST_EXPONENT))
        return -float(np.mean(margins * expit(-steepness * margins)))

    low, high = math.log(LEAST), math.log(MOST)
    if slope(high) >= 0:
        return Temperature(MOST, at_bound=True)
    if slope(low) <= 0:
        return Temperature(LEAST, at_bound=True)
    return Temperature(math.exp(brentq(slope, low, high)), at_bound=False)


def calibration_error(labels: NDArray[np.int64], scores: Array, *, temperature: float = 1.0, bins: int = BINS) -> float:
    """Expected calibration error of the probability of the positive class, p = sigma(score / temperature), in [0, 1].

    sum over the bins of  n_b / n * |share of positives in the bin - mean of p in the bin|

    The bins are equally wide: [0, 1/bins], (1/bins, 2/bins], ... Guo et al. 2017 bin the probability of the predicted
    class, max(p, 1 - p) for two classes, where a p that is too low can cancel one that is too high.

    Args:
        labels: (n,) 0 or 1, both present.
        scores: (n,) finite.
        temperature: see ``fitted_temperature``; > 0.
        bins: number of bins, at least 1.

    Raises:
        ValueError: see ``metrics.roc.roc``; or a temperature or number of bins out of range.

    Reference: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.

    Two samples at p = 3/4, one of them positive, and two at p = 1/2, one of them positive: (1/2)(1/4) + (1/2) 0.

    >>> scores = np.array([math.log(3), math.log(3), 0.0, 0.0])
    >>> round(calibration_error(np.array([1, 0, 1, 0]), scores), 6)
    0.125
    """
    from scipy.special import expit

    labels, scores = checked(labels, scores)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number > 0, got {temperature}")
    if bins < 1:
        raise ValueError(f"bins must be >= 1, got {bins}")
    with np.errstate(over="ignore"):  # sigma of an infinity is 0 or 1
        probabilities = expit(scores / temperature)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    gaps = np.bincount(np.searchsorted(edges, probabilities), weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
