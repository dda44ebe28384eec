"""Everything that one seed trains with, in its initial state."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from ..config.options import Config
from ..distributed import convert_batch_norm
from ..errors import UserError
from ..run_files.best_pt import BEST
from ..run_files.checkpoints import load
from ..seeding import torch_stream
from ..system.devices import Machine
from ..training.freezing import Freezing, body_of
from ..training.optimizers import add_parameters, build_optimizer, build_scheduler, take_over_plateau
from ..training.schedules import Schedule
from ..training.state import TrainingData, TrainState
from ..training.training_data import on_features, training_data
from ..training.weight_average import WeightAverage
from .architectures import head_of
from .baselines import start_from
from .components import build_constraint, build_loss, build_sampler
from .experiment import Experiment, build_network, columns_of, run_facts
from .weights_file import load_weights


def build_state(experiment: Experiment, seed: int, *, baseline: Path | None = None) -> tuple[TrainState, TrainingData]:
    """Everything that one seed trains with, in its initial state.

    Args:
        baseline: best.pt of a finished baseline to start from, or None.

    Raises:
        UserError: options are missing or out of range, or the baseline does not fit.
    """
    config, machine = experiment.config, experiment.machine
    split, device = experiment.task.split(seed), machine.device
    suffix = " after the baseline" if baseline else ""
    facts = run_facts(experiment, split)
    loss = build_loss(experiment.settings, facts).to(device)
    whole = build_network(experiment.task, config, loss, torch_stream(seed, "initialisation"))
    if experiment.weights:
        load_weights(experiment.weights, whole)
    if machine.ranks > 1 and config.freeze_epochs != "all":
        over_all_ranks(whole)
    whole.to(device).to(memory_format=torch.channels_last)
    if config.compile:
        compile_model(whole, device)
    head = head_of(whole)
    frozen = config.frozen_epochs
    freezing = Freezing(whole, head, tuple(body_of(whole, head)), frozen) if frozen else None
    model = head if config.freeze_epochs == "all" else whole
    augmentation = torch_stream(seed, f"augmentation{suffix}", device)
    assert config.augment is not None
    data = training_data(
        experiment.task,
        split,
        seed=seed,
        augment=config.augment,
        sampler=config.sampler,
        neighbours=config.neighbours,
        augmentation=augmentation,
    )
    if freezing and experiment.features is not None:
        data = on_features(data, experiment.features, freezing, machine=machine)
    saved = load(baseline, BEST) if baseline else None
    is_apart = freezing or (saved and saved["config"].get("freeze_epochs"))
    optimizer = _optimizer(config, machine, whole, head=head if is_apart else None)
    add_parameters(optimizer, loss.parameters())
    if saved and baseline:
        start_from(saved, baseline, experiment, whole, loss, optimizer)
    first_epoch = int(saved["epoch"]) + 1 if saved else 0
    constraint = build_constraint(experiment.settings, {**facts, "first_epoch": first_epoch})
    if constraint:
        add_parameters(optimizer, constraint.to(device).parameters())  # after the baseline's, which has none of them
    schedule = _schedule(config, first_epoch).with_rates_of(optimizer)
    scheduler = None
    if schedule.name == "plateau":
        scheduler = build_scheduler(optimizer, patience=config.patience_lr, factor=schedule.factor)
    if scheduler and saved and saved.get("scheduler"):
        take_over_plateau(scheduler, saved["scheduler"])
    state = TrainState(
        model=model,
        loss=loss,
        constraint=constraint,
        optimizer=optimizer,
        scheduler=scheduler,
        sampler=build_sampler(
            experiment.settings,
            data.train.cpu() if data.batches.reads_ahead else data.train,
            data.labels[data.train],
            classes=experiment.task.targets.classes,
            generator=torch_stream(seed, f"order{suffix}"),
        ),
        augmentation=augmentation,
        train_scores=torch.full((len(data.labels), *columns_of(loss)), torch.nan, device=device),
        epoch=first_epoch,
        schedule=schedule,
        average=WeightAverage(whole, model, decay=config.ema) if config.ema else None,
        freezing=freezing,
    )
    return state, data


def _optimizer(
    config: Config, machine: Machine, model: torch.nn.Module, *, head: torch.nn.Module | None
) -> torch.optim.Optimizer:
    """The optimizer of ``model``, with its last layer as a group of its own where ``head`` is given."""
    assert config.lr is not None
    return build_optimizer(
        config.optimizer,
        body_of(model, head) if head else model.parameters(),
        lr=torch.tensor(config.lr, device=machine.device) if machine.captures else config.lr,
        weight_decay=config.weight_dec,
        momentum=config.momentum,
        capturable=machine.captures,
        head=head.parameters() if head else (),
    )


def _schedule(config: Config, first_epoch: int) -> Schedule:
    """The schedule of a run whose first epoch is ``first_epoch``; one that continues counts its own epochs."""
    assert config.schedule is not None
    return Schedule(
        config.schedule,
        warm_up=config.warm_up,
        steps=config.lr_steps or (),
        factor=config.lr_factor or Schedule.factor,
        epochs=config.continue_train_epochs if config.continue_train else config.num_epochs,
        first=first_epoch,
    )


def over_all_ranks(model: torch.nn.Module) -> None:
    """Take the batch norm of ``model`` over the batches of all ranks.

    Raises:
        UserError: it has a kind of batch norm of which that is not known.
    """
    try:
        convert_batch_norm(model)
    except ValueError as error:
        raise UserError(f"several ranks: {error}; --freeze_epochs all freezes it") from None


def compile_model(model: torch.nn.Module, device: torch.device) -> None:
    """Compile ``model`` in place, for the shapes that it will see.

    Raises:
        UserError: the compiler that torch would call is not there.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        raise UserError(f"compile 1 needs a C++ compiler, and there is no {compiler}; install it or leave compile out")
    model.compile(dynamic=False)
