"""last.pt: going on from it, or from the one before where it is damaged."""

from __future__ import annotations

import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..system.files import sync_folder
from ..training.state import Best, TrainState
from .checkpoints import BEST, LAST, check_like, load
from .paths import SeedPaths


def load_sound(path: Path, kind: str) -> dict[str, Any]:
    """``load``, after the checksum of every part of the file, which torch writes but does not compare.

    Raises:
        UserError: the file is missing, damaged or of another program.
    """
    content = load(path, kind)
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        bad = type(error).__name__
    if bad:
        raise UserError(f"{path} is damaged ({bad} has another checksum); restore it from a copy")
    return content


def load_last(files: SeedPaths) -> tuple[dict[str, Any], str]:
    """The state to go on from, and why it is that of last_before.pt; '' where it is that of last.pt.

    Raises:
        UserError: both files are missing, damaged or of another program; the text is about last.pt.
    """
    try:
        return load_sound(files.last, LAST), ""
    except UserError as error:
        if not files.last_before.is_file():
            raise
        reason = error
    try:
        content = load_sound(files.last_before, LAST)
    except UserError:
        raise UserError(f"{reason}; {files.last_before.name} is damaged, too") from None
    what = f"{files.last} is {'damaged' if files.last.exists() else 'not there'}"
    return content, f"{what}: going on from {files.last_before.name}, epoch {content['epoch']} is trained once more"


def restore_last(state: TrainState, files: SeedPaths) -> str:
    """Load the state; a damaged last.pt gives way to the one before. Returns a note about that, or ''.

    Raises:
        UserError: there is no state to go on from, or it is of another run.
    """
    content, note = load_last(files)
    try:
        _check_form(content, state)
        state.load_state_dict(content)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{files.last} does not belong to this run ({type(error).__name__}); remove {files.folder}"
        ) from None
    if note:
        # at once: the next state takes the name last.pt, and what has it now would become the one before
        os.replace(files.last_before, files.last)
        sync_folder(files.folder)
    return note


def _check_form(content: dict[str, Any], state: TrainState) -> None:
    """Refuse what could be loaded but not trained on with.

    Raises:
        ValueError: a part has not the form that it has at the start of the training.
        KeyError, TypeError: a part is missing.
    """
    expected = state.state_dict()
    for name in expected.keys() - {"optimizer", "best"}:
        check_like(content[name], expected[name], at=name)
    if not all(isinstance(content["best"][item.name], (int, float)) for item in fields(Best)):
        raise ValueError("best")
    if content["epoch"] < 0 or not 0 <= content["sampler"]["step"] <= state.sampler.steps_per_epoch:
        raise ValueError("epoch or step")
    _check_optimizer(content["optimizer"], expected["optimizer"], state.optimizer)


def _check_optimizer(found: dict[str, Any], expected: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """The same of the optimizer: its options but for the learning rate, and a state for all parameters or none."""
    for theirs, ours in zip(found["param_groups"], expected["param_groups"], strict=True):
        check_like(theirs["lr"], 0.0, at="lr")
        if {**theirs, "lr": 0} != {**ours, "lr": 0}:
            raise ValueError("options of the optimizer")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if found["state"] and set(found["state"]) != set(range(len(parameters))):
        raise ValueError("parameters of the optimizer")
    for number, values in found["state"].items():
        if values.keys() != found["state"][0].keys() or not all(map(torch.is_tensor, values.values())):
            raise ValueError("state of the optimizer")
        for name, value in values.items():
            check_like(value, torch.zeros(()) if name == "step" else parameters[number].detach(), at=name)


def best_is_missing(state: TrainState, files: SeedPaths) -> bool:
    """Whether best.pt must be written again, from ``state``, whose last epoch is the best.

    Where best.pt is of the epoch that is trained next, as after a damaged last.pt, ``state.best`` becomes that one.

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
        state.best = Best(saved["epoch"], saved["validation_auc"], saved["validation_loss"], saved["train_auc"])
    elif saved["epoch"] != state.best.epoch:
        raise UserError(f"{files.best} is not of epoch {state.best.epoch} as {files.last} says; remove {files.folder}")
    return False


def _same_weights(saved: dict[str, Any], state: TrainState) -> bool:
    ours = state.model.state_dict()
    return saved.keys() == ours.keys() and all(
        isinstance(value, torch.Tensor) and torch.equal(value, ours[name].cpu()) for name, value in saved.items()
    )
