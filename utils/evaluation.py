"""From a model to scores, and from scores to the numbers that are reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import metrics
from .data.batches import Batches
from .device import Machine
from .errors import UserError
from .files import write_text

BATCH = 512  # images of 32 x 32; larger ones in smaller batches
COLUMNS = ["index", "label", "score", "split", "original_class"]


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


@dataclass(frozen=True)
class Scores:
    """The content of validation.csv or test.csv, row by row."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    split: list[str]
    original_class: NDArray[np.int64]

    def write(self, path: Path) -> None:
        """As CSV; scores with all their digits, so that reading gives the same bits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        columns = (
            self.index.tolist(),
            self.label.tolist(),
            self.score.tolist(),
            self.split,
            self.original_class.tolist(),
        )
        writer.writerows(zip(*columns, strict=True))
        write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: Path) -> Scores:
        """The other way round.

        Raises:
            UserError: the file is not there or not what ``write`` makes.
        """
        try:
            with open(path, encoding="utf-8", newline="") as stream:
                rows = list(csv.reader(stream))
            if rows[0] != COLUMNS:
                raise ValueError
            index, label, score, split, original_class = zip(*rows[1:], strict=True)
            return cls(
                np.array(index, dtype=np.int64),
                np.array(label, dtype=np.int64),
                np.array(score, dtype=np.float64),
                list(split),
                np.array(original_class, dtype=np.int64),
            )
        except (OSError, ValueError, IndexError) as error:
            raise UserError(f"cannot read the scores in {path}: {error or 'not the expected columns'}") from None


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
