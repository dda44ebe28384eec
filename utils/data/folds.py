"""Cross-validation over subsets of all data: train on the tested subset, on the others, or on all of them.

Pure functions from original class labels to row numbers. The images of all files are pooled. Each subset has an equal
share of every negative class and its own ratio of negatives to positives, so that one data set can answer whether
training on balanced images helps on imbalanced ones. With one subset this is stratified K-fold. Groups are never
divided: all rows of one are in the same subset and fold, or in none.

Reference: Hocking, Thibault, Bodine, Arellano, Shenkin, Lindly, "SOAK: same/other/all K-fold cross-validation for
estimating similarity of patterns in data subsets", arXiv 2410.08643.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..seeding import numpy_stream
from . import NATURAL
from .class_names import listed
from .raw import Int64Array
from .splits import Ratio, Split, even_shares, positives_for
from .whole_groups import SIDES, draw_groups, folds_of_groups

TRAIN_ON = ("same", "other", "all")
_FIXED = 0  # instead of the run's seed: subsets and folds are the same in every run


@dataclass(frozen=True)
class Resampling:
    """The fold and subset to test on, and the subsets to train on.

    Args:
        folds: K, >= 2.
        fold: the fold to test on, in 1..K; its rows are excluded from training in every subset.
        subset_ratios: negatives per positive of each subset; ("natural",): one subset of all images.
        test_subset: the subset to test on, in 1..number of subsets.
        train_on: "same" (the tested subset), "other" (all others) or "all".
        downsample: whether to reduce the training set, in class proportion, to the size of the smallest of the three.

    Raises:
        UserError: a value is out of range.
    """

    folds: int
    fold: int
    subset_ratios: tuple[Ratio, ...]
    test_subset: int = 1
    train_on: str = "same"
    downsample: bool = False

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"folds must be an integer >= 2, got {self.folds} (--folds)")
        if not 1 <= self.fold <= self.folds:
            raise UserError(f"fold must lie in 1..{self.folds}, got {self.fold} (--fold)")
        natural = self.subset_ratios == (NATURAL,)
        if not self.subset_ratios or not (natural or min(map(float, self.subset_ratios)) >= 1):
            raise UserError(
                f"subset_ratios must be numbers >= 1, or natural alone, got {self.subset_ratios} (--subset_ratios)"
            )
        if not 1 <= self.test_subset <= len(self.subset_ratios):
            raise UserError(
                f"test_subset must lie in 1..{len(self.subset_ratios)} (the subsets), got {self.test_subset}"
                " (--test_subset)"
            )
        if self.train_on not in TRAIN_ON:
            raise UserError(f"train_on must be one of {', '.join(TRAIN_ON)}, got {self.train_on!r} (--train_on)")
        if len(self.subset_ratios) == 1 and self.train_on == "other":
            raise UserError("train_on other needs two subsets or more (--subset_ratios), got one")

    def subsets_trained(self, train_on: str) -> list[int]:
        """The subsets (counted from 0) that ``train_on`` selects."""
        numbers = range(len(self.subset_ratios))
        tested = self.test_subset - 1
        return {"same": [tested], "other": [i for i in numbers if i != tested], "all": list(numbers)}[train_on]


def resampled_split(
    classes: Int64Array,
    *,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    resampling: Resampling,
    validation_fraction: float,
    groups: Int64Array | None = None,
) -> Split:
    """The rows of one fold.

    Args:
        classes: (n,) the original class of each row of the pooled data.
        validation_fraction: of each class of the training set, in (0, 1); at least one row.
        groups: (n,) the group of each row, none of which is in two sets; None if there are none.

    Returns:
        Disjoint, sorted rows. Validation is drawn from the training rows; the same for every seed.

    Raises:
        UserError: not enough data for the subsets, folds or validation.
    """
    subset_of = _subsets(classes, negative_classes, positive_classes, resampling.subset_ratios, groups)
    fold_of = _folds(classes, subset_of, (negative_classes, positive_classes), resampling.folds, groups)
    tested = fold_of == resampling.fold - 1
    sets = {
        name: np.flatnonzero(~tested & np.isin(subset_of, resampling.subsets_trained(name)))
        for name in TRAIN_ON
        if resampling.subsets_trained(name)
    }
    pool = sets[resampling.train_on]
    stream = numpy_stream(_FIXED, f"resampling/{resampling}")
    if resampling.downsample:
        pool = _cut(pool, classes, min(len(rows) for rows in sets.values()), stream)
    validation = _validation(pool, classes, validation_fraction, groups, stream)
    train = np.setdiff1d(pool, validation)
    test = np.flatnonzero(tested & (subset_of == resampling.test_subset - 1))
    for name, rows in (("training", train), ("validation", validation), ("test", test)):
        for kind, wanted in (("negative", negative_classes), ("positive", positive_classes)):
            if not np.isin(classes[rows], wanted).any():
                raise UserError(
                    f"fold {resampling.fold} leaves no {kind} image in the {name} set; ask for fewer --folds, "
                    "or for more positives (--subset_ratios)"
                )
    return Split(train, validation, test)


def class_folds_split(
    original_class: Int64Array,
    *,
    classes: Sequence[int],
    folds: int,
    fold: int,
    validation_fraction: float,
    groups: Int64Array | None = None,
) -> Split:
    """The rows of one fold of stratified K-fold over all rows of the ``classes``, however many these are.

    Two classes have the rows of ``resampled_split`` with one subset of all images. The order of ``classes`` does not
    matter.

    Args:
        original_class: (n,) the original class of each row of the pooled data.
        classes: those in use; other rows are in no set.
        folds: K, >= 2; the sizes of a class in two folds differ by at most one, with groups they are about equal.
        fold: the fold to test on, in 1..K.
        validation_fraction: of each class of the other folds, in (0, 1); at least one row.
        groups: (n,) the group of each row, none of which is in two sets; None if there are none.

    Returns:
        Disjoint, sorted rows. Validation is drawn from the training rows; the same for every seed.

    Raises:
        UserError: a value is out of range, or a class would be missing in a set.
    """
    resampling = Resampling(folds=folds, fold=fold, subset_ratios=(NATURAL,))
    first, *others = sorted(classes)
    subset_of = _subsets(original_class, (first,), others, (NATURAL,), groups)
    # two sides, as of two classes, so that the sizes of whole folds differ by at most two
    fold_of = _folds(original_class, subset_of, ((first,), others), folds, groups)
    tested = fold_of == fold - 1
    pool = np.flatnonzero(~tested & (subset_of == 0))
    stream = numpy_stream(_FIXED, f"resampling/{resampling}")
    validation = _validation(pool, original_class, validation_fraction, groups, stream, chosen_by="--classes")
    train, test = np.setdiff1d(pool, validation), np.flatnonzero(tested)
    for name, rows in (("training", train), ("validation", validation), ("test", test)):
        if missing := sorted(set(classes) - set(original_class[rows].tolist())):
            raise UserError(
                f"fold {fold} leaves no image of class {listed(missing)} in the {name} set; ask for fewer --folds, or"
                " leave the class out (--classes)"
            )
    return Split(train, validation, test)


def _subsets(
    classes: Int64Array,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    ratios: tuple[Ratio, ...],
    groups: Int64Array | None,
) -> Int64Array:
    """(n,) the subset of each row, from 0; -1 for rows of no subset."""
    if ratios == (NATURAL,):
        return np.where(np.isin(classes, (*negative_classes, *positive_classes)), 0, -1)
    if groups is not None:
        return _subsets_of_groups(classes, negative_classes, positive_classes, ratios, groups)
    subset_of = np.full(len(classes), -1, dtype=np.int64)
    shuffled = {
        c: numpy_stream(_FIXED, f"subsets/{c}").permutation(np.flatnonzero(classes == c))
        for c in (*negative_classes, *positive_classes)
    }
    negatives = 0  # in each subset
    for c in negative_classes:
        share = len(shuffled[c]) // len(ratios)
        negatives += share
        for i in range(len(ratios)):
            subset_of[shuffled[c][i * share : (i + 1) * share]] = i
    positives = sum(len(shuffled[c]) for c in positive_classes)
    _check_ratios(ratios, negatives, positives)
    for i, ratio in enumerate(ratios):
        left = {c: len(shuffled[c]) for c in sorted(positive_classes)}
        wanted = positives_for(negatives, ratio)
        for c, size in even_shares(wanted, capacities=left, order=sorted(positive_classes)).items():
            subset_of[shuffled[c][:size]] = i
            shuffled[c] = shuffled[c][size:]
    return subset_of


def _subsets_of_groups(
    classes: Int64Array,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    ratios: tuple[Ratio, ...],
    groups: Int64Array,
) -> Int64Array:
    """The same where all rows of a group are in one subset or in none.

    The groups are divided evenly; then rows are left out until every subset has as many of each negative class and its
    own ratio.
    """
    in_use = np.flatnonzero(np.isin(classes, (*negative_classes, *positive_classes)))
    of_group = np.full(len(classes), -1, dtype=np.int64)
    stream = numpy_stream(_FIXED, "subsets of groups")
    of_group[in_use] = folds_of_groups(classes[in_use], groups[in_use], folds=len(ratios), stream=stream)
    subset_of = np.full(len(classes), -1, dtype=np.int64)

    def shuffled(c: int, i: int) -> Int64Array:
        return numpy_stream(_FIXED, f"subsets/{i}/{c}").permutation(np.flatnonzero((of_group == i) & (classes == c)))

    negatives = 0  # in each subset
    for c in negative_classes:
        share = min(len(shuffled(c, i)) for i in range(len(ratios)))
        negatives += share
        for i in range(len(ratios)):
            subset_of[shuffled(c, i)[:share]] = i
    for i, ratio in enumerate(ratios):
        capacities = {c: len(shuffled(c, i)) for c in sorted(positive_classes)}
        _check_ratios((ratio,), negatives, sum(capacities.values()), of=f"subset {i + 1}, which keeps groups together")
        shares = even_shares(positives_for(negatives, ratio), capacities=capacities, order=sorted(positive_classes))
        for c, size in shares.items():
            subset_of[shuffled(c, i)[:size]] = i
    return subset_of


def _check_ratios(ratios: tuple[Ratio, ...], negatives: int, positives: int, *, of: str = "each subset") -> None:
    """Raise UserError, with the nearest ratios that would do, if they do not fit the negatives of each subset."""

    def needs(tried: Sequence[Ratio]) -> list[int]:
        return [positives_for(negatives, ratio) for ratio in tried]

    def fits(tried: Sequence[Ratio]) -> bool:
        return all(needs(tried)) and sum(needs(tried)) <= positives

    if fits(ratios):
        return
    needed = " + ".join(map(str, needs(ratios)))
    raised = ([min(max(float(ratio), least), negatives) for ratio in ratios] for least in range(1, negatives + 1))
    nearest = next((tried for tried in raised if fits(tried)), None)
    remedy = "ask for fewer --subset_ratios"
    if nearest:
        remedy = f"use --subset_ratios {' '.join(f'{ratio:.15g}' for ratio in nearest)}"
        remedy += " for it" if len(nearest) < 2 and of != "each subset" else ""
    raise UserError(
        f"subset_ratios {' '.join(map(str, ratios))} need {needed} positives, at least one in each subset, for the"
        f" {negatives} negatives of {of}, but there are {positives}; {remedy}"
    )


def _folds(
    classes: Int64Array,
    subset_of: Int64Array,
    sides: tuple[Sequence[int], Sequence[int]],
    folds: int,
    groups: Int64Array | None,
) -> Int64Array:
    """(n,) the fold of each row, from 0, stratified by subset, side (negative, positive) and class.

    Each class starts in the fold after the last one of the previous class of its side, so that the fold sizes of a
    class, and those of a side, differ by at most one. Groups are kept together, so that sizes are about equal only.
    """
    fold_of = np.full(len(classes), -1, dtype=np.int64)
    if groups is not None:
        rows = np.flatnonzero(subset_of >= 0)
        strata = np.unique(np.stack([subset_of[rows], classes[rows]]), axis=1, return_inverse=True)[1].reshape(-1)
        stream = numpy_stream(_FIXED, "folds of groups")
        fold_of[rows] = folds_of_groups(strata, groups[rows], folds=folds, stream=stream)
        return fold_of
    for subset in range(int(subset_of.max()) + 1):
        for side in sides:
            start = 0
            for c in sorted(side):
                rows = np.flatnonzero((subset_of == subset) & (classes == c))
                order = numpy_stream(_FIXED, f"folds/{subset}/{c}").permutation(rows)
                fold_of[order] = (start + np.arange(len(order))) % folds
                start += len(order)
    return fold_of


def _cut(rows: Int64Array, classes: Int64Array, size: int, stream: np.random.Generator) -> Int64Array:
    """``size`` of the rows, in class proportion (by largest remainders)."""
    found, counts = np.unique(classes[rows], return_counts=True)
    exact = counts.astype(np.float64) * size / len(rows)
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    largest = np.argsort(-(exact - sizes), kind="stable")
    sizes[largest[: size - int(sizes.sum())]] += 1
    parts = [stream.permutation(rows[classes[rows] == c])[:n] for c, n in zip(found, sizes, strict=True)]
    return np.sort(np.concatenate(parts))


def _validation(
    rows: Int64Array,
    classes: Int64Array,
    fraction: float,
    groups: Int64Array | None,
    stream: np.random.Generator,
    *,
    chosen_by: str = SIDES,
) -> Int64Array:
    """The given fraction of the rows of each class, at least one row; with groups about so many."""
    drawn = _per_class(rows, classes, fraction, stream)
    if groups is None:
        return drawn
    found, counts = np.unique(classes[drawn], return_counts=True)
    sizes = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return rows[
        draw_groups(classes[rows], groups[rows], sizes=sizes, what="validation", stream=stream, chosen_by=chosen_by)
    ]


def _per_class(rows: Int64Array, classes: Int64Array, fraction: float, stream: np.random.Generator) -> Int64Array:
    """The given fraction of the rows of each class, at least one row."""
    if not 0 < fraction < 1:
        raise UserError(f"validation_fraction must lie between 0 and 1, got {fraction} (--validation_fraction)")
    parts = []
    for c in np.unique(classes[rows]).tolist():
        own = rows[classes[rows] == c]
        parts.append(stream.permutation(own)[: max(1, int(len(own) * fraction + 1e-9))])
    return np.sort(np.concatenate(parts))
