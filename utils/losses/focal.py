"""Focal losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .base import Loss, require_non_negative
from .margin import log_probability


class SymmetricFocal(Loss):
    """Focal loss (S-FL): well classified samples of both classes are down-weighted.

    y = 1: -(1 - p)^gamma log(p + eps);  y = 0: -p^gamma log(1 - p + eps);  p = sigma(s);  mean over the batch

    Args:
        gamma: focusing exponent, >= 0; 0 is binary cross-entropy.
        eps: added inside the logarithm, >= 0 (1e-4 in alm-dnn; 0 is the exact form).

    The power is computed as exp(gamma * log sigma): for gamma < 1 its slope at p = 1 would be infinite otherwise.

    Reference: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 4.

    >>> value = SymmetricFocal(gamma=2)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # 1/4 log 2
    >>> round(value.item(), 4)
    0.1733
    """

    def __init__(self, *, gamma: float, eps: float = 0.0) -> None:
        super().__init__()
        self.gamma = require_non_negative("gamma", gamma)
        self.eps = require_non_negative("eps", eps)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        signed = (2 * targets - 1) * scores
        focus = torch.exp(self.gamma * self.is_focused(targets) * logsigmoid(-signed))
        return -(focus * log_probability(signed, self.eps)).mean()

    def is_focused(self, targets: Tensor) -> Tensor:
        """1 for the samples that the exponent applies to: all."""
        return torch.ones_like(targets)


class AsymmetricFocal(SymmetricFocal):
    """Asymmetric focal loss (A-FL): only well classified negatives are down-weighted.

    y = 1: -log(p + eps);  y = 0: -p^gamma log(1 - p + eps);  p = sigma(s);  mean over the batch

    Args: as for :class:`SymmetricFocal`.
    Reference: Li, Kamnitsas, Glocker, "Overfitting of neural nets under class imbalance", MICCAI 2019.

    >>> value = AsymmetricFocal(gamma=1)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # (1 + 1/2)/2 log 2
    >>> round(value.item(), 4)
    0.5199
    """

    def is_focused(self, targets: Tensor) -> Tensor:
        """1 for the samples that the exponent applies to: the negatives."""
        return 1 - targets
