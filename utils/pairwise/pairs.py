"""Sums over all pairs of a positive and a negative, without forming the pairs: (P + N) log(P + N) time, P + N memory.

    q_j = sum over negatives k of max(0, delta - (s_j - s_k))

Shapes: B samples of both classes, P positives, N negatives; ``_PN`` and ``_BB`` all pairs, row j, column k.

With the threshold t_j = s_j - delta, q_j sums s_k - t_j over the negatives above t_j. In ascending order it grows from
one threshold to the next lower one by (gap) * (negatives above the gap), and by the negatives inside the gap: every
term is >= 0, so nothing cancels, and a constraint that is met gives exactly 0. For float32 scores the sums are taken
in float64. A pair exactly at the margin counts as met, without gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .binning import FewNegatives, FewPositives

DENSE_PAIRS = 2**17  # `violations` forms up to so many pairs
DENSE_BATCH = 512  # `masked_violations` forms all pairs of up to so many samples

def violations(positives: Tensor, negatives: Tensor, *, delta: float) -> Tensor:
    """q_j of every positive against every negative, with gradients to both.

    Few pairs are formed; for more the smaller side is sorted and the other binned into it.

    Args:
        positives: (P,) logits; P may be 0, and N too.
        negatives: (N,) logits.
        delta: margin in logits.

    Returns:
        (P,) >= 0 in the dtype of the scores (float32 for narrower ones). Every q_j may be NaN where a score is.

    Raises:
        ValueError: the scores are not of shape (P,) and (N,).

    >>> violations(torch.tensor([0.0, 1.0]), torch.tensor([0.5, -2.0]), delta=1.0).tolist()     # 1 - (0 - 0.5), ...
    [1.5, 0.5]
    """
    if positives.dim() != 1 or negatives.dim() != 1:
        shapes = f"{tuple(positives.shape)} and {tuple(negatives.shape)}"
        raise ValueError(f"positives and negatives must have shapes (P,) and (N,), got {shapes}")
    positives, negatives = _full_precision(positives), _full_precision(negatives)
    if len(positives) * len(negatives) <= DENSE_PAIRS:
        return dense_violations(positives, negatives, delta=delta)
    return sorted_violations(positives, negatives, delta=delta)


def dense_violations(positives: Tensor, negatives: Tensor, *, delta: float) -> Tensor:
    """``violations`` with all P x N pairs formed."""
    hinges_PN = torch.relu(delta - (positives[:, None] - negatives[None, :]))
    return hinges_PN.sum(dim=1)


def sorted_violations(positives: Tensor, negatives: Tensor, *, delta: float) -> Tensor:
    """``violations`` without pairs: (P + N) log min(P, N) time on a CPU."""
    if not len(positives) or not len(negatives):
        return dense_violations(positives, negatives, delta=delta)
    if positives.device.type == "cpu":
        form = FewPositives if len(positives) <= len(negatives) else FewNegatives
        q: Tensor = form.apply(positives, negatives, delta)
        return q
    is_positive = torch.arange(len(positives) + len(negatives), device=positives.device) < len(positives)
    return sorted_masked_violations(torch.cat([positives, negatives]), is_positive, delta=delta)[: len(positives)]


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
    _check_batch(scores, targets)
    form = dense_masked_violations if len(scores) <= DENSE_BATCH else sorted_masked_violations
    return form(_full_precision(scores), targets, delta=delta)


def dense_masked_violations(scores: Tensor, targets: Tensor, *, delta: float) -> Tensor:
    """``masked_violations`` with all B x B pairs formed, as it stands in the formula."""
    positive = targets.to(scores.dtype)
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
        above = torch.nn.functional.pad(_from_the_end(is_negative), (0, 1))  # (B + 1,) negatives from a place on
        last = keys[-1:] * 0  # NaN if there is one
        q = torch.cat([_from_the_end(above[1:-1] * keys.diff()), last])
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


def _from_the_end(values: Tensor) -> Tensor:
    """Sums of each value and all behind it."""
    return values.flip(0).cumsum(0).flip(0)


# ---------------------------------------------------------------- numbers of a whole set


def auc(scores: Tensor, targets: Tensor, *, counted: Tensor | None = None) -> Tensor:
    """Share of the pairs in the right order, a tie counting one half; from whole numbers, by one division.

    Args:
        scores: (M,) scores, infinite ones too.
        targets: (M,) 0 or 1.
        counted: (M,) which samples to look at; all of them unless given.

    Returns:
        A 0-dim float64 tensor on the scores' device, without a wait for it. NaN where a class is missing or a score
        that counts is NaN.

    Raises:
        ValueError: the shapes differ.

    >>> auc(torch.tensor([2.0, 0.0, 1.0, 0.0]), torch.tensor([1, 1, 0, 0])).item()     # right, right, wrong, tie
    0.625
    """
    return _auc(_sorted_classes(scores, targets, counted))


def mean_violation(scores: Tensor, targets: Tensor, *, delta: float, counted: Tensor | None = None) -> Tensor:
    """Mean over the positives of q_j / N, in logits; arguments and result as those of ``auc``.

    >>> mean_violation(torch.tensor([0.0, 0.5, -2.0]), torch.tensor([1, 0, 0]), delta=1.0).item()
    0.75
    """
    return _mean_violation(_sorted_classes(scores, targets, counted), delta)


def auc_and_mean_violation(
    scores: Tensor, targets: Tensor, *, delta: float, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Both from one sort of each class."""
    classes = _sorted_classes(scores, targets, counted)
    return _auc(classes), _mean_violation(classes, delta)


