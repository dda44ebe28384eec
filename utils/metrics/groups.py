"""Samples that belong together, such as the images of a patient: the group is the unit that is counted and drawn.

Legend: n samples in G groups, m_g of them in group g.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Groups = NDArray[np.int64]


def numbered(names: Sequence[str] | None) -> Groups | None:
    """(n,) a number from 0 for each name; None without names, or where no two samples share one.

    A sample without a name is a group of its own.

    >>> numbered(["b", "a", "b", "", ""]), numbered(["a", "b"])
    (array([1, 0, 1, 2, 3]), None)
    """
    if names is None:
        return None
    array = np.array(names, dtype=np.str_)
    alone = array == ""
    numbers = np.empty(len(array), dtype=np.int64)
    known, numbers[~alone] = np.unique(array[~alone], return_inverse=True)
    numbers[alone] = len(known) + np.arange(alone.sum())
    return numbers if len(known) + alone.sum() < len(array) else None


def count_groups(groups: Groups) -> int:
    """G, the number of different groups."""
    return len(np.unique(groups))


def effective_number(groups: Groups) -> float:
    """(sum of m_g)^2 / (sum of m_g^2): of how many independent samples a mean over all n is worth at least.

    That is its value where the samples of a group are all alike, the worst case; G where all groups have one size.

    Reference: Kish, "Survey sampling", Wiley 1965 (the effective sample size of weights m_g).

    >>> effective_number(np.array([0, 0, 1, 1])), effective_number(np.array([0, 0, 0, 1]))
    (2.0, 1.6)
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def one_of_each(groups: Groups, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """(G,) the index of one sample of each group, drawn at random; ascending.

    Samples drawn so from exchangeable groups are exchangeable, whatever their number and likeness within a group.
    """
    order = generator.permutation(len(groups))
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])
