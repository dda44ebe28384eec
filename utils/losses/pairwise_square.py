"""Squared losses over all pairs of a positive and a negative, without forming the pairs.

Shapes: B samples of both classes, P positives j, N negatives k; ``_BB`` all pairs, row j, column k.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..pairwise.violations import DENSE_BATCH, sums_from_the_end
from .base import Loss, ScalarWithSlopes, both_classes, mean_over, require_non_negative


class AllPairsSquaredHinge(Loss):
    """All-pairs squared hinge: every positive must outrank every negative by ``m``.

    mean over in-batch pairs (positive j, negative k) of  max(0, m - (s_j - s_k))^2

    A batch of more than ``DENSE_BATCH`` samples is sorted, (P + N) log(P + N); in a smaller one all pairs are
    formed. A batch of one class gives 0 with a graph.

    Args:
        m: margin in logits, >= 0.

    Reference: Rust, Hocking, "A log-linear gradient descent algorithm for unbalanced binary classification using the
    all pairs squared hinge loss", arXiv 2302.11062, 2023. The sums over sorted pairs are ours.

    >>> value = AllPairsSquaredHinge(m=1.0)(torch.tensor([0.0, 0.5, -2.0]), torch.tensor([1, 0, 0]))
    >>> value.item()                                           # hinges 1.5 and 0: 2.25 / 2
    1.125
    """

    def __init__(self, *, m: float = 1.0) -> None:
        super().__init__()
        self.m = require_non_negative("m", m)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return squared_hinge(scores, targets, m=self.m)


class AllPairsSquare(Loss):
    """All-pairs square: the squared distance between ``m`` and the logit difference of each pair.

    mean over in-batch pairs (positive j, negative k) of  (m - (s_j - s_k))^2
        = (m - (mean of the s_j - mean of the s_k))^2 + variance of the s_j + variance of the s_k

    Linear in B, without cancellation; the moments are in float64. A batch of one class gives 0 with a graph.

    Args:
        m: target difference in logits, >= 0.

    Reference: Gao, Jin, Zhu, Zhou, "One-pass AUC optimization", ICML 2013 (moments of all data so far, here of the
    batch); Rust, Hocking, arXiv 2302.11062, 2023 (linear time).

    >>> value = AllPairsSquare(m=1.0)(torch.tensor([0.0, 0.5, -2.0]), torch.tensor([1, 0, 0]))
    >>> value.item()                                           # (1.5^2 + (-1)^2) / 2
    1.625
    """

    def __init__(self, *, m: float = 1.0) -> None:
        super().__init__()
        self.m = require_non_negative("m", m)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        values, positive = scores.to(torch.float64), targets.to(torch.float64)
        negative = 1 - positive
        centre, other_centre = mean_over(values, positive), mean_over(values, negative)
        variances = mean_over((values - centre) ** 2, positive) + mean_over((values - other_centre) ** 2, negative)
        mean = (self.m - (centre - other_centre)) ** 2 + variances
        return (mean * both_classes(positive)).to(scores.dtype)


def squared_hinge(
    scores: Tensor, targets: Tensor, *, m: float, roots: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Mean over the pairs of w_k * max(0, h_jk^2 - r_j^2), with h_jk = max(0, m - (s_j - s_k)).

    Args:
        scores: (B,) logits, float32 or float64; the only argument with a gradient.
        targets: (B,) 0 or 1, of the scores' dtype.
        m: margin in logits.
        roots: (B,) r >= 0, read at the positives; default 0.
        weights: (B,) w >= 0, read at the negatives; default 1. The sum is divided by the number of pairs regardless.

    Returns:
        A scalar; 0 with a graph if a class is missing.
    """
    form = dense_squared_hinge if len(scores) <= DENSE_BATCH else sorted_squared_hinge
    return form(scores, targets, m=m, roots=roots, weights=weights)


def dense_squared_hinge(
    scores: Tensor, targets: Tensor, *, m: float, roots: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """``squared_hinge`` with all B x B pairs formed and masked."""
    is_pair_BB = torch.outer(targets, 1 - targets)
    shortfalls_BB = m - (scores[:, None] - scores[None, :])
    if roots is None:
        costs_BB = (torch.relu(shortfalls_BB) * is_pair_BB).square()  # masked first: an unmasked square may overflow
    else:
        above_BB = torch.relu(shortfalls_BB - roots[:, None]) * is_pair_BB
        costs_BB = above_BB * (above_BB + 2 * roots[:, None])  # h^2 - r^2 without cancellation
    if weights is not None:
        costs_BB = costs_BB * weights
    return costs_BB.sum() / is_pair_BB.sum().clamp(min=1)


def sorted_squared_hinge(
    scores: Tensor, targets: Tensor, *, m: float, roots: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """``squared_hinge`` by one sort of both classes together; memory is linear in B."""
    mean: Tensor = _SortedSquaredHinge.apply(scores, targets, m, roots, weights)
    return mean


class _SortedSquaredHinge(ScalarWithSlopes):
    """With d = max(0, s_k - t_j) and t_j = s_j - m + r_j a pair costs w_k * d * (d + 2 r_j).

    Sort all t_j and s_k in ascending order. From one position to the next lower one, across the gap g, the sums of d
    and d^2 over the n negatives above grow by n g and by 2 g sum(d) + n g^2. Every term is >= 0, so nothing cancels,
    unlike sums of squared scores. Computed in float64.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, targets: Tensor, m: float, roots: Tensor | None, weights: Tensor | None
    ) -> Tensor:
        is_positive, values = targets == 1, scores.to(torch.float64)
        moved = values - m if roots is None else values - m + roots
        keys, order = torch.where(is_positive, moved, values).sort()
        gaps, positive = keys.diff(), is_positive[order].to(torch.float64)
        weight = 1 - positive if weights is None else (1 - positive) * weights[order]
        root = None if roots is None else positive * roots[order]

        above = sums_from_the_end(weight)[1:]  # (B - 1,) weight of the negatives above each gap
        distances = pad(sums_from_the_end(above * gaps), (0, 1))  # (B,) of the negatives above, summed
        squares = pad(sums_from_the_end(gaps * (2 * distances[1:] + above * gaps)), (0, 1))
        costs = positive * squares if root is None else positive * squares + 2 * root * distances
        pairs = (positive.sum() * (1 - positive).sum()).clamp(min=1)
        if ctx.needs_input_grad[0]:
            below = positive.cumsum(0)[:-1]
            to_positives = positive * distances
            to_negatives = pad((below * gaps).cumsum(0), (1, 0))
            if root is not None:  # a pair exactly at its root has no gradient: strictly above, strictly below
                number_above = pad(sums_from_the_end(weight), (0, 1))[torch.searchsorted(keys, keys, right=True)]
                to_positives = to_positives + root * number_above
                to_negatives = to_negatives + pad(root.cumsum(0), (1, 0))[torch.searchsorted(keys, keys)]
            slopes = 2 * (weight * to_negatives - to_positives) / pairs
            ctx.save_for_backward(torch.empty_like(scores).scatter_(0, order, slopes.to(scores.dtype)))
        return (costs.sum() / pairs).to(scores.dtype)
