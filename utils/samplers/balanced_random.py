"""Batches with a random number of positives of a given mean."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from .base import LabelledArguments, LabelledSampler, require_share


class RandomBalancedSampler(LabelledSampler):
    """Each place in a batch is a positive with probability ``positive_share``, then any of its class.

    All with replacement. So the positives in a batch are binomial, with mean positive_share * B, and a batch can lack a
    class. A pass is ceil(n / B) batches, all of B samples.

    Args:
        indices, labels, batch_size, generator: as for :class:`~.base.LabelledSampler`.
        positive_share: probability of a positive, in (0, 1); at 1/2 the draws are distributed as those of
            :class:`~.weighted.WeightedSampler`.

    Reference: Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis, "Decoupling representation and classifier for
    long-tailed recognition", ICLR 2020 (class-balanced sampling as two draws: the class, then one of its samples).

    >>> import torch
    >>> sampler = RandomBalancedSampler(
    ...     torch.arange(5),
    ...     labels=torch.tensor([1, 0, 0, 0, 0]),
    ...     batch_size=2,
    ...     generator=torch.Generator().manual_seed(1),
    ... )
    >>> [len(next(sampler)) for _ in range(sampler.steps_per_epoch)]
    [2, 2, 2]
    """

    def __init__(self, indices: Tensor, *, positive_share: float = 0.5, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        self.positive_share = require_share(positive_share)

    def _draw_pass(self) -> Tensor:
        return self._random_rows(self.steps_per_epoch * self.batch_size, positive_share=self.positive_share)
