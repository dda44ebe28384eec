"""The contract of a learner, and the check of its input.

Shapes: n samples, d features, P positives (y = 1), N negatives (y = 0).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Learner(Protocol):
    """A function that fits a linear score: features @ weights + bias."""

    def __call__(
        self, features: Array, labels: NDArray[np.int64], *, generator: np.random.Generator
    ) -> tuple[Array, float]:
        """Fit to the training samples.

        Args:
            features: (n, d) finite numbers, float64.
            labels: (n,) 0 or 1; both must occur.
            generator: the only source of randomness.

        Returns:
            (d,) weights and the bias.

        Raises:
            ValueError: see ``class_counts``.
        """
        ...


def class_counts(features: Array, labels: NDArray[np.int64]) -> tuple[int, int]:
    """(N, P).

    Raises:
        ValueError: the shapes do not match, a label is neither 0 nor 1, a class is missing, or a feature is not finite.
    """
    if features.ndim != 2 or labels.shape != (len(features),):
        raise ValueError(f"features must be (n, d) and labels (n,), got {features.shape} and {labels.shape}")
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives + negatives < len(labels) or not (positives and negatives):
        raise ValueError(f"labels must hold both 0 and 1 and nothing else, got {np.unique(labels).tolist()}")
    if not np.isfinite(features).all():
        raise ValueError(f"features must be finite, got {int((~np.isfinite(features)).sum())} that are not")
    return negatives, positives
