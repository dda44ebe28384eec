"""Random under-sampling: as many negatives as positives, other ones in each pass."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, steps_for


class UndersamplingSampler(LabelledSampler):
    """Each pass: all P positives and P negatives that are drawn anew, each once, in a fresh order.

    A pass is 2P samples (all n where P > N), so ``steps_per_epoch`` is ceil(2P / B), far fewer than ceil(n / B); the
    last batch may be smaller. A negative comes once in N / P passes, on average.

    Args:
        indices, labels, batch_size, generator: as for :class:`~.base.LabelledSampler`.

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
        size = len(self.positives) + min(len(self.positives), len(self.negatives))
        self.steps_per_epoch = steps_for(size, self.batch_size)

    def _draw_pass(self) -> Tensor:
        drawn = torch.randperm(len(self.negatives), generator=self.generator)[: len(self.positives)]
        rows = torch.cat([self.positives, self.negatives[drawn]])
        return rows[torch.randperm(len(rows), generator=self.generator)]
