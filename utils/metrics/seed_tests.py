"""Is one way of training better than another? Chance comes from the training (seeds) and from the test images.

Legend: S seeds that both rows have, R bootstrap resamples of the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from .roc import Array

LEVEL = 0.95
MOST_SEEDS = 10_000  # that ``seeds_needed`` looks at
DECIMALS = 12  # differences are rounded to it: below lies the noise of float64


@dataclass(frozen=True)
class SeedTest:
    """Mean difference over the seeds, its standard error, degrees of freedom, 95 % interval and two-sided p.

    ``p``, ``low`` and ``high`` are None of one seed: nothing is known then of the chance in training.
    """

    difference: float
    standard_error: float | None
    freedom: float | None
    low: float | None
    high: float | None
    p: float | None


def seed_test(differences: Array, *, resampled: Array) -> SeedTest:
    """Test of "no difference" in the mean over new seeds and new images, paired by seed.

        SE^2 = SD^2 / S + V,    freedom = (S - 1) SE^2 / (SD^2 / S),    p = 2 P(t_freedom > |mean| / SE)

    SD is that of the S differences, n - 1. V is the variance of what the images have in common for all seeds. The
    bootstrap's variance of the mean difference is V + W/S, the mean of those of the single differences is V + W, where
    W is the part of the images' chance that differs from seed to seed and is in SD already:
    V = (S var(mean) - mean(var)) / (S - 1), at least 0.

    Without V it is the paired t test. The first power of SE^2 / (SD^2 / S) in the degrees of freedom, and not the
    square of Welch and Satterthwaite, keeps the rejection under the null between .03 and .07 from three seeds on,
    whatever share the images have (``studies/coverage.py``); with t_(S-1) it falls to 0, with the square it rises to
    .08.

    Args:
        differences: (S,) second row minus first, in the metric's units.
        resampled: (R, S) the same differences on resampled images, each row on the same images for all seeds.

    >>> round(seed_test(np.array([0.1, 0.2, 0.3]), resampled=np.zeros((2, 3))).p, 4)    # t = 3.4641, 2 degrees
    0.0742
    """
    differences = _rounded(differences)
    seeds, mean = len(differences), float(np.mean(differences))
    if seeds < 2:
        return SeedTest(mean, None, None, None, None, None)
    of_seeds = float(np.var(differences, ddof=1)) / seeds
    of_images = _shared_variance(np.asarray(resampled, dtype=np.float64))
    error = math.sqrt(of_seeds + of_images)
    if error < 10**-DECIMALS:
        return SeedTest(mean, 0.0, seeds - 1.0, mean, mean, 1.0 if mean == 0 else 0.0)
    freedom = (seeds - 1) * (1 + of_images / of_seeds) if of_seeds else math.inf
    width = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * student.sf(abs(mean) / error, freedom))
    return SeedTest(mean, error, freedom, mean - width, mean + width, p)


def seeds_needed(test: SeedTest, *, seeds: int, risk: float) -> int | None:
    """The least number of seeds with p < ``risk`` if mean, SD and V of ``seed_test`` stay as they are.

    Args:
        test: of ``seeds`` seeds.
        seeds: S, at least 2.
        risk: the p to stay below; with a correction for k comparisons, the level divided by k.

    Returns:
        None if no number of seeds is enough: the difference is 0, or the images alone explain it.

    >>> pair = seed_test(np.array([0.1, 0.2, 0.3]), resampled=np.zeros((2, 3)))    # t = 2 sqrt(S)
    >>> seeds_needed(pair, seeds=3, risk=0.05)    # 4 > t_(.975, 3) = 3.182; 3.464 < t_(.975, 2) = 4.303
    4
    """
    if test.standard_error is None or test.freedom is None:
        raise ValueError("one seed does not say how many are needed: at least 2")
    mean, squared = abs(test.difference), test.standard_error**2
    of_images = squared * (1 - (seeds - 1) / test.freedom)
    own = max(0.0, squared - of_images) * seeds  # SD^2

    def enough(count: int) -> bool:
        error = math.sqrt(own / count + of_images)
        freedom = (count - 1) * (1 + of_images * count / own) if own else math.inf
        return mean > 0 and (error == 0 or 2 * float(student.sf(mean / error, freedom)) < risk)

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # one is never enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _rounded(differences: Array) -> Array:
    return np.array([round(float(value), DECIMALS) for value in differences])


def _shared_variance(resampled: Array) -> float:
    """V of ``seed_test``."""
    seeds = resampled.shape[1]
    of_mean, of_each = float(np.var(resampled.mean(axis=1))), float(np.var(resampled, axis=0).mean())
    return float(max(0.0, (seeds * of_mean - of_each) / (seeds - 1)))


def corrected_resampled_t(differences: Array, *, test_share: float) -> float | None:
    """Two-sided p of the t test over K folds whose training sets overlap; None of one fold.

    t = mean / sqrt((1/K + test_share / (1 - test_share)) SD^2) with K - 1 degrees of freedom: the variance of a mean
    over folds is larger than SD^2 / K, by the ratio of the numbers of test and training samples.

    Reference: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52 (2003).

    >>> round(corrected_resampled_t(np.array([0.1, 0.2, 0.3]), test_share=0.25), 4)    # t = 0.2 / sqrt(2/3 * 0.01)
    0.134
    """
    differences = _rounded(differences)
    folds = len(differences)
    if folds < 2:
        return None
    error = math.sqrt((1 / folds + test_share / (1 - test_share)) * float(np.var(differences, ddof=1)))
    mean = float(np.mean(differences))
    if error < 10**-DECIMALS:
        return 1.0 if mean == 0 else 0.0
    return float(2 * student.sf(abs(mean) / error, folds - 1))
