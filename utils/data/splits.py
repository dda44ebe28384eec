"""Training and validation sets: pure functions from original class labels to row numbers.

Every class has its own random stream. So its validation images do not depend on which other classes are in use, and,
for one seed, the positives at 1:200 are a subset of those at 1:100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..seeding import numpy_stream
from .raw import Int64Array

_FIXED = 0  # instead of the run's seed, for what is the same in every run


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers (int64) of the three sets, each sorted and unique; only the sampler decides the order of batches."""

    train: Int64Array
    validation: Int64Array
    test: Int64Array


def check_classes(negative_classes: Sequence[int], positive_classes: Sequence[int], *, existing: Sequence[int]) -> None:
    """Raise UserError unless both lists name classes of the data, each class once in total."""
    for flag, classes in (("negative_classes", negative_classes), ("positive_classes", positive_classes)):
        if len(classes) == 0:
            raise UserError(
                f"{flag} must name at least one class, got none; the classes in the data are"
                f" {listed(sorted(existing))} (--negative_classes, --positive_classes)"
            )
        if len(set(classes)) < len(classes):
            raise UserError(f"{flag} must name each class once, got {listed(classes)} (--{flag})")
        missing = [c for c in classes if c not in existing]
        if missing:
            raise UserError(
                f"{flag}: no training image has class {listed(missing)}; the classes in the data are"
                f" {listed(sorted(existing))} (--{flag})"
            )
    both = sorted(set(negative_classes) & set(positive_classes))
    if both:
        raise UserError(
            f"negative_classes and positive_classes must not overlap, both name {listed(both)}"
            " (--negative_classes, --positive_classes)"
        )


def fixed_validation(
    classes: Int64Array, *, validation_fraction: float, validation_per_class: int | None = None
) -> Int64Array:
    """Draw the validation set, the same for every run.

    Of each class with n_c rows it takes ``validation_per_class`` if given, else int(n_c * validation_fraction) but at
    least 1.

    Args:
        classes: (n,) the original class of each row of the training file; all are in use.
        validation_fraction: of each class, in (0, 1).
        validation_per_class: rows of each class, >= 1.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: a value is out of range, or no row of a class would remain for training.
    """
    if not 0 < validation_fraction < 1:
        raise UserError(
            f"validation_fraction must lie between 0 and 1, got {validation_fraction} (--validation_fraction)"
        )
    if validation_per_class is not None and not (_is_int(validation_per_class) and validation_per_class >= 1):
        raise UserError(
            f"validation_per_class must be an integer >= 1 (images of each class), got {validation_per_class}"
            " (--validation_per_class)"
        )
    chosen = []
    for c in np.unique(classes).tolist():
        rows = np.flatnonzero(classes == c)
        size = validation_per_class or max(1, _part_of(len(rows), validation_fraction))
        if size >= len(rows):
            raise UserError(
                f"validation would take {size} of the {len(rows)} training images of class {c} and leave"
                " none to train on; lower --validation_per_class or --validation_fraction, or drop the class"
            )
        chosen.append(numpy_stream(_FIXED, f"validation/{c}").permutation(rows)[:size])
    return _sorted(chosen)


