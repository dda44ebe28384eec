"""What a task asks of its classes: which are in use, what the labels are, which samples a seed trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..metrics.multiclass import Labels
from .imbalance import PROFILES, imbalance_profile
from .raw import Int64Array
from .splits import Ratio, part_of, rows_by_class, training_indices


@dataclass(frozen=True)
class TwoClasses:
    """Some original classes are negative, label 0, and others positive, label 1.

    ``ratio_pos_train`` is the requested ratio (negatives per positive, or "natural").
    """

    negative: tuple[int, ...]
    positive: tuple[int, ...]
    ratio_pos_train: Ratio
    train_fraction: float

    classes = 2
    critical = (1,)
    sides = ("negative", "positive")

    @property
    def in_use(self) -> tuple[int, ...]:
        """The original classes."""
        return (*self.negative, *self.positive)

    def labels(self, original_class: Int64Array) -> Labels:
        """(n,) 0 or 1."""
        return np.isin(original_class, self.positive).astype(np.int64)

    def names(self, class_names: Sequence[str] | None) -> tuple[str, ...]:
        """What the labels are called, in their order."""
        return self.sides

    def training_rows(self, original_class: Int64Array, *, excluded: Int64Array, seed: int) -> Int64Array:
        """The rows that a seed trains on; see ``splits.training_indices``."""
        return training_indices(
            original_class,
            negative_classes=self.negative,
            positive_classes=self.positive,
            excluded=excluded,
            ratio_pos_train=self.ratio_pos_train,
            train_fraction=self.train_fraction,
            seed=seed,
        )


@dataclass(frozen=True)
class ManyClasses:
    """Each original class is a class of its own; its label is its place in ``in_use``.

    ``critical`` are the labels of the classes that must not be missed. ``imbalance`` is "natural", which keeps
    int(m_c * train_fraction) of the m_c samples of each class, or a profile of ``imbalance.PROFILES`` with ``factor``.
    """

    in_use: tuple[int, ...]
    critical: tuple[int, ...]
    imbalance: str
    factor: float
    train_fraction: float

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.in_use)

    def labels(self, original_class: Int64Array) -> Labels:
        """(n,) 0..K-1, of samples of the classes in use."""
        order = np.argsort(self.in_use)
        found: Labels = order[np.searchsorted(np.asarray(self.in_use)[order], original_class)].astype(np.int64)
        return found

    def names(self, class_names: Sequence[str] | None) -> tuple[str, ...]:
        """What the labels are called, in their order."""
        return tuple(str(c) if class_names is None else class_names[c] for c in self.in_use)

    def training_rows(self, original_class: Int64Array, *, excluded: Int64Array, seed: int) -> Int64Array:
        """The rows that a seed trains on: of each class as many as ``sizes`` says, drawn from its own stream.

        Raises:
            UserError: a class has no sample left.
        """
        rows = {c: np.flatnonzero(original_class == c) for c in self.in_use}
        free = {c: int(np.isin(own, excluded, invert=True).sum()) for c, own in rows.items()}
        return rows_by_class(original_class, keep=self.sizes(free), excluded=excluded, seed=seed)

    def sizes(self, free: Mapping[int, int]) -> dict[int, int]:
        """Samples of each class to train on, where ``free[c]`` are left by validation and calibration.

        The largest class of a profile has as many as all of its classes allow.

        Raises:
            UserError: a class has none left, or the profile leaves one without.
        """
        keep = {c: part_of(free[c], self.train_fraction) for c in self.in_use}
        if not min(keep.values()):
            empty = next(c for c in self.in_use if not keep[c])
            raise UserError(
                f"no image of class {empty} is left to train on: {free[empty]} of it are not for validation or"
                f" calibration, and train_fraction is {self.train_fraction:g}; add images, or leave it out of --classes"
            )
        if self.imbalance not in PROFILES:
            return keep
        largest = keep[self.in_use[0]]
        while (share := self._largest_share(largest, keep)) > 1:
            largest = min(largest - 1, int(largest / share))
        while self._largest_share(largest + 1, keep) <= 1:  # numbers of samples are whole, so a step was too long
            largest += 1
        return dict(zip(self.in_use, self._profile(largest), strict=True))

    def _largest_share(self, largest: int, keep: Mapping[int, int]) -> float:
        """Of the samples that each class may keep, the largest share that a profile takes."""
        return max(size / keep[c] for size, c in zip(self._profile(largest), self.in_use, strict=True))

    def _profile(self, largest: int) -> tuple[int, ...]:
        try:
            return imbalance_profile(self.imbalance, largest=largest, classes=self.classes, factor=self.factor)
        except ValueError as error:
            raise UserError(f"{error} (--imbalance_factor, --classes)") from None


Targets = TwoClasses | ManyClasses
