"""What is measured: the training step of main.py, its floor, and the plain reference.

Only this module of the benchmarks uses the internals of utils/run and utils/training.
"""

from __future__ import annotations

import argparse
import copy
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from utils.config.settings import resolve
from utils.run.experiment import Experiment
from utils.run.initial_state import build_state, compile_model
from utils.run.prepare_run import prepare
from utils.samplers.natural import NaturalSampler
from utils.seeding import torch_stream
from utils.training.capture import CapturedStep
from utils.training.epoch import train_epoch
from utils.training.optimizers import build_optimizer
from utils.training.state import TrainingData, TrainState
from utils.training.step import TrainingSteps

if TYPE_CHECKING:
    from benchmarks.plain_reference import PlainTraining


@dataclass(frozen=True)
class Case:
    """A model on a data set, as options of main.py."""

    label: str
    dataset: str
    options: str
    alm: str

    def command(self, data_root: Path, options: argparse.Namespace, more: str = "", *, alm: bool = True) -> list[str]:
        """The arguments of main.py; ``more`` adds to the others."""
        machine = f"--device {options.device} --threads {options.threads} --download 0"
        words = [self.options, self.alm if alm else "", machine, "--data_root", shlex.quote(str(data_root)), more]
        return shlex.split(" ".join(words))


CASES = {
    "resnet10": Case(
        "ResNet-10",
        "cifar100",
        "--dataset_name cifar100 --resnet_type resnet10 --ratio_pos_train 100 --name_file_bs baseline_bce",
        "--name_file_alm ALM_13_beg --delta 0.1",
    ),
    "lenet5": Case(
        "LeNet5",
        "mnist",
        "--dataset_name mnist --resnet_type lenet5 --ratio_pos_train 99 --name_file_bs baseline_bce",
        "--name_file_alm ALM_14_beg --delta 0.25",
    ),
}


@dataclass(frozen=True)
class Subject:
    """One seed of an experiment, ready to train."""

    experiment: Experiment
    state: TrainState
    data: TrainingData
    runner: TrainingSteps

    @property
    def batch_size(self) -> int:
        return self.experiment.config.bsize

    @property
    def steps_per_epoch(self) -> int:
        return self.state.sampler.steps_per_epoch

    def run(self, steps: int) -> None:
        """Whole training steps, as an epoch takes them."""
        self.runner.run(steps)

    def epoch(self) -> dict[str, Any]:
        """An epoch with its validation; its record."""
        return train_epoch(self.runner, steps=self.steps_per_epoch, delta=self.experiment.config.delta)


def prepared(argv: Sequence[str], *, captures: bool | None = None) -> Experiment:
    """The experiment of a main.py command line; ``captures=False`` runs the steps eagerly on a GPU too."""
    experiment = prepare(resolve(argv))
    if captures is None:
        return experiment
    return replace(experiment, machine=replace(experiment.machine, captures=captures))


def start(argv: Sequence[str], *, captures: bool | None = None, whole_batches: bool = False) -> Subject:
    """Prepare the experiment and build its first seed; ``whole_batches`` drops images so that every batch is full."""
    experiment = prepared(argv, captures=captures)
    return seed_of(experiment, experiment.config.seeds[0], whole_batches=whole_batches)


def seed_of(experiment: Experiment, seed: int, *, whole_batches: bool = False) -> Subject:
    """Build one seed."""
    state, data = build_state(experiment, seed)
    if whole_batches:
        state.sampler = NaturalSampler(
            _positives_first(data, experiment.config.bsize),
            batch_size=experiment.config.bsize,
            generator=torch_stream(seed, "order"),
        )
    return Subject(experiment, state, data, TrainingSteps(state, data, machine=experiment.machine))


