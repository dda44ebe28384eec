"""From settings to objects: the task, models, objectives and training states of a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..config.options import OPTIONS, Config, convert
from ..config.settings import Settings, called, check_names
from ..config.synonyms import VALUES
from ..data import NATURAL, TASKS
from ..data.batches import Batches
from ..data.image_format import ImageFormat
from ..data.mapped_batches import batches_of
from ..data.splits import Split
from ..data.task import Task
from ..distributed import convert_batch_norm
from ..distributed.ranks import rank_and_world
from ..errors import UserError
from ..learners import LEARNERS
from ..losses.base import Loss
from ..losses.softmax import SoftmaxLoss
from ..registry import unknown
from ..run_files.best_pt import BEST
from ..run_files.checkpoints import load, restore
from ..seeding import torch_stream
from ..system.devices import Machine, keep_freed_memory, set_up_machine
from ..system.memory import check_widths
from ..training.freezing import Freezing, body_of
from ..training.memory_needs import MemoryNeeds, check_memory, estimate
from ..training.optimizers import (
    add_parameters,
    build_optimizer,
    build_scheduler,
    first_groups,
    restore_optimizer,
    set_learning_rate,
    take_over_plateau,
)
from ..training.schedules import Schedule
from ..training.state import TrainingData, TrainState
from ..training.training_data import on_features, samples_to_make, training_data
from ..training.weight_average import WeightAverage
from .architectures import BACKBONES, FLAT, MODELS, build_model, head_of
from .components import build_constraint, build_loss, build_sampler, built, check_components
from .load_task import load_task
from .rank_group import device_of_rank, ranks_on_device
from .weights_file import WeightsFile, find_weights, load_weights

FEATURE_BYTES = 4  # float32
# of a baseline of a version that did not know the option
AS_THEY_ARE = {"image_size": None, "normalisation": "data", "task": TASKS[0], "imbalance": NATURAL}
SAME_DATA = [  # options that decide which samples a seed trains, validates and tests on
    "dataset_name",
    "negative_classes",
    "positive_classes",
    "ratio_pos_train",
    "task",
    "classes",
    "critical_classes",
    "imbalance",
    "imbalance_factor",
    "validation_fraction",
    "validation_per_class",
    "calibration_fraction",
    "train_fraction",
    *(name for name, item in OPTIONS.items() if item.metadata["group"] == "resampling"),
]


@dataclass(frozen=True)
class Experiment:
    """What all seeds of a run share. Of its settings only options that the components do not take are still None."""

    settings: Settings
    task: Task
    machine: Machine
    weights: WeightsFile | None = None  # what the network starts from
    features: torch.Tensor | None = None  # (M, F), what the last layer takes, if the rest is frozen in all epochs
    stem: str = ""  # of a network whose stem depends on the size of the images

    @property
    def config(self) -> Config:
        """The resolved options."""
        return self.settings.config


def prepare(settings: Settings) -> Experiment:
    """Read the data, fill in what follows from them, and build everything once, to find mistakes before writing a file.

    Raises:
        UserError: the options do not fit each other, the data or the machine.
    """
    config = settings.config
    is_backbone = config.resnet_type.startswith(tuple(BACKBONES))
    if config.resnet_type not in (known := {**MODELS, **LEARNERS}) and not is_backbone:
        origin, meanings = settings.origins["resnet_type"], VALUES["resnet_type"]
        raise unknown(called("resnet_type", origin), config.resnet_type, known, origin=origin, meanings=meanings)
    check_names(settings)  # again, as those of an evaluation come from best.pt
    check_components(settings)
    machine = set_up_machine(
        device=device_of_rank(config.device),
        precision=config.precision,
        threads=config.threads,
        deterministic=bool(config.deterministic),
        seeds=len(config.seeds) if config.train else 1,
        # features are computed once, on all cores; what is left for each seed is one small layer
        seeds_at_once=config.parallel_seeds or int(config.freeze_epochs == "all"),
        ranks=rank_and_world()[1],
    )
    weights = find_weights(settings.config)
    settings, task = load_task(settings, machine)
    if task.image_format.has_features and settings.config.architecture not in FLAT:
        raise UserError(
            f"{config.resnet_type} needs images, but {task.source} has features; use one of"
            f" {', '.join((*sorted(FLAT), *LEARNERS))} (--resnet_type)"
        )
    if machine.device.type == "cpu":
        keep_freed_memory()
    experiment = Experiment(settings, task, machine)
    state, data = build_state(experiment, settings.config.seeds[0])
    if config.train and not config.is_fitted:
        needs = memory_needs(experiment, state, data)
        check_memory(needs, machine, at_once=max(machine.seeds_at_once, ranks_on_device(machine.device)))
    loaded = load_weights(weights, state.network) if weights else None
    return replace(experiment, weights=loaded, stem=getattr(state.network, "stem_text", ""))


def memory_needs(experiment: Experiment, state: TrainState, data: TrainingData) -> MemoryNeeds:
    """What a seed needs beside the images that are loaded, and its weights."""
    config, form = experiment.config, experiment.task.image_format
    shape: tuple[int, ...] = (form.input_channels, *form.input_size)
    to_come = data.batches.bytes_to_come
    if state.freezing and config.freeze_epochs == "all":  # the last layer alone, on features
        shape = (state.freezing.head.in_features,)
        to_come = FEATURE_BYTES * len(data.labels) * shape[0]
    return estimate(
        state.model,
        input_shape=shape,
        batch_size=min(config.bsize, len(data.train)),
        optimizer=config.optimizer,
        machine=experiment.machine,
        data=to_come,
    )


def run_facts(experiment: Experiment, split: Split) -> dict[str, Any]:
    """What a loss or constraint may ask of the run: the obtained class counts, the requested ratio, the samples.

    The counts are those of the training set, before the sampler changes the balance; of them follows a natural ratio.
    """
    task = experiment.task
    counts = tuple(task.class_counts(split)["train"].values())
    ratio = experiment.config.ratio_pos_train
    facts = {
        "class_counts": counts,
        "ratio_pos_train": obtained_ratio(counts) if ratio in (NATURAL, None) else ratio,
        "num_samples": len(task.labels) + samples_to_make(experiment.config.sampler, counts),
    }
    return facts | ({"classes": task.many.classes, "critical": task.many.critical} if task.many else {})


def obtained_ratio(counts: Sequence[int]) -> float:
    """Negatives per positive, or the largest of several classes over the smallest.

    >>> obtained_ratio((900, 100)), obtained_ratio((500, 50, 100))
    (9.0, 10.0)
    """
    return counts[0] / counts[1] if len(counts) == 2 else max(counts) / min(counts)


def columns_of(loss: Loss) -> tuple[int, ...]:
    """The shape of a sample's scores: () of two classes, (C,) of more."""
    return (len(loss.critical),) if isinstance(loss, SoftmaxLoss) and loss.classes > 2 else ()


