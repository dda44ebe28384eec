"""AUC margin loss: the squared AUC surrogate as a min-max problem over samples instead of pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import Loss, both_classes, mean_over, require_non_negative


class AUCM(Loss):
    """AUC min-max margin loss, with h = sigma(s).

    min over the weights, a, b  max over alpha >= 0 of
        E[(h - a)^2 | y = 1] + E[(h - b)^2 | y = 0] + 2 alpha (m + E[h | y = 0] - E[h | y = 1]) - alpha^2

    At the saddle point a and b are the class means of h and alpha = max(0, m + b - a), so the value is the sum of the
    two variances and max(0, m + b - a)^2. Unlike the all-pairs square, class means further apart than m cost nothing.

    E[. | y] is the class mean of the batch. The paper's sum over samples, (1 - p)(h - a)^2 [y = 1] + p (h - b)^2
    [y = 0] + ..., is p (1 - p) times this in expectation, with p the share of positives. Class means do not depend on
    p, so they hold under any sampler, and the loss does not shrink with the prior (to 0.01 of its value at 1:100).

    ``a``, ``b`` and ``alpha`` are parameters with initial value 0, to be optimised without weight decay. The gradient
    of ``alpha`` is reversed, so that a descending optimizer ascends in it; ``after_step`` clamps ``alpha`` at 0.
    Learning rate and momentum are those of the weights; clamping does not reset the momentum. A batch of one class has
    the term of that class only.

    Args:
        m: margin in probabilities, >= 0.

    Reference: Yuan, Yan, Sonka, Yang, "Large-scale robust deep AUC maximization: a new surrogate loss and empirical
    studies on medical image classification", ICCV 2021; their optimizer (PESG) is not part of it.

    >>> loss = AUCM(m=1.0)
    >>> value = loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # h = 1/2 twice: 1/4 + 1/4
    >>> value.item()
    0.5
    >>> value.backward()
    >>> loss.alpha.grad.item()                                         # minus 2 (1 + 1/2 - 1/2): a step down raises it
    -2.0
    """

    def __init__(self, *, m: float = 1.0) -> None:
        super().__init__()
        self.m = require_non_negative("m", m)
        self.a = nn.Parameter(torch.zeros(()))
        self.b = nn.Parameter(torch.zeros(()))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        h = torch.sigmoid(scores)
        a, b, alpha = (value.to(h.dtype) for value in (self.a, self.b, self.alpha))
        alpha = 2 * alpha.detach() - alpha  # same value, reversed gradient
        spread = mean_over((h - a) ** 2, targets) + mean_over((h - b) ** 2, 1 - targets)
        shortfall = self.m + mean_over(h, 1 - targets) - mean_over(h, targets)
        return spread + both_classes(targets) * (2 * alpha * shortfall - alpha**2)

    @torch.no_grad()
    def after_step(self) -> None:
        """alpha <- max(0, alpha)."""
        self.alpha.clamp_(min=0)
