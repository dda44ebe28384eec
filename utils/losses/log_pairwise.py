"""Logistic surrogate of the AUC over the pairs of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Loss, mean_over


class LogPairwise(Loss):
    """Pairwise logistic loss (LOG_PW).

    mean over in-batch pairs (positive j, negative k) of  log(1 + exp(-(s_j - s_k)))

    All B x B differences are formed and masked, so that the shape is fixed. A batch of one class gives 0 with a graph.

    >>> value = LogPairwise()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # one pair, difference 0: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        gaps_BB = scores[:, None] - scores[None, :]
        is_pair_BB = torch.outer(targets, 1 - targets)
        return mean_over(softplus(-gaps_BB), is_pair_BB)
