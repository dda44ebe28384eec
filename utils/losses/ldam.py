"""Label-distribution-aware margin loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import Loss, in_full_precision, require_class_counts, require_positive


class LDAM(Loss):
    """Label-distribution-aware margin loss: the rarer a class, the larger its margin.

    mean over the batch of  -log softmax_y(scale * (z - m_y e_y)),  m_c = C / n_c^(1/4),  max_c m_c = max_margin

    z are the two outputs of a normalised linear head (cosines). The score is the output of class 1.

    Args:
        class_counts: (negatives, positives) of the training set (supplied by the run).
        max_margin: margin of the rarest class, > 0, in units of the cosine.
        scale: factor on the cosines, > 0.

    Reference: Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019,
    equations 12-13.

    >>> loss = LDAM(class_counts=(16, 1), max_margin=0.5, scale=2.0)   # margins 0.25 and 0.5
    >>> value = loss(torch.tensor([[0.0, 0.5]]), torch.tensor([1]))     # both logits 0: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    outputs: ClassVar[int] = 2
    normalised_head: ClassVar[bool] = True
    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    margins: Tensor

    def __init__(self, *, class_counts: tuple[int, int], max_margin: float = 0.5, scale: float = 30.0) -> None:
        super().__init__()
        require_positive("max_margin", max_margin)
        self.scale = require_positive("scale", scale)
        raw = [count**-0.25 for count in require_class_counts(class_counts)]
        margins = torch.tensor([max_margin * value / max(raw) for value in raw], dtype=torch.float64)
        self.register_buffer("margins", margins, persistent=False)

    def score(self, outputs: Tensor) -> Tensor:
        """(B, 2) outputs -> (B,) the output of class 1."""
        if outputs.dim() != 2 or outputs.shape[1] != 2:
            raise ValueError(f"{type(self).__name__} needs outputs of shape (B, 2), got {tuple(outputs.shape)}")
        return in_full_precision(outputs)[:, 1]

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        logits, classes = self.logits_and_classes(outputs, targets)
        return cross_entropy(logits, classes)

    def logits_and_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2) scaled cosines, minus the margin for the true class, and (B,) int64 true classes."""
        scores, targets = self.scores_and_targets(outputs, targets)
        true_class = torch.stack([1 - targets, targets], dim=1)  # (B, 2)
        logits = in_full_precision(outputs) - true_class * self.margins.to(scores.dtype)
        return self.scale * logits, targets.long()
