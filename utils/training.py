"""One epoch of training, and the state that changes with it."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .constraints.augmented_lagrangian import AugmentedLagrangian, mean_violation
from .data.batches import Batches
from .device import Machine
from .evaluation import model_outputs
from .losses.base import Loss
from .metrics import auc
from .samplers.natural import NaturalSampler

TRAIN_AUC_SLACK = 0.05  # a tie in validation AUC is a new best only if the train AUC is at most this much lower


class NonFiniteLossError(Exception):
    """The loss was NaN or infinite; no update was made from that batch on."""


@dataclass(frozen=True)
class Best:
    """The epoch whose weights are in best.pt."""

    epoch: int
    val_auc: float
    val_loss: float
    train_auc: float


@dataclass(frozen=True)
class TrainingData:
    """What one seed trains and validates on: dataset indices on the device, and what makes batches of them."""

    batches: Batches
    labels: Tensor  # (M,) 0 or 1, by dataset index
    train: Tensor  # (n,) dataset indices
    validation: Tensor


@dataclass
class TrainState:
    """Exactly what last.pt holds. ``epoch`` counts the finished ones, so it is the number of the next."""

    model: nn.Module
    loss: Loss
    constraint: AugmentedLagrangian | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None
    sampler: NaturalSampler
    augmentation: torch.Generator
    train_scores: Tensor  # (M,) score of each sample when it was last trained on; NaN before
    epoch: int = 0
    best: Best | None = None

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and dicts of them."""
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "constraint": self.constraint.state_dict() if self.constraint else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "sampler": self.sampler.state_dict(),
            "augmentation": self.augmentation.get_state(),
            "train_scores": self.train_scores,
            "epoch": self.epoch,
            "best": asdict(self.best) if self.best else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The other way round, in place."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        if self.constraint:
            self.constraint.load_state_dict(state["constraint"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        self.sampler.load_state_dict(state["sampler"])
        self.augmentation.set_state(state["augmentation"])
        self.train_scores.copy_(state["train_scores"])
        self.epoch = int(state["epoch"])
        self.best = Best(**state["best"]) if state["best"] else None

    def should_stop(self, patience: int) -> bool:
        """Whether the last finished epoch is more than ``patience`` epochs past the best one."""
        return self.best is not None and self.epoch - 1 - self.best.epoch > patience

    def finish_epoch(self, val_auc: float, val_loss: float, train_auc: float) -> bool:
        """Choose the best epoch, adapt learning rate and mu, count the epoch.

        Returns:
            Whether this epoch is the best so far: a higher validation AUC; or the same with a lower validation loss
            and a train AUC above the best's minus 0.05.
        """
        new = Best(self.epoch, val_auc, val_loss, train_auc)
        is_best = self.best is None or _beats(new, self.best)
        if is_best:
            self.best = new
        if self.scheduler:
            self.scheduler.step(val_auc)
        if self.constraint:
            self.constraint.end_epoch(val_auc)
        self.epoch += 1
        return is_best


def _beats(new: Best, old: Best) -> bool:
    if new.val_auc != old.val_auc:
        return new.val_auc > old.val_auc
    return new.val_loss < old.val_loss and new.train_auc > old.train_auc - TRAIN_AUC_SLACK


@dataclass
class _Sums:
    """Sums over the steps of an epoch. They stay on the device until the epoch ends."""

    objective: Tensor
    penalty: Tensor
    one_class: Tensor
    first_bad: Tensor  # number of the first batch with a non-finite loss, or -1
    samples: int = 0
    steps: int = 0


def train_epoch(state: TrainState, data: TrainingData, *, steps: int, delta: float, machine: Machine) -> dict[str, Any]:
    """Train ``steps`` steps, validate, and finish the epoch.

    Args:
        delta: margin at which the violation is logged, with or without a constraint.

    Returns:
        The epoch's record for history.jsonl, and ``is_best``. Train AUC and violation are of the scores with which the
        samples were trained (augmented, before that batch's update), so that they cost no pass of their own.

    Raises:
        NonFiniteLossError: a batch's loss was not finite, and the weights are those before that batch; or what the
            epoch's last update led to is not finite.
    """
    start = time.perf_counter()
    epoch, lr = state.epoch, state.optimizer.param_groups[0]["lr"]
    state.loss.begin_epoch(epoch)
    sums = _run_steps(state, data, steps, machine)
    remedy = f"Try a lower --lr (now {lr:g})" + (f", --mu or --delta (now {delta:g})" if state.constraint else "")
    bad = int(sums.first_bad)
    if bad >= 0:
        what = f"the loss was not finite in epoch {epoch}, batch {bad + 1} of {steps}"
        raise NonFiniteLossError(f"{what}; no update was made from it on. {remedy}")
    train_auc, violation = _train_metrics(state, data, delta)
    val_loss, val_auc = _validate(state, data, machine)
    if math.isnan(val_auc):
        what = f"the validation scores were not finite after epoch {epoch}, batch {steps} of {steps}"
        raise NonFiniteLossError(f"{what}; the weights of this epoch are not kept. {remedy}")
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


def _run_steps(state: TrainState, data: TrainingData, steps: int, machine: Machine) -> _Sums:
    """The training steps. Nothing in here waits for the device: no ``.item()``, no shape that depends on the data."""
    state.model.train()
    zero = torch.zeros((), device=data.labels.device)
    sums = _Sums(zero.clone(), zero.clone(), zero.clone(), zero - 1)
    for step, indices in enumerate(itertools.islice(state.sampler, steps)):
        targets = data.labels[indices]
        with machine.autocast():
            outputs = state.model(data.batches.training(indices))
        outputs = outputs.float()
        scores = state.loss.score(outputs)
        objective = state.loss(outputs, targets, indices)
        penalty = state.constraint.penalty(scores, targets, indices) if state.constraint else zero
        total = objective + penalty

        # a batch that is not finite, and all after it, change nothing: the fused optimizers skip where found_inf is 1
        # (scores too: where they are infinite, a sigmoid can still give a finite loss)
        is_bad = ~(torch.isfinite(total.detach()) & torch.isfinite(scores.detach()).all())
        sums.first_bad = torch.where((sums.first_bad < 0) & is_bad, step, sums.first_bad)
        state.optimizer.found_inf = (sums.first_bad >= 0).float()  # type: ignore[attr-defined]
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        state.optimizer.step()
        if state.constraint:
            state.constraint.update_multipliers()

        state.train_scores[indices] = scores.detach()
        positives = targets.sum()
        sums.objective += objective.detach() * len(indices)
        sums.penalty += penalty.detach()
        sums.one_class += (positives == 0) | (positives == len(indices))
        sums.samples += len(indices)
        sums.steps += 1
    return sums


def _train_metrics(state: TrainState, data: TrainingData, delta: float) -> tuple[float, float]:
    """AUC and mean violation over the training samples that have been trained on."""
    scores, targets = state.train_scores[data.train].cpu(), data.labels[data.train].cpu()
    seen = ~scores.isnan()
    scores, targets = scores[seen], targets[seen]
    if int(targets.min()) == int(targets.max()):
        return math.nan, math.nan
    return auc(targets.numpy(), scores.double().numpy()), mean_violation(scores, targets, delta=delta)


def _validate(state: TrainState, data: TrainingData, machine: Machine) -> tuple[float, float]:
    """Loss and AUC of the validation set; the AUC is NaN where a score is not finite."""
    outputs = model_outputs(state.model, data.batches, data.validation, machine=machine)
    targets = data.labels[data.validation]
    with torch.inference_mode():
        loss = float(state.loss(outputs, targets, data.validation))
        scores = state.loss.score(outputs)
    if not bool(torch.isfinite(scores).all()):
        return loss, math.nan
    return loss, auc(targets.cpu().numpy(), scores.double().cpu().numpy())


def _multiplier_quantiles(state: TrainState, data: TrainingData) -> dict[str, float] | None:
    """Smallest, quartiles and largest of the multipliers of the training positives."""
    if not state.constraint:
        return None
    values = training_multipliers(state, data)
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    return dict(zip(("0", "0.25", "0.5", "0.75", "1"), values.quantile(levels).tolist(), strict=True))


def training_multipliers(state: TrainState, data: TrainingData) -> Tensor:
    """(P,) the multipliers of the training positives, on the CPU."""
    assert state.constraint is not None
    positives = data.train[data.labels[data.train] == 1]
    return state.constraint.multipliers[positives].cpu()
