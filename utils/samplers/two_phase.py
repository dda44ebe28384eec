"""Balanced batches first, natural ones after."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from .balanced import BalancedSampler
from .base import LabelledArguments, passes_in, require


class TwoPhaseSampler(BalancedSampler):
    """The batches of :class:`~.balanced.BalancedSampler` in the first ``natural_from`` passes, then natural ones.

    A natural pass is every sample once in a fresh order, its last batch perhaps smaller. Both are ceil(n / B) batches.
    The second phase gives the scores back what the first took from them: the prior of the training set.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`; batch_size >= 2.
        positive_share: of a balanced batch, in (0, 1); None is 1/2. Of two classes only.
        natural_from: number of the first natural pass, counted from 0; 0: all are natural.

    Reference: Havaei, Davy, Warde-Farley, Biard, Courville, Bengio, Pal, Jodoin, Larochelle, "Brain tumor segmentation
    with deep neural networks", Medical Image Analysis 2017 (there the second phase trains the last layer only).

    >>> sampler = TwoPhaseSampler(
    ...     torch.arange(4),
    ...     labels=torch.tensor([1, 0, 0, 0]),
    ...     batch_size=2,
    ...     generator=torch.Generator().manual_seed(1),
    ...     natural_from=1,
    ... )
    >>> [0 in next(sampler) for _ in range(4)].count(True)       # twice in the balanced pass, once in the natural one
    3
    """

    def __init__(
        self,
        indices: Tensor,
        *,
        positive_share: float | None = None,
        natural_from: int = 80,
        **arguments: Unpack[LabelledArguments],
    ) -> None:
        super().__init__(indices, positive_share=positive_share, **arguments)
        require(natural_from >= 0, "natural_from must be >= 0 passes", natural_from)
        self.natural_from = natural_from
        self._passes = 0  # that were drawn

    def _draw_pass(self) -> Tensor:
        self._passes += 1
        if self._passes <= self.natural_from:
            return super()._draw_pass()
        return torch.randperm(len(self.indices), generator=self.generator)

    def _carried(self) -> dict[str, Any]:
        return {**super()._carried(), "passes": self._passes}

    def _carry_on(self, state: dict[str, Any]) -> None:
        super()._carry_on(state)
        self._passes = passes_in(state)
