"""Binary cross-entropy, or cross-entropy of a softmax."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .softmax import SoftmaxLoss


class BCE(SoftmaxLoss):
    """Binary cross-entropy (logistic loss); of K > 2 classes the cross-entropy of a softmax.

    mean over the batch of  -y log p - (1 - y) log(1 - p),  p = sigma(s)
    K > 2:  mean over the batch of  -log q_y,  q = softmax(z)

    Args:
        classes, critical: as for :class:`SoftmaxLoss`.

    >>> import torch
    >>> value = BCE()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))   # log 2 each
    >>> round(value.item(), 4)
    0.6931
    >>> value = BCE(classes=4)(torch.zeros(2, 4), torch.tensor([3, 0]))   # log 4 each
    >>> round(value.item(), 4)
    1.3863
    """

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(scores, targets)

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels)
