"""Batches with a fixed number of samples of each class."""

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

    Of K > 2 classes every batch holds floor(B / K) of each, and one more of B mod K classes that are drawn anew for
    each batch.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`; batch_size >= 2.
        positive_share: of a batch, in (0, 1); None is 1/2. Of two classes only.

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

    def __init__(
        self, indices: Tensor, *, positive_share: float | None = None, **arguments: Unpack[LabelledArguments]
    ) -> None:
        super().__init__(indices, **arguments)
        require(self.batch_size >= 2, "batch_size must be >= 2, so that a batch holds both classes", self.batch_size)
        share = require_share(positive_share, classes=self.classes)
        self.positives_per_batch = min(max(round(share * self.batch_size), 1), self.batch_size - 1)
        names = ("negatives", "positives") if self.classes == 2 else map(str, range(self.classes))
        self._cycles = {name: Cycle(len(rows)) for name, rows in zip(names, self.members, strict=True)}

    def _draw_pass(self) -> Tensor:
        batches = self._of_two_classes() if self.classes == 2 else self._of_classes()
        # the places tell nothing of the class, should somebody split a batch
        places = torch.rand(batches.shape, generator=self.generator, dtype=torch.float64).argsort(dim=1)
        return batches.gather(1, places).flatten()

    def _of_two_classes(self) -> Tensor:
        """(steps, B) rows, the positives in front."""
        steps, k = self.steps_per_epoch, self.positives_per_batch
        taken = [
            rows[self._cycles[name].take(steps * each, self.generator)].view(steps, each)
            for name, rows, each in (
                ("positives", self.positives, k),
                ("negatives", self.negatives, self.batch_size - k),
            )
        ]
        return torch.cat(taken, dim=1)

    def _of_classes(self) -> Tensor:
        """(steps, B) rows, in the order of the classes; at the end those of which a batch holds one more."""
        steps, (whole, more) = self.steps_per_epoch, divmod(self.batch_size, self.classes)
        drawn = torch.rand(steps, self.classes, generator=self.generator, dtype=torch.float64).argsort(dim=1)
        labels = torch.cat([torch.arange(self.classes).repeat(steps, whole), drawn[:, :more]], dim=1)
        batches = torch.empty_like(labels)
        for label, (rows, cycle) in enumerate(zip(self.members, self._cycles.values(), strict=True)):
            is_own = labels == label
            batches[is_own] = rows[cycle.take(int(is_own.sum()), self.generator)]
        return batches

    def _carried(self) -> dict[str, Any]:
        return {name: cycle.state_dict() for name, cycle in self._cycles.items()}

    def _carry_on(self, state: dict[str, Any]) -> None:
        for name, cycle in self._cycles.items():
            cycle.load_state_dict(state[name])
