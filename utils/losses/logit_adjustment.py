"""Logistic loss with the log prior odds added to the logit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .base import require_non_negative
from .softmax import SoftmaxLoss, require_counts


class LogitAdjustment(SoftmaxLoss):
    """Logit-adjusted loss (LA): the prior is added to the logit in training, not at prediction.

    binary cross-entropy of  s + tau log(n_1 / n_0),  mean over the batch
    K > 2:  -log softmax_y(z + tau log pi),  pi_c = n_c / n,  mean over the batch

    The paper has an output for each class and trains the softmax cross-entropy of z_c + tau log(pi_c), pi_c = n_c / n.
    A softmax of two outputs is a sigmoid of their difference: with s = z_1 - z_0 this is s + tau (log pi_1 - log pi_0),
    the formula above. So a rare positive needs a higher s for the same loss.

    The score is s. At tau = 1 the optimum is s = log p(x | 1) - log p(x | 0), independent of the prior, so the default
    threshold 0 minimises the balanced error. Of K > 2 classes the score is that of z, and tau = 1 is balanced softmax.

    Args:
        tau: weight of the log prior odds, >= 0; 0 is cross-entropy.
        class_counts: (negatives n_0, positives n_1) of the training set, or the samples of each of K classes (supplied
            by the run).
        critical: as for :class:`SoftmaxLoss`.

    Reference: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10; Ren et al., "Balanced
    meta-softmax for long-tailed visual recognition", NeurIPS 2020 (tau = 1).

    >>> loss = LogitAdjustment(class_counts=(3, 1))                      # shift -log 3
    >>> value = loss(torch.tensor([math.log(3)]), torch.tensor([1]))     # log 3 - log 3 = 0: log 2
    >>> round(value.item(), 4)
    0.6931
    >>> value = LogitAdjustment(class_counts=(6, 3, 1))(torch.zeros(1, 3), torch.tensor([1]))   # -log 3/10
    >>> round(value.item(), 4)
    1.204
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    shifts: Tensor

    def __init__(
        self, *, class_counts: tuple[int, ...], tau: float = 1.0, critical: Sequence[int] | None = None
    ) -> None:
        counts = require_counts(class_counts)
        super().__init__(classes=len(counts), critical=critical)
        self.shift = require_non_negative("tau", tau) * math.log(counts[1] / counts[0])  # of two classes
        self.register_buffer("shifts", log_priors(counts, tau=tau), persistent=False)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(scores + self.shift, targets)

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits + self.shifts.to(logits.dtype), labels)


def log_priors(counts: Sequence[int], *, tau: float) -> Tensor:
    """(K,) tau log(n_c / n), in float64."""
    return torch.tensor([tau * math.log(count / sum(counts)) for count in counts], dtype=torch.float64)
