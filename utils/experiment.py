"""The one place where names become objects: a config in, a task, models, objectives and training states out."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from models import MODELS, build_model

from .checkpointing import BEST, load, restore
from .config import Settings
from .constraints import AugmentedLagrangian
from .data.batches import Batches
from .data.imbalance import Split
from .data.task import Task
from .device import Machine, keep_freed_memory, set_up_machine
from .errors import UserError
from .load_task import load_task
from .losses import LOSSES, loss_class
from .losses.base import Loss
from .memory import check_widths
from .names import unknown
from .optimizers import build_optimizer, restore_optimizer, set_learning_rate
from .options import OPTIONS, Config
from .samplers import sampler_class
from .seeding import torch_stream
from .train_state import TrainingData, TrainState

LOSS_OPTIONS = [
    name for name, item in OPTIONS.items() if item.metadata["group"] == "objective" and name != "training_type"
]
Built = TypeVar("Built")
SAME_DATA = [  # options that decide which samples a seed trains, validates and tests on
    "dataset_name",
    "negative_classes",
    "positive_classes",
    "ratio_pos_train",
    "validation_fraction",
    "validation_per_class",
    "train_fraction",
    *(name for name, item in OPTIONS.items() if item.metadata["group"] == "resampling"),
]


@dataclass(frozen=True)
class Experiment:
    """What all seeds of a run share. Its settings have no open values left but those that the loss does not take."""

    settings: Settings
    task: Task
    machine: Machine

    @property
    def config(self) -> Config:
        """The resolved options."""
        return self.settings.config


def prepare(settings: Settings) -> Experiment:
    """Read the data, fill in what follows from them, and build everything once, so that a mistake shows before a write.

    Raises:
        UserError: the options do not fit each other, the data or the machine.
    """
    config = settings.config
    check_names(settings)
    machine = set_up_machine(
        device=config.device,
        precision=config.precision,
        threads=config.threads,
        deterministic=bool(config.deterministic),
        seeds=len(config.seeds) if config.train else 1,
        seeds_at_once=config.parallel_seeds,
    )
    settings, task = load_task(settings, machine.device)
    if machine.device.type == "cpu":
        keep_freed_memory()
    experiment = Experiment(settings, task, machine)
    build_state(experiment, settings.config.seeds[0])
    return experiment


def check_names(settings: Settings) -> None:
    """Whether model and objective are known; imports neither.

    Raises:
        UserError: a name is in no table.
    """
    for option, table in (("resnet_type", MODELS), ("training_type", LOSSES)):
        name = getattr(settings.config, option)
        if name not in table:
            raise unknown(option, name, table, origin=settings.origins[option])


def run_facts(experiment: Experiment, split: Split) -> dict[str, Any]:
    """What an objective may ask of the run: the class counts that were got, and the ratio that was asked for."""
    counts = experiment.task.class_counts(split)["train"]
    return {
        "class_counts": (counts["negative"], counts["positive"]),
        "ratio_pos_train": experiment.config.ratio_pos_train,
    }


def build_loss(settings: Settings, facts: dict[str, Any]) -> Loss:
    """The objective with its options from the user and its facts from the run.

    Raises:
        UserError: an option that it does not take, lacks, or that is out of range.
    """
    config = settings.config
    kind = loss_class(config.training_type)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in kind.facts
    }
    given = {name: getattr(config, name) for name in LOSS_OPTIONS if getattr(config, name) is not None}
    for name in given:
        if name not in parameters:
            takes = ", ".join(parameters) or "no options"
            raise UserError(
                f"{name} (from {settings.origins[name]}) has no use in {config.training_type}, which takes {takes}"
            )
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise UserError(f"{config.training_type} needs {name}: give --{name} or a base config with --name_file_bs")
    return _built(lambda: kind(**given, **{name: facts[name] for name in kind.facts}))


def build_network(task: Task, config: Config, loss: Loss, generator: torch.Generator) -> torch.nn.Module:
    """The model that the objective asks for, with its initial weights, on the CPU."""
    if config.resnet_type == "dense":
        check_widths((task.channels * task.height * task.width, *config.hidden_widths))
    return _built(
        lambda: build_model(
            config.resnet_type,
            channels=task.channels,
            image_size=(task.height, task.width),
            outputs=loss.outputs,
            normalised_head=loss.normalised_head,
            hidden_widths=config.hidden_widths,
            generator=generator,
        )
    )


def build_constraint(config: Config, num_samples: int, *, first_epoch: int) -> AugmentedLagrangian | None:
    """The ranking constraint, if there is to be one; ``first_epoch`` matters where training goes on from a baseline."""
    if not config.use_ALM:
        return None
    continued = bool(config.continue_train)
    return _built(
        lambda: AugmentedLagrangian(
            num_samples,
            delta=config.delta,
            mu=config.mu,
            rho=config.rho,
            mu_limit=config.mu_limit,
            p2_norm=config.p2_norm,
            cap_mu=bool(config.cap_mu),
            introd_ALM_from=max(first_epoch - 1, 0) if continued else config.introd_ALM_from,
            unconditional_step=not continued,
            first_epoch=first_epoch,
        )
    )


def build_state(experiment: Experiment, seed: int, *, baseline: Path | None = None) -> tuple[TrainState, TrainingData]:
    """Everything that one seed trains with, at its start.

    Args:
        baseline: best.pt of a finished baseline to start from, or None.

    Raises:
        UserError: options are missing or out of range, or the baseline does not fit.
    """
    task, config, machine = experiment.task, experiment.config, experiment.machine
    split, device = task.split(seed), machine.device
    suffix = " after the baseline" if baseline else ""
    loss = build_loss(experiment.settings, run_facts(experiment, split)).to(device)
    model = build_network(task, config, loss, torch_stream(seed, "initialisation"))
    model.to(device).to(memory_format=torch.channels_last)
    if config.compile:
        compile_model(model, device)
    assert config.lr is not None
    optimizer = build_optimizer(
        config.optimizer,
        [*model.parameters(), *loss.parameters()],
        lr=torch.tensor(config.lr, device=device) if machine.captures else config.lr,
        weight_decay=config.weight_dec,
        momentum=config.momentum,
        capturable=machine.captures,
    )
    scheduler = (
        torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=config.patience_lr)
        if config.lr_decrease
        else None
    )
    first_epoch = 0
    if baseline:
        first_epoch = _start_from(baseline, experiment, model, optimizer, scheduler)
    constraint = build_constraint(config, len(task.labels), first_epoch=first_epoch)
    if constraint:
        constraint.to(device)
    train = torch.from_numpy(split.train).to(device)
    augmentation = torch_stream(seed, f"augmentation{suffix}", device)
    state = TrainState(
        model=model,
        loss=loss,
        constraint=constraint,
        optimizer=optimizer,
        scheduler=scheduler,
        sampler=sampler_class(config.sampler)(
            train, batch_size=config.bsize, generator=torch_stream(seed, f"order{suffix}")
        ),
        augmentation=augmentation,
        train_scores=torch.full((len(task.labels),), torch.nan, device=device),
        epoch=first_epoch,
    )
    assert config.augment is not None
    batches = Batches(task, augment=config.augment, device=device, channels_last=True, generator=augmentation)
    data = TrainingData(batches, task.labels, train, torch.from_numpy(split.validation).to(device))
    return state, data


def compile_model(model: torch.nn.Module, device: torch.device) -> None:
    """Compile ``model`` in place, for the shapes that it will see.

    Raises:
        UserError: the compiler that torch would call is not there.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and not shutil.which(compiler):
        raise UserError(f"compile 1 needs a C++ compiler, and there is no {compiler}; install it or leave compile out")
    model.compile(dynamic=False)


