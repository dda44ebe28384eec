"""Squared surrogate of the AUC over the pairs of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Loss, both_classes, mean_over


class MBAUC(Loss):
    """Mini-batch AUC loss: the squared distance between 1 and the difference of each pair.

    mean over in-batch pairs (positive j, negative k) of  (1 - (sigma(s_j) - sigma(s_k)))^2

    With a_j = 1 - sigma(s_j) and b_k = sigma(s_k) this is mean(a^2) + 2 mean(a) mean(b) + mean(b^2), which needs no
    pairs: time and memory are linear in B. A batch of one class gives 0 with a graph.

    Reference: Gao et al., "One-pass AUC optimization", ICML 2013 (squared surrogate); in mini-batches as in alm-dnn.

    >>> value = MBAUC()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # one pair, difference 0
    >>> round(value.item(), 4)
    1.0
    """

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        positive_short = torch.sigmoid(-scores)  # 1 - sigma(s), without cancellation
        negative_over = torch.sigmoid(scores)
        squares = mean_over(positive_short**2, targets) + mean_over(negative_over**2, 1 - targets)
        cross = 2 * mean_over(positive_short, targets) * mean_over(negative_over, 1 - targets)
        return (squares + cross) * both_classes(targets)
