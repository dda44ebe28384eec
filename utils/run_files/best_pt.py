"""best.pt: the weights of the best epoch and all that is needed to evaluate them, or to continue from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..config.options import FREE, OPTIONS, Config, convert, spelled
from ..config.settings import Settings
from ..errors import UserError
from ..training.state import Best, TrainState
from .checkpoints import Format, check_like, load, load_sound, save
from .config_yaml import read_config
from .paths import SeedPaths

BEST = Format(
    "rarecall best 1",
    {
        **dict.fromkeys(("weights", "loss", "optimizer", "config", "facts"), dict),
        "threshold": torch.Tensor,
        "epoch": int,
        "command": str,
        "data_checksum": str,
    },
)
MOST_EPOCHS = 2**53  # as an option may ask for
RECORDED = {"num_epochs", "name_file_bs", "name_file_alm"}  # irrelevant to an evaluation, and taken from best.pt


def from_checkpoint(settings: Settings, checkpoint: dict[str, Any], files: SeedPaths) -> Settings:
    """The checkpoint's options, with the command's choice of how to evaluate.

    Raises:
        UserError: the command asks for another model, objective or task than the checkpoint's, or the checkpoint has
            options of another version.
    """
    saved = checkpoint.get("config")
    if not isinstance(saved, dict) or set(saved) != set(OPTIONS):
        raise UserError(f"{files.best} holds the options of another version of this program")
    values = asdict(settings.config)
    origins = dict(settings.origins)
    for name, theirs in saved.items():
        if name in FREE - RECORDED:
            continue
        ours = values[name]
        theirs = None if theirs is None else _checked(name, theirs, files)
        if name not in RECORDED and settings.is_given(name) and spelled(name, ours) != spelled(name, theirs):
            raise UserError(
                f"{files.best} was trained with {name} {theirs}, the command asks for {ours} (from {origins[name]})"
            )
        values[name], origins[name] = theirs, "best.pt"
    return replace(settings, config=Config(**values), origins=origins)


def _checked(name: str, value: Any, files: SeedPaths) -> Any:
    try:
        return convert(name, value, str(files.best))
    except ValueError as error:
        raise UserError(str(error)) from None


def checked_facts(checkpoint: dict[str, Any], expected: dict[str, Any], files: SeedPaths) -> dict[str, Any]:
    """The facts of the data that an objective is built from, with tuples for lists.

    Args:
        checkpoint: the content of best.pt.
        expected: the facts of the data as they are now.
        files: the seed's files.

    Raises:
        UserError: the facts have another form, or a threshold or number of samples cannot be right.
    """
    saved = checkpoint["facts"]
    try:
        check_like(saved, expected)
    except ValueError as error:
        raise UserError(f"{files.best} contains invalid data set metadata: {error}") from None
    columns = (len(expected["critical"]),) if expected.get("classes", 2) > 2 else ()
    if checkpoint["threshold"].shape != columns or checkpoint["threshold"].dtype != torch.float32:
        raise UserError(f"{files.best} contains a threshold that is not a float32 number")
    # an objective allocates what it keeps of each sample before that is loaded: allow what the file or the data hold
    sizes = [value.numel() for value in checkpoint["loss"].values() if isinstance(value, torch.Tensor)]
    samples = saved["num_samples"]
    if not isinstance(samples, int) or samples > max([expected["num_samples"], *sizes]):
        raise UserError(f"{files.best} contains invalid data set metadata: {samples} samples")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}


def record_end(
    files: SeedPaths, checkpoint: dict[str, Any], *, epochs: int, num_epochs: int, decisions: dict[str, Any]
) -> None:
    """Record in best.pt what is known when its seed ends: its epochs, how many were asked for, and its thresholds."""
    config = {**checkpoint["config"], "num_epochs": num_epochs}  # more may have been asked for since the best one
    save(files.best, BEST, {**checkpoint, "config": config, "epochs": epochs, "decisions": decisions})


def remove_end(files: SeedPaths) -> None:
    """Take both out of best.pt before its seed is trained further: more epochs change what a threshold promises."""
    if files.best.exists() and (checkpoint := load(files.best, BEST)).pop("decisions", None):
        save(files.best, BEST, {**checkpoint, "epochs": None})


def recorded_epochs(checkpoint: dict[str, Any]) -> int | None:
    """For how many epochs the seed of a checkpoint was trained; None if it had not ended, or was not recorded."""
    epochs = checkpoint.get("epochs")
    return epochs if type(epochs) is int and 0 <= epochs <= MOST_EPOCHS else None


def most_epochs(checkpoints: Mapping[Path, dict[str, Any]], config_file: Path) -> int:
    """The most epochs that a seed of a run was to be trained for, among which its best one was chosen.

    A best.pt is written before more epochs are asked for, so that config.yaml and those of the other seeds count too.

    Args:
        checkpoints: the content of each best.pt.
        config_file: config.yaml of the run, if it is there.

    Raises:
        UserError: a best.pt does not hold a number of epochs.
    """
    known: list[int] = []
    for path, content in checkpoints.items():
        try:
            known.append(convert("num_epochs", content["config"].get("num_epochs"), str(path)))
        except ValueError as error:
            raise UserError(str(error)) from None
        if not content["config"].get("continue_train"):  # of one that continued the baseline's epochs are the option
            known.append(recorded_epochs(content) or 0)
    if config_file.exists():
        known.append(read_config(config_file)["options"]["num_epochs"]["value"])
    return max(known)


def best_is_missing(state: TrainState, files: SeedPaths) -> bool:
    """Whether best.pt must be written again from ``state``, whose last epoch is the best.

    If best.pt is of the epoch that is trained next, as after a damaged last.pt, ``state.best`` is set to that epoch.

    Raises:
        UserError: best.pt is not of the epoch that ``state`` says, and ``state`` cannot replace it.
    """
    assert state.best is not None
    is_last = state.best.epoch == state.epoch - 1
    try:
        saved = load_sound(files.best, BEST)
    except UserError:
        if is_last:
            return True
        raise
    if is_last:
        return saved["epoch"] != state.best.epoch or not _same_weights(saved["weights"], state)
    if saved["epoch"] == state.epoch and {"validation_auc", "validation_loss", "train_auc"} <= set(saved):
        # the weights of the older best epoch are gone, and on a CPU that epoch will be the best again
        numbers = saved["validation_auc"], saved["validation_loss"], saved["train_auc"], saved.get("selected")
        state.best = Best(saved["epoch"], *numbers)
    elif saved["epoch"] != state.best.epoch:
        raise UserError(
            f"{files.best} is not of epoch {state.best.epoch} as {files.last} says, but of epoch {saved['epoch']}; "
            "restore it from a copy, or train anew under another --model_name"
        )
    return False


def _same_weights(saved: dict[str, Any], state: TrainState) -> bool:
    ours = state.kept.state_dict()
    return saved.keys() == ours.keys() and all(
        isinstance(value, torch.Tensor) and torch.equal(value, ours[name].cpu()) for name, value in saved.items()
    )
