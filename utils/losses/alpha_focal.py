"""Focal loss with class weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .base import Loss, by_class, require, require_non_negative


class AlphaFocal(Loss):
    """Alpha-balanced focal loss (ALPHA-FL).

    y = 1: -alpha (1 - p)^gamma log p;  y = 0: -(1 - alpha) p^gamma log(1 - p);  p = sigma(s);  mean over the batch

    alpha is the weight of the positives. The authors use 0.25 although positives are rare: the exponent reduces the
    share of easy negatives so much that positives would dominate otherwise.

    Args:
        gamma: focusing exponent, >= 0; 0 is weighted binary cross-entropy.
        focal_alpha: alpha, in [0, 1].

    Reference: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 5. They divide by the number of
    positives in the batch; here it is the mean over all samples, as in the other objectives.

    >>> value = AlphaFocal()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # 1/4 (1/4 + 3/4)/2 log 2
    >>> round(value.item(), 4)
    0.0866
    """

    def __init__(self, *, gamma: float = 2.0, focal_alpha: float = 0.25) -> None:
        super().__init__()
        self.gamma = require_non_negative("gamma", gamma)
        require(0 <= focal_alpha <= 1, "focal_alpha must be in [0, 1]", focal_alpha)
        self.class_weights = (1 - focal_alpha, float(focal_alpha))

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return (by_class(targets, self.class_weights) * focal_terms(scores, targets, gamma=self.gamma)).mean()


def focal_terms(scores: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """(B,) scores and 0/1 targets of their dtype -> (B,) -(1 - q)^gamma log q, q the probability of the true class.

    The power is computed as exp(gamma * log(1 - q)): for gamma < 1 its slope at q = 1 would be infinite otherwise.
    """
    return focal_of((2 * targets - 1) * scores, gamma=gamma)


def focal_of(signed: Tensor, *, gamma: float) -> Tensor:
    """The same from the log-odds of the true class."""
    return -torch.exp(gamma * logsigmoid(-signed)) * logsigmoid(signed)
