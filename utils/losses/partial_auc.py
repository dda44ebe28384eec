"""One-way partial AUC: only the negatives that score highest count."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import Loss, both_classes, mean_over, require, require_non_negative
from .pairwise_square import squared_hinge

STEP = 1.0  # of u, in units of max_fpr: at most 1 up and max_fpr down a step, whatever max_fpr is


class PartialAUC(Loss):
    """Partial AUC over false positive rates up to ``max_fpr``, as the CVaR of each positive's pair losses (SOPA).

    min over the weights and the u_i >= 0 of
        mean over positives i of [ u_i + 1/max_fpr * mean over negatives k of max(0, L_ik - u_i) ]
    with L_ik = max(0, m - (s_i - s_k))^2

    Over u_i the bracket is smallest at the (1 - max_fpr) quantile of positive i's losses, where it is the mean of the
    largest share max_fpr of them: those of the negatives that score highest. ``max_fpr`` 1 is the all-pairs squared
    hinge. A batch of one class gives 0 with a graph and moves no u.

    With ``indices`` and gradients enabled u_i is remembered for each sample of the data set (0 at first), and
    ``after_step`` moves those of the batch's positives along the subgradient of the bracket:

        u_i <- max(0, u_i - STEP * max_fpr * (1 - 1/max_fpr * mean over k of [L_ik > u_i]))

    L >= 0, so no minimum lies at u_i < 0. A sample that stands in the batch several times takes one step, along the
    mean of its copies. Without ``indices``, or where gradients are disabled (validation), the u_i of the batch itself
    are used, in closed form, and none is remembered: the value is the exact mean over the highest-scored negatives.

    As long as u_i is far below its quantile, as at the start, the gradient is up to 1/max_fpr times that of the
    all-pairs squared hinge: the learning rate has to be smaller by that factor.

    A batch of more than ``DENSE_BATCH`` samples is sorted, so B x B pairs are formed in small ones only.

    Args:
        num_samples: size of the data set that ``indices`` point into (supplied by the run).
        m: margin in logits, >= 0.
        max_fpr: largest false positive rate that counts, in (0, 1].

    Reference: Zhu, Li, Wang, Wu, Yang, "When AUC meets DRO: optimizing partial AUC for deep learning with non-convex
    convergence guarantee", ICML 2022, algorithm SOPA. The projection on u_i >= 0 is ours.

    >>> loss = PartialAUC(num_samples=3, m=1.0, max_fpr=0.5)
    >>> scores, targets = torch.tensor([0.0, 0.5, 0.0]), torch.tensor([1, 0, 0])     # L = 2.25 and 1
    >>> loss(scores, targets).item()                                   # the upper half: 2.25 alone
    2.25
    >>> indices = torch.arange(3)
    >>> loss(scores, targets, indices).item()                          # u = 0: 2 * (2.25 + 1) / 2
    3.25
    >>> loss.after_step()                                              # both lie above: 0 - 0.5 * (1 - 2)
    >>> loss.u.tolist()
    [0.5, 0.0, 0.0]
    >>> round(loss(scores, targets, indices).item(), 4)                # 0.5 + 2 * (1.75 + 0.5) / 2
    2.75
    """

    facts: ClassVar[tuple[str, ...]] = ("num_samples",)
    u: Tensor

    def __init__(self, *, num_samples: int, m: float = 1.0, max_fpr: float = 0.1) -> None:
        super().__init__()
        require(num_samples >= 1, "num_samples must be an integer >= 1", num_samples)
        require(0 < max_fpr <= 1, "max_fpr must be a number in (0, 1]", max_fpr)
        self.m = require_non_negative("m", m)
        self.max_fpr = float(max_fpr)
        self.register_buffer("u", torch.zeros(num_samples))
        self._last_batch: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        if indices is not None and indices.shape != scores.shape:
            raise ValueError(f"indices must have shape {tuple(scores.shape)}, got {tuple(indices.shape)}")
        if indices is None or not torch.is_grad_enabled():
            weights = tail_weights(scores, targets, share=self.max_fpr)
            return squared_hinge(scores, targets, m=self.m, weights=weights) / self.max_fpr
        u = self.u.index_select(0, indices).to(scores.dtype)
        self._last_batch = scores.detach(), targets, indices, u
        excess = squared_hinge(scores, targets, m=self.m, roots=u.sqrt())
        return mean_over(u, targets) * both_classes(targets) + excess / self.max_fpr

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the u_i of the last batch's positives, if it came with indices."""
        if self._last_batch is None:
            return
        scores, targets, indices, u = self._last_batch
        self._last_batch = None
        above = _negatives_above(scores.to(torch.float64) - self.m + u.sqrt(), scores, targets)
        share = _mean_of_copies(above, indices) / (1 - targets).sum().clamp(min=1)
        moved = (u + STEP * (share - self.max_fpr)).clamp(min=0)
        moves = targets * both_classes(targets) == 1
        self.u.index_copy_(0, indices, torch.where(moves, moved, u).to(self.u.dtype))  # copies write one value


@torch.no_grad()
def tail_weights(scores: Tensor, targets: Tensor, *, share: float) -> Tensor:
    """Which part of each negative belongs to the ``share`` of them that scores highest.

    Args:
        scores: (B,) logits.
        targets: (B,) 0 or 1.
        share: in (0, 1].

    Returns:
        (B,) in [0, 1], summing to share * N over the negatives; those that tie at the border have equal parts. What
        stands at the positives means nothing.

    >>> tail_weights(torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([0, 0, 0, 0]), share=0.5).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    above = _negatives_above(scores, scores, targets)
    equal = _negatives_above(scores, scores, targets, or_equal=True) - above
    room = share * (targets != 1).sum().to(torch.float64) - above
    return (room.clamp(min=0).minimum(equal) / equal.clamp(min=1)).to(scores.dtype)


def _negatives_above(thresholds: Tensor, scores: Tensor, targets: Tensor, *, or_equal: bool = False) -> Tensor:
    """(B,) numbers of negatives whose score is above each threshold."""
    ascending = scores.to(thresholds.dtype).masked_fill(targets == 1, -torch.inf).sort().values
    return len(scores) - torch.searchsorted(ascending, thresholds, right=not or_equal)


def _mean_of_copies(counts: Tensor, indices: Tensor) -> Tensor:
    """(B,) float64 mean of the whole numbers ``counts`` over all places of a batch that hold the same index.

    From sums of whole numbers, so that no order of the copies changes a bit.
    """
    ascending, order = indices.sort()
    sums = pad(counts[order].cumsum(0), (1, 0))
    first, behind = (torch.searchsorted(ascending, indices, right=side) for side in (False, True))
    return (sums[behind] - sums[first]).to(torch.float64) / (behind - first)
