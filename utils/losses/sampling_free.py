"""Binary cross-entropy scaled to an initial value of 1, with the bias initialised to the prior."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .base import Loss, require_class_counts


class SamplingFree(Loss):
    """Sampling-Free loss: no sample weights; initial bias and scale of the loss follow from the prior.

    BCE / H(pi),  H(pi) = -pi log pi - (1 - pi) log(1 - pi),  pi = n_1 / n,  mean over the batch

    The bias of the last layer is initialised to log(n_1 / n_0), where every sample has probability pi and the loss is
    1 at any imbalance. No constant prediction has a lower loss, so predicting all samples as negative gains nothing.
    Without the division the loss would start at H(pi), which is 0.056 at 1:99.

    Args:
        class_counts: (negatives n_0, positives n_1) of the training set (supplied by the run).

    Reference: Chen et al., "Is heuristic sampling necessary in training deep object detectors?", IEEE Transactions on
    Image Processing 2021. The bias is theirs. Their guided loss scales by the regression loss of the boxes, which a
    classifier does not have; here the initial value replaces it.

    >>> import torch
    >>> loss = SamplingFree(class_counts=(3, 1))
    >>> round(loss.initial_bias, 4)                                            # -log 3
    -1.0986
    >>> value = loss(torch.full((4,), loss.initial_bias), torch.tensor([0, 0, 0, 1]))
    >>> round(value.item(), 4)
    1.0
    """

    facts: ClassVar[tuple[str, ...]] = ("class_counts",)

    def __init__(self, *, class_counts: tuple[int, int]) -> None:
        super().__init__()
        negatives, positives = require_class_counts(class_counts)
        shares = (negatives / (negatives + positives), positives / (negatives + positives))
        self.initial_value = -sum(share * math.log(share) for share in shares)
        self.prior_logit = math.log(positives / negatives)

    @property
    def initial_bias(self) -> float:
        """The initial bias of the model's last layer: the logit of the prior."""
        return self.prior_logit

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return binary_cross_entropy_with_logits(scores, targets) / self.initial_value
