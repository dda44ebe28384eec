"""Random under-sampling: as many of each class as there are of the smallest, other ones in each pass."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, steps_for


class UndersamplingSampler(LabelledSampler):
    """Each pass: all P positives and P negatives that are drawn anew, each once, in a fresh order.

    A pass is 2P samples (all n where P > N), so ``steps_per_epoch`` is ceil(2P / B), far fewer than ceil(n / B); the
    last batch may be smaller. A negative comes once in N / P passes, on average.

    Of K > 2 classes each pass has as many of each as the smallest has, drawn anew: K min_c n_c samples.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`.

    Reference: Japkowicz, Stephen, "The class imbalance problem: a systematic study", Intelligent Data Analysis 2002
    (there the negatives are drawn once).

    >>> sampler = UndersamplingSampler(
    ...     torch.arange(9),
    ...     labels=torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 0]),
    ...     batch_size=4,
    ...     generator=torch.Generator().manual_seed(1),
    ... )
    >>> sampler.steps_per_epoch, sorted(next(sampler).tolist())[:2]
    (1, [0, 1])
    """

    def __init__(self, indices: Tensor, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        if self.classes == 2:
            size = len(self.positives) + min(len(self.positives), len(self.negatives))
        else:
            size = self.classes * min(map(len, self.members))
        self.steps_per_epoch = steps_for(size, self.batch_size)

    def _draw_pass(self) -> Tensor:
        if self.classes > 2:
            smallest = min(map(len, self.members))
            kept = [rows[torch.randperm(len(rows), generator=self.generator)[:smallest]] for rows in self.members]
            return torch.cat(kept)[torch.randperm(self.classes * smallest, generator=self.generator)]
        drawn = torch.randperm(len(self.negatives), generator=self.generator)[: len(self.positives)]
        rows = torch.cat([self.positives, self.negatives[drawn]])
        return rows[torch.randperm(len(rows), generator=self.generator)]
