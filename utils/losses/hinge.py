"""Hinge losses on single samples."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from .base import Loss, require_non_negative


class Hinge(Loss):
    """Hinge loss: a sample costs its shortfall from the margin.

    mean over the batch of  max(0, m - y s),  y = +1 for positives and -1 for negatives

    Args:
        m: margin in logits, >= 0.

    Reference: Cortes, Vapnik, "Support-vector networks", Machine Learning 1995.

    >>> import torch
    >>> value = Hinge()(torch.tensor([0.5, 0.5]), torch.tensor([1, 0]))   # (1/2 + 3/2)/2
    >>> value.item()
    1.0
    """

    def __init__(self, *, m: float = 1.0) -> None:
        super().__init__()
        self.m = require_non_negative("m", m)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return self.cost(relu(self.m - (2 * targets - 1) * scores)).mean()

    def cost(self, shortfalls: Tensor) -> Tensor:
        """(B,) shortfalls >= 0 -> (B,) costs: the same."""
        return shortfalls


class SquaredHinge(Hinge):
    """Squared hinge loss: :class:`Hinge` squared, which has a continuous slope.

    mean over the batch of  max(0, m - y s)^2,  y = +1 for positives and -1 for negatives

    Args: as for :class:`Hinge`.
    Reference: Tang, "Deep learning using linear support vector machines", ICML workshop on challenges in
    representation learning 2013.

    >>> import torch
    >>> value = SquaredHinge()(torch.tensor([0.5, 0.5]), torch.tensor([1, 0]))   # (1/4 + 9/4)/2
    >>> value.item()
    1.25
    """

    def cost(self, shortfalls: Tensor) -> Tensor:
        """(B,) shortfalls >= 0 -> (B,) costs: their squares."""
        return shortfalls**2
