"""One epoch of training: its steps, its metrics, its validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..pairwise.ranking import auc, auc_and_mean_violation
from .evaluation import model_outputs
from .notices import likely_cause
from .state import TrainingData, TrainState
from .step import TrainingSteps


class NonFiniteLossError(Exception):
    """The loss was NaN or infinite; the weights were not updated from that batch on."""


def train_epoch(
    runner: TrainingSteps, *, steps: int, delta: float, after_step: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Train ``steps`` steps, validate, and finish the epoch.

    Args:
        runner: the seed's state and data.
        delta: margin at which the violation is logged, with or without a constraint.
        after_step: called with the number of steps taken so far.

    Returns:
        The epoch's record for history.jsonl, and ``is_best``. Train AUC and violation are computed from the scores of
        the training steps (augmented images, before that batch's update), so they need no extra pass.

    Raises:
        NonFiniteLossError: a batch's loss was not finite (the weights are those before that batch), or the weights,
            multipliers or validation scores after the epoch are not finite.
    """
    start = time.perf_counter()
    state, data = runner.state, runner.data
    epoch = state.epoch
    state.schedule.begin_epoch(state.optimizer, epoch)
    lr = float(state.optimizer.param_groups[0]["lr"])
    state.loss.begin_epoch(epoch)
    sums = runner.run(steps, after_step=after_step)
    good = int(sums.good)
    if good < sums.steps:
        what = f"the loss was not finite in epoch {epoch}, batch {good + 1} of {steps}"
        raise NonFiniteLossError(f"{what}; training stopped before that update. {_cause(state, data, delta)}")
    train_auc, violation = _train_metrics(state, data, delta)
    val_loss, val_auc = validate(runner)
    broken = not_finite(state) or ("validation scores" if math.isnan(val_auc) else "")
    if broken:
        what = f"the {broken} were not finite after epoch {epoch}, batch {steps} of {steps}"
        raise NonFiniteLossError(f"{what}; the weights of this epoch are discarded. {_cause(state, data, delta)}")
    mu = state.constraint.mu_value if state.constraint else None
    is_best = state.finish_epoch(val_auc, val_loss, train_auc)
    return {
        "epoch": epoch,
        "train_loss": float(sums.objective) / sums.samples,
        "train_penalty": float(sums.penalty) / sums.steps,
        "constraint_violation": violation,
        "mu": mu,
        "multiplier_quantiles": _multiplier_quantiles(state, data),
        "train_auc": train_auc,
        "val_auc": val_auc,
        "val_loss": val_loss,
        "lr": lr,
        "seconds": time.perf_counter() - start,
        "one_class_batches": int(sums.one_class),
        "steps": steps,
        "is_best": is_best,
    }


@torch.no_grad()
def not_finite(state: TrainState) -> str:
    """Name what is NaN or infinite: ``weights``, ``multipliers`` or ''. Synchronises once with the device."""
    tensors = [*state.model.parameters(), *state.model.buffers(), *state.loss.parameters(), *state.loss.buffers()]
    tensors += state.constraint.parameters() if state.constraint else []
    weights = torch.nn.utils.get_total_norm([each for each in tensors if each.is_floating_point()], math.inf)
    multipliers = state.constraint.multipliers.abs().max() if state.constraint else torch.zeros_like(weights)
    finite = torch.stack([weights, multipliers]).isfinite().tolist()
    return next((name for name, fine in zip(("weights", "multipliers"), finite, strict=True) if not fine), "")


def _cause(state: TrainState, data: TrainingData, delta: float) -> str:
    """The likely cause of a non-finite value, and what to try."""
    return likely_cause(
        lr=float(state.optimizer.param_groups[0]["lr"]),
        multipliers=training_multipliers(state, data).tolist() if state.constraint else (),
        mu=state.constraint.mu_value if state.constraint else 0.0,
        delta=delta,
        sound_weights=not_finite(state) != "weights",
    )


def _train_metrics(state: TrainState, data: TrainingData, delta: float) -> tuple[float, float]:
    """AUC and mean violation over the training samples visited so far."""
    scores = state.train_scores[data.train]
    both = auc_and_mean_violation(scores, data.labels[data.train], delta=delta, counted=~scores.isnan())
    train_auc, violation = torch.stack(both).tolist()
    return train_auc, violation


def validate(runner: TrainingSteps) -> tuple[float, float]:
    """Loss and AUC of the validation set, by the averaged weights if any; a score that is not finite gives AUC NaN."""
    state, data = runner.state, runner.data
    outputs = model_outputs(state.evaluated, data.batches, data.validation, machine=runner.machine)
    targets = data.labels[data.validation]
    with torch.inference_mode():
        loss = state.loss(outputs, targets, data.validation)
        scores = state.loss.score(outputs)
        val_auc = auc(scores, targets) + torch.where(scores.isfinite().all(), 0.0, torch.nan)
        val_loss, val_auc = torch.stack([loss.double(), val_auc]).tolist()
    return val_loss, val_auc


def _multiplier_quantiles(state: TrainState, data: TrainingData) -> dict[str, float] | None:
    """Minimum, quartiles and maximum of the multipliers of the training positives."""
    if not state.constraint:
        return None
    values = training_multipliers(state, data)
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    return dict(zip(("0", "0.25", "0.5", "0.75", "1"), values.quantile(levels).tolist(), strict=True))


def training_multipliers(state: TrainState, data: TrainingData) -> Tensor:
    """The constraint's multipliers of the training positives, on the CPU."""
    assert state.constraint is not None
    positives = data.train[data.labels[data.train] == 1]
    return state.constraint.shown_multipliers(positives).cpu()
