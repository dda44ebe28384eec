"""Binary cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss


class BCE(Loss):
    """Binary cross-entropy (logistic loss).

    mean over the batch of  -y log p - (1 - y) log(1 - p),  p = sigma(s)

    >>> import torch
    >>> value = BCE()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # log 2 each
    >>> round(value.item(), 4)
    0.6931
    """

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return binary_cross_entropy_with_logits(scores, targets)
