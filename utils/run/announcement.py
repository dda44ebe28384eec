"""What a run prints before it trains."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from ..config.options import Config
from ..constraints import label
from ..data import NATURAL
from ..data.class_names import listed
from ..run_files.paths import RunPaths
from ..system.devices import Machine
from ..training.notices import Counts, class_notices, data_notices
from .components import taken
from .experiment import Experiment
from .load_task import CHOSEN_BY_DATA


def announce(experiment: Experiment, paths: RunPaths) -> None:
    """Print the sets, the objective, the machine, and the notices about the data."""
    task, config = experiment.task, experiment.config
    counts = task.class_counts(task.split(config.seeds[0]))
    for line in _class_lines(experiment, counts) if task.many else _side_lines(experiment, counts):
        print(line)
    constraint = f" + {label(asdict(config))}" if config.use_ALM else ""
    sampler = f", {config.sampler} sampler" if config.sampler != Config.sampler else ""
    print(
        f"{config.resnet_type}, {config.training_type}{constraint}{sampler}, seeds {' '.join(map(str, config.seeds))}, "
        f"on {_shown(experiment.machine)} -> {paths.folder}"
    )
    for line in _network_lines(experiment):
        print(line)
    if not task.many and (line := _unused(experiment, counts["train"]["positive"])):
        print(line)
    for line in [*_notices(experiment, counts), *too_late(config)]:
        print(f"note: {line}")


def _side_lines(experiment: Experiment, counts: Counts) -> list[str]:
    """The sets of a task of two sides."""
    task, config, train = experiment.task, experiment.config, counts["train"]
    shown = ", ".join(f"{part} {count['negative']} : {count['positive']}" for part, count in counts.items())
    ratio = f"1:{config.ratio_pos_train}"
    if config.ratio_pos_train == NATURAL:
        ratio = f"1:{train['negative'] / train['positive']:.4g} (natural)"
    lines = [
        f"{task.name} {ratio}  negatives : positives  {shown}",
        f"training {task.kind} of each class  {_classes(experiment)}",
    ]
    if (why := experiment.settings.origins["positive_classes"]) in CHOSEN_BY_DATA:
        positive = listed([task.class_name(c) for c in task.sides.positive])
        lines.append(f"positive class  {positive}: {why}; --positive_classes chooses")
    return lines


def _class_lines(experiment: Experiment, counts: Counts) -> list[str]:
    """The sets of a task of K classes."""
    task, config = experiment.task, experiment.config
    assert task.many
    profile = config.imbalance
    if config.imbalance_factor is not None:
        profile += f" 1:{1 / config.imbalance_factor:.4g}"
    shown = ", ".join(f"{part} {sum(count.values())}" for part, count in counts.items())
    trained = [f"{name} {count}" for name, count in counts["train"].items()]
    critical = listed([task.names[each] for each in task.many.critical])
    lines = [
        f"{task.name}, {task.many.classes} classes, imbalance {profile}  {shown}",
        f"training {task.kind} of each class  {listed(trained)}",
    ]
    why = experiment.settings.origins["critical_classes"]
    chosen = f": {why}; --critical_classes chooses" if why in CHOSEN_BY_DATA else ""
    return [*lines, f"critical  {critical}{chosen}"]


def _notices(experiment: Experiment, counts: Counts) -> list[str]:
    task, tprs = experiment.task, experiment.config.tpr
    if not task.many:
        return data_notices(counts, tprs=tprs, repeats=task.repeats)
    critical = [task.names[each] for each in task.many.critical]
    return class_notices(counts, critical=critical, tprs=tprs, repeats=task.repeats)


def too_late(config: Config) -> list[str]:
    """What waits for an epoch that this run does not reach; of a run that continues only what counts its own epochs."""
    epochs = config.continue_train_epochs if config.continue_train else config.num_epochs
    last_step = max(config.lr_steps or (0,))
    found = [  # option, its value, the epoch that must be reached, what does not come
        ("warm_up", config.warm_up, config.warm_up - 1, "the learning rate does not reach lr"),
        ("lr_steps", last_step, last_step, "the learning rate does not fall there"),
    ]
    if not config.continue_train:
        of_parts = [("training_type", "drw_from", "the classes are not re-weighted")]
        if not config.evaluate_every_steps:  # what samplers count are passes over the training set
            of_parts.append(("sampler", "natural_from", "the batches do not become natural"))
            of_parts.append(("sampler", "cool_down", "the temperature does not come down to 1"))
        for choice, name, what in of_parts:
            value = taken(config, choice, name) or 0
            found.append((name, value, value, what))
    return [
        f"{name} {value} is beyond the {epochs} epochs of this run: {what}"
        for name, value, needed, what in found
        if needed >= epochs
    ]


def _unused(experiment: Experiment, used: int) -> str:
    """How many positives the training set leaves out, and which flags use them; '' if it leaves none out by mistake."""
    config, there = experiment.config, experiment.task.positives_in_train_file()
    if used >= there or (config.folds and (len(config.subset_ratios or ()) > 1 or config.downsample)):
        return ""
    flags = ["--subset_ratios natural"] if config.folds else []
    if not config.folds:
        flags += ["--ratio_pos_train natural"] if config.ratio_pos_train != NATURAL else []
        flags += ["--train_fraction 1"] if config.train_fraction != 1 else []
    return f"{used} of {there} positives of the training file are used; {' '.join(flags)} uses all"


def _network_lines(experiment: Experiment) -> list[str]:
    """What the network sees and starts from, where that is not the usual."""
    config, weights, form = experiment.config, experiment.weights, experiment.task.image_format
    lines = []
    if weights:
        matched = "" if weights.matched == "names" else ", whose names are others: matched by the order of the shapes"
        lines.append(f"weights  {weights.path} (SHA-256 {weights.sha256:.12}){matched}; the last layer is drawn anew")
    if config.freeze_epochs:
        lines.append(f"frozen   all but the last layer, for {config.freeze_epochs} epochs")
    if form.image_size or config.normalisation != "data":
        size = " x ".join(map(str, form.input_size))
        lines.append(f"input    {form.input_channels} channels of {size} pixels, normalisation {config.normalisation}")
    if experiment.stem:
        lines.append(f"stem     {experiment.stem}")
    return lines


def _classes(experiment: Experiment) -> str:
    """The classes of both sides with their numbers of training images; those of the first seed."""
    task = experiment.task
    drawn = task.original_class[task.split(experiment.config.seeds[0]).train]
    found, numbers = np.unique(drawn, return_counts=True)
    counts = dict(zip(found.tolist(), numbers.tolist(), strict=True))
    return " : ".join(
        f"{side} {listed([f'{task.class_name(c)} ({counts.get(c, 0)})' for c in classes], most=12)}"
        for side, classes in (("negative", task.sides.negative), ("positive", task.sides.positive))
    )


def _shown(machine: Machine) -> str:
    threads = f"{machine.threads} thread{'s' if machine.threads > 1 else ''}"
    at_once = f"{machine.seeds_at_once} seeds at once, {threads} each" if machine.seeds_at_once > 1 else threads
    ranks = f"{machine.ranks} ranks, " if machine.ranks > 1 else ""
    return f"{machine.name} ({ranks}{at_once}, {machine.precision})"
