"""The learner that ignores the features: the baseline that any other must beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Array, class_counts


def fit_featureless(
    features: Array, labels: NDArray[np.int64], *, generator: np.random.Generator
) -> tuple[Array, float]:
    """Give every sample the log-odds of the prior: AUC 1/2, and the error of always predicting the majority.

        score = log(P / N)

    Args:
        features: (n, d); only their shape matters.
        labels: (n,) 0 or 1.
        generator: not used.

    Returns:
        (d,) zeros, and log(P / N).

    Raises:
        ValueError: see ``base.class_counts``.

    >>> weights, bias = fit_featureless(np.ones((4, 2)), np.array([0, 0, 0, 1]), generator=np.random.default_rng(0))
    >>> weights.tolist(), round(bias, 6)    # log(1/3)
    ([0.0, 0.0], -1.098612)
    """
    negatives, positives = class_counts(features, labels)
    return np.zeros(features.shape[1]), math.log(positives / negatives)
