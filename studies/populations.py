"""Score distributions whose true AUC and rates are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import expon, norm

Array = NDArray[np.float64]
STEP = 0.5
POPULATIONS = ("normal", "exponential", "ties")


@dataclass(frozen=True)
class Population:
    """Negatives ~ F; positives ~ F moved by ``shift``, or stretched by it if F is exponential.

    ``name``: "normal"; "exponential"; "ties", which is normal rounded to multiples of ``STEP``.
    """

    name: str
    shift: float

    def draw(self, shape: int | tuple[int, ...], *, positive: bool, generator: np.random.Generator) -> Array:
        """Scores of that shape."""
        if self.name == "exponential":
            return generator.exponential(self.shift if positive else 1.0, shape)
        scores = generator.normal(self.shift if positive else 0.0, 1.0, shape)
        return np.round(scores / STEP) * STEP if self.name == "ties" else scores

    def above(self, thresholds: Array | float, *, positive: bool) -> Array:
        """P(score >= threshold) of each threshold: the true rate."""
        if self.name == "exponential":
            return np.asarray(expon.sf(thresholds, scale=self.shift if positive else 1.0))
        edges = np.asarray(thresholds)
        if self.name == "ties":  # a score is rounded to at least t where it lies above t - STEP / 2
            edges = (np.ceil(edges / STEP - 1e-9) - 0.5) * STEP
        return np.asarray(norm.sf(edges - (self.shift if positive else 0.0)))

    def fpr_at(self, tpr: float) -> float:
        """FPR at the highest threshold whose TPR is at least ``tpr``."""
        if self.name == "ties":
            grid = np.arange(-12, 12 + STEP, STEP)
            threshold = grid[self.above(grid, positive=True) >= tpr].max()
        else:
            threshold = brentq(lambda t: float(self.above(t, positive=True)) - tpr, -20, 50)
        return float(self.above(threshold, positive=False))

    def auc(self) -> float:
        """P(positive > negative) + P(equal) / 2."""
        if self.name == "exponential":
            return self.shift / (1 + self.shift)
        if self.name == "normal":
            return float(norm.cdf(self.shift / math.sqrt(2)))
        grid = np.arange(-15, 15 + 2 * STEP, STEP)
        own, other = (-np.diff(self.above(grid, positive=side)) for side in (True, False))
        return float(own @ (np.cumsum(other) - other / 2))


def population(name: str, auc: float) -> Population:
    """The population of that AUC; with ties, that of the scores before rounding."""
    return Population(name, auc / (1 - auc) if name == "exponential" else float(norm.ppf(auc) * math.sqrt(2)))
