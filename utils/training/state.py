"""The training state of a seed, which changes from step to step, and the data it trains on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..constraints.base import Constraint
from ..data.batches import Batches
from ..data.computed_features import ComputedFeatures
from ..data.raw import Int64Array
from ..losses.base import Loss
from ..samplers.base import Sampler
from .freezing import Freezing
from .optimizers import restore_optimizer
from .schedules import CONSTANT, Schedule
from .weight_average import WeightAverage

TRAIN_AUC_SLACK = 0.05  # at equal validation AUC, the train AUC of a new best may be lower by less than this


@dataclass(frozen=True)
class Best:
    """The epoch whose weights are in best.pt."""

    epoch: int
    val_auc: float
    val_loss: float
    train_auc: float
    selected: float | None = None  # the number that chose it, if that is not val_auc

    @property
    def value(self) -> float:
        """The number that chooses the best epoch."""
        return self.val_auc if self.selected is None else self.selected


@dataclass(frozen=True)
class TrainingData:
    """What one seed trains and validates on: dataset indices on the device, and their batches."""

    batches: Batches | ComputedFeatures
    labels: Tensor  # (M,) 0 or 1, or 0..K-1, by dataset index; synthetic samples follow those of the data set
    train: Tensor  # (n,) dataset indices
    validation: Tensor
    groups: Int64Array | None = (
        None  # (M,) of the data set, whose synthetic samples have none: the group of each sample
    )
    critical: tuple[int, ...] = (1,)  # the labels of the critical classes, in the order of the columns of scores


@dataclass
class TrainState:
    """Exactly what last.pt holds. ``epoch`` counts the completed epochs, so it is the number of the next one.

    ``model`` is what the steps train: on computed features the last layer of ``network``, else the network.
    """

    model: nn.Module
    loss: Loss
    constraint: Constraint | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None
    sampler: Sampler
    augmentation: torch.Generator
    train_scores: Tensor  # (M,) or (M, C) of each sample in its latest training step; NaN if it had none
    epoch: int = 0
    best: Best | None = None
    schedule: Schedule = CONSTANT  # a function of the epoch, so last.pt holds nothing of it
    average: WeightAverage | None = None
    freezing: Freezing | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The model that is validated: ``model``, with the averaged weights if weights are averaged."""
        return self.average.model if self.average else self.model

    @property
    def kept(self) -> nn.Module:
        """The same from images to outputs, which best.pt holds."""
        return self.average.network if self.average else self.network

    @property
    def network(self) -> nn.Module:
        """The whole, from images to outputs, which best.pt holds."""
        return self.freezing.network if self.freezing else self.model

    @property
    def is_frozen(self) -> bool:
        """Whether the next epoch trains the last layer alone."""
        return self.freezing is not None and self.freezing.applies(self.epoch)

    def set_mode(self) -> None:
        """Training mode for what the next epoch trains."""
        self.model.train()
        if self.freezing:
            self.freezing.set_mode(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and dicts of them."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
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
        """Restore from ``state_dict``, in place."""
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.loss.load_state_dict(state["loss"])
        if self.constraint:
            self.constraint.load_state_dict(state["constraint"])
        restore_optimizer(self.optimizer, state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        self.sampler.load_state_dict(state["sampler"])
        self.augmentation.set_state(state["augmentation"])
        self.train_scores.copy_(state["train_scores"])
        self.epoch = int(state["epoch"])
        self.best = Best(**state["best"]) if state["best"] else None

    def should_stop(self, patience: int) -> bool:
        """Whether the last completed epoch is more than ``patience`` epochs after the best one."""
        return self.best is not None and self.epoch - 1 - self.best.epoch > patience

    def finish_epoch(self, val_auc: float, val_loss: float, train_auc: float, selected: float | None = None) -> bool:
        """Update the best epoch, the learning rate, mu and the epoch counter.

        Args:
            selected: the number of the validation set that chooses the best epoch, higher is better; None: the AUC.

        Returns:
            Whether this epoch is the best so far: a higher number; or an equal one with a lower validation loss and a
            train AUC above that of the best minus ``TRAIN_AUC_SLACK``.
        """
        new = Best(self.epoch, val_auc, val_loss, train_auc, selected)
        is_best = self.best is None or _beats(new, self.best)
        if is_best:
            self.best = new
        if self.scheduler and self.schedule.is_warm(self.epoch):
            self.scheduler.step(new.value)
        if self.constraint:
            self.constraint.end_epoch(val_auc)
        self.epoch += 1
        return is_best


def _beats(new: Best, old: Best) -> bool:
    if new.value != old.value:
        return new.value > old.value
    return new.val_loss < old.val_loss and new.train_auc > old.train_auc - TRAIN_AUC_SLACK
