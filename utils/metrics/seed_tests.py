"""Is one way of training better than another? Chance comes from the training (seeds) and from the test images.

Legend: S seeds that both rows have, R bootstrap resamples of the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtr
from scipy.stats import t as student

from .roc import Array

LEVEL = 0.95
MOST_SEEDS = 10_000  # that ``SeedTest.seeds_needed`` looks at
DECIMALS = 12  # differences are rounded to it: below lies the noise of float64
SMALLEST = 1e-24  # variance that is not of that noise
SHARE = 0.75  # of the probability that the sum of both chances is exceeded
NODES = np.linspace(-9, 9, 361)  # of a standard normal
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


@dataclass(frozen=True)
class SeedTest:
    """Test of "no difference" in the mean over new seeds and new images, paired by seed.

        SE^2 = SD^2 / S + V
        p = max(2 P(t_f > |mean| / SE),  3/4 P(|V^(1/2) Z + (SD / S^(1/2)) t_(S-1)| > |mean|)),
        f = (S - 1) SE^2 / (SD^2 / S)

    SD is that of the S differences, n - 1; V is the variance of what the images have in common for all seeds; Z is
    standard normal. Without V both laws are the paired t test.

    The first law alone keeps its level at .05: with t_(S-1) it would fall to 0 as the share of the images grows, with
    the square of Welch and Satterthwaite it would rise to .08. But of few seeds the SD is small by chance now and then,
    and f is large just then: of three seeds it rejects six times too often at .05/40, where a page of 40 comparisons
    needs its level. The second law (Behrens and Fisher, with one variance known) holds there, and alone rejects too
    seldom, .024 of nulls at .05. Their maximum rejects .03 to .06 at .05 from three seeds on, and at most 1.5 times as
    often as it says down to .05/40, of two seeds too (``studies/coverage.py``).

    ``p``, ``low`` and ``high`` are None of one seed, and where nothing varies: nothing is known then of chance.

    Attributes:
        difference: the mean over the seeds.
        seeds: S.
        of_seeds: SD^2 / S; None of one seed.
        of_images: V; None of one seed.
    """

    difference: float
    seeds: int
    of_seeds: float | None
    of_images: float | None

    @property
    def p(self) -> float | None:
        """Two-sided; 1 if all differences are 0."""
        if self.of_seeds is None or self.of_images is None:
            return None
        if not self._varies:
            return 1.0 if self.difference == 0 else None
        return _p(self.difference, self.seeds, self.of_seeds, self.of_images)

    @property
    def low(self) -> float | None:
        """The lower end of the interval of level .95: all differences that the test does not reject at .05."""
        half = self._half
        return None if half is None else self.difference - half

    @property
    def high(self) -> float | None:
        """The upper end."""
        half = self._half
        return None if half is None else self.difference + half

    @property
    def _varies(self) -> bool:
        return (self.of_seeds or 0.0) + (self.of_images or 0.0) >= SMALLEST

    @property
    def _half(self) -> float | None:
        """Half the width of the interval."""
        if self.of_seeds is None or self.of_images is None:
            return None
        if not self._varies:
            return 0.0 if self.difference == 0 else None
        of_seeds, of_images = self.of_seeds, self.of_images
        error = math.sqrt(of_seeds + of_images)
        enough = 2 * error * float(student.ppf((3 + LEVEL) / 4, self.seeds - 1))  # neither part exceeds half of it
        return float(brentq(lambda half: _p(half, self.seeds, of_seeds, of_images) - (1 - LEVEL), error / 2, enough))

    def seeds_needed(self, *, risk: float) -> int | None:
        """The least number of seeds with p < ``risk`` if mean, SD and V stay as they are.

        Args:
            risk: the p to stay below; with a correction for k comparisons, the level divided by k.

        Returns:
            None if no number of seeds is enough: the difference is 0, or the images alone explain it.

        >>> pair = seed_test(np.array([0.1, 0.2, 0.3]), resampled=np.zeros((2, 3)))    # t = 2 sqrt(S)
        >>> pair.seeds_needed(risk=0.05)    # 4 > t_(.975, 3) = 3.182; 3.464 < t_(.975, 2) = 4.303
        4
        """
        if self.of_seeds is None or self.of_images is None:
            raise ValueError("one seed does not say how many are needed: at least 2")
        if not self._varies:
            return None
        squared, of_images = self.of_seeds * self.seeds, self.of_images

        def enough(count: int) -> bool:
            return _p(self.difference, count, squared / count, of_images) < risk

        if not enough(MOST_SEEDS):
            return None
        low, high = 1, MOST_SEEDS  # one is never enough
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high


def seed_test(differences: Array, *, resampled: Array) -> SeedTest:
    """The test of the differences of S seeds.

    The bootstrap's variance of the mean difference is V + W/S, the mean of those of the single differences is V + W,
    where W is the part of the images' chance that differs from seed to seed and is in SD already:
    V = (S var(mean) - mean(var)) / (S - 1), at least 0.

    Args:
        differences: (S,) second row minus first, in the metric's units.
        resampled: (R, S) the same differences on resampled images, each row on the same images for all seeds.

    >>> round(seed_test(np.array([0.1, 0.2, 0.3]), resampled=np.zeros((2, 3))).p, 4)    # t = 3.4641, 2 degrees
    0.0742
    """
    differences = _rounded(differences)
    seeds, mean = len(differences), float(np.mean(differences))
    if seeds < 2:
        return SeedTest(mean, seeds, None, None)
    of_seeds = float(np.var(differences, ddof=1)) / seeds
    return SeedTest(mean, seeds, of_seeds, _shared_variance(np.asarray(resampled, dtype=np.float64)))


def _p(mean: float, seeds: int, of_seeds: float, of_images: float) -> float:
    """p of ``SeedTest`` for a mean whose two variances are not both 0."""
    mean, error = abs(mean), math.sqrt(of_seeds + of_images)
    if not of_seeds:
        return float(2 * ndtr(-mean / error))
    one = 2 * stdtr((seeds - 1) * (1 + of_images / of_seeds), -mean / error)
    images, own = math.sqrt(of_images) * NODES, math.sqrt(of_seeds)
    beyond = stdtr(seeds - 1, (images - mean) / own) + stdtr(seeds - 1, -(images + mean) / own)
    return float(max(one, SHARE * (WEIGHTS @ beyond)))


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
