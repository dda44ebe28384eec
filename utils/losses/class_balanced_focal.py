"""Focal loss weighted by the effective number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from .alpha_focal import focal_of, focal_terms
from .base import by_class, require, require_non_negative
from .class_balanced import effective_weight
from .softmax import SoftmaxLoss, of_true_class, require_counts


class ClassBalancedFocal(SoftmaxLoss):
    """Class-balanced focal loss (CB-FL).

    mean over the batch of  -w_y (1 - q)^gamma log q,  w_c ~ (1 - beta) / (1 - beta^n_c),  sum_c w_c = K

    q is the probability of the true class: of two classes sigma(s) for y = 1, 1 - sigma(s) for y = 0; of more
    softmax_y(z). The weights sum to the number of classes, as in the paper; those of :class:`ClassBalancedBCE` are not
    normalised at K = 2, as in the alm-dnn code.

    Args:
        beta: in [0, 1); at 0 all weights are 1, towards 1 they become proportional to 1/n_c.
        gamma: focusing exponent, >= 0.
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        critical: as for :class:`SoftmaxLoss`.

    Reference: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019, section 4.3. They
    sum K binary focal losses, one for each output; here a single logit serves two classes, and a softmax K.

    >>> import torch
    >>> loss = ClassBalancedFocal(beta=0.5, class_counts=(2, 1))       # weights 2/3 and 1, times 6/5: 0.8 and 1.2
    >>> value = loss(torch.tensor([0.0]), torch.tensor([1]))           # 1.2 * 1/4 log 2
    >>> round(value.item(), 4)
    0.2079
    >>> loss = ClassBalancedFocal(beta=0.5, class_counts=(2, 1, 1))    # weights 2/3, 1, 1, times 9/8: 3/4, 9/8, 9/8
    >>> value = loss(torch.zeros(1, 3), torch.tensor([0]))             # 3/4 * 4/9 log 3
    >>> round(value.item(), 4)
    0.3662
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    class_weights: Tensor

    def __init__(
        self,
        *,
        class_counts: tuple[int, ...],
        beta: float = 0.9999,
        gamma: float = 2.0,
        critical: Sequence[int] | None = None,
    ) -> None:
        weights = normalised_weights(beta, class_counts)
        super().__init__(classes=len(weights), critical=critical)
        self.gamma = require_non_negative("gamma", gamma)
        self.two_weights = weights[0], weights[1]
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        return (by_class(targets, self.two_weights) * focal_terms(scores, targets, gamma=self.gamma)).mean()

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.class_weights.to(logits.dtype)[labels]
        return (weights * focal_of(of_true_class(logits, labels), gamma=self.gamma)).mean()


def normalised_weights(beta: float, class_counts: Sequence[int]) -> tuple[float, ...]:
    """Weights (1 - beta) / (1 - beta^n_c) of the classes, scaled so that they sum to the number of classes.

    >>> normalised_weights(0.0, (50, 1))
    (1.0, 1.0)
    """
    require(0 <= beta < 1, "beta must be in [0, 1)", beta)
    weights = [effective_weight(beta, count) for count in require_counts(class_counts)]
    return tuple(len(weights) * weight / sum(weights) for weight in weights)
