"""The finished runs that a training continues from."""

from __future__ import annotations

import functools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..config.options import OPTIONS, Config, convert
from ..config.settings import Settings
from ..data import NATURAL, TASKS
from ..errors import UserError
from ..losses.base import Loss
from ..run_files.best_pt import BEST, most_epochs
from ..run_files.checkpoints import load, plain, restore
from ..run_files.paths import RunPaths
from ..training.optimizers import first_groups, restore_optimizer, set_learning_rate
from .components import built
from .experiment import Experiment

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
TAKEN_OVER = ("image_size", "normalisation")  # what its network sees, so that it need not be said again


def of_baseline(settings: Settings) -> Settings:
    """``settings`` with what follows from the baseline, if training continues from one.

    Its ``num_epochs`` are those among which the baseline's model was chosen: what a threshold promises is corrected for
    them too (``config.guarantees.compared``).
    """
    best = find_baselines(settings.config)
    if not best:
        return settings
    path = best[settings.config.seeds[0]]
    of_best = load(path, BEST)["config"]
    saved = {name: of_best.get(name) for name in TAKEN_OVER}
    known = {name: value for name, value in saved.items() if value is not None}
    checked = {name: built(functools.partial(convert, name, value, str(path))) for name, value in known.items()}
    epochs = most_epochs({each: load(each, BEST) for each in best.values()}, _baseline(settings.config).config)
    if of_best.get("continue_train"):
        more = "continue_train_epochs"
        epochs *= built(functools.partial(convert, more, of_best.get(more), str(path)))
    completed = settings.completed(checked, "the baseline")
    origins = {**completed.origins, "num_epochs": "the baseline"}
    return replace(completed, config=replace(completed.config, num_epochs=epochs), origins=origins)


def find_baselines(config: Config) -> dict[int, Path]:
    """best.pt of each seed's baseline, if training continues from one."""
    if not config.continue_train:
        return {}
    baseline = _baseline(config)
    if baseline.folder == RunPaths.of(config).folder:
        raise UserError(
            f"baseline_cont_train and model_name are both {config.model_name}; give the new run another name"
        )
    missing = [seed for seed in config.seeds if not baseline.seed(seed).best.is_file()]
    if missing:
        raise UserError(
            f"continue_train needs a trained baseline: no {baseline.seed(missing[0]).best} "
            f"(--baseline_cont_train names its model_name); seeds missing: {' '.join(map(str, missing))}"
        )
    return {seed: baseline.seed(seed).best for seed in config.seeds}


def _baseline(config: Config) -> RunPaths:
    """The run that training continues from."""
    assert config.baseline_cont_train is not None
    paths = RunPaths.of(config)
    return RunPaths(paths.root, paths.subfolder_name, config.baseline_cont_train)


def start_from(
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
        # as numbers, because restoring writes into the tensor of a learning rate
        {key: float(value) for key, value in group.items() if key in own or _is_asked(experiment.settings, key)}
        for group in optimizer.param_groups
    ]
    # a baseline that was trained under a constraint has that one's parameters too, after these
    restore_optimizer(optimizer, first_groups(saved["optimizer"], len(optimizer.param_groups)))
    for group, values in zip(optimizer.param_groups, asked, strict=True):
        if "lr" in values:
            set_learning_rate(group, values.pop("lr"))
        group.update(values)


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
