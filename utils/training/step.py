"""The training step: gather, augmentation, forward, objective, constraint, backward, update, multipliers.

A step never synchronises with the device: no ``.item()``, no data-dependent shapes. Its state is kept in tensors with
fixed addresses, so that on a GPU the whole step can be replayed from a CUDA graph. Only on a CPU, where nothing waits,
does it look at the batch: a constraint that has nothing to say about it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..distributed import gather, shard
from ..distributed.data_parallel import data_parallel
from ..system import interruption
from ..system.devices import Machine
from .capture import CapturedStep
from .state import TrainingData, TrainState


@dataclass
class Sums:
    """Sums over the steps of an epoch. The tensors are 0-dim and stay on the device until the epoch ends."""

    objective: Tensor  # summed over the samples
    penalty: Tensor  # summed over the steps
    one_class: Tensor  # number of batches that lack a critical class, or all others
    good: Tensor  # number of steps before the first one with a non-finite loss or score
    alive: Tensor  # 1 before that step, 0 from it on
    samples: int = 0
    steps: int = 0

    def reset(self) -> None:
        """Zero the sums, before an epoch."""
        for tensor in (self.objective, self.penalty, self.one_class, self.good):
            tensor.zero_()
        self.alive.fill_(1)
        self.samples = self.steps = 0


class TrainingSteps:
    """Runs the training steps of one seed.

    Args:
        state: changed by the steps.
        data: read by the steps.
        machine: device and precision; decides whether the step is captured.
    """

    def __init__(self, state: TrainState, data: TrainingData, *, machine: Machine) -> None:
        self.state, self.data, self.machine = state, data, machine
        device = data.labels.device
        objective, penalty, one_class, good, alive = (torch.zeros((), device=device) for _ in range(5))
        self.sums = Sums(objective, penalty, one_class, good, alive)
        self.sums.reset()
        self._critical = torch.tensor(data.critical, device=device)
        self._no_penalty = torch.zeros((), device=device)
        # the fused optimizers skip the update while this is 1
        self._skip_update = torch.zeros((), device=device)
        state.optimizer.found_inf = self._skip_update  # type: ignore[attr-defined]
        # on a CPU a batch without pairs costs no penalty, which would be 0; parameters still want their gradient of 0
        constraint = state.constraint
        needs_pairs = constraint is not None and constraint.needs_both_classes and not [*constraint.parameters()]
        self.skips_penalty = needs_pairs and device.type == "cpu"
        state.set_mode()  # before DDP, which averages the gradients of what is trained now
        self._was_frozen = state.is_frozen
        self._forward = self._parallel()
        self._run_step = self._captured()

    def _parallel(self) -> nn.Module:
        """What computes the outputs of this rank's part of a batch."""
        return data_parallel(self.state.model) if self.machine.ranks > 1 else self.state.model

    def _captured(self) -> Callable[[Tensor], None]:
        """The step, replayed from CUDA graphs if the machine captures."""
        if not self.machine.captures:
            return self.step
        return CapturedStep(self.step, generators=[self.state.augmentation])

    def run(self, steps: int, *, after_step: Callable[[int], None] | None = None) -> Sums:
        """Take the next ``steps`` batches of the sampler; ``after_step`` is told how many have been taken."""
        self.state.set_mode()
        if self.state.is_frozen != self._was_frozen:
            self._was_frozen = self.state.is_frozen
            # anew: neither the graphs nor DDP know of gradients of what was frozen
            self._forward = self._parallel()
            self._run_step = self._captured()
        self.sums.reset()
        for indices in self.data.batches.ahead(self.state.sampler, steps):
            interruption.check()
            self._run_step(indices)
            self.sums.samples += len(indices)
            self.sums.steps += 1
            if after_step:
                after_step(self.sums.steps)
        return self.sums

    def step(self, indices: Tensor) -> None:
        """Take one step on the samples ``indices`` (B,)."""
        state, data, sums = self.state, self.data, self.sums
        targets = data.labels.index_select(0, indices)
        outputs = self._outputs(indices, targets)
        scores = state.loss.score(outputs)
        objective = state.loss(outputs, targets, indices)
        positives = (targets[:, None] == self._critical).sum(dim=0)
        lacks_pairs = positives * (len(indices) - positives) == 0  # for each critical class
        constraint = None if self.skips_penalty and lacks_pairs.all() else state.constraint
        penalty = constraint.penalty(scores, targets, indices) if constraint else self._no_penalty
        total = objective + penalty if constraint else objective

        self._check_finite(total.detach(), scores.detach())
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        state.optimizer.step()
        if state.average:
            state.average.update()
        state.loss.after_step()
        if constraint:
            constraint.update_multipliers()

        state.train_scores.index_copy_(0, indices, scores.detach())
        sums.objective.add_(objective.detach() * len(indices))
        sums.penalty.add_(penalty.detach())
        sums.one_class.add_(lacks_pairs.any())

    def _outputs(self, indices: Tensor, targets: Tensor) -> Tensor:
        """(B, K) float32 outputs of the model for a batch; of several ranks each computes its part."""
        with self.machine.autocast():
            images = self.data.batches.training(indices)  # on every rank all of them, so that all draw alike
            if self.machine.ranks == 1:
                outputs: Tensor = self.state.model(images)
                return outputs.float()
            outputs = self._forward(shard(images))
        return gather(outputs.float(), shard(targets), shard(indices), size=len(indices))[0]

    def _check_finite(self, total: Tensor, scores: Tensor) -> None:
        """Disable all updates from the first batch on whose loss or scores are not finite.

        The scores are checked too: a sigmoid of infinite scores can give a finite loss.
        """
        sums = self.sums
        zero_or_nan = (total - total) + (scores * 0).sum()
        sums.alive.mul_(zero_or_nan == 0)
        sums.good.add_(sums.alive)
        torch.sub(1, sums.alive, out=self._skip_update)
