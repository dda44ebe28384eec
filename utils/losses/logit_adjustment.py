"""Logistic loss with the log prior odds added to the logit."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, require_class_counts, require_non_negative


class LogitAdjustment(Loss):
    """Logit-adjusted loss (LA): the prior is added to the logit in training, not at prediction.

    binary cross-entropy of  s + tau log(n_1 / n_0),  mean over the batch

    The paper has an output for each class and trains the softmax cross-entropy of z_c + tau log(pi_c), pi_c = n_c / n.
    A softmax of two outputs is a sigmoid of their difference: with s = z_1 - z_0 this is s + tau (log pi_1 - log pi_0),
    the formula above. So a rare positive needs a higher s for the same loss.

    The score is s. At tau = 1 the optimum is s = log p(x | 1) - log p(x | 0), independent of the prior, so the default
    threshold 0 minimises the balanced error.

    Args:
        tau: weight of the log prior odds, >= 0; 0 is binary cross-entropy.
        class_counts: (negatives n_0, positives n_1) of the training set (supplied by the run).

    Reference: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10.

    >>> import torch
    >>> loss = LogitAdjustment(class_counts=(3, 1))                      # shift -log 3
    >>> value = loss(torch.tensor([math.log(3)]), torch.tensor([1]))     # log 3 - log 3 = 0: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int], tau: float = 1.0) -> None:
        super().__init__()
        negatives, positives = require_class_counts(class_counts)
        self.shift = require_non_negative("tau", tau) * math.log(positives / negatives)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return binary_cross_entropy_with_logits(scores + self.shift, targets)
