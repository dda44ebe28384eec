"""Random over-sampling: the samples of rare classes repeated until they are as many as those of the largest."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, steps_for


class OversamplingSampler(LabelledSampler):
    """Each pass: every negative once, every positive floor(N/P) or ceil(N/P) times, N in all, in a fresh order.

    Which positives come once more is drawn anew in each pass. A pass is 2N samples (n where P > N), so
    ``steps_per_epoch`` is ceil(2N / B), almost twice ceil(n / B); the last batch may be smaller.

    Of K > 2 classes each is repeated in this way until it has as many as the largest: K max_c n_c samples.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`.

    Reference: Japkowicz, Stephen, "The class imbalance problem: a systematic study", Intelligent Data Analysis 2002
    (there the repeated ones are drawn with replacement; equal numbers have a smaller variance).

    >>> sampler = OversamplingSampler(
    ...     torch.arange(5),
    ...     labels=torch.tensor([1, 1, 0, 0, 0]),
    ...     batch_size=6,
    ...     generator=torch.Generator().manual_seed(1),
    ... )
    >>> sorted(next(sampler).bincount().tolist())                # one of the two positives comes twice
    [1, 1, 1, 1, 2]
    """

    def __init__(self, indices: Tensor, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        if self.classes > 2:
            self.steps_per_epoch = steps_for(self.classes * max(map(len, self.members)), self.batch_size)
            return
        self._repeats, self._extra = divmod(max(len(self.negatives), len(self.positives)), len(self.positives))
        size = len(self.negatives) + self._repeats * len(self.positives) + self._extra
        self.steps_per_epoch = steps_for(size, self.batch_size)

    def _draw_pass(self) -> Tensor:
        if self.classes > 2:
            largest = max(map(len, self.members))
            rows = torch.cat([self._repeated(rows, largest) for rows in self.members])
            return rows[torch.randperm(len(rows), generator=self.generator)]
        extra = torch.randperm(len(self.positives), generator=self.generator)[: self._extra]
        rows = torch.cat([self.negatives, self.positives.repeat(self._repeats), self.positives[extra]])
        return rows[torch.randperm(len(rows), generator=self.generator)]

    def _repeated(self, rows: Tensor, count: int) -> Tensor:
        """(count,) each of ``rows`` floor(count / n_c) times, and some, drawn anew, once more."""
        repeats, extra = divmod(count, len(rows))
        once_more = torch.randperm(len(rows), generator=self.generator)[:extra]
        return torch.cat([rows.repeat(repeats), rows[once_more]])
