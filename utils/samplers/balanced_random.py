"""Batches with a random number of samples of each class, of a given mean."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, require_share


class RandomBalancedSampler(LabelledSampler):
    """Each place in a batch is a positive with probability ``positive_share``, then any of its class.

    Of K > 2 classes it is of each with probability 1/K.

    All with replacement. So the positives in a batch are binomial, with mean positive_share * B, and a batch can lack a
    class. A pass is ceil(n / B) batches, all of B samples.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`.
        positive_share: probability of a positive, in (0, 1); None is 1/2, at which the draws are distributed as those
            of :class:`~.weighted.WeightedSampler`. Of two classes only.

    Reference: Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis, "Decoupling representation and classifier for
    long-tailed recognition", ICLR 2020 (class-balanced sampling as two draws: the class, then one of its samples).

    >>> sampler = RandomBalancedSampler(
    ...     torch.arange(5),
    ...     labels=torch.tensor([1, 0, 0, 0, 0]),
    ...     batch_size=2,
    ...     generator=torch.Generator().manual_seed(1),
    ... )
    >>> [len(next(sampler)) for _ in range(sampler.steps_per_epoch)]
    [2, 2, 2]
    """

    def __init__(
        self, indices: Tensor, *, positive_share: float | None = None, **arguments: Unpack[LabelledArguments]
    ) -> None:
        super().__init__(indices, **arguments)
        self.positive_share = require_share(positive_share, classes=self.classes)

    def _draw_pass(self) -> Tensor:
        size = self.steps_per_epoch * self.batch_size
        if self.classes == 2:
            return self._random_rows(size, positive_share=self.positive_share)
        return self._random_rows_of_classes(size, torch.ones(self.classes, dtype=torch.float64))
