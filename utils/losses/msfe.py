"""Mean squared false error."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Loss, mean_over


class MSFE(Loss):
    """Mean squared false error: the errors of both classes count equally, however rare one is.

    FPE^2 + FNE^2,  FPE = mean over negatives of sigma(s)^2 / 2,  FNE = mean over positives of (1 - sigma(s))^2 / 2

    A class that is missing from the batch contributes 0.

    Reference: Wang et al., "Training deep neural networks on imbalanced data sets", IJCNN 2016, equations 8-9.

    >>> value = MSFE()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # 2 * (1/8)^2
    >>> value.item()
    0.03125
    """

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        false_positive_error = mean_over(torch.sigmoid(scores) ** 2 / 2, 1 - targets)
        false_negative_error = mean_over(torch.sigmoid(-scores) ** 2 / 2, targets)
        return false_positive_error**2 + false_negative_error**2
