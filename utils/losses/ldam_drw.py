"""Label-distribution-aware margin loss with deferred re-weighting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import require
from .class_balanced_focal import normalised_weights
from .ldam import LDAM


class LDAMDRW(LDAM):
    """LDAM with deferred re-weighting of the classes (LDAM-DRW).

    sum_i w_{y_i} l_i / sum_i w_{y_i} over the batch,  l the loss of a sample in :class:`LDAM`

    Before epoch ``drw_from`` all weights are 1, which is LDAM. From then on w_c ~ (1 - beta) / (1 - beta^n_c),
    sum_c w_c = K: features are learned without weights, and the boundary moves at the end. (The paper also lowers the
    step size at that epoch; here the scheduler decides.) The weights depend only on the last call of ``begin_epoch``;
    without a call it is epoch 0.

    Args:
        class_counts: (negatives, positives) of the training set, or the samples of each of K classes (supplied by the
            run).
        max_margin: margin of the rarest class, > 0, in units of the cosine.
        scale: factor on the cosines, > 0.
        beta: base of the effective number of samples, in [0, 1); at 0 all weights are 1.
        drw_from: first epoch with weights, >= 0, counted from 0.
        critical: as for :class:`SoftmaxLoss`.

    Reference: Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019,
    algorithm 1; the weights are those of the authors' code (Cui et al., CVPR 2019).

    >>> import math
    >>> loss = LDAMDRW(class_counts=(16, 1), scale=2.0, beta=0.5)         # margins 1/4 and 1/2; weights 2/3 and 4/3
    >>> outputs = torch.tensor([[0.0, 0.5], [0.25, math.log(3) / 2]])     # less the margins, the losses log 2, 2 log 2
    >>> round(loss(outputs, torch.tensor([1, 0])).item(), 3)              # 3/2 log 2
    1.04
    >>> loss.begin_epoch(80)
    >>> round(loss(outputs, torch.tensor([1, 0])).item(), 3)              # (4/3 + 2/3 * 2)/2 log 2
    0.924
    """

    class_weights: Tensor
    deferred_weights: Tensor

    def __init__(
        self,
        *,
        class_counts: tuple[int, ...],
        max_margin: float = 0.5,
        scale: float = 30.0,
        beta: float = 0.9999,
        drw_from: int = 80,
        critical: Sequence[int] | None = None,
    ) -> None:
        super().__init__(class_counts=class_counts, max_margin=max_margin, scale=scale, critical=critical)
        require(drw_from >= 0, "drw_from must be an epoch >= 0", drw_from)
        self.drw_from = drw_from
        deferred = torch.tensor(normalised_weights(beta, class_counts), dtype=torch.float64)
        self.register_buffer("deferred_weights", deferred, persistent=False)
        self.register_buffer("class_weights", torch.ones_like(deferred), persistent=False)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Set the weights of ``epoch`` in place: a captured CUDA graph reads this tensor."""
        if epoch >= self.drw_from:
            self.class_weights.copy_(self.deferred_weights)
        else:
            self.class_weights.fill_(1)

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.class_weights.to(logits.dtype)
        return cross_entropy(self.with_margins(logits, labels), labels, weight=weights)
