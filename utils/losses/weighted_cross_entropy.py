"""Softmax cross-entropy with balancing class weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, by_class, in_full_precision, require_class_counts


class WeightedCrossEntropy(Loss):
    """Weighted cross-entropy (WCE) of two outputs.

    sum_i w_{y_i} l_i / sum_i w_{y_i} over the batch,  l = -log softmax_y(z),  w_c = n / (2 n_c),  n = n_0 + n_1

    z are the two outputs. A softmax of two outputs is a sigmoid of their difference, so the score is z_1 - z_0 and l
    its logistic loss. Dividing by the sum of the weights, as torch's ``cross_entropy(weight=w)`` does, makes the loss
    of a batch of one class its unweighted mean.

    Args:
        class_counts: (negatives, positives) of the training set (supplied by the run).

    Reference: King, Zeng, "Logistic regression in rare events data", Political Analysis 2001 (for the weights).

    >>> import math, torch
    >>> loss = WeightedCrossEntropy(class_counts=(3, 1))                # weights 2/3 and 2
    >>> outputs = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])        # probability of the true class: 1/2 and 1/4
    >>> value = loss(outputs, torch.tensor([1, 0]))                     # (2 log 2 + 2/3 log 4) / (8/3) = 5/4 log 2
    >>> round(value.item(), 4)
    0.8664
    """

    outputs: ClassVar[int] = 2
    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int]) -> None:
        super().__init__()
        negatives, positives = require_class_counts(class_counts)
        samples = negatives + positives
        self.class_weights = (samples / (2 * negatives), samples / (2 * positives))

    def score(self, outputs: Tensor) -> Tensor:
        """(B, 2) outputs -> (B,) the output of class 1 minus that of class 0."""
        if outputs.dim() != 2 or outputs.shape[1] != 2:
            raise ValueError(f"WeightedCrossEntropy needs outputs of shape (B, 2), got {tuple(outputs.shape)}")
        outputs = in_full_precision(outputs)
        return outputs[:, 1] - outputs[:, 0]

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        weights = by_class(targets, self.class_weights)
        weighted = binary_cross_entropy_with_logits(scores, targets, weight=weights, reduction="sum")
        return weighted / weights.sum()
