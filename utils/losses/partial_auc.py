"""One-way partial AUC: only the highest-scored negatives count."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import Loss, both_classes, mean_over, require, require_non_negative
from .pairwise_square import squared_hinge

STEP = 1.0  # step size of u in units of max_fpr: u moves by at most 1 up and max_fpr down


class PartialAUC(Loss):
    """Partial AUC over false positive rates up to ``max_fpr``, as the CVaR of the pair losses of each positive (SOPA).

    min over the weights and the u_i >= 0 of
        mean over positives i of [ u_i + 1/max_fpr * mean over negatives k of max(0, L_ik - u_i) ]
    with L_ik = max(0, m - (s_i - s_k))^2

    The minimum of the bracket over u_i is at the (1 - max_fpr) quantile of the losses of positive i, where it equals
    the mean of their largest share max_fpr: those of the highest-scored negatives. ``max_fpr`` 1 is the all-pairs
    squared hinge. A batch of one class gives 0 with a graph and updates no u.

    With ``indices`` and gradients enabled, u_i is stored for each sample of the data set (initially 0), and
    ``after_step`` moves those of the positives in the batch along the subgradient of the bracket:

        u_i <- max(0, u_i - STEP * max_fpr * (1 - 1/max_fpr * mean over k of [L_ik > u_i]))

    L >= 0, so no minimum is at u_i < 0. A sample that occurs several times in a batch takes one step, along the mean
    over its copies. Without ``indices``, or with gradients disabled (validation), the optimal u_i of the batch are used
    in closed form and not stored: the value is the exact mean over the highest-scored negatives.

    While u_i is far below its quantile, as at the start, the gradient is up to 1/max_fpr times that of the all-pairs
    squared hinge, and the learning rate must be smaller by that factor.

    A batch of more than ``DENSE_BATCH`` samples is sorted, so B x B pairs are formed in small ones only.

    Args:
        num_samples: size of the data set that ``indices`` refer to (supplied by the run).
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
    >>> loss.after_step()                                              # both above u: 0 - 0.5 * (1 - 2)
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
        self._collected: list[tuple[Tensor, ...]] = []  # the batches since the last ``after_step``

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        if indices is not None and indices.shape != scores.shape:
            raise ValueError(f"indices must have shape {tuple(scores.shape)}, got {tuple(indices.shape)}")
        if indices is None or not torch.is_grad_enabled():
            weights = tail_weights(scores, targets, share=self.max_fpr)
            return squared_hinge(scores, targets, m=self.m, weights=weights) / self.max_fpr
        indices = indices.long()  # index_copy_ takes no int32
        u = self.u.index_select(0, indices).to(scores.dtype)
        self._collected.append(tuple(each.detach().clone() for each in (scores, targets, indices, u)))
        excess = squared_hinge(scores, targets, m=self.m, roots=u.sqrt())
        return mean_over(u, targets) * both_classes(targets) + excess / self.max_fpr

    @torch.no_grad()
    def after_step(self) -> None:
        """Update the u_i of the positives of each batch with indices since the last step, all of which are kept."""
        collected, self._collected = self._collected, []
        for batch in collected:
            self._update(*batch)

    def _update(self, scores: Tensor, targets: Tensor, indices: Tensor, u: Tensor) -> None:
        """One step of the u_i from the present ones, with the gradient at those of the forward pass."""
        above = _negatives_above(scores.to(torch.float64) - self.m + u.sqrt(), scores, targets)
        share = _mean_of_copies(above, indices) / (1 - targets).sum().clamp(min=1)
        now = self.u.index_select(0, indices).to(u.dtype)
        moved = (now + STEP * (share - self.max_fpr)).clamp(min=0)
        moves = targets * both_classes(targets) == 1
        # copies of a sample write the same value, so their order does not matter
        self.u.index_copy_(0, indices, torch.where(moves, moved, now).to(self.u.dtype))


@torch.no_grad()
def tail_weights(scores: Tensor, targets: Tensor, *, share: float) -> Tensor:
    """The fraction of each negative that belongs to the highest-scored ``share`` of them.

    Args:
        scores: (B,) logits.
        targets: (B,) 0 or 1.
        share: in (0, 1].

    Returns:
        (B,) in [0, 1], summing to share * N over the negatives; ties at the border are divided equally. Values at the
        positives are meaningless.

    >>> tail_weights(torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([0, 0, 0, 0]), share=0.5).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    above = _negatives_above(scores, scores, targets)
    equal = _negatives_above(scores, scores, targets, or_equal=True) - above
    room = share * (targets != 1).sum().to(torch.float64) - above
    return (room.clamp(min=0).minimum(equal) / equal.clamp(min=1)).to(scores.dtype)


def _negatives_above(thresholds: Tensor, scores: Tensor, targets: Tensor, *, or_equal: bool = False) -> Tensor:
    """(B,) number of negatives whose score is above each threshold."""
    ascending = scores.to(thresholds.dtype).masked_fill(targets == 1, -torch.inf).sort().values
    return len(scores) - torch.searchsorted(ascending, thresholds.contiguous(), right=not or_equal)


def _mean_of_copies(counts: Tensor, indices: Tensor) -> Tensor:
    """(B,) float64 mean of the integers ``counts`` over all samples of a batch with the same index.

    Integer sums do not depend on the order of the copies.
    """
    ascending, order = indices.sort()
    sums = pad(counts[order].cumsum(0), (1, 0))
    first, behind = (torch.searchsorted(ascending, indices, right=side) for side in (False, True))
    return (sums[behind] - sums[first]).to(torch.float64) / (behind - first)
