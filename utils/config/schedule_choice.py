"""The choice of a learning rate schedule: ``schedule`` and, as alm-dnn calls the plateau, ``lr_decrease``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .options import Config


def contradict(values: Mapping[str, Any]) -> bool:
    """Whether ``schedule`` and ``lr_decrease``, both given, do not say the same: lr_decrease 1 is a plateau."""
    is_plateau: bool = values["schedule"] == "plateau"
    return is_plateau != bool(values["lr_decrease"])


def check_schedule(config: Config) -> None:
    """Check that a schedule has its steps, and an epoch to act in.

    Raises:
        UserError: it does not.
    """
    if config.schedule == "step" and not config.lr_steps:
        raise UserError("schedule step needs lr_steps, the epochs after which lr falls, such as --lr_steps 160 180")
    steps = config.lr_steps or ()
    if list(steps) != sorted(set(steps)):
        raise UserError(f"lr_steps must increase, got {' '.join(map(str, steps))}; write each epoch once, in order")
    option = "continue_train_epochs" if config.continue_train else "num_epochs"
    epochs = getattr(config, option)
    if config.schedule == "cosine" and config.warm_up >= epochs:
        raise UserError(f"warm_up {config.warm_up} leaves none of {epochs} epochs to schedule cosine; raise {option}")
