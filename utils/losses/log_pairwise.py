"""Logistic surrogate of the AUC over the pairs of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..pairwise.violations import DENSE_BATCH
from .base import Loss, ScalarWithSlopes, mean_over

BLOCK_PAIRS = 2**18  # pairs formed at a time in a large batch


class LogPairwise(Loss):
    """Pairwise logistic loss (LOG_PW).

    mean over in-batch pairs (positive j, negative k) of  log(1 + exp(-(s_j - s_k)))

    All B x B differences are formed and masked, so the shape is fixed. A large batch is processed in blocks, with the
    gradient in the same pass, so that memory is linear in B. A batch of one class gives 0 with a graph.

    >>> value = LogPairwise()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # one pair, difference 0: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        if len(scores) > DENSE_BATCH:
            mean: Tensor = _InBlocks.apply(scores, targets)
            return mean
        gaps_BB = scores[:, None] - scores[None, :]
        is_pair_BB = torch.outer(targets, 1 - targets)
        return mean_over(softplus(-gaps_BB), is_pair_BB)


class _InBlocks(ScalarWithSlopes):
    """(B,) scores and 0/1 targets -> the mean over pairs; R rows of pairs at a time, C columns."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor) -> Tensor:
        rows, columns = _sides(targets)
        row_scores, column_scores = scores[rows], scores[columns]
        is_positive, is_negative = targets[rows], 1 - targets[columns]
        total = torch.zeros((), dtype=torch.float64, device=scores.device)
        row_slopes = torch.zeros_like(row_scores)
        column_slopes = torch.zeros_like(column_scores, dtype=torch.float64)
        size = max(1, BLOCK_PAIRS // max(1, len(columns)))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            shortfalls_RC = column_scores - row_scores[part, None]
            costs_R = (softplus(shortfalls_RC) * is_negative).sum(dim=1)
            total += (costs_R * is_positive[part]).sum(dtype=torch.float64)
            if ctx.needs_input_grad[0]:
                slopes_RC = shortfalls_RC.sigmoid_().mul_(is_negative).mul_(is_positive[part, None])
                row_slopes[part] = slopes_RC.sum(dim=1)
                column_slopes += slopes_RC.sum(dim=0)
        pairs = (is_positive.sum(dtype=torch.float64) * is_negative.sum(dtype=torch.float64)).clamp(min=1)
        slopes = torch.zeros_like(scores, dtype=torch.float64)
        slopes.index_add_(0, rows, -row_slopes.to(torch.float64)).index_add_(0, columns, column_slopes)
        ctx.save_for_backward((slopes / pairs).to(scores.dtype))
        return (total / pairs).to(scores.dtype)


def _sides(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the rows and columns of the pairs.

    On a CPU the positives and the negatives. On other devices all samples are on both sides, masked by the targets,
    because the number of positives is not known without synchronising.
    """
    if targets.device.type == "cpu":
        return (targets == 1).nonzero()[:, 0], (targets != 1).nonzero()[:, 0]
    everyone = torch.arange(len(targets), device=targets.device)
    return everyone, everyone