def plain_batches(experiment: Experiment) -> Batches:
    """Batches for evaluation: nothing in them is random."""
    device = experiment.machine.device
    generator = torch.Generator(device=device)
    return Batches(experiment.task, augment="none", device=device, channels_last=True, generator=generator)


def _start_from(
    path: Path,
    experiment: Experiment,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None,
) -> int:
    """Load a baseline's best weights, optimizer and scheduler; returns the number of the epoch to go on with."""
    saved = load(path, BEST)
    same = [*SAME_DATA, "resnet_type", "training_type", "optimizer", "bsize"]
    for name in same:
        ours, theirs = asdict(experiment.config)[name], saved["config"][name]
        if plain(ours) != plain(theirs):
            raise UserError(
                f"the baseline {path} has {name} {plain(theirs)}, this run {plain(ours)}; they must be the same"
            )
    restore(model, saved["weights"], path=path, what="model")
    group = optimizer.param_groups[0]
    asked = {key: value for key, value in group.items() if _is_asked(experiment.settings, key)}
    asked_rate = float(asked.pop("lr", 0))
    restore_optimizer(optimizer, saved["optimizer"])
    group = optimizer.param_groups[0]
    group.update(asked)
    if asked_rate:
        set_learning_rate(group, asked_rate)
    if scheduler and saved["scheduler"]:
        scheduler.load_state_dict(saved["scheduler"])
        scheduler.patience = experiment.config.patience_lr
    return int(saved["epoch"]) + 1


def _is_asked(settings: Settings, key: str) -> bool:
    """Whether the user chose this entry of an optimizer's parameter group, so that it wins over the baseline's."""
    option = {"lr": "lr", "momentum": "momentum", "weight_decay": "weight_dec"}.get(key)
    return option is not None and settings.is_given(option)


def plain(value: Any) -> Any:
    """A list for a tuple, as files hold it."""
    return list(value) if isinstance(value, tuple) else value


def _built(build: Callable[[], Built]) -> Built:
    try:
        return build()
    except ValueError as error:
        raise UserError(str(error)) from None
