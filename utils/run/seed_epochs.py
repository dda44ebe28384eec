"""The epochs of a seed: what trains one, and how many there are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..config.options import Config
from ..training.epoch import train_epoch
from ..training.fitting import fit_epoch
from ..training.state import TrainState
from ..training.step import TrainingSteps
from .experiment import Experiment


def end_of(config: Config, state: TrainState) -> int:
    """The epoch before which the training ends that ``state`` begins."""
    if config.continue_train:
        return state.epoch + config.continue_train_epochs
    return 1 if config.is_fitted else config.num_epochs


def epoch_of(
    experiment: Experiment, runner: TrainingSteps, seed: int, *, after_step: Callable[[int], None] | None = None
) -> Callable[[], dict[str, Any]]:
    """What trains one epoch of a seed and gives its record."""
    config = experiment.config
    how: dict[str, Any] = {"delta": config.delta, "select": config.select if config.has_classes else None}
    if config.is_fitted:
        return functools.partial(fit_epoch, runner, name=config.resnet_type, seed=seed, **how)
    steps = config.evaluate_every_steps or runner.state.sampler.steps_per_epoch
    return functools.partial(train_epoch, runner, steps=steps, after_step=after_step, **how)
