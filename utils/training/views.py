"""The binary problems in a task: each critical class against the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..pairwise.ranking import auc, auc_and_mean_violation


def views(scores: Tensor, labels: Tensor, critical: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    """(n,) scores and (n,) labels, 0 or 1, of each critical class.

    Args:
        scores: (n,) of two classes, or (n, C).
        labels: (n,) 0 or 1, or 0..K-1.
        critical: the C critical classes, in the order of the columns.

    >>> views(torch.tensor([[1.0], [2.0]]), torch.tensor([2, 0]), [2])
    [(tensor([1., 2.]), tensor([1, 0]))]
    """
    if scores.dim() == 1:
        return [(scores, labels)]
    return [(scores[:, column], (labels == own).long()) for column, own in enumerate(critical)]


def mean_auc(scores: Tensor, labels: Tensor, critical: Sequence[int]) -> Tensor:
    """A scalar float64, the mean of the AUCs of the critical classes against the rest."""
    return torch.stack([auc(*view) for view in views(scores, labels, critical)]).mean()


def mean_auc_and_violation(
    scores: Tensor, labels: Tensor, critical: Sequence[int], *, delta: float, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same with the mean of the violations; see ``pairwise.ranking.auc_and_mean_violation``."""
    both = [
        torch.stack(auc_and_mean_violation(*view, delta=delta, counted=counted))
        for view in views(scores, labels, critical)
    ]
    mean_of_aucs, violation = torch.stack(both).mean(dim=0)
    return mean_of_aucs, violation
