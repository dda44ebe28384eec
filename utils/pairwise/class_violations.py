"""How far each sample of a critical class is from outranking all samples of each other class by a margin.

    q_(j,m) = sum over samples k of class m of max(0, delta - (s_c(j) - s_c(k)))        for j of the critical class c

Shapes: B samples, K classes, C critical ones, each with its column of scores; ``_BB`` all pairs, row j, column k.
The sum over m is the violation against the rest. At K = 2 this is ``violations.masked_violations``.

A small batch forms all pairs: B^2 whatever C, as each sample belongs to one class. A large one is sorted, once for each
column: C B log B for the order and C B K for the sums of each class over it, by the steps of ``violations``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .violations import DENSE_BATCH, full_precision, sums_from_the_end


def class_violations(scores: Tensor, labels: Tensor, *, column_of: Tensor, delta: float) -> Tensor:
    """q_(j,m) at the samples of critical classes and 0 elsewhere, with gradients.

    Its shape depends on those of the arguments alone and nothing waits for the device, so that a CUDA graph can hold
    it. A batch of more than ``DENSE_BATCH`` samples is sorted.

    Args:
        scores: (B, C) a score for each critical class.
        labels: (B,) int64, 0..K-1.
        column_of: (K,) int64, for each class its column of the scores, -1 where it is not critical.
        delta: margin in logits.

    Returns:
        (B, K) >= 0 in the dtype of the scores (float32 for narrower ones); 0 in the column of the sample's own class.

    Class 1 of three is critical, and its sample is at 0; sums are over its gaps to the samples of the others:

    >>> scores, labels = torch.tensor([[0.0], [0.5], [-2.0], [0.0]]), torch.tensor([1, 0, 2, 2])
    >>> class_violations(scores, labels, column_of=torch.tensor([-1, 0, -1]), delta=1.0)[0].tolist()
    [1.5, 0.0, 1.0]
    """
    form = dense_class_violations if len(scores) <= DENSE_BATCH else sorted_class_violations
    return form(full_precision(scores), labels, column_of=column_of, delta=delta)


def dense_class_violations(scores: Tensor, labels: Tensor, *, column_of: Tensor, delta: float) -> Tensor:
    """``class_violations`` with all B x B pairs formed, each sample in the column of its class."""
    column = column_of[labels]
    is_critical, column = column >= 0, column.clamp(min=0)
    of_row_BB = scores.t().index_select(0, column)  # [j, k]: of sample k the score for the class of j
    hinges_BB = torch.relu(delta - (of_row_BB.diagonal()[:, None] - of_row_BB))
    # in float64, which neither autocast nor TF32 narrows
    q = (hinges_BB.to(torch.float64) @ _members(labels, len(column_of)).to(torch.float64)).to(scores.dtype)
    return q.masked_fill(~is_critical[:, None] | _members(labels, len(column_of)), 0)


def sorted_class_violations(scores: Tensor, labels: Tensor, *, column_of: Tensor, delta: float) -> Tensor:
    """``class_violations`` by one sort of each column."""
    q: Tensor = _SortedByColumn.apply(scores, labels, column_of, delta)
    return q


def _members(labels: Tensor, classes: int) -> Tensor:
    """(...,) class indices -> (..., K) bool."""
    return labels[..., None] == torch.arange(classes, device=labels.device)


class _SortedByColumn(torch.autograd.Function):
    """(B, C) scores -> (B, K). Within, (C, B) is sorted along B, and (C, B, K) are the sums of each class over it."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor, column_of: Tensor, delta: float) -> Tensor:
        values = scores.t().to(torch.float64)
        is_own = column_of[labels] == torch.arange(len(values), device=scores.device)[:, None]  # (C, B)
        keys, order = torch.where(is_own, values - delta, values).sort(dim=1)
        own, label = is_own.gather(1, order), labels[order]
        counted = _members(label, len(column_of)) & ~own[..., None]
        above = pad(sums_from_the_end(counted, dim=1), (0, 0, 0, 1))  # (C, B + 1, K) of each class from a place on
        last = (keys[:, -1:] * 0)[..., None].expand(-1, -1, len(column_of))  # NaN if there is one
        q = torch.cat([sums_from_the_end(above[:, 1:-1] * keys.diff(dim=1)[..., None], dim=1), last], dim=1)
        higher = torch.searchsorted(keys, keys, right=True)  # behind a key and its ties
        ctx.save_for_backward(
            order, own, label, above.gather(1, _at(higher, above)), torch.searchsorted(keys, keys), column_of
        )
        # a sample has a violation in one column at most
        in_place = torch.empty_like(q).scatter_(1, _at(order, q), q.masked_fill(~own[..., None], 0))
        return in_place.sum(dim=0).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        order, own, label, above, below, column_of = ctx.saved_tensors
        at_own = grad.to(torch.float64)[order].masked_fill(~own[..., None], 0)  # (C, B, K)
        up_to = pad(at_own.cumsum(dim=1), (0, 0, 1, 0)).flatten(1)
        to_others = up_to.gather(1, below * len(column_of) + label)  # from the thresholds below, of its class
        slopes = torch.where(own, -(above * at_own).sum(dim=2), to_others)
        return torch.empty_like(slopes).scatter_(1, order, slopes).t().to(grad.dtype), None, None, None


def _at(places: Tensor, values: Tensor) -> Tensor:
    """(C, B) places along dimension 1 of (C, *, K) values, for gather and scatter."""
    return places[..., None].expand(-1, -1, values.shape[2])
