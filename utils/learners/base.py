"""The contract of a learner, and the check of its input.

Shapes: n samples, d features, K classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Learner(Protocol):
    """A function that fits linear scores: one of two classes, features @ weights + bias; else one for each class,
    features @ weights.T + bias, for a softmax.
    """

    def __call__(
        self,
        features: Array,
        labels: NDArray[np.int64],
        *,
        generator: np.random.Generator,
        groups: NDArray[np.int64] | None = None,
    ) -> tuple[Array, float | Array]:
        """Fit to the training samples.

        Args:
            features: (n, d) finite numbers, float64.
            labels: (n,) the classes 0..K-1, K >= 2; each must occur.
            generator: the only source of randomness.
            groups: (n,) the number of the group (patient) of each sample, or None. What is compared within the training
                set must not have a group on two sides.

        Returns:
            K = 2: (d,) weights and the bias of the log-odds of class 1. K > 2: (K, d) weights and (K,) biases.

        Raises:
            ValueError: see ``class_counts``.
        """
        ...


def class_counts(features: Array, labels: NDArray[np.int64]) -> tuple[int, ...]:
    """The number of samples of each class.

    Raises:
        ValueError: the shapes do not match, the labels are not 0..K-1 with K >= 2 and each of them at least once, or a
            feature is not finite.

    >>> class_counts(np.ones((4, 1)), np.array([2, 0, 1, 0]))
    (2, 1, 1)
    """
    if features.ndim != 2 or labels.shape != (len(features),):
        raise ValueError(f"features must be (n, d) and labels (n,), got {features.shape} and {labels.shape}")
    found, counts = np.unique(labels, return_counts=True)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        raise ValueError(f"labels must be 0..K-1, each of two classes or more at least once, got {found[:20].tolist()}")
    if not np.isfinite(features).all():
        raise ValueError(f"features must be finite, got {int((~np.isfinite(features)).sum())} that are not")
    return tuple(counts.tolist())
