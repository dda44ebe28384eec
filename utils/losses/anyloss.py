"""Metrics of a smooth confusion matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Loss, mean_over, require, require_positive

METRICS = ("f_beta", "balanced_accuracy", "geometric_mean", "accuracy")


class AnyLoss(Loss):
    """AnyLoss: 1 minus a metric of a smooth confusion matrix.

    a = 1 / (1 + exp(-L (p - 1/2))),  p = sigma(s);  TP = sum y a,  FN = sum y (1 - a),  FP = sum (1 - y) a, ...

    f_beta: (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), b = ``f_beta``;  balanced_accuracy: (TPR + TNR) / 2;
    geometric_mean: (TPR TNR)^(1/2);  accuracy: (TP + TN) / B

    L (``amplification``) moves a towards 0 or 1: as L grows, the loss approaches that of hard decisions at p = 1/2, and
    the gradient of samples away from that boundary vanishes. This is a property of the method, not a rounding effect.

    A rate whose class is missing from the batch is 0. So the loss is 1 without a gradient for a batch without positives
    (f_beta) or a batch of one class (geometric_mean); balanced_accuracy and accuracy still have a gradient.

    Args:
        anyloss_metric: f_beta, balanced_accuracy, geometric_mean or accuracy.
        f_beta: weight of recall relative to precision in f_beta, > 0, and of that metric only; None is 1, the F1.
        amplification: L, > 0; the authors use 73.

    Reference: Han, Moniz, Chawla, "AnyLoss: transforming classification metrics into loss functions", KDD 2024.

    >>> targets = torch.tensor([1, 1, 0, 0, 0])                   # one of two detected, one of three a false alarm
    >>> value = AnyLoss()(torch.tensor([9.0, -9.0, 9.0, -9.0, -9.0]), targets)   # F1 = 2 / (2 + 1 + 1)
    >>> round(value.item(), 4)
    0.5
    """

    def __init__(
        self, *, anyloss_metric: str = "f_beta", f_beta: float | None = None, amplification: float = 73.0
    ) -> None:
        super().__init__()
        require(anyloss_metric in METRICS, f"anyloss_metric must be one of {', '.join(METRICS)}", anyloss_metric)
        if f_beta is not None and anyloss_metric != "f_beta":
            raise ValueError(f"f_beta acts only with anyloss_metric f_beta, got {anyloss_metric}; leave one out")
        f_beta = require_positive("f_beta", 1.0 if f_beta is None else f_beta)
        self.amplification = require_positive("amplification", amplification)
        self.metric_name = anyloss_metric
        self.recall_share = (f_beta / math.hypot(1.0, f_beta)) ** 2  # b^2 / (1 + b^2) without overflow

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        steep = self.amplification / 2 * torch.tanh(scores / 2)  # L (p - 1/2), without cancellation
        return 1 - self._metric(torch.sigmoid(steep), torch.sigmoid(-steep), targets)

    def _metric(self, predicted_positive: Tensor, predicted_negative: Tensor, targets: Tensor) -> Tensor:
        """The metric of (B,) soft decisions a and 1 - a."""
        negatives = 1 - targets
        if self.metric_name == "accuracy":
            return (predicted_positive * targets + predicted_negative * negatives).mean()
        if self.metric_name == "f_beta":
            true_positives = (predicted_positive * targets).sum()
            # the weighted harmonic mean of recall and precision; the sums are TP + FN and TP + FP
            weight = self.recall_share * targets.sum() + (1 - self.recall_share) * predicted_positive.sum()
            return true_positives / weight.clamp(min=torch.finfo(weight.dtype).tiny)
        true_positive_rate = mean_over(predicted_positive, targets)
        true_negative_rate = mean_over(predicted_negative, negatives)
        if self.metric_name == "balanced_accuracy":
            return (true_positive_rate + true_negative_rate) / 2
        return _root(true_positive_rate) * _root(true_negative_rate)


def _root(rate: Tensor) -> Tensor:
    """The square root of a scalar >= 0, with slope 0 instead of infinity at 0."""
    is_positive = rate > 0
    return torch.where(is_positive, rate, 1.0).sqrt() * is_positive
