"""Focal loss weighted by the effective number of samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .alpha_focal import focal_terms
from .base import Loss, by_class, require, require_class_counts, require_non_negative
from .class_balanced import effective_weight


class ClassBalancedFocal(Loss):
    """Class-balanced focal loss (CB-FL).

    mean over the batch of  -w_y (1 - q)^gamma log q,  w_c ~ (1 - beta) / (1 - beta^n_c),  w_0 + w_1 = 2

    q is the probability of the true class: sigma(s) for y = 1, 1 - sigma(s) for y = 0. The weights sum to the number of
    classes, as in the paper; those of :class:`ClassBalancedBCE` are not normalised, as in the alm-dnn code.

    Args:
        beta: in [0, 1); at 0 all weights are 1, towards 1 they become proportional to 1/n_c.
        gamma: focusing exponent, >= 0.
        class_counts: (negatives, positives) of the training set (supplied by the run).

    Reference: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019, section 4.3. They
    have an output for each class; here a single logit serves both.

    >>> import torch
    >>> loss = ClassBalancedFocal(beta=0.5, class_counts=(2, 1))       # weights 2/3 and 1, times 6/5: 0.8 and 1.2
    >>> value = loss(torch.tensor([0.0]), torch.tensor([1]))           # 1.2 * 1/4 log 2
    >>> round(value.item(), 4)
    0.2079
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int], beta: float = 0.9999, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = require_non_negative("gamma", gamma)
        self.class_weights = normalised_weights(beta, class_counts)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return (by_class(targets, self.class_weights) * focal_terms(scores, targets, gamma=self.gamma)).mean()


def normalised_weights(beta: float, class_counts: tuple[int, int]) -> tuple[float, float]:
    """Weights (1 - beta) / (1 - beta^n_c) of the negatives and the positives, scaled so that they sum to 2.

    >>> normalised_weights(0.0, (50, 1))
    (1.0, 1.0)
    """
    require(0 <= beta < 1, "beta must be in [0, 1)", beta)
    negatives, positives = (effective_weight(beta, count) for count in require_class_counts(class_counts))
    return 2 * negatives / (negatives + positives), 2 * positives / (negatives + positives)
