"""How wide an interval will be with another number of positives. Computed for the case that its docstring names.

Legend: n planned positives, m negatives of the set at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .intervals import clopper_pearson, roc_band
from .roc import Array, checked

SIZES = (30, 60, 150, 200, 500, 1000)  # positives


def planned_tpr_interval(n: int, tpr: float) -> list[float]:
    """The Clopper-Pearson interval of the TPR at a threshold if floor(n tpr + 1/2) of n positives are found.

    >>> [round(end, 4) for end in planned_tpr_interval(100, 0.98)]    # 98 of 100
    [0.9296, 0.9976]
    """
    if n < 1 or not 0 <= tpr <= 1:
        raise ValueError(f"a plan needs n >= 1 positives and a TPR in [0, 1], got {n} and {tpr}")
    return clopper_pearson(math.floor(n * tpr + 0.5 + 1e-9), n)


def planned_fpr_intervals(labels: NDArray[np.int64], scores: Array, tprs: Sequence[float], n: int) -> list[list[float]]:
    """``roc_band`` at each TPR of n positives that lie as those of this set do, beside the same m negatives.

    The n positives are the quantiles (i - 1/2) / n, i = 1 ... n, of the scores of the positives at hand, so that with
    as many as there are the intervals are those of the set itself. What lies beyond the highest and the lowest of them
    is not known: for many more positives than there are, the intervals are a guess.

    Args:
        labels: (P + m,) 0 or 1.
        scores: (P + m,) finite.
        tprs: each in (0, 1].
        n: planned positives, >= 1.
    """
    if n < 1:
        raise ValueError(f"a plan needs n >= 1 positives, got {n}")
    labels, scores = checked(labels, scores)
    shares = (np.arange(n) + 0.5) / n
    positives = np.quantile(scores[labels == 1], shares, method="inverted_cdf")
    negatives = scores[labels == 0]
    planned = np.repeat([1, 0], [n, len(negatives)])
    return roc_band(planned, np.concatenate([positives, negatives]), tprs)
