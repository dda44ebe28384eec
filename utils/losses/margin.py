"""Logistic losses with a margin on the logit."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .base import Loss, require_non_negative


def log_probability(signed_scores: Tensor, eps: float) -> Tensor:
    """log(sigma(u) + eps) without overflow or vanishing gradients; u is the logit of the true class."""
    log_p = logsigmoid(signed_scores)
    return log_p if eps == 0 else torch.logaddexp(log_p, log_p.new_full((), math.log(eps)))


class SymmetricMargin(Loss):
    """Symmetric large-margin logistic loss (S-LM): both classes must clear the boundary by ``m``.

    y = 1: -log(sigma(s - m) + eps);  y = 0: -log(1 - sigma(s + m) + eps);  mean over the batch

    Args:
        m: margin in logits, >= 0.
        eps: added inside the logarithm, >= 0; 0 is the exact form. alm-dnn has 1e-4, with which the gradient vanishes
            for samples that are badly wrong (9e-10 instead of 1 at s = -30).

    Reference: Li, Kamnitsas, Glocker, "Overfitting of neural nets under class imbalance", MICCAI 2019.

    >>> loss = SymmetricMargin(m=0.5)
    >>> value = loss(torch.tensor([0.5, -0.5]), torch.tensor([1, 0]))   # both on their margin: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    def __init__(self, *, m: float, eps: float = 0.0) -> None:
        super().__init__()
        self.m = require_non_negative("m", m)
        self.eps = require_non_negative("eps", eps)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        sign = 2 * targets - 1
        return -log_probability(sign * scores - self.m * self.has_margin(targets), self.eps).mean()

    def has_margin(self, targets: Tensor) -> Tensor:
        """1 for the samples that must clear the margin: all."""
        return torch.ones_like(targets)


class AsymmetricMargin(SymmetricMargin):
    """Asymmetric large-margin logistic loss (A-LM): only positives must clear the boundary by ``m``.

    y = 1: -log(sigma(s - m) + eps);  y = 0: -log(1 - sigma(s) + eps);  mean over the batch

    Args and reference: as for :class:`SymmetricMargin`.

    >>> value = AsymmetricMargin(m=2)(torch.tensor([2.0, 0.0]), torch.tensor([1, 0]))
    >>> round(value.item(), 4)
    0.6931
    """

    def has_margin(self, targets: Tensor) -> Tensor:
        """1 for the samples that must clear the margin: the positives."""
        return targets
