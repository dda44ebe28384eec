"""``--dry_run 1``: what a run would train on, in how much memory and time. It writes a picture and nothing else."""

from __future__ import annotations

import itertools
import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.settings import Settings
from ..data.batches import Batches
from ..data.computed_features import ComputedFeatures
from ..data.task import Task
from ..distributed.ranks import rank_and_world
from ..run_files.config_yaml import compare, read_config
from ..run_files.paths import RunPaths
from ..system.devices import Machine
from ..training.capture import WARM_UP
from ..training.evaluation import batch_size, model_outputs
from ..training.freezing import Freezing
from ..training.state import TrainingData, TrainState
from ..training.step import TrainingSteps
from .announcement import announce
from .batch_picture import write_picture
from .experiment import Experiment
from .initial_state import build_state
from .load_task import counts_in_file
from .prepare_run import memory_needs, prepare
from .printed_table import aligned
from .progress import duration
from .rank_group import agreed, together

PICTURE = Path("dry_run.png")  # in the working folder
SECONDS = 3.0  # for which steps are timed
MOST_STEPS = 50
MOST_CLASSES = 12  # unused classes that have a line each


def dry_run(settings: Settings) -> int:
    """Print what would be trained. Returns the exit code.

    Raises:
        UserError: the run would be refused.
    """
    experiment = together(lambda: _prepared(settings))
    config, paths = experiment.config, RunPaths.of(experiment.config)
    announce(experiment, paths)
    print()
    print("\n".join(aligned(class_rows(experiment))))
    state, data = build_state(experiment, config.seeds[0])
    lines = [("parameters", f"{_count_of(state.network):,}, of which {_count_of(state.model):,} are trained")]
    if config.is_fitted:
        lines.append(("training", f"{config.resnet_type} is fitted at once, without batches"))
    else:
        lines += _training_lines(experiment, state, data)
    print()
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:<{width}}  {text}" for name, text in lines))
    print("dry run: nothing was trained; leave --dry_run out to train")
    return 0


def _prepared(settings: Settings) -> Experiment:
    """What would be trained, as every rank reads it, with the settings of what is there already."""
    experiment = prepare(settings)
    task, paths = experiment.task, RunPaths.of(experiment.config)
    if paths.config.exists():
        compare(read_config(paths.config), experiment.settings, paths.config, checksum=task.checksum)
    return experiment


def _training_lines(experiment: Experiment, state: TrainState, data: TrainingData) -> list[tuple[str, str]]:
    """Batches, picture, memory and time; ``state`` is as at the start of the seed."""
    config, machine, seed = experiment.config, experiment.machine, experiment.config.seeds[0]
    first = next(data.batches.ahead(state.sampler, 1))
    picture = _picture(experiment.task, data, first, seed)
    rest = itertools.islice(state.sampler, state.sampler.steps_per_epoch - 1)
    lines = [("batches", batches_of_a_pass([first, *rest], is_critical(data))), ("picture", picture)]
    needs = memory_needs(experiment, state, data)
    if state.freezing and config.freeze_epochs == "all":
        data, line = _on_features(state.freezing, data, machine)
        lines.append(("features", line))
    elif state.freezing:
        state.epoch = int(state.freezing.epochs)  # steps are timed as they are when all layers are trained
    runner = TrainingSteps(state, data, machine=machine)
    step, number = _seconds_a_step(runner)
    validation = _seconds_of_validation(runner)
    steps = config.evaluate_every_steps or state.sampler.steps_per_epoch
    epoch = steps * step + validation
    epochs = config.continue_train_epochs if config.continue_train else config.num_epochs
    rounds = math.ceil(len(config.seeds) / machine.seeds_at_once)
    together = f", {machine.seeds_at_once} at once" if machine.seeds_at_once > 1 else ""
    seeds = f"{len(config.seeds)} seed{'s' if len(config.seeds) > 1 else ''}{together}"
    each = f" for each of {machine.seeds_at_once} seeds at once" if machine.seeds_at_once > 1 else ""
    each = f" on each of {machine.ranks} ranks" if machine.ranks > 1 else each
    parts = f"{_size(needs.activations)} activations, {_size(needs.weights)} gradients and optimizer"
    parts += f", {_size(needs.data)} copied images"
    total = f"at most {duration(rounds * epochs * epoch)} for {seeds}, {epochs} epochs each"
    return [
        *lines,
        ("memory", f"about {_size(needs.total)} beside images and weights{each}: {parts}"),
        ("peak", f"{_size(_peak(machine))} in this dry run, all in all"),
        ("a step", f"{_time(step)} (mean of {number}, one seed alone)"),
        ("an epoch", f"{_time(epoch)}: {steps} steps, and {_time(validation)} of validation"),
        ("training", f"{total}; early stopping may end them sooner"),
    ]


