"""Learning rate schedules: functions of the epoch. A plateau, which depends on the validation AUC, is torch's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from .optimizers import set_learning_rate


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each epoch, as a multiple of the first rate of its parameter group.

    With e = 0, 1, ... the epochs of this run, w = ``warm_up`` and E = ``epochs``:

        e < w     (e + 1) / w, so that epoch w - 1 has the whole rate
        step      factor^k, where k of the ``steps`` are <= e
        cosine    (1 + cos(pi (e - w) / (E - w))) / 2, which would be 0 in epoch E
        constant, plateau    1; a plateau halves the rate itself, from epoch w on

    Nothing is kept from epoch to epoch, so a resumed run needs no state of it.

    Reference: warm-up and steps as in the code of Cao et al., "Learning Imbalanced Datasets with Label-Distribution-
    Aware Margin Loss", NeurIPS 2019; cosine as in Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.

    >>> schedule = Schedule("step", warm_up=5, steps=(160, 180), factor=0.01)
    >>> [schedule.multiple(epoch) for epoch in (0, 4, 5, 159, 160, 180)]
    [0.2, 1.0, 1.0, 1.0, 0.01, 0.0001]

    Args:
        name: constant, plateau, step or cosine.
        warm_up: epochs of linear warm-up.
        steps: of "step": epochs after which the rate is multiplied by ``factor``, increasing.
        factor: of "step".
        epochs: of "cosine": epochs that this run may train; more than ``warm_up``.
        first: number of the run's first epoch, which is not 0 if it continues from a baseline.
        rates: first learning rate of each parameter group.
    """

    name: str = "constant"
    warm_up: int = 0
    steps: tuple[int, ...] = ()
    factor: float = 0.1
    epochs: int = 0
    first: int = 0
    rates: tuple[float, ...] = ()

    def multiple(self, epoch: int) -> float:
        """The learning rate of ``epoch`` as a multiple of the first one."""
        done = epoch - self.first
        if done < self.warm_up:
            return (done + 1) / self.warm_up
        if self.name == "step":
            return self.factor ** sum(step <= done for step in self.steps)
        if self.name == "cosine":
            return (1 + math.cos(math.pi * (done - self.warm_up) / (self.epochs - self.warm_up))) / 2
        return 1.0

    def is_warm(self, epoch: int) -> bool:
        """Whether the warm-up is over in ``epoch``."""
        return epoch - self.first >= self.warm_up

    def with_rates_of(self, optimizer: torch.optim.Optimizer) -> Schedule:
        """A copy whose first rates are those that ``optimizer`` has now."""
        return replace(self, rates=tuple(float(group["lr"]) for group in optimizer.param_groups))

    def begin_epoch(self, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        """Set the learning rates of ``epoch``; those of a constant or plateau are left alone after the warm-up."""
        if self.is_warm(epoch) and self.name in ("constant", "plateau"):
            return
        multiple = self.multiple(epoch)
        for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
            set_learning_rate(group, rate * multiple)


CONSTANT = Schedule()
