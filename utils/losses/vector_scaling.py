"""Logistic loss with a scale and a shift of the logit for each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from .base import by_class, require_non_negative
from .logit_adjustment import log_priors
from .softmax import SoftmaxLoss, require_counts


class VectorScaling(SoftmaxLoss):
    """Vector-scaling loss (VS), with y = +1 for positives and -1 for negatives.

    mean over the batch of  log(1 + exp(iota_y) exp(-Delta_y y s))

    Delta_y = (n_y / n_max)^gamma,  iota_y = tau log(n_other / n_y),  n_other the size of the class that is not y

    Both demand more of the rare class: its s is scaled down (Delta < 1) and must exceed iota > 0; that of the common
    class is not scaled and may fall short by the same amount. Delta moves the boundary late in training, when all
    samples are classified correctly and iota has no effect; iota compensates the harm of Delta early in training.

    K > 2:  mean over the batch of  -log softmax_y(Delta z + tau log pi),  pi_c = n_c / n

    There the term against the true class is tau (log pi_other - log pi_y), the iota of the binary form. So gamma = 0
    gives :class:`LogitAdjustment`, and gamma = tau = 0 cross-entropy. Of two outputs the Delta of both classes act,
    of one logit that of the true class: the two forms of the paper are equal at gamma = 0 only. Its weights omega_y
    are 1.

    Args:
        tau: weight of the log prior odds in the shift, >= 0.
        gamma: exponent of the class sizes in the scale, >= 0.
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        critical: as for :class:`SoftmaxLoss`.

    Reference: Kini, Paraskevas, Oymak, Thrampoulidis, "Label-imbalanced and group-sensitive classification under
    overparameterization", NeurIPS 2021, equation 1; for K classes their form in section 2.

    >>> loss = VectorScaling(class_counts=(16, 1), gamma=0.5)               # positives: Delta 1/4, iota log 16
    >>> value = loss(torch.tensor([4 * math.log(16)]), torch.tensor([1]))   # exponents cancel: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    class_scales: Tensor
    class_shifts: Tensor

    def __init__(
        self,
        *,
        class_counts: tuple[int, ...],
        tau: float = 1.0,
        gamma: float = 0.3,
        critical: Sequence[int] | None = None,
    ) -> None:
        counts = require_counts(class_counts)
        super().__init__(classes=len(counts), critical=critical)
        most, exponent = max(counts), require_non_negative("gamma", gamma)
        scales = [(count / most) ** exponent for count in counts]
        shift = require_non_negative("tau", tau) * math.log(counts[0] / counts[1])
        self.scales, self.shifts = (scales[0], scales[1]), (-shift, shift)  # of two classes
        self.register_buffer("class_scales", torch.tensor(scales, dtype=torch.float64), persistent=False)
        self.register_buffer("class_shifts", log_priors(counts, tau=tau), persistent=False)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        signed = (2 * targets - 1) * scores
        # torch's softplus returns its input above 20, which loses digits; logsigmoid does not
        return -logsigmoid(by_class(targets, self.scales) * signed - by_class(targets, self.shifts)).mean()

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        scales, shifts = self.class_scales.to(logits.dtype), self.class_shifts.to(logits.dtype)
        return cross_entropy(scales * logits + shifts, labels)
