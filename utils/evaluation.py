"""From a model to scores, and from scores to the numbers that are reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import metrics
from .data.batches import Batches
from .device import Machine
from .scores import Scores as Scores  # part of what this module offers

BATCH = 512  # images of 32 x 32; larger ones in smaller batches


@torch.inference_mode()
def model_outputs(model: nn.Module, batches: Batches, indices: Tensor, *, machine: Machine) -> Tensor:
    """(n, K) float32 outputs of ``model`` in evaluation mode, for the images ``indices``, in their order."""
    model.eval()
    parts = []
    height, width = batches.image_size
    size = max(1, BATCH * 32 * 32 // (height * width))
    for chunk in indices.split(size):
        with machine.autocast():
            parts.append(model(batches.plain(chunk)).float())
    return torch.cat(parts)


def summary(scores: Scores, *, tprs: Sequence[float], default_threshold: float, alpha: float) -> dict[str, Any]:
    """The numbers of one set, as they stand in results.json; rates in [0, 1]."""
    at_default = metrics.rates_at(scores.label, scores.score, default_threshold)
    positives = int(scores.label.sum())
    return {
        "auc": metrics.auc(scores.label, scores.score),
        "auprc": metrics.auprc(scores.label, scores.score),
        "prior": positives / len(scores.label),
        "fpr_at_tpr": {str(tpr): metrics.fpr_at_tpr(scores.label, scores.score, tpr) for tpr in tprs},
        "balanced_accuracy": at_default.balanced_accuracy,
        "weighted_rate": {"alpha": alpha, "value": at_default.weighted_rate(alpha)},
        "at_default_threshold": {
            "threshold": default_threshold,
            "tpr": at_default.tpr,
            "fpr": at_default.fpr,
            "error": at_default.error,
        },
        "n_positive": positives,
        "n_negative": len(scores.label) - positives,
    }


def summary_with_intervals(
    validation: Scores,
    test: Scores,
    *,
    tprs: Sequence[float],
    default_threshold: float,
    alpha: float,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """``summary`` of the test set, with 95 % bootstrap intervals and the operating points chosen on validation."""
    result = summary(test, tprs=tprs, default_threshold=default_threshold, alpha=alpha)
    thresholds = [metrics.threshold_at_tpr(validation.label, validation.score, tpr) for tpr in tprs]
    resampled = metrics.bootstrap(test.label, test.score, tprs=tprs, thresholds=thresholds, generator=generator)
    result["auc_interval"] = metrics.interval(resampled.auc)
    result["fpr_at_tpr_interval"] = {
        str(tpr): metrics.interval(resampled.fpr_at_tpr[:, column]) for column, tpr in enumerate(tprs)
    }
    result["operating_points"] = [
        _operating_point(test, tpr, threshold)
        | {
            "tpr_interval": metrics.interval(resampled.tpr_at_threshold[:, column]),
            "fpr_interval": metrics.interval(resampled.fpr_at_threshold[:, column]),
        }
        for column, (tpr, threshold) in enumerate(zip(tprs, thresholds, strict=True))
    ]
    return result


def _operating_point(test: Scores, target_tpr: float, threshold: float) -> dict[str, Any]:
    """What a threshold gives on the test set."""
    rates = metrics.rates_at(test.label, test.score, threshold)
    point = {"target_tpr": target_tpr, "threshold": threshold, "tpr": rates.tpr, "fpr": rates.fpr}
    return point | {"tp": rates.tp, "fp": rates.fp, "tn": rates.tn, "fn": rates.fn}
