"""Logistic loss in which both classes have the same total weight."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, by_class, require_class_counts


class WeightedLogistic(Loss):
    """Weighted logistic loss (W-LOGISTIC): the rarer its class, the larger the weight of a sample.

    mean over the batch of  w_y log(1 + exp(-u)),  u = s for y = 1 and -s for y = 0,  w_c = n / n_c,  n = n_0 + n_1

    Over the training set each class has the total weight n. The mean divides by the size of the batch, not by the sum
    of its weights (as :class:`WeightedCrossEntropy` does).

    Args:
        class_counts: (negatives, positives) of the training set (supplied by the run).

    Reference: the weighted logistic baseline of Hillman, Hocking, "Optimizing ROC curves with a sort-based surrogate
    loss for binary classification and changepoint detection", JMLR 2023.

    >>> import torch
    >>> loss = WeightedLogistic(class_counts=(3, 1))                   # weights 4/3 and 4
    >>> value = loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (4 + 4/3)/2 log 2
    >>> round(value.item(), 4)
    1.8484
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int]) -> None:
        super().__init__()
        negatives, positives = require_class_counts(class_counts)
        samples = negatives + positives
        self.class_weights = (samples / negatives, samples / positives)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        weights = by_class(targets, self.class_weights)
        return binary_cross_entropy_with_logits(scores, targets, weight=weights)
