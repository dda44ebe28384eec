"""The learner that ignores the features: the baseline that any other must beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Array, class_counts


def fit_featureless(
    features: Array,
    labels: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Array, float | Array]:
    """Give every sample the prior: AUC 1/2, and the error of always predicting the largest class.

        two classes: score = log(P / N);    K > 2: score of class c = log(n_c / n)

    Args:
        features: (n, d); only their shape matters.
        labels: (n,) 0..K-1.
        generator, groups: not used.

    Returns:
        (d,) zeros, and log(P / N); K > 2: (K, d) zeros, and (K,) the logarithm of each class's share.

    Raises:
        ValueError: see ``base.class_counts``.

    >>> weights, bias = fit_featureless(np.ones((4, 2)), np.array([0, 0, 0, 1]), generator=np.random.default_rng(0))
    >>> weights.tolist(), round(bias, 6)    # log(1/3)
    ([0.0, 0.0], -1.098612)
    >>> weights, bias = fit_featureless(np.ones((4, 2)), np.array([0, 0, 1, 2]), generator=np.random.default_rng(0))
    >>> weights.shape, np.exp(bias).round(6).tolist()
    ((3, 2), [0.5, 0.25, 0.25])
    """
    counts = class_counts(features, labels)
    if len(counts) == 2:
        negatives, positives = counts
        return np.zeros(features.shape[1]), math.log(positives / negatives)
    return np.zeros((len(counts), features.shape[1])), np.log(np.array(counts) / len(labels))
