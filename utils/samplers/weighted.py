"""Each class is drawn as often as the others, by weights on the samples."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler

MOST_CATEGORIES = 2**24  # of torch.multinomial


class WeightedSampler(LabelledSampler):
    """Draws with replacement, a sample of class c with probability proportional to 1/n_c.

    So each place in a batch is of class c with probability 1/K, and any sample of it 1/(K n_c). The draws are those of
    ``torch.utils.data.WeightedRandomSampler`` with these weights; for more than 2^24 samples, which that does not take,
    the class of each place is drawn first. A pass is ceil(n / B) batches, all of B samples.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`.

    Reference: Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis, "Decoupling representation and classifier for
    long-tailed recognition", ICLR 2020 (class-balanced sampling, their eq. 1 with q = 0).

    >>> sampler = WeightedSampler(
    ...     torch.arange(6), labels=torch.tensor([0, 0, 0, 0, 1, 1]), batch_size=4, generator=torch.Generator()
    ... )
    >>> sampler.weights.tolist()
    [0.25, 0.25, 0.25, 0.25, 0.5, 0.5]
    """

    def __init__(self, indices: Tensor, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        self.weights = torch.empty(len(indices), dtype=torch.float64, device="cpu")
        for rows in self.members:
            self.weights[rows] = 1 / len(rows)

    def _draw_pass(self) -> Tensor:
        size = self.steps_per_epoch * self.batch_size
        if len(self.weights) > MOST_CATEGORIES and self.classes == 2:
            return self._random_rows(size, positive_share=0.5)
        if len(self.weights) > MOST_CATEGORIES:
            return self._random_rows_of_classes(size, torch.ones(self.classes, dtype=torch.float64))
        return torch.multinomial(self.weights, size, replacement=True, generator=self.generator)
