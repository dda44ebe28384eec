"""Cross-entropy weighted by the effective number of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .base import require
from .softmax import SoftmaxLoss, require_counts


class ClassBalancedBCE(SoftmaxLoss):
    """Class-balanced binary cross-entropy (CB-BCE).

    mean over the batch of  w_y * (binary cross-entropy),  w_c = (1 - beta) / (1 - beta^n_c)

    The weights are not normalised, as in the alm-dnn code; the paper below makes them sum to the number of classes.

    K > 2:  sum_i w_{y_i} l_i / sum_i w_{y_i} over the batch,  l = -log softmax_y(z)

    There the weights are divided by their sum in the batch, as in the code of the paper and of its successors: without
    it the loss, and so the step, would shrink with the classes (to w = 2.5e-4 at beta .9999 and 5000 samples).

    Args:
        beta: in [0, 1); at 0 all weights are 1, towards 1 they approach 1/n_c.
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        critical: as for :class:`SoftmaxLoss`.

    Reference: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019, equation 4.

    >>> import torch
    >>> loss = ClassBalancedBCE(beta=0.5, class_counts=(2, 1))        # weights 0.5/0.75 and 0.5/0.5
    >>> value = loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (1 + 2/3)/2 log 2
    >>> round(value.item(), 4)
    0.5776
    >>> loss = ClassBalancedBCE(beta=0.5, class_counts=(2, 1, 1))                  # weights 2/3, 1, 1
    >>> outputs = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]])         # q_y = 1/3 and 1/2
    >>> round(loss(outputs, torch.tensor([1, 0])).item(), 4)                       # (log 3 + 2/3 log 2) / (5/3)
    0.9364
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    class_weights: Tensor

    def __init__(self, *, beta: float, class_counts: tuple[int, ...], critical: Sequence[int] | None = None) -> None:
        counts = require_counts(class_counts)
        super().__init__(classes=len(counts), critical=critical)
        require(0 <= beta < 1, "beta must be in [0, 1)", beta)
        weights = [effective_weight(beta, count) for count in counts]
        self.negative_weight, self.positive_weight = weights[:2]  # of two classes
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        weights = self.negative_weight + (self.positive_weight - self.negative_weight) * targets
        return binary_cross_entropy_with_logits(scores, targets, weight=weights)

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, weight=self.class_weights.to(logits.dtype))


def effective_weight(beta: float, count: int) -> float:
    """(1 - beta) / (1 - beta^count), accurate for beta close to 1.

    >>> effective_weight(0.0, 5), effective_weight(0.5, 2) == 0.5 / 0.75
    (1.0, True)
    """
    return 1.0 if beta == 0 else (1 - beta) / -math.expm1(count * math.log(beta))
