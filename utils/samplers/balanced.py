"""Batches with a fixed number of positives."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, require, require_share
from .cycle import Cycle


class BalancedSampler(LabelledSampler):
    """Every batch holds k = round(positive_share * B) positives and B - k negatives, at least one of each.

    Each class comes in cycles: every member once, in a fresh order, before any comes again. A cycle does not end with a
    pass. A sample stands twice in a batch only where a cycle ends within it. A pass is ceil(n / B) batches, all of B
    samples; so the negatives' cycle takes more than one pass, and the positives' less.

    Args:
        indices, labels, batch_size, generator: as for :class:`~.base.LabelledSampler`; batch_size >= 2.
        positive_share: of a batch, in (0, 1).

    Reference: Shen, Lin, Huang, "Relay backpropagation for effective learning of deep convolutional neural networks",
    ECCV 2016 (class-aware sampling: lists that are shuffled when they end).

    >>> sampler = BalancedSampler(
    ...     torch.arange(6),
    ...     labels=torch.tensor([1, 1, 0, 0, 0, 0]),
    ...     batch_size=3,
    ...     generator=torch.Generator().manual_seed(1),
    ...     positive_share=0.3,                                     # 0.3 * 3 = 0.9: one positive
    ... )
    >>> both = torch.stack([next(sampler), next(sampler)])
    >>> (both < 2).sum(dim=1).tolist(), sorted(both.flatten().tolist())
    ([1, 1], [0, 1, 2, 3, 4, 5])
    """

    def __init__(self, indices: Tensor, *, positive_share: float = 0.5, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        require(self.batch_size >= 2, "batch_size must be >= 2, so that a batch holds both classes", self.batch_size)
        share = require_share(positive_share)
        self.positives_per_batch = min(max(round(share * self.batch_size), 1), self.batch_size - 1)
        self._cycles = {"positives": Cycle(len(self.positives)), "negatives": Cycle(len(self.negatives))}

    def _draw_pass(self) -> Tensor:
        steps, k = self.steps_per_epoch, self.positives_per_batch
        taken = [
            rows[self._cycles[name].take(steps * each, self.generator)].view(steps, each)
            for name, rows, each in (
                ("positives", self.positives, k),
                ("negatives", self.negatives, self.batch_size - k),
            )
        ]
        batches = torch.cat(taken, dim=1)
        # the places tell nothing of the class, should somebody split a batch
        places = torch.rand(batches.shape, generator=self.generator, dtype=torch.float64).argsort(dim=1)
        return batches.gather(1, places).flatten()

    def _carried(self) -> dict[str, Any]:
        return {name: cycle.state_dict() for name, cycle in self._cycles.items()}

    def _carry_on(self, state: dict[str, Any]) -> None:
        for name, cycle in self._cycles.items():
            cycle.load_state_dict(state[name])