@dataclass(frozen=True)
class _SortedClasses:
    """Each class ascending in a tensor (M,), behind as many -inf as there are samples that are not in it."""

    positives: Tensor
    negatives: Tensor
    num_positives: Tensor
    num_negatives: Tensor
    unknown: Tensor  # NaN if a score that counts is, else 0

    def at_positives(self, values: Tensor) -> Tensor:
        """``values`` (M,) where a positive stands, 0 in front."""
        places = torch.arange(len(values), device=values.device)
        return torch.where(places >= len(values) - self.num_positives, values, 0)


@torch.no_grad()
def _sorted_classes(scores: Tensor, targets: Tensor, counted: Tensor | None) -> _SortedClasses:
    _check_batch(scores, targets)
    scores = _full_precision(scores.detach())
    counted = torch.ones_like(targets, dtype=torch.bool) if counted is None else counted
    positive, negative = (targets == 1) & counted, (targets != 1) & counted
    return _SortedClasses(
        positives=_ascending(scores.masked_fill(~positive, -torch.inf)),
        negatives=_ascending(scores.masked_fill(~negative, -torch.inf)),
        num_positives=positive.sum(),
        num_negatives=negative.sum(),
        unknown=torch.where((scores.isnan() & counted).any(), torch.nan, 0.0),
    )


def _ascending(values: Tensor) -> Tensor:
    if values.device.type == "cpu":  # numpy's sort is several times faster there
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


@torch.no_grad()
def _auc(classes: _SortedClasses) -> Tensor:
    positives, negatives = classes.positives, classes.negatives
    in_front = len(negatives) - classes.num_negatives
    halves = torch.zeros_like(in_front)  # of pairs: a negative below counts two, an equal one counts one
    for right in (False, True):
        ranks = torch.searchsorted(negatives, positives, right=right)
        halves += classes.at_positives((ranks - in_front).clamp(min=0)).sum()
    pairs = classes.num_positives * classes.num_negatives
    return halves.to(torch.float64) / (2 * pairs) + classes.unknown


@torch.no_grad()
def _mean_violation(classes: _SortedClasses, delta: float) -> Tensor:
    negatives = classes.negatives.to(torch.float64)
    thresholds = classes.positives.to(torch.float64) - delta
    first = torch.searchsorted(negatives, thresholds, right=True)  # the first negative above
    behind = torch.arange(len(negatives), device=negatives.device).flip(0)[:-1]
    to_first = torch.nn.functional.pad(_from_the_end(behind * negatives.diff()), (0, 1))  # of all behind, to this one
    last = first.clamp(max=len(negatives) - 1)  # there is always a place to read; what is read counts 0 times
    q = to_first[last] + (len(negatives) - first) * (negatives[last] - thresholds)
    return classes.at_positives(q).sum() / classes.num_positives / classes.num_negatives + classes.unknown


def _full_precision(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _check_batch(scores: Tensor, targets: Tensor) -> None:
    if scores.dim() != 1 or scores.shape != targets.shape:
        shapes = f"{tuple(scores.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"scores and targets must have one shape (B,), got {shapes}")
