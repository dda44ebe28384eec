"""Whether sigma(score) is a probability: the temperature that brings it closest to one, and the error it has. Pure.

Both speak of the class mix of the set that they are read on. A model trained at 1:100 gives, at its best, the posterior
under that prior. On a set with as many positives as negatives those probabilities are too low: the calibration error
says so, and a temperature cannot mend it, because it moves no score across 0. Of a score that is no log-odds (a cosine,
a ranking score) they only say how far sigma(score) is from a probability, which it was not meant to be.
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
    """What the scores are to be divided by; ``at_bound`` if it is the end of the search and not a minimum."""

    value: float
    at_bound: bool


def fitted_temperature(labels: NDArray[np.int64], scores: Array) -> Temperature:
    """Temperature scaling: the T > 0 with the least  mean over the samples of  -log sigma(y s / T),  y = +-1.

    The mean is convex in 1/T, so that there is one T at most. There is none for scores whose signs are the labels (the
    smaller T the better), nor where the mean of y s is not above 0 (the larger the better): then it is 1e-6 or 1e6, the
    ends of the search. T changes no ranking, and so neither AUC nor an FPR at a TPR.

    Args:
        labels: (n,) 0 or 1, both there; of a validation set.
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
    from scipy.optimize import brentq  # scikit-learn stands on scipy
    from scipy.special import expit

    labels, scores = checked(labels, scores)
    scale = float(np.abs(scores).max()) or 1.0  # no power of e overflows, however large the scores
    margins = np.where(labels == 1, scores, -scores) / scale

    def slope(log_temperature: float) -> float:
        """Of the mean, against scale / T: it grows with that, and is 0 at the minimum."""
        steepness = math.exp(min(math.log(scale) - log_temperature, LARGEST_EXPONENT))
        return -float(np.mean(margins * expit(-steepness * margins)))

    low, high = math.log(LEAST), math.log(MOST)
    if slope(high) >= 0:
        return Temperature(MOST, at_bound=True)
    if slope(low) <= 0:
        return Temperature(LEAST, at_bound=True)
    return Temperature(math.exp(brentq(slope, low, high)), at_bound=False)


def calibration_error(
    labels: NDArray[np.int64], scores: Array, *, temperature: float = 1.0, bins: int = BINS
) -> float:
    """Expected calibration error of the probability of the positive class, p = sigma(score / temperature), in [0, 1].

    sum over the bins of  n_b / n * |share of positives in the bin - mean of p in the bin|

    The bins are equally wide: [0, 1/bins], (1/bins, 2/bins], ... Guo et al. 2017 bin the probability of the class that
    is called, which of two classes is max(p, 1 - p), and where a p that is too low can cancel one that is too high.

    Args:
        labels: (n,) 0 or 1, both there.
        scores: (n,) finite.
        temperature: see ``fitted_temperature``; > 0.
        bins: how many, at least 1.

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
