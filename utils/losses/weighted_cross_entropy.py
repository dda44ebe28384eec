"""Softmax cross-entropy with balancing class weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .base import by_class
from .softmax import SoftmaxLoss, require_counts


class WeightedCrossEntropy(SoftmaxLoss):
    """Weighted cross-entropy (WCE) of an output for each class.

    sum_i w_{y_i} l_i / sum_i w_{y_i} over the batch,  l = -log softmax_y(z),  w_c = n / (K n_c),  n = sum_c n_c

    z are the outputs. A softmax of two outputs is a sigmoid of their difference, so there the score is z_1 - z_0 and l
    its logistic loss. Dividing by the sum of the weights, as torch's ``cross_entropy(weight=w)`` does, makes the loss
    of a batch of one class its unweighted mean.

    Args:
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        critical: as for :class:`SoftmaxLoss`.

    Reference: King, Zeng, "Logistic regression in rare events data", Political Analysis 2001 (for the weights).

    >>> import math
    >>> loss = WeightedCrossEntropy(class_counts=(3, 1))                # weights 2/3 and 2
    >>> outputs = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])        # probability of the true class: 1/2 and 1/4
    >>> value = loss(outputs, torch.tensor([1, 0]))                     # (2 log 2 + 2/3 log 4) / (8/3) = 5/4 log 2
    >>> round(value.item(), 4)
    0.8664
    """

    outputs: int = 2
    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    class_weights: Tensor

    def __init__(self, *, class_counts: tuple[int, ...], critical: Sequence[int] | None = None) -> None:
        counts = require_counts(class_counts)
        super().__init__(classes=len(counts), critical=critical)
        weights = [sum(counts) / (len(counts) * count) for count in counts]
        self.two_weights = weights[0], weights[1]
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    def score(self, outputs: Tensor) -> Tensor:
        """Two classes: (B, 2) outputs -> (B,) z_1 - z_0. K > 2: (B, K) -> (B, C) log-odds."""
        logits = self.logits(outputs)
        return logits[:, 1] - logits[:, 0] if self.classes == 2 else self.log_odds(logits)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        weights = by_class(targets, self.two_weights)
        weighted = binary_cross_entropy_with_logits(scores, targets, weight=weights, reduction="sum")
        return weighted / weights.sum()

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, weight=self.class_weights.to(logits.dtype))