def _count_of(model: torch.nn.Module) -> int:
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def _on_features(freezing: Freezing, data: TrainingData, machine: Machine) -> tuple[TrainingData, str]:
    """``data`` with features of the right shape in place of images, and how long the real ones will take."""
    assert isinstance(data.batches, Batches)
    some = data.train[: batch_size(*data.batches.image_size)]
    for _ in range(2):  # the first one chooses kernels
        start = _now(machine)
        freezing.features(data.batches.plain(some), machine)
        seconds = _now(machine) - start
    features = torch.zeros((len(data.labels), freezing.head.in_features), device=some.device)
    size = data.batches.image_size
    line = f"{_time(seconds * len(data.labels) / len(some))} for {len(data.labels):,} images, once for all seeds"
    return replace(data, batches=ComputedFeatures(features, image_size=size)), line


def class_rows(experiment: Experiment) -> list[list[str]]:
    """A table: samples of each class in the files, and where the first seed uses them."""
    config, task = experiment.config, experiment.task
    found = counts_in_file(config)
    parts = task.split(config.seeds[0]).parts()
    used = {part: _count(task.original_class[rows]) for part, rows in parts.items()}
    side = sides(task)
    classes = sorted({c for counts in found.values() for c in counts}, key=lambda c: (c not in side, c))
    unused = [c for c in classes if c not in side]
    are_many = len(unused) > MOST_CLASSES
    shown = [([c], task.class_name(c), side.get(c, "not used")) for c in classes if c in side or not are_many]
    if are_many:
        shown.append((unused, f"{len(unused)} others", "not used"))
    shown.append((classes, "all", ""))
    rows = [["class", "", *(f"{split} file" for split in found), "left out", *parts]]
    for group, name, of in shown:
        numbers = [[sum(counts.get(c, 0) for c in group) for counts in table.values()] for table in (found, used)]
        left_out = sum(numbers[0]) - sum(numbers[1])
        rows.append([name, of, *map(str, [*numbers[0], left_out, *numbers[1]])])
    if task.groups is not None:
        numbers_of_groups = [str(len(np.unique(task.groups[each]))) for each in parts.values()]
        rows.append(["groups", "", *[""] * len(found), "", *numbers_of_groups])
    return rows


def sides(task: Task) -> dict[int, str]:
    """What each original class in use is to the task."""
    if task.many:
        critical = {task.many.in_use[label] for label in task.many.critical}
        return {c: "critical" if c in critical else "other" for c in task.many.in_use}
    return dict.fromkeys(task.sides.negative, "negative") | dict.fromkeys(task.sides.positive, "positive")


def _count(classes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[int, int]:
    values, numbers = np.unique(classes, return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))


def batches_of_a_pass(batches: Sequence[Tensor], labels: Tensor) -> str:
    """How many batches of a pass lack positives, and how many positives they have on average."""
    positives = torch.stack([labels[indices.to(labels.device)].sum() for indices in batches])
    without, mean = int((positives == 0).sum()), float(positives.double().mean())
    share = f"{without} of {len(batches)} ({100 * without / len(batches):.1f} %) without positives"
    return f"{len(batches)} in the first pass, of {len(batches[0])} samples; {mean:.3g} positives each; {share}"


def is_critical(data: TrainingData) -> Tensor:
    """(M,) 1 for a sample of a critical class, else 0."""
    return torch.isin(data.labels, torch.tensor(data.critical, device=data.labels.device)).long()


def _picture(task: Task, data: TrainingData, indices: Tensor, seed: int) -> str:
    """Write the picture of the first batch; what the line about it says."""
    images, form = data.batches.training(indices), task.image_format
    if images.shape[1] not in (1, 3) or form.has_features:
        return f"none of {images.shape[1]} features"
    if rank_and_world()[0] == 0:
        write_picture(PICTURE, images, is_critical(data)[indices], mean=form.mean, std=form.std)
    return f"{PICTURE}: the first batch of seed {seed} as the model sees it, positives in orange"


def _seconds_a_step(runner: TrainingSteps) -> tuple[float, int]:
    """Mean seconds a training step, and of how many; the first ones, which are slower, do not count."""
    runner.run(WARM_UP + 2 if runner.machine.captures else 1)
    one = agreed(_timed(runner, 1))
    if one >= SECONDS:
        return one, 1
    number = min(MOST_STEPS, int(SECONDS / one))
    return _timed(runner, number) / number, number


def _timed(runner: TrainingSteps, steps: int) -> float:
    start = _now(runner.machine)
    runner.run(steps)
    return _now(runner.machine) - start


def _seconds_of_validation(runner: TrainingSteps) -> float:
    """Seconds of a validation, from one of its batches."""
    state, data = runner.state, runner.data
    some = data.validation[: batch_size(*data.batches.image_size)]
    for _ in range(2):  # the first one chooses kernels
        start = _now(runner.machine)
        model_outputs(state.evaluated, data.batches, some, machine=runner.machine)
        seconds = _now(runner.machine) - start
    return seconds * len(data.validation) / len(some) / runner.machine.ranks


def _now(machine: Machine) -> float:
    """Seconds since any moment, once the device has done what it was asked."""
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    return time.perf_counter()


def _peak(machine: Machine) -> int:
    """The most bytes that were in use at once, on a GPU there."""
    if machine.device.type == "cuda":
        return torch.cuda.max_memory_allocated(machine.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else duration(seconds)


def _size(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
