"""How far each positive of a batch is from outranking all negatives by a margin.

    q_j = sum over negatives k of max(0, delta - (s_j - s_k))

Shapes: B samples of both classes; ``_BB`` all pairs, row j, column k.

A small batch forms all pairs. A large one is sorted, in B log B time and memory that grows with B: with the threshold
t_j = s_j - delta, q_j sums s_k - t_j over the negatives above t_j. From one threshold to the next lower one it grows by
(gap) * (negatives above the gap), and by the negatives inside the gap. Every term is >= 0, so nothing cancels, and a
constraint that is met gives exactly 0. Float32 scores are summed in float64. A pair exactly at the margin counts as
met and has no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

DENSE_BATCH = 512  # up to this many samples all pairs are formed


def masked_violations(scores: Tensor, targets: Tensor, *, delta: float) -> Tensor:
    """q_j at the positives of a batch and 0 at its negatives, with gradients.

    The shape depends on B alone and nothing waits for the device, so that a CUDA graph can hold it. A batch of more
    than ``DENSE_BATCH`` samples is sorted.

    Args:
        scores: (B,) logits.
        targets: (B,) 0 or 1.
        delta: margin in logits.

    Returns:
        (B,) >= 0 in the dtype of the scores (float32 for narrower ones).

    Raises:
        ValueError: the two do not have one shape (B,).

    >>> masked_violations(torch.tensor([0.0, 0.5, 1.0, -2.0]), torch.tensor([1, 0, 1, 0]), delta=1.0).tolist()
    [1.5, 0.0, 0.5, 0.0]
    """
    check_batch(scores, targets)
    form = dense_masked_violations if len(scores) <= DENSE_BATCH else sorted_masked_violations
    return form(full_precision(scores), targets, delta=delta)


def dense_masked_violations(scores: Tensor, targets: Tensor, *, delta: float) -> Tensor:
    """``masked_violations`` with all B x B pairs formed, as it stands in the formula."""
    positive = targets.detach().to(scores.dtype)
    hinges_BB = torch.relu(delta - (scores[:, None] - scores[None, :]))
    return (hinges_BB * (1 - positive)).sum(dim=1) * positive


def sorted_masked_violations(scores: Tensor, targets: Tensor, *, delta: float) -> Tensor:
    """``masked_violations`` by one sort of thresholds and negatives together."""
    q: Tensor = _SortedMasked.apply(scores, targets, delta)
    return q


class _SortedMasked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, delta: float) -> Tensor:
        values, is_positive = scores.to(torch.float64), targets == 1
        keys, order = torch.where(is_positive, values - delta, values).sort()
        is_negative = ~is_positive[order]
        above = torch.nn.functional.pad(sums_from_the_end(is_negative), (0, 1))  # (B + 1,) negatives from a place on
        last = keys[-1:] * 0  # NaN if there is one
        q = torch.cat([sums_from_the_end(above[1:-1] * keys.diff()), last])
        ctx.save_for_backward(
            order,
            is_negative,
            above[torch.searchsorted(keys, keys, right=True)],  # negatives above a key, not at it
            torch.searchsorted(keys, keys),  # keys below a key
        )
        return torch.empty_like(scores).scatter_(0, order, q.masked_fill(is_negative, 0).to(scores.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        order, is_negative, above, below = ctx.saved_tensors
        at_positives = grad[order].to(torch.float64).masked_fill(is_negative, 0)
        up_to = torch.nn.functional.pad(at_positives.cumsum(0), (1, 0))
        gradient = torch.where(is_negative, up_to[below], -above * at_positives)
        return torch.empty_like(grad).scatter_(0, order, gradient.to(grad.dtype)), None, None


def sums_from_the_end(values: Tensor, *, dim: int = 0) -> Tensor:
    """Sums of each value and all behind it along ``dim``."""
    return values.flip(dim).cumsum(dim).flip(dim)


def full_precision(values: Tensor) -> Tensor:
    """float32 for narrower scores; wider ones as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def check_batch(scores: Tensor, targets: Tensor) -> None:
    """Raises ValueError unless both have one shape (B,)."""
    if scores.dim() != 1 or scores.shape != targets.shape:
        shapes = f"{tuple(scores.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"scores and targets must have one shape (B,), got {shapes}")