def training_indices(
    classes: Int64Array,
    *,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    excluded: Int64Array,
    ratio_pos_train: int,
    train_fraction: float,
    seed: int,
) -> Int64Array:
    """Draw the training set of one seed.

    With m_c rows of class c outside ``excluded``, each negative class keeps int(m_c * train_fraction) of them. The
    number of positives is (negatives kept) // ratio_pos_train, divided evenly over the positive classes as far as
    int(m_c * train_fraction) allows (see ``even_shares``).

    Args:
        classes: (n,) the original class of each row of the training file.
        negative_classes: original classes.
        positive_classes: original classes; rows of classes in neither list are ignored.
        excluded: rows never drawn (the validation set).
        ratio_pos_train: negatives per positive, >= 1.
        train_fraction: in (0, 1].
        seed: of the random streams.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: a value is out of range, or the ratio needs no positive or more than available.
    """
    if not _is_int(ratio_pos_train) or ratio_pos_train < 1:
        raise UserError(
            "ratio_pos_train must be an integer >= 1 (negatives per positive),"
            f" got {ratio_pos_train} (--ratio_pos_train)"
        )
    if not 0 < train_fraction <= 1:
        raise UserError(f"train_fraction must lie in (0, 1], got {train_fraction} (--train_fraction)")
    usable = np.ones(len(classes), dtype=np.bool_)
    usable[excluded] = False
    rows = {c: np.flatnonzero(usable & (classes == c)) for c in (*negative_classes, *positive_classes)}
    keep = {c: _part_of(len(rows[c]), train_fraction) for c in rows}
    negatives = sum(keep[c] for c in negative_classes)
    capacities = {c: keep[c] for c in sorted(positive_classes)}
    positives = _number_of_positives(negatives, sum(capacities.values()), ratio_pos_train)
    order = numpy_stream(seed, "remainders").permutation(sorted(positive_classes)).tolist()
    keep.update(even_shares(positives, capacities=capacities, order=order))
    return _sorted([numpy_stream(seed, f"training/{c}").permutation(rows[c])[: keep[c]] for c in rows])


def even_shares(total: int, *, capacities: Mapping[int, int], order: Sequence[int]) -> dict[int, int]:
    """Divide ``total`` evenly over classes, none above its capacity.

    Args:
        total: at most the sum of the capacities.
        capacities: class -> maximum.
        order: all classes; the first ones get one more if ``total`` does not divide evenly.

    >>> even_shares(10, capacities={0: 2, 1: 9, 2: 9}, order=(2, 0, 1))
    {0: 2, 1: 4, 2: 4}
    >>> even_shares(5, capacities={0: 9, 1: 9}, order=(1, 0))
    {0: 2, 1: 3}
    """
    shares = dict.fromkeys(capacities, 0)
    remaining = total
    while remaining > 0:
        unfilled = [c for c in order if shares[c] < capacities[c]]
        # an equal level for each class with capacity left, or, at the end, one each for the first ones
        level = max(1, remaining // len(unfilled))
        for c in unfilled[:remaining]:
            extra = min(level, capacities[c] - shares[c])
            shares[c] += extra
            remaining -= extra
    return shares


def _number_of_positives(negatives: int, available: int, ratio_pos_train: int) -> int:
    if negatives == 0 or available == 0:
        kind = "negative" if negatives == 0 else "positive"
        raise UserError(
            f"no {kind} image is left to train on; raise --train_fraction, lower --validation_per_class or"
            f" --validation_fraction, or add classes (--{kind}_classes)"
        )
    positives = negatives // ratio_pos_train
    if positives == 0:
        raise UserError(
            f"ratio_pos_train must be at most {negatives}, the number of negatives, got {ratio_pos_train}, which leaves"
            " no positive (--ratio_pos_train)"
        )
    if positives > available:
        raise UserError(
            f"ratio_pos_train must be at least {negatives // (available + 1) + 1}, got {ratio_pos_train}, which needs"
            f" {positives} positives where the data have {available} (--ratio_pos_train)"
        )
    return positives


def _part_of(count: int, fraction: float) -> int:
    """int(count * fraction), robust to rounding (100 * 0.29 is 28.999...)."""
    return int(count * fraction + 1e-9)


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _sorted(rows: Sequence[Int64Array]) -> Int64Array:
    return np.sort(np.concatenate(rows)).astype(np.int64)


def listed(classes: Sequence[object], *, most: int = 30) -> str:
    """The first classes, separated by commas."""
    text = ", ".join(str(c) for c in classes[:most])
    return text if len(classes) <= most else f"{text}, ... ({len(classes)} in all)"
