"""Binary cross-entropy weighted by the effective number of samples."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, require, require_class_counts


class ClassBalancedBCE(Loss):
    """Class-balanced binary cross-entropy (CB-BCE).

    mean over the batch of  w_y * (binary cross-entropy),  w_c = (1 - beta) / (1 - beta^n_c)

    The weights are not normalised, as in the alm-dnn code; the paper below makes them sum to the number of classes.

    Args:
        beta: in [0, 1); at 0 all weights are 1, towards 1 they approach 1/n_c.
        class_counts: (negatives, positives) of the training set (supplied by the run).

    Reference: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019, equation 4.

    >>> import torch
    >>> loss = ClassBalancedBCE(beta=0.5, class_counts=(2, 1))        # weights 0.5/0.75 and 0.5/0.5
    >>> value = loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (1 + 2/3)/2 log 2
    >>> round(value.item(), 4)
    0.5776
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, beta: float, class_counts: tuple[int, int]) -> None:
        super().__init__()
        require(0 <= beta < 1, "beta must be in [0, 1)", beta)
        counts = require_class_counts(class_counts)
        self.negative_weight, self.positive_weight = (effective_weight(beta, count) for count in counts)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        weights = self.negative_weight + (self.positive_weight - self.negative_weight) * targets
        return binary_cross_entropy_with_logits(scores, targets, weight=weights)


def effective_weight(beta: float, count: int) -> float:
    """(1 - beta) / (1 - beta^count), accurate for beta close to 1.

    >>> effective_weight(0.0, 5), effective_weight(0.5, 2) == 0.5 / 0.75
    (1.0, True)
    """
    return 1.0 if beta == 0 else (1 - beta) / -math.expm1(count * math.log(beta))
