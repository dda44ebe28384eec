"""The scores of a set of samples, and their mean over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .groups import Groups, numbered


@dataclass(frozen=True)
class Scores:
    """For each sample its index in the file of its split, label (0 or 1), score, split and original class.

    ``path`` and ``group`` hold the name and the group (patient) of each sample, or are None where it has none.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    split: list[str]
    original_class: NDArray[np.int64]
    path: list[str] | None = None
    group: list[str] | None = None

    @property
    def groups(self) -> Groups | None:
        """(n,) the number of the group of each sample; None where each is alone."""
        return numbered(self.group)

    def groups_of(self, side: int) -> Groups | None:
        """The same of the samples of one class."""
        groups = self.groups
        return None if groups is None else groups[self.label == side]


@dataclass(frozen=True)
class ClassScores:
    """The same for K classes, of which C are critical.

    Args:
        index, split, original_class, path, group: as of :class:`Scores`.
        label: (n,) 0..K-1.
        outputs: (n, K) a number for each class, whose softmax are the probabilities; the class of the largest wins.
        scores: (n, C) log-odds of each critical class against the rest, minus a threshold that was learned for it.
        names: of the K classes.
        critical: labels of the C critical classes.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    outputs: NDArray[np.float64]
    scores: NDArray[np.float64]
    split: list[str]
    original_class: NDArray[np.int64]
    names: tuple[str, ...]
    critical: tuple[int, ...]
    path: list[str] | None = None
    group: list[str] | None = None

    def view(self, column: int) -> Scores:
        """One critical class against the rest, as of two classes."""
        return Scores(
            index=self.index,
            label=(self.label == self.critical[column]).astype(np.int64),
            score=self.scores[:, column],
            split=self.split,
            original_class=self.original_class,
            path=self.path,
            group=self.group,
        )

    @property
    def views(self) -> dict[str, Scores]:
        """Those of all critical classes by their names."""
        return {self.names[label]: self.view(column) for column, label in enumerate(self.critical)}

    @property
    def groups(self) -> Groups | None:
        """(n,) the number of the group of each sample; None where each is alone."""
        return numbered(self.group)


def mean_of_seeds(of_seeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, ...) -> (...) the mean over the seeds, added in their order: the bits do not depend on the number of samples.

    NumPy's own mean adds eight and more in another order where there is one sample alone.

    >>> mean_of_seeds(np.array([[1.0, 2.0], [3.0, 5.0]])).tolist()
    [2.0, 3.5]
    """
    total = of_seeds[0].copy()
    for one in of_seeds[1:]:
        total += one
    mean: NDArray[np.float64] = total / len(of_seeds)
    return mean


def averaged(seeds: Sequence[Scores]) -> Scores:
    """The same samples with the mean of their scores.

    Raises:
        UserError: the seeds were not scored on the same samples.
    """
    _check_same(seeds)
    return replace(seeds[0], score=mean_of_seeds(np.stack([scores.score for scores in seeds])))


def averaged_classes(seeds: Sequence[ClassScores]) -> ClassScores:
    """The same samples with the mean of their outputs and scores.

    Raises:
        UserError: the seeds were not scored on the same samples.
    """
    _check_same(seeds)
    outputs, scores = ([getattr(each, name) for each in seeds] for name in ("outputs", "scores"))
    return replace(seeds[0], outputs=mean_of_seeds(np.stack(outputs)), scores=mean_of_seeds(np.stack(scores)))


def _check_same(seeds: Sequence[Scores] | Sequence[ClassScores]) -> None:
    first = seeds[0]
    for other in seeds[1:]:
        if not (np.array_equal(first.index, other.index) and np.array_equal(first.label, other.label)):
            raise UserError("the seeds were scored on different samples; evaluate them again with --train 0")
