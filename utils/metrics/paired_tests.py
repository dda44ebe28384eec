"""Two classifiers on the same samples; several p values together.

Legend: n samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from .groups import Groups
from .roc import Array

NOISE = 5e-13  # differences are known to 1e-12: magnitudes that lie closer together than this are equal


def without_noise(differences: Sequence[float] | Array) -> Array:
    """``differences`` whose magnitudes are equal, or 0, where they agree to 1e-12.

    Rates in units of 1/N have differences that are equal but for the last bit, which would break every tie. Rounding to
    a grid of 1e-12 would not do: where N is a multiple of 2^13, k/N lies exactly between two of its points.

    >>> without_noise([0.3 - 0.2, 0.2 - 0.3, 0.1, 0.3 - (0.1 + 0.2)]).round(3).tolist()
    [0.1, -0.1, 0.1, -0.0]
    >>> len(set(abs(without_noise([0.3 - 0.2, 0.2 - 0.3, 0.1]))))
    1
    """
    values = np.asarray(differences, dtype=np.float64)
    sizes = np.concatenate([[0.0], np.abs(values)])
    order = sizes.argsort(kind="stable")
    ascending = sizes[order]
    starts = np.concatenate([[True], np.diff(ascending) > NOISE])
    sizes[order] = ascending[starts][starts.cumsum() - 1]
    equal: Array = np.copysign(sizes[1:], values)
    return equal


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test, from the samples that only one of two classifiers gets wrong.

    >>> mcnemar(0, 3)
    0.25
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def mcnemar_by_groups(only_first: NDArray[np.bool_], only_second: NDArray[np.bool_], groups: Groups) -> float:
    """``mcnemar`` with each group as one: the classifier that is wrong alone more often in it has lost it.

    Exact if, without a difference, the two classifiers could change places in each group on its own.

    Args:
        only_first: (n,) the samples that the first classifier alone gets wrong.
        only_second: (n,) likewise.
        groups: (n,) the number of the group of each sample.

    >>> lost, other = np.array([1, 1, 0, 0, 0, 1], dtype=bool), np.array([0, 0, 1, 0, 0, 0], dtype=bool)
    >>> mcnemar_by_groups(lost, other, np.array([0, 0, 0, 1, 1, 2]))    # 2 groups to 0
    0.5
    """
    net = np.zeros(int(groups.max(initial=0)) + 1, dtype=np.int64)
    np.add.at(net, groups, only_first.astype(np.int64) - only_second.astype(np.int64))
    return mcnemar(int((net > 0).sum()), int((net < 0).sum()))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm 1979); None stays None and does not count.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    present = sorted((value, position) for position, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, position) in enumerate(present):
        largest = min(1.0, max(largest, (len(present) - rank) * value))
        corrected[position] = largest
    return corrected
