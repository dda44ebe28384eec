"""How well the scores of a whole set rank its positives above its negatives: AUC and mean violation, on the device.

Shapes: M samples of both classes, P positives, N negatives. Each class is sorted once: M log M time, memory that grows
with M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .violations import check_batch, full_precision, sums_from_the_end


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


def auc_and_mean_violation(
    scores: Tensor, targets: Tensor, *, delta: float, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """AUC, and the mean over the positives of q_j / N in logits, from one sort of each class.

    Arguments and results are those of ``auc``; for q_j see ``violations``. A violation of 0 means: constraint met.

    >>> both = auc_and_mean_violation(torch.tensor([0.0, 0.5, -2.0]), torch.tensor([1, 0, 0]), delta=1.0)
    >>> torch.stack(both).tolist()
    [0.5, 0.75]
    """
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
    check_batch(scores, targets)
    scores = full_precision(scores.detach())
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
    to_first = torch.nn.functional.pad(sums_from_the_end(behind * negatives.diff()), (0, 1))  # distances of all behind
    last = first.clamp(max=len(negatives) - 1)  # there is always a place to read; what is read counts 0 times
    q = to_first[last] + (len(negatives) - first) * (negatives[last] - thresholds)
    return classes.at_positives(q).sum() / classes.num_positives / classes.num_negatives + classes.unknown