def build_network(task: Task, config: Config, loss: Loss, generator: torch.Generator) -> torch.nn.Module:
    """The model that the objective asks for, with its initial weights, on the CPU."""
    return network(config, loss, task.image_format, generator)


def network(config: Config, loss: Loss, form: ImageFormat, generator: torch.Generator) -> torch.nn.Module:
    """The same for images of this form."""
    channels, image_size = form.input_channels, form.input_size
    if config.resnet_type == "dense":
        check_widths((channels * image_size[0] * image_size[1], *config.hidden_widths))
    return built(
        lambda: build_model(
            config.architecture,
            channels=channels,
            image_size=image_size,
            outputs=loss.outputs,
            normalised_head=loss.normalised_head,
            hidden_widths=config.hidden_widths,
            bias=loss.initial_bias,
            generator=generator,
        )
    )


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
        _start_from(saved, baseline, experiment, whole, loss, optimizer)
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


def plain_batches(experiment: Experiment) -> Batches:
    """Batches for evaluation: nothing in them is random."""
    device = experiment.machine.device
    generator = torch.Generator(device=device)
    return batches_of(experiment.task, augment="none", device=device, generator=generator)


def _start_from(
    saved: dict[str, Any],
    path: Path,
    experiment: Experiment,
    model: torch.nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Take over a baseline's best weights, those of its objective too, and its optimizer from its best.pt at ``path``.

    Raises:
        UserError: the baseline was trained on other data, or with other options that must be the same.
    """
    same = [*SAME_DATA, "resnet_type", "image_size", "normalisation", "training_type", "optimizer", "bsize"]
    for name in same:
        ours, theirs = asdict(experiment.config)[name], saved["config"].get(name, AS_THEY_ARE.get(name))
        if plain(ours) != plain(theirs):
            raise UserError(
                f"the baseline {path} has {name} {plain(theirs)}, this run {plain(ours)}; they must be the same"
            )
    if saved["data_checksum"] != experiment.task.checksum:
        raise UserError(
            f"the baseline {path} was trained on data with the checksum {saved['data_checksum']:.12}, but "
            f"{experiment.task.source} has {experiment.task.checksum:.12}; name its data with --data_root"
        )
    restore(model, saved["weights"], path=path, what="model")
    restore(loss, saved["loss"], path=path, what="objective")
    own = {"lr"} if _starts_anew(experiment.config, saved, path) else set()
    asked = [
        {key: value for key, value in group.items() if key in own or _is_asked(experiment.settings, key)}
        for group in optimizer.param_groups
    ]
    # a baseline that was trained under a constraint has that one's parameters too, after these
    restore_optimizer(optimizer, first_groups(saved["optimizer"], len(optimizer.param_groups)))
    for group, values in zip(optimizer.param_groups, asked, strict=True):
        rate = float(values.pop("lr", 0))
        group.update(values)
        if rate:
            set_learning_rate(group, rate)


def _starts_anew(config: Config, saved: dict[str, Any], path: Path) -> bool:
    """Whether the learning rate is that of ``config``, instead of the one to which a baseline's plateau has brought it.

    It is if one of the two follows a curve, or if the baseline's best epoch lies within its warm-up.
    """
    try:
        warm_up = convert("warm_up", saved["config"].get("warm_up", 0), str(path))
    except ValueError as error:
        raise UserError(str(error)) from None
    curves = ("step", "cosine")
    return config.schedule in curves or saved["config"].get("schedule") in curves or saved["epoch"] < warm_up


def _is_asked(settings: Settings, key: str) -> bool:
    """Whether the user chose this entry of an optimizer's parameter group, so that it wins over the baseline's."""
    option = {"lr": "lr", "momentum": "momentum", "weight_decay": "weight_dec"}.get(key)
    return option is not None and settings.is_given(option)


def plain(value: Any) -> Any:
    """A list for a tuple, as files hold it."""
    return list(value) if isinstance(value, tuple) else value
