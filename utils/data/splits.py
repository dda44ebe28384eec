"""Training and validation sets: pure functions from original class labels to row numbers.

Every class has its own random stream. So its validation images do not depend on which other classes are in use, and,
for one seed, the positives at 1:200 are a subset of those at 1:100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..errors import UserError
from ..seeding import numpy_stream
from . import NATURAL
from .class_names import listed
from .raw import Int64Array
from .whole_groups import SIDES, draw_groups

Ratio = float | str  # negatives per positive, >= 1, or NATURAL
_FIXED = 0  # instead of the run's seed, for what is the same in every run


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers (int64) of the disjoint sets, each sorted and unique; only the sampler decides the order of batches.

    Nothing but the promised thresholds looks at ``calibration``, which is empty unless it was asked for.
    """

    train: Int64Array
    validation: Int64Array
    test: Int64Array
    calibration: Int64Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def parts(self) -> dict[str, Int64Array]:
        """The rows by the name of the set, without an empty calibration set."""
        calibration = {"calibration": self.calibration} if len(self.calibration) else {}
        return {"train": self.train, "validation": self.validation, **calibration, "test": self.test}


def _anything(left: Mapping[int, int]) -> str:
    return ""


def fixed_validation(
    classes: Int64Array,
    *,
    validation_fraction: float,
    validation_per_class: int | None = None,
    needed: Callable[[Mapping[int, int]], str | None] = _anything,
    groups: Int64Array | None = None,
    chosen_by: str = SIDES,
) -> Int64Array:
    """Draw the validation set, the same for every run.

    Of each class with n_c rows it takes ``validation_per_class`` if given, else int(n_c * validation_fraction) but at
    least 1; with groups, about as many (see ``whole_groups.draw_groups``).

    Args:
        classes: (n,) the original class of each row of the training file; all are in use.
        validation_fraction: of each class, in (0, 1).
        validation_per_class: rows of each class, >= 1.
        needed: the flags with which a training set can be drawn from so many images of each class, for the advice of an
            error (see ``flags_needed``).
        groups: (n,) the group of each row, none of which is divided; None if there are none.
        chosen_by: the options that choose the classes, for the advice of an error.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: a value is out of range, or no row of a class would remain for training; the text says what would do.
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
    found, counts = (numbers.tolist() for numbers in np.unique(classes, return_counts=True))
    images = dict(zip(found, counts, strict=True))
    sizes = {c: validation_per_class or max(1, part_of(n, validation_fraction)) for c, n in images.items()}
    if any(sizes[c] >= images[c] for c in images):
        raise UserError(_too_large(images, sizes, needed, chosen_by))
    if groups is not None:
        stream = numpy_stream(_FIXED, "validation")
        return draw_groups(classes, groups, sizes=sizes, what="validation", stream=stream, chosen_by=chosen_by)
    streams = {c: numpy_stream(_FIXED, f"validation/{c}") for c in images}
    return _sorted([streams[c].permutation(np.flatnonzero(classes == c))[: sizes[c]] for c in images])


def _too_large(
    images: Mapping[int, int],
    sizes: Mapping[int, int],
    needed: Callable[[Mapping[int, int]], str | None],
    chosen_by: str,
) -> str:
    """Why ``sizes`` of ``images`` in each class cannot be a validation set, and what would work."""
    if single := [c for c in images if images[c] == 1]:
        remedies = ["add images"]
        if (flags := needed(images)) is not None:
            remedies.append(f"put a validation set of its own into the file (x_val, y_val{_with(flags)})")
        left = {c: n - min(sizes[c], n - 1) for c, n in images.items() if n > 1}
        if (flags := needed(left)) is not None:
            remedies.append(f"leave class {listed(single)} out ({chosen_by}{_with(flags)})")
        return (
            f"class {listed(single)} must have two training images or more, one of them for validation, got one;"
            f" {', or '.join(remedies)}"
        )
    worst = next(c for c in images if sizes[c] >= images[c])
    most = min(images.values()) - 1
    remains = {size: {c: n - size for c, n in images.items()} for size in range(most, 0, -1)}
    size = next((size for size in remains if needed(remains[size]) == ""), 1)
    return (
        f"validation would take {sizes[worst]} of the {images[worst]} training images of class {worst} and leave none"
        f" to train on; use --validation_per_class {size}{_with(needed(remains[size]) or '')}"
    )


def _with(flags: str) -> str:
    return f", with {flags}" if flags else ""


def flags_needed(
    images: Mapping[int, int],
    *,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    ratio_pos_train: Ratio,
    train_fraction: float,
) -> str | None:
    """The flags with which a training set can be drawn from ``images[c]`` images of each class; None if there are none.

    >>> flags_needed({0: 90, 1: 1}, negative_classes=[0], positive_classes=[1], ratio_pos_train=50, train_fraction=0.9)
    '--train_fraction 1'
    """

    def drawn(fraction: float) -> tuple[int, int]:
        negatives, positives = (
            sum(part_of(images.get(c, 0), fraction) for c in side) for side in (negative_classes, positive_classes)
        )
        return negatives, positives

    fractions = [train_fraction, *(k / 1000 for k in range(1, 1001) if k / 1000 > train_fraction)]
    for fits_ratio in (True, False):
        for fraction in fractions:
            negatives, positives = drawn(fraction)
            if not negatives or not positives:
                continue
            least, most = negatives // (positives + 1) + 1, negatives
            ratio = NATURAL if ratio_pos_train == NATURAL else min(max(float(ratio_pos_train), least), most)
            if ratio == ratio_pos_train or not fits_ratio:
                flags = [f"--train_fraction {fraction:g}"] if fraction != train_fraction else []
                flags += [f"--ratio_pos_train {ratio:.15g}"] if ratio != ratio_pos_train else []
                return " ".join(flags)
    return None


def fixed_calibration(
    classes: Int64Array,
    *,
    excluded: Int64Array,
    calibration_fraction: float,
    groups: Int64Array | None = None,
    chosen_by: str = SIDES,
) -> Int64Array:
    """Draw the calibration set, the same for every run: of each class int(n_c * calibration_fraction), at least 1.

    Args:
        classes: (n,) the original class of each row of the training file; all are in use.
        excluded: rows never drawn (the validation set).
        calibration_fraction: of each class of the training file, in [0, 1); 0 draws none.
        groups: see ``fixed_validation``; those of ``excluded`` have no other rows.
        chosen_by: see ``fixed_validation``.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: no row of a class would remain for training.
    """
    chosen = [np.zeros(0, dtype=np.int64)]
    sizes = {}
    for c in np.unique(classes).tolist() if calibration_fraction else []:
        rows = np.flatnonzero(classes == c)
        size, free = max(1, part_of(len(rows), calibration_fraction)), np.setdiff1d(rows, excluded)
        if size >= len(free):
            raise UserError(
                f"calibration would take {size} of the {len(free)} images of class {c} that validation leaves, and"
                " leave none to train on; lower --calibration_fraction or --validation_fraction"
            )
        sizes[c] = size
        chosen.append(numpy_stream(_FIXED, f"calibration/{c}").permutation(free)[:size])
    if groups is not None and sizes:
        rows = np.setdiff1d(np.arange(len(classes)), excluded)
        stream = numpy_stream(_FIXED, "calibration")
        how = {"what": "calibration", "chosen_by": chosen_by}
        return rows[draw_groups(classes[rows], groups[rows], sizes=sizes, stream=stream, **how)]
    return _sorted(chosen)


def training_indices(
    classes: Int64Array,
    *,
    negative_classes: Sequence[int],
    positive_classes: Sequence[int],
    excluded: Int64Array,
    ratio_pos_train: Ratio,
    train_fraction: float,
    seed: int,
) -> Int64Array:
    """Draw the training set of one seed.

    With m_c rows of class c outside ``excluded``, each negative class keeps int(m_c * train_fraction) of them. The
    number of positives is (negatives kept) // ratio_pos_train, divided evenly over the positive classes as far as
    int(m_c * train_fraction) allows (see ``even_shares``); with the ratio "natural" each positive class keeps all of
    that. Images are drawn, not their groups: what one seed leaves out is used by another, and by no other set.

    Args:
        classes: (n,) the original class of each row of the training file.
        negative_classes: original classes.
        positive_classes: original classes; rows of classes in neither list are ignored.
        excluded: rows never drawn (the validation and calibration set).
        ratio_pos_train: negatives per positive, >= 1, or "natural".
        train_fraction: in (0, 1].
        seed: of the random streams.

    Returns:
        Row numbers, sorted.

    Raises:
        UserError: a value is out of range, or the ratio needs no positive or more than available.
    """
    if ratio_pos_train != NATURAL and not (_is_number(ratio_pos_train) and float(ratio_pos_train) >= 1):
        raise UserError(
            "ratio_pos_train must be natural or a number >= 1 (negatives per positive),"
            f" got {ratio_pos_train} (--ratio_pos_train)"
        )
    if not 0 < train_fraction <= 1:
        raise UserError(f"train_fraction must lie in (0, 1], got {train_fraction} (--train_fraction)")
    usable = np.ones(len(classes), dtype=np.bool_)
    usable[excluded] = False
    rows = {c: np.flatnonzero(usable & (classes == c)) for c in (*negative_classes, *positive_classes)}
    keep = {c: part_of(len(rows[c]), train_fraction) for c in rows}
    negatives = sum(keep[c] for c in negative_classes)
    capacities = {c: keep[c] for c in sorted(positive_classes)}
    available = sum(capacities.values())
    if not negatives or not available:
        flags = flags_needed(
            {c: len(rows[c]) for c in rows},
            negative_classes=negative_classes,
            positive_classes=positive_classes,
            ratio_pos_train=ratio_pos_train,
            train_fraction=train_fraction,
        )
        raise UserError(
            f"no {'positive' if negatives else 'negative'} image is left to train on at train_fraction"
            f" {train_fraction:g}; {f'use {flags}, or ' if flags else ''}add images"
        )
    if ratio_pos_train != NATURAL:
        positives = _number_of_positives(negatives, available, ratio_pos_train)
        order = numpy_stream(seed, "remainders").permutation(sorted(positive_classes)).tolist()
        keep.update(even_shares(positives, capacities=capacities, order=order))
    return rows_by_class(classes, keep=keep, excluded=excluded, seed=seed)


def rows_by_class(classes: Int64Array, *, keep: Mapping[int, int], excluded: Int64Array, seed: int) -> Int64Array:
    """Draw ``keep[c]`` rows of each class c outside ``excluded``, each class from a stream of its own.

    Args:
        classes: (n,) the original class of each row of the training file.
        keep: class -> number of rows, at most as many as there are.
        excluded: rows never drawn.
        seed: of the random streams.

    Returns:
        Row numbers, sorted. At one seed those of fewer rows of a class are a part of those of more.
    """
    usable = np.ones(len(classes), dtype=np.bool_)
    usable[excluded] = False
    rows = {c: np.flatnonzero(usable & (classes == c)) for c in keep}
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


def positives_for(negatives: int, ratio: Ratio) -> int:
    """floor(negatives / ratio), with the ratio as it is written.

    >>> positives_for(100, 2.5), positives_for(3, 1.1)
    (40, 2)
    """
    return math.floor(Fraction(negatives) / Fraction(str(ratio)))


def _number_of_positives(negatives: int, available: int, ratio_pos_train: Ratio) -> int:
    positives = positives_for(negatives, ratio_pos_train)
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


def part_of(count: int, fraction: float) -> int:
    """int(count * fraction), robust to rounding (100 * 0.29 is 28.999...)."""
    return int(count * fraction + 1e-9)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer) and not isinstance(value, bool)


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _sorted(rows: Sequence[Int64Array]) -> Int64Array:
    return np.sort(np.concatenate(rows)).astype(np.int64)
