"""One epoch of training: its steps, its metrics, its validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..losses.softmax import SoftmaxLoss, against_the_rest
from .evaluation import outputs_by_ranks
from .notices import likely_cause
from .state import TrainingData, TrainState
from .step import TrainingSteps
from .views import mean_auc, mean_auc_and_violation

MOST_TERMS = 2**24  # of the K x K of each validation sample that are in memory at once


class NonFiniteLossError(Exception):
    """The loss was NaN or infinite; the weights were not updated from that batch on."""


def train_epoch(
    runner: TrainingSteps,
    *,
    steps: int,
    delta: float,
    select: str | None = None,
    after_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train ``steps`` steps, validate, and finish the epoch.

    Args:
        runner: the seed's state and data.
        delta: margin at which the violation is logged, with or without a constraint.
        select: of K classes, which of ``metrics.SELECTIONS`` chooses the best epoch; None: two sides, the AUC.
        after_step: called with the number of steps taken so far.

    Returns:
        The epoch's record for history.jsonl, and ``is_best``. Train AUC and violation are computed from the scores of
        the training steps (augmented images, before that batch's update), so they need no extra pass. With several
        critical classes they are means over these, each against the rest.

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
    val_loss, numbers = validate(runner, of_classes=select is not None)
    broken = not_finite(state) or ("validation scores" if math.isnan(numbers["auc"]) else "")
    if broken:
        what = f"the {broken} were not finite after epoch {epoch}, batch {steps} of {steps}"
        raise NonFiniteLossError(f"{what}; the weights of this epoch are discarded. {_cause(state, data, delta)}")
    mu = state.constraint.mu_value if state.constraint else None
    is_best = state.finish_epoch(numbers["auc"], val_loss, train_auc, numbers[select] if select else None)
    return {
        "epoch": epoch,
        "train_loss": float(sums.objective) / sums.samples,
        "train_penalty": float(sums.penalty) / sums.steps,
        "constraint_violation": violation,
        "mu": mu,
        "multiplier_quantiles": _multiplier_quantiles(state, data),
        "train_auc": train_auc,
        **{f"val_{name}": value for name, value in numbers.items()},
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
    """AUC and mean violation over the training samples visited so far, each critical class against the rest."""
    scores, labels = state.train_scores[data.train], data.labels[data.train]
    counted = ~scores.reshape(len(scores), -1).isnan().any(dim=1)
    both = mean_auc_and_violation(scores, labels, data.critical, delta=delta, counted=counted)
    train_auc, violation = torch.stack(both).tolist()
    return train_auc, violation


def validate(runner: TrainingSteps, *, of_classes: bool = False) -> tuple[float, dict[str, float]]:
    """Loss and numbers of the validation set, by the averaged weights if any; a score that is not finite: AUC NaN.

    The numbers are the AUC, and with ``of_classes`` all of ``metrics.SELECTIONS``, where "auc" is the mean over all
    classes, each against the rest.
    """
    state, data = runner.state, runner.data
    outputs = outputs_by_ranks(state.evaluated, data.batches, data.validation, machine=runner.machine)
    targets = data.labels[data.validation]
    with torch.inference_mode():
        loss = state.loss(outputs, targets, data.validation)
        scores = state.loss.score(outputs)
        numbers = {"auc": mean_auc(scores, targets, data.critical)}
        if of_classes:
            assert isinstance(state.loss, SoftmaxLoss)
            numbers = _of_classes(state.loss.class_outputs(outputs), targets, critical_auc=numbers["auc"])
        numbers["auc"] = numbers["auc"] + torch.where(scores.isfinite().all(), 0.0, torch.nan)
        val_loss, *values = torch.stack([loss.double(), *numbers.values()]).tolist()
    return val_loss, dict(zip(numbers, values, strict=True))


def _of_classes(outputs: Tensor, labels: Tensor, *, critical_auc: Tensor) -> dict[str, Tensor]:
    """The numbers of ``metrics.SELECTIONS``, of (n, K) outputs and (n,) labels."""
    classes = outputs.shape[1]
    own = torch.eye(classes, dtype=torch.bool, device=outputs.device)
    rows = max(1, MOST_TERMS // classes**2)
    odds = torch.cat([against_the_rest(part[:, None], own) for part in outputs.split(rows)])
    is_right = (outputs.argmax(dim=1) == labels).double()
    members = torch.nn.functional.one_hot(labels, classes).double()
    recalls = (members * is_right[:, None]).sum(dim=0) / members.sum(dim=0)  # each class has a sample: ``data.task``
    return {
        "auc": mean_auc(odds, labels, range(classes)),
        "critical_auc": critical_auc,
        "accuracy": is_right.mean(),
        "balanced_accuracy": recalls.mean(),
    }


def _multiplier_quantiles(state: TrainState, data: TrainingData) -> dict[str, float] | None:
    """Minimum, quartiles and maximum of the multipliers of the training positives."""
    if not state.constraint:
        return None
    values = training_multipliers(state, data)
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    return dict(zip(("0", "0.25", "0.5", "0.75", "1"), values.quantile(levels).tolist(), strict=True))


def training_multipliers(state: TrainState, data: TrainingData) -> Tensor:
    """The constraint's multipliers of the training samples of critical classes, on the CPU."""
    assert state.constraint is not None
    critical = torch.tensor(data.critical, device=data.labels.device)
    positives = data.train[torch.isin(data.labels[data.train], critical)]
    return state.constraint.shown_multipliers(positives).cpu()
