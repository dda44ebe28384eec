"""From a model to scores, and from scores to the numbers that are reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..metrics import curves as metrics
from ..metrics.calibration import BINS, calibration_error, fitted_temperature
from ..metrics.thresholds import thresholds_by_rule
from ..run_files.scores_csv import Scores as Scores  # part of what this module offers
from ..system.devices import Machine

BATCH = 512  # images of 32 x 32; larger ones in smaller batches


@dataclass(frozen=True)
class Reading:
    """How scores are read.

    Args:
        tprs: true positive rates at which the FPR is read and thresholds are chosen, in (0, 1].
        alpha: weight of the TPR in the weighted rate, in [0, 1].
        default_threshold: the score from which a sample counts as positive unless told otherwise.
        fprs: false positive rates at which TPR and error are read and thresholds are chosen, in (0, 1].
        cost_ratio: cost of a missed positive in units of a false alarm, > 0.
        class_counts: (negatives, positives) of the training set, for the threshold moved by the priors.
    """

    tprs: tuple[float, ...]
    alpha: float
    default_threshold: float
    fprs: tuple[float, ...]
    cost_ratio: float
    class_counts: tuple[int, int]


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


def summary(scores: Scores, *, reading: Reading) -> dict[str, Any]:
    """The numbers of one set, as they stand in results.json; rates in [0, 1]."""
    labels, values = scores.label, scores.score
    curve = metrics.roc(labels, values)
    at_default = metrics.rates_at(labels, values, reading.default_threshold)
    limits = {str(fpr): curve.thresholds[curve.last_within(fpr)] for fpr in reading.fprs}
    within = {fpr: metrics.rates_at(labels, values, threshold) for fpr, threshold in limits.items()}
    positives = int(labels.sum())
    return {
        "auc": metrics.auc(labels, values),
        "auprc": metrics.auprc(labels, values),
        "prior": positives / len(labels),
        "fpr_at_tpr": {str(tpr): curve.fpr_at(tpr) for tpr in reading.tprs},
        "tpr_at_fpr": {fpr: rates.tpr for fpr, rates in within.items()},
        "error_at_fpr": {fpr: rates.error for fpr, rates in within.items()},
        "balanced_accuracy": at_default.balanced_accuracy,
        "weighted_rate": {"alpha": reading.alpha, "value": at_default.weighted_rate(reading.alpha)},
        "cost_ratio": reading.cost_ratio,
        "at_default_threshold": {
            "threshold": reading.default_threshold,
            "tpr": at_default.tpr,
            "fpr": at_default.fpr,
            "error": at_default.error,
            **_of_calls(at_default, reading),
        },
        "n_positive": positives,
        "n_negative": len(labels) - positives,
    }


def summary_with_intervals(
    validation: Scores, test: Scores, *, reading: Reading, generator: np.random.Generator
) -> dict[str, Any]:
    """``summary`` of the test set, with 95 % bootstrap intervals and what is chosen or fitted without looking at it.

    "operating_points" and "thresholds": chosen on validation, or from the class counts; counted on test.
    "calibration": the temperature fitted on validation, the calibration error on test without and with it. Neither the
    costs nor the calibration carry over to another class mix than that of these sets (see ``calibration``).
    """
    result = summary(test, reading=reading)
    tprs = reading.tprs
    curve = metrics.roc(validation.label, validation.score)
    chosen = [curve.threshold_at(tpr) for tpr in tprs]
    resampled = metrics.bootstrap(test.label, test.score, tprs=tprs, thresholds=chosen, generator=generator)
    result["auc_interval"] = metrics.interval(resampled.auc)
    result["fpr_at_tpr_interval"] = {
        str(tpr): metrics.interval(resampled.fpr_at_tpr[:, column]) for column, tpr in enumerate(tprs)
    }
    result["operating_points"] = [
        {"target_tpr": tpr, "threshold": threshold, **_counted(metrics.rates_at(test.label, test.score, threshold))}
        | {
            "tpr_interval": metrics.interval(resampled.tpr_at_threshold[:, column]),
            "fpr_interval": metrics.interval(resampled.fpr_at_threshold[:, column]),
        }
        for column, (tpr, threshold) in enumerate(zip(tprs, chosen, strict=True))
    ]
    result["thresholds"] = _thresholds(curve, validation, test, reading)
    result["calibration"] = _calibration(validation, test)
    return result


def _thresholds(curve: metrics.Roc, validation: Scores, test: Scores, reading: Reading) -> list[dict[str, Any]]:
    """The other rules: what each asks for, its threshold, and what that gives on the test set."""
    positives = int(validation.label.sum())
    rules = thresholds_by_rule(
        curve,
        validation_counts=(len(validation.label) - positives, positives),
        trained_counts=reading.class_counts,
        cost_ratio=reading.cost_ratio,
        fprs=reading.fprs,
    )
    result = []
    for rule, target, threshold in rules:
        rates = metrics.rates_at(test.label, test.score, threshold)
        point = {"rule": rule, "target": target, "threshold": threshold, **_counted(rates)}
        result.append(point | _of_calls(rates, reading) | {"balanced_accuracy": rates.balanced_accuracy})
    return result


def _calibration(validation: Scores, test: Scores) -> dict[str, Any]:
    fitted = fitted_temperature(validation.label, validation.score)
    return {
        "temperature": fitted.value,
        "at_bound": fitted.at_bound,
        "error": calibration_error(test.label, test.score),
        "error_scaled": calibration_error(test.label, test.score, temperature=fitted.value),
        "bins": BINS,
    }


def _counted(rates: metrics.Rates) -> dict[str, Any]:
    return {"tpr": rates.tpr, "fpr": rates.fpr, "tp": rates.tp, "fp": rates.fp, "tn": rates.tn, "fn": rates.fn}


def _of_calls(rates: metrics.Rates, reading: Reading) -> dict[str, float]:
    cost = rates.expected_cost(reading.cost_ratio)
    return {"precision": rates.precision, "f1": rates.f1, "mcc": rates.mcc, "expected_cost": cost}
