"""Label-distribution-aware margin loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import cosines, require_positive
from .softmax import SoftmaxLoss, one_hot, require_counts


class LDAM(SoftmaxLoss):
    """Label-distribution-aware margin loss: the rarer a class, the larger its margin.

    mean over the batch of  -log softmax_y(scale * (z - m_y e_y)),  m_c = C / n_c^(1/4),  max_c m_c = max_margin

    z are the outputs of a normalised linear head (cosines), one for each class; in a loop of your own
    ``rarecall.models.heads.NormalisedHead`` in place of the last layer. Of two classes the score is the output of
    class 1; of K > 2 the log-odds of the critical classes in softmax(scale * z), that is, without the margins.

    Args:
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        max_margin: margin of the rarest class, > 0, in units of the cosine.
        scale: factor on the cosines, > 0.
        critical: as for :class:`SoftmaxLoss`.

    Raises:
        ValueError: an option is out of its range, or an output is no cosine: with an ordinary head the margins are of
            no size in particular, and nothing else would tell.

    Reference: Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019,
    equations 12-13.

    >>> loss = LDAM(class_counts=(16, 1), max_margin=0.5, scale=2.0)   # margins 0.25 and 0.5
    >>> value = loss(torch.tensor([[0.0, 0.5]]), torch.tensor([1]))     # both logits 0: log 2
    >>> round(value.item(), 4)
    0.6931
    """

    outputs: int = 2
    normalised_head: ClassVar[bool] = True
    facts: ClassVar[tuple[str, ...]] = ("class_counts",)
    class_facts: ClassVar[tuple[str, ...]] = ("critical",)
    margins: Tensor

    def __init__(
        self,
        *,
        class_counts: tuple[int, ...],
        max_margin: float = 0.5,
        scale: float = 30.0,
        critical: Sequence[int] | None = None,
    ) -> None:
        counts = require_counts(class_counts)
        super().__init__(classes=len(counts), critical=critical)
        require_positive("max_margin", max_margin)
        self.scale = require_positive("scale", scale)
        raw = [count**-0.25 for count in counts]
        margins = torch.tensor([max_margin * value / max(raw) for value in raw], dtype=torch.float64)
        self.register_buffer("margins", margins, persistent=False)

    def score(self, outputs: Tensor) -> Tensor:
        """Two classes: (B, 2) outputs -> (B,) the output of class 1. K > 2: (B, K) -> (B, C) log-odds."""
        logits = self.logits(outputs)
        return logits[:, 1] if self.classes == 2 else self.log_odds(self.scale * logits)

    def class_outputs(self, outputs: Tensor) -> Tensor:
        """(B, K) scaled cosines; of two classes 0 and the score."""
        return super().class_outputs(outputs) if self.classes == 2 else self.scale * self.logits(outputs)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return self.of_classes(*self.logits_and_labels(outputs, targets))

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(self.with_margins(logits, labels), labels)

    def with_margins(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """(B, K) scaled cosines, minus the margin for the true class."""
        true_class = one_hot(labels, self.classes).to(outputs.dtype)
        return self.scale * (cosines(outputs) - true_class * self.margins.to(outputs.dtype))
