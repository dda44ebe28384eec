"""The scores of a set of samples, and their mean over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError


@dataclass(frozen=True)
class Scores:
    """For each sample its index in the file of its split, label (0 or 1), score, split and original class.

    ``path`` and ``group`` are those of prepared data, else None.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    split: list[str]
    original_class: NDArray[np.int64]
    path: list[str] | None = None
    group: list[str] | None = None

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """(n,) the groups as numbers from 0, in the order of their names; None where there are none."""
        if self.group is None or not any(self.group):
            return None
        numbers = np.unique(np.array(self.group, dtype=np.str_), return_inverse=True)[1]
        return numbers.reshape(-1).astype(np.int64)


def averaged(seeds: Sequence[Scores]) -> Scores:
    """The same samples with the mean of their scores.

    Raises:
        UserError: the seeds were not scored on the same samples.
    """
    first = seeds[0]
    for other in seeds[1:]:
        if not (np.array_equal(first.index, other.index) and np.array_equal(first.label, other.label)):
            raise UserError("the seeds were scored on different samples; evaluate them again with --train 0")
    return replace(first, score=np.mean([scores.score for scores in seeds], axis=0))
