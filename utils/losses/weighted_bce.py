"""Binary cross-entropy with a weight for the positives."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, require, require_positive


class WeightedBCE(Loss):
    """Weighted binary cross-entropy (W-BCE).

    mean over the batch of  -w y log p - (1 - y) log(1 - p),  p = sigma(s),  w = c * ratio_pos_train

    Args:
        c: weight of a positive as a fraction of the ratio, > 0; 1 balances the classes.
        ratio_pos_train: number of negatives per positive, > 0: as requested, or that of the training set
            (supplied by the run).

    >>> import torch
    >>> loss = WeightedBCE(c=1, ratio_pos_train=3)
    >>> value = loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (3 + 1)/2 log 2
    >>> round(value.item(), 4)
    1.3863
    """

    facts: ClassVar[tuple[str, ...]] = ("ratio_pos_train",)

    def __init__(self, *, c: float, ratio_pos_train: float) -> None:
        super().__init__()
        require(ratio_pos_train > 0, "ratio_pos_train must be > 0", ratio_pos_train)
        self.positive_weight = require_positive("c", c) * ratio_pos_train

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        weights = 1 + (self.positive_weight - 1) * targets
        return binary_cross_entropy_with_logits(scores, targets, weight=weights)
