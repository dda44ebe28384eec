"""Focal losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .base import require_non_negative
from .margin import log_probability
from .softmax import SoftmaxLoss, of_true_class


class SymmetricFocal(SoftmaxLoss):
    """Focal loss (S-FL): well classified samples of every class are down-weighted.

    y = 1: -(1 - p)^gamma log(p + eps);  y = 0: -p^gamma log(1 - p + eps);  p = sigma(s);  mean over the batch
    K > 2:  mean over the batch of  -(1 - q_y)^gamma log(q_y + eps),  q = softmax(z)

    Args:
        gamma: focusing exponent, >= 0; 0 is cross-entropy.
        eps: added inside the logarithm, >= 0 (1e-4 in alm-dnn; 0 is the exact form).
        classes, critical: as for :class:`SoftmaxLoss`.

    The power is computed as exp(gamma * log sigma): for gamma < 1 its slope at p = 1 would be infinite otherwise.

    Reference: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 4. Of K classes they, and some
    studies of long tails, sum K binary focal losses; the softmax form is that of Cao et al.'s code (LDAM-DRW).

    >>> value = SymmetricFocal(gamma=2)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # 1/4 log 2
    >>> round(value.item(), 4)
    0.1733
    >>> value = SymmetricFocal(gamma=2, classes=4)(torch.zeros(2, 4), torch.tensor([3, 0]))   # 9/16 log 4
    >>> round(value.item(), 4)
    0.7798
    """

    def __init__(
        self, *, gamma: float, eps: float = 0.0, classes: int = 2, critical: Sequence[int] | None = None
    ) -> None:
        super().__init__(classes=classes, critical=critical)
        self.gamma = require_non_negative("gamma", gamma)
        self.eps = require_non_negative("eps", eps)

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        signed = (2 * targets - 1) * scores
        focus = torch.exp(self.gamma * self.is_focused(targets) * logsigmoid(-signed))
        return -(focus * log_probability(signed, self.eps)).mean()

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        signed = of_true_class(logits, labels)
        focus = torch.exp(self.gamma * logsigmoid(-signed))
        return -(focus * log_probability(signed, self.eps)).mean()

    def is_focused(self, targets: Tensor) -> Tensor:
        """1 for the samples that the exponent applies to: all."""
        return torch.ones_like(targets)


class AsymmetricFocal(SymmetricFocal):
    """Asymmetric focal loss (A-FL): only well classified negatives are down-weighted.

    y = 1: -log(p + eps);  y = 0: -p^gamma log(1 - p + eps);  p = sigma(s);  mean over the batch

    Args: gamma and eps as for :class:`SymmetricFocal`; it knows two classes only.
    Reference: Li, Kamnitsas, Glocker, "Overfitting of neural nets under class imbalance", MICCAI 2019.

    >>> value = AsymmetricFocal(gamma=1)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (1 + 1/2)/2 log 2
    >>> round(value.item(), 4)
    0.5199
    """

    class_facts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, gamma: float, eps: float = 0.0) -> None:
        super().__init__(gamma=gamma, eps=eps)

    def is_focused(self, targets: Tensor) -> Tensor:
        """1 for the samples that the exponent applies to: the negatives."""
        return 1 - targets
