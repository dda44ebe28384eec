"""Samples dealt out to train, validation, calibration and test: stratified by class, groups never on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..data.prepared_files import SPLITS
from ..errors import UserError, one_line

DEFAULT = (60.0, 15.0, 25.0)
Int64Array = npt.NDArray[np.int64]
Texts = npt.NDArray[np.str_]


def names_of(percentages: Sequence[float]) -> tuple[str, ...]:
    """The splits that three or four percentages are for.

    >>> names_of((60, 15, 25))
    ('train', 'validation', 'test')
    """
    return SPLITS if len(percentages) == 4 else tuple(name for name in SPLITS if name != "calibration")


def check_given(splits: Sequence[str], groups: Sequence[str] | None, *, column: str) -> None:
    """Refuse given splits that lack one, or share a group.

    Raises:
        UserError: they do.
    """
    for needed in ("train", "test"):
        if needed not in splits:
            there = ", ".join(sorted(set(splits)))
            raise UserError(f"the splits must hold train and test, got {there}; add one, or prepare one with --split")
    first: dict[str, str] = {}
    for group, split in zip(groups or (), splits, strict=False):
        if first.setdefault(group, split) != split:
            raise UserError(
                f"{column} {one_line(group)} lies in two splits, {first[group]} and {split}; it must be on one side"
            )


def deal(
    labels: Int64Array,
    groups: Sequence[str] | None,
    *,
    classes: Sequence[str],
    percentages: Sequence[float],
    seed: int,
    column: str = "group",
) -> Texts:
    """The split of each sample.

    Without groups each class is cut exactly, to the nearest sample. With groups the largest go first, each to the split
    that then is nearest to its share of every class; before that each split gets the smallest groups that give it a
    sample of each class.

    Args:
        labels: (N,), indices into ``classes``.
        groups: the group of each sample, or None.
        classes: their names.
        percentages: of train, validation, [calibration,] test.
        seed: of the order in which equals are dealt.
        column: what the groups are called.

    Raises:
        UserError: a class has fewer samples, or groups, than there are splits.
    """
    names = names_of(percentages)
    shares = np.array(percentages) / sum(percentages)
    generator = np.random.Generator(np.random.PCG64(seed))
    if groups is None:
        return np.array(names)[_without_groups(labels, shares, generator, classes, names)]
    _, members = np.unique(np.array(groups, dtype=object), return_inverse=True)
    return np.array(names)[_with_groups(labels, members, shares, generator, classes, names, column)[members]]


def _without_groups(
    labels: Int64Array,
    shares: npt.NDArray[np.float64],
    generator: np.random.Generator,
    classes: Sequence[str],
    names: Sequence[str],
) -> Int64Array:
    """The number of the split of each sample."""
    result = np.zeros(len(labels), dtype=np.int64)
    for label, name in enumerate(classes):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) < len(names):
            raise UserError(_too_few(name, len(rows), "samples", names))
        result[rows] = np.repeat(np.arange(len(names)), _counts(len(rows), shares))
    return result


def _counts(total: int, shares: npt.NDArray[np.float64]) -> Int64Array:
    """``total`` cut by ``shares``: largest remainders, at least 1 each.

    >>> _counts(10, np.array([0.6, 0.15, 0.25])).tolist()
    [6, 2, 2]
    """
    exact = total * shares
    counts = np.floor(exact + 1e-9).astype(np.int64)
    for place in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[place] += 1
    while (counts == 0).any():
        counts[np.argmax(counts)] -= 1
        counts[np.argmin(counts)] += 1
    return counts


def _with_groups(
    labels: Int64Array,
    members: Int64Array,
    shares: npt.NDArray[np.float64],
    generator: np.random.Generator,
    classes: Sequence[str],
    names: Sequence[str],
    column: str,
) -> Int64Array:
    """The number of the split of each group."""
    content = _content(labels, members)
    totals = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    wanted = shares[:, None] * totals  # (splits, classes)
    found = np.zeros_like(wanted)
    sizes = np.array([counts.sum() for _, counts in content])
    order = generator.permutation(len(content))
    order = order[np.argsort(-sizes[order], kind="stable")]  # the largest first
    result = np.full(len(content), -1, dtype=np.int64)

    def put(group: int, split: int) -> None:
        which, counts = content[group]
        found[split, which] += counts
        result[group] = split

    homes: list[list[int]] = [[] for _ in classes]  # the groups of each class, the smallest first
    for group in order[::-1].tolist():
        for label in content[group][0].tolist():
            homes[label].append(group)
    for label in sorted(range(len(classes)), key=lambda label: len(homes[label])):
        if len(homes[label]) < len(names):
            raise UserError(_too_few(classes[label], len(homes[label]), f"groups of {one_line(column)}", names))
        free = iter([group for group in homes[label] if result[group] < 0])
        for split in range(len(names)):
            if not found[split, label]:
                group = next(free, None)
                if group is None:
                    what = f"a group for each of the splits {', '.join(names)}"
                    raise UserError(f"the class {one_line(classes[label])} cannot get {what}: its groups of "
                                    f"{one_line(column)} hold other classes too; use fewer splits")  # fmt: skip
                put(group, split)
    for group in order.tolist():
        if result[group] < 0:
            which, counts = content[group]
            gap = found[:, which] - wanted[:, which]
            # what the group adds to sum (found - wanted)^2 / wanted
            cost = (counts * (2 * gap + counts) / wanted[:, which]).sum(axis=1)
            put(group, int(np.argmin(cost)))
    return result


def _content(labels: Int64Array, members: Int64Array) -> list[tuple[Int64Array, Int64Array]]:
    """The classes in each group, and how many samples of each."""
    order = np.lexsort((labels, members))
    bounds = np.searchsorted(members[order], np.arange(members.max() + 2))
    parts = [labels[order[start:end]] for start, end in pairwise(bounds)]
    return [np.unique(part, return_counts=True) for part in parts]


def _too_few(name: str, count: int, what: str, names: Sequence[str]) -> str:
    return (
        f"the class {one_line(name)} has {count} {what}, fewer than the {len(names)} splits {', '.join(names)};"
        " add some, or leave the class out"
    )
