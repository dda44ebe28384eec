"""Divide samples so that no group (a patient) is on two sides: from classes and groups to row numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .raw import Int64Array

SIDES = "--negative_classes, --positive_classes"  # the options that choose the classes of two sides
ROUNDING = 1e-12  # sums of squares of shares that differ by less count as equal


def check_groups(sets: Mapping[str, Int64Array], groups: Int64Array | None) -> None:
    """Check that no group has rows in two of the ``sets`` of row numbers.

    Raises:
        AssertionError: one has.
    """
    if groups is None:
        return
    seen: dict[int, str] = {}
    for name, rows in sets.items():
        for group in np.unique(groups[rows]).tolist():
            if group in seen:
                raise AssertionError(f"group {group} is in the {seen[group]} and in the {name} set")
            seen[group] = name


def draw_groups(
    classes: Int64Array,
    groups: Int64Array,
    *,
    sizes: Mapping[int, int],
    what: str,
    stream: np.random.Generator,
    chosen_by: str = SIDES,
) -> Int64Array:
    """Draw whole groups that together have about ``sizes[c]`` rows of each class c.

    The groups come in random order, those of the rarest class first, and each is taken if that brings the shares of the
    classes nearer to the wanted ones, in the sum of squares. Then the single group is taken or given back that brings
    them nearest, again and again until none brings them nearer. Every class gets at least one row and keeps one.

    Args:
        classes: (n,) the class of each row.
        groups: (n,) the group of each row.
        sizes: class -> rows to draw, of every class that occurs.
        what: the set that is drawn, for the error.
        stream: the only source of randomness.
        chosen_by: the options that choose the classes, for the advice of an error.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: a class has rows in one group only.
    """
    found, of_row = np.unique(groups, return_inverse=True)
    names, column = np.unique(classes, return_inverse=True)
    counts = np.zeros((len(found), len(names)), dtype=np.int64)  # (G, K) rows of each class in each group
    np.add.at(counts, (of_row.reshape(-1), column.reshape(-1)), 1)
    total = counts.sum(axis=0)
    wanted = np.array([sizes[c] for c in names.tolist()])
    taken, drawn = np.zeros(len(names), dtype=np.int64), np.zeros(len(found), dtype=np.bool_)

    def distance(rows: npt.NDArray[np.int64]) -> float:
        return float((((rows - wanted) / total) ** 2).sum())

    order = stream.permutation(len(found))
    decided = np.zeros(len(found), dtype=np.bool_)
    for k in np.argsort(total, kind="stable"):
        for g in order[(counts[order, k] > 0) & ~decided[order]].tolist():
            decided[g] = True
            larger = taken + counts[g]
            if (larger < total).all() and distance(larger) < distance(taken):
                taken, drawn[g] = larger, True
        if not taken[k]:  # its smallest group is larger than what is wanted
            left = [g for g in order.tolist() if counts[g, k] and not drawn[g] and (taken + counts[g] < total).all()]
            if not left:
                raise UserError(
                    f"class {names[k]} must have images in two groups or more, so that {what} and training can share"
                    f" them, got {int((counts[:, k] > 0).sum())} of {len(found)} groups; leave the class out"
                    f" ({chosen_by}), or prepare the data with a split of your own"
                )
            best = min(left, key=lambda g: distance(taken + counts[g]))
            taken, drawn[best] = taken + counts[best], True
    while True:
        changed = taken + np.where(drawn[:, None], -counts, counts)  # (G, K) the rows drawn after each single change
        distances = (((changed - wanted) / total) ** 2).sum(axis=1)
        distances[((changed == 0) | (changed == total)).any(axis=1)] = np.inf
        best = int(distances.argmin())
        if not distances[best] < distance(taken) - ROUNDING:
            return np.flatnonzero(drawn[of_row.reshape(-1)])
        taken, drawn[best] = changed[best], not drawn[best]


def folds_of_groups(strata: Int64Array, groups: Int64Array, *, folds: int, stream: np.random.Generator) -> Int64Array:
    """(n,) the fold of each row, from 0: whole groups, so that each fold has about its share of every stratum.

    Groups with the most uneven strata come first, in random order where they are equal; each goes to the fold for which
    the standard deviation of the shares over the folds, summed over the strata, becomes least; of equals to the one
    with the fewest rows.

    Reference: scikit-learn, ``StratifiedGroupKFold``.
    """
    found, of_row = np.unique(groups, return_inverse=True)
    kinds, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(found), len(kinds)))  # (G, K)
    np.add.at(counts, (of_row.reshape(-1), stratum.reshape(-1)), 1)
    shares = counts / counts.sum(axis=0)
    order = stream.permutation(len(found))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    filled, rows = np.zeros((folds, len(kinds))), np.zeros(folds)  # shares and rows of each fold
    fold_of = np.zeros(len(found), dtype=np.int64)
    each = np.arange(folds)
    for g in order.tolist():
        tried = np.repeat(filled[None], folds, axis=0)  # (fold that gets the group, fold, stratum)
        tried[each, each] += shares[g]
        uneven = tried.std(axis=1).sum(axis=1).round(12)
        best = int(np.lexsort((rows, uneven))[0])
        filled[best] += shares[g]
        rows[best] += counts[g].sum()
        fold_of[g] = best
    return fold_of[of_row.reshape(-1)]
