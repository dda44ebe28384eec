"""Area under the minimum of false positives and false negatives, over all thresholds."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import Loss, ScalarWithSlopes


class AUMRate(Loss):
    """AUM with rates: a surrogate of the AUC that grows with the distance between wrongly ordered scores.

    AUM = sum_b (T_b - T_{b-1}) * min(FPR_b, FNR_b),   T the ascending unique values of -s_i

    FPR_b and FNR_b are the error rates of the batch when a constant between T_{b-1} and T_b is added to every score:
    the negatives with -s <= T_{b-1} over N, and the positives with -s >= T_b over P. One sort, B log B. There is no
    margin: value and gradient are 0 once the AUC of the batch is 1. A batch of one class gives 0 with a graph.

    AUM is piecewise linear in the scores, so the gradient of sample i is the difference of the minima on both sides of
    its threshold. At ties it is the mean of the two one-sided derivatives in s_i, as in the paper.

    Reference: Hillman, Hocking, "Optimizing ROC curves with a sort-based surrogate loss for binary classification and
    changepoint detection", JMLR 24, 2023.

    >>> scores = torch.tensor([2.0, -3.5, -1.0, 1.5], requires_grad=True)
    >>> value = AUMRate()(scores, torch.tensor([0, 0, 1, 1]))  # T = -2, -1.5, 1, 3.5; minima 0.5, 0.5, 0 between them
    >>> value.item()                                           # 0.5 * 0.5 + 2.5 * 0.5
    1.5
    >>> value.backward()
    >>> scores.grad.tolist()
    [0.5, 0.0, -0.5, 0.0]
    """

    rates: ClassVar[bool] = True

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        area: Tensor = _Area.apply(scores, targets, self.rates)
        return area


class AUMCount(AUMRate):
    """AUM with counts: numbers of errors instead of rates.

    AUM = sum_b (T_b - T_{b-1}) * min(FP_b, FN_b),   arguments, ties and reference as for :class:`AUMRate`

    The value grows with the size of the batch, and the size of its rarer class bounds the minimum.

    >>> value = AUMCount()(torch.tensor([2.0, -3.5, -1.0, 1.5]), torch.tensor([0, 0, 1, 1]))
    >>> value.item()                                           # 0.5 * min(1, 2) + 2.5 * min(1, 1) + 2.5 * min(1, 0)
    3.0
    """

    rates: ClassVar[bool] = False


class _Area(ScalarWithSlopes):
    """(B,) scores and 0/1 targets -> AUM, with the slopes from the same sort. Sums are in float64."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, rates: bool) -> Tensor:
        thresholds, order = (-scores.to(torch.float64)).sort()
        positive = (targets == 1)[order].to(torch.float64)
        negative = 1 - positive
        false_positives = pad(negative.cumsum(0), (1, 0))  # (B + 1,) below each threshold, and above the last one
        false_negatives = positive.sum() - pad(positive.cumsum(0), (1, 0))
        positives = positive.sum().clamp(min=1) if rates else 1.0
        negatives = negative.sum().clamp(min=1) if rates else 1.0

        def smaller(fp: Tensor, fn: Tensor) -> Tensor:
            return torch.minimum(fp / negatives, fn / positives)

        area = (thresholds.diff() * smaller(false_positives[1:-1], false_negatives[1:-1])).sum()
        if ctx.needs_input_grad[0]:
            # positions before and after all ties of a threshold; intervals between ties have no width
            left, right = (torch.searchsorted(thresholds, thresholds, right=side) for side in (False, True))
            fp, fn = false_positives[left], false_negatives[left]
            score_up = smaller(fp + negative, fn - positive) - smaller(fp, fn)
            fp, fn = false_positives[right], false_negatives[right]
            score_down = smaller(fp, fn) - smaller(fp - negative, fn + positive)
            slopes = (score_up + score_down) / 2
            ctx.save_for_backward(torch.empty_like(scores).scatter_(0, order, slopes.to(scores.dtype)))
        return area.to(scores.dtype)
