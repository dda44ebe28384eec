"""Logistic loss with a scale and a shift of the logit for each class."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from .base import Loss, by_class, require_class_counts, require_non_negative


class VectorScaling(Loss):
    """Vector-scaling loss (VS), with y = +1 for positives and -1 for negatives.

    mean over the batch of  log(1 + exp(iota_y) exp(-Delta_y y s))

    Delta_y = (n_y / n_max)^gamma,  iota_y = tau log(n_other / n_y),  n_other the size of the class that is not y

    Both demand more of the rare class: its s is scaled down (Delta < 1) and must exceed iota > 0; that of the common
    class is not scaled and may fall short by the same amount. Delta moves the boundary late in training, when all
    samples are classified correctly and iota has no effect; iota compensates the harm of Delta early in training.

    With an output for each class the softmax is of Delta_c z_c + tau log(pi_c). There the term against the true class
    is tau (log pi_other - log pi_y), the iota of this form. So gamma = 0 gives :class:`LogitAdjustment`, and
    gamma = tau = 0 binary cross-entropy. The weights omega_y of the paper are 1.

    Args:
        tau: weight of the log prior odds in the shift, >= 0.
        gamma: exponent of the class sizes in the scale, >= 0.
        class_counts: (negatives, positives) of the training set (supplied by the run).

    Reference: Kini, Paraskevas, Oymak, Thrampoulidis, "Label-imbalanced and group-sensitive classification under
    overparameterization", NeurIPS 2021, equation 1.

    >>> import torch
    >>> loss = VectorScaling(class_counts=(16, 1), gamma=0.5)               # positives: Delta 1/4, iota log 16
    >>> value = loss(torch.tensor([4 * math.log(16)]), torch.tensor([1]))   # exponents cancel: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int], tau: float = 1.0, gamma: float = 0.3) -> None:
        super().__init__()
        negatives, positives = require_class_counts(class_counts)
        most, exponent = max(negatives, positives), require_non_negative("gamma", gamma)
        self.scales = ((negatives / most) ** exponent, (positives / most) ** exponent)
        shift = require_non_negative("tau", tau) * math.log(negatives / positives)
        self.shifts = (-shift, shift)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        signed = (2 * targets - 1) * scores
        # torch's softplus returns its input above 20, which loses digits; logsigmoid does not
        return -logsigmoid(by_class(targets, self.scales) * signed - by_class(targets, self.shifts)).mean()