def _positives_first(data: TrainingData, batch_size: int) -> Tensor:
    """The training set without the last negatives, so that its size is a multiple of ``batch_size``."""
    labels = data.labels[data.train]
    order = torch.cat([data.train[labels == 1], data.train[labels == 0]])
    return order[: max(len(order) // batch_size, 1) * batch_size]


class Floor:
    """The least that training the subject's model can cost: forward, BCE, backward and fused update of a copy.

    One prepared batch, same precision, layout, threads and capture; no sampler, augmentation, constraint or sums.
    """

    def __init__(self, subject: Subject) -> None:
        config, machine, state = subject.experiment.config, subject.experiment.machine, subject.state
        self._machine = machine
        self.model = copy.deepcopy(state.model).train()
        if config.compile:
            compile_model(self.model, machine.device)
        self._indices = _positives_first(subject.data, config.bsize)[: config.bsize]
        self._images = subject.data.batches.training(self._indices)
        self._targets = subject.data.labels[self._indices].float()
        assert config.lr is not None
        self._optimizer = build_optimizer(
            config.optimizer,
            self.model.parameters(),
            lr=torch.tensor(config.lr, device=machine.device) if machine.captures else config.lr,
            weight_decay=config.weight_dec,
            momentum=config.momentum,
            capturable=machine.captures,
        )
        self._step = CapturedStep(self._bare_step, generators=[]) if machine.captures else self._bare_step

    def run(self, steps: int) -> None:
        """Bare steps."""
        for _ in range(steps):
            self._step(self._indices)

    def _bare_step(self, _indices: Tensor) -> None:
        with self._machine.autocast():
            outputs = self.model(self._images)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs.float()[:, 0], self._targets)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()


class Parts:
    """The parts of a step other than the model and its update: the batch, the constraint, the multipliers."""

    def __init__(self, subject: Subject) -> None:
        self._state, self._data = subject.state, subject.data
        self._indices = next(subject.state.sampler)
        generator = torch.Generator().manual_seed(0)
        scores = torch.randn(len(self._indices), generator=generator).to(self._indices.device)
        self._scores = scores.requires_grad_()

    def batches(self, count: int) -> None:
        """Order, gather, augmentation and normalisation."""
        for _ in range(count):
            self._batch()

    def constraints(self, count: int) -> None:
        """Penalty, its gradient with respect to the scores, and the multipliers' update."""
        for _ in range(count):
            self._constraint(self._indices)

    def both(self, count: int) -> None:
        """Both, on the same batch."""
        for _ in range(count):
            self._constraint(self._batch())

    def _batch(self) -> Tensor:
        indices = next(self._state.sampler)
        self._data.batches.training(indices)
        return indices

    def _constraint(self, indices: Tensor) -> None:
        assert self._state.constraint is not None
        targets = self._data.labels.index_select(0, indices)
        self._scores.grad = None
        self._state.constraint.penalty(self._scores, targets, indices).backward()
        self._state.constraint.update_multipliers()


def plain_training(subject: Subject) -> PlainTraining:
    """The plain reference with the subject's model, data and options."""
    # here, since what it imports would count in the memory of ours
    from benchmarks.plain_reference import ImageDataset, LoopedConstraint, PlainTraining, transform_of

    task, config, machine = subject.experiment.task, subject.experiment.config, subject.experiment.machine
    model = copy.deepcopy(subject.state.model).to(memory_format=torch.contiguous_format)
    images = task.images.permute(0, 2, 3, 1).contiguous().numpy()
    labels = task.labels.tolist()
    assert config.augment is not None
    assert config.lr is not None
    size = (task.height, task.width)
    sets = [
        ImageDataset(images, labels, part.tolist(), transform_of(augment, size=size, mean=task.mean, std=task.std))
        for part, augment in ((subject.state.sampler.indices, config.augment), (subject.data.validation, "none"))
    ]
    return PlainTraining(
        model,
        *sets,
        constraint=LoopedConstraint(delta=config.delta, mu=config.mu, p2_norm=config.p2_norm)
        if config.use_ALM
        else None,
        optimizer=torch.optim.SGD(
            model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_dec
        ),
        batch_size=config.bsize,
        autocast=machine.autocast,
        seed=config.seeds[0],
    )
