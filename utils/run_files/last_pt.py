"""last.pt: the state of a training. If it is damaged, last_before.pt takes its place."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, one_line
from ..system.files import sync_folder
from ..training.optimizers import OF_MACHINE
from ..training.state import Best, TrainState
from .checkpoints import Format, check_like, load_sound
from .paths import SeedPaths

LAST = Format("rarecall last 1", {"epoch": int}, keeps_previous=True)
GENERATORS = {5056, 16}  # bytes of the state of torch's generator on a CPU and on a CUDA device


def load_last(files: SeedPaths) -> tuple[dict[str, Any], str]:
    """The state to resume from, and why it is that of last_before.pt; '' if it is that of last.pt.

    Raises:
        UserError: neither file can be loaded; the message is about last.pt.
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
        raise UserError(f"{reason}; {files.last_before.name} is damaged too") from None
    what = f"{files.last} is {'damaged' if files.last.exists() else 'not there'}"
    return content, f"{what}: going on from {files.last_before.name}, epoch {content['epoch']} is trained once more"


def restore_last(state: TrainState, files: SeedPaths, *, ranks: int = 1) -> str:
    """Load the state, from last_before.pt if last.pt is damaged, to go on with so many ``ranks``.

    Returns:
        A note about a damaged file, another kind of device, or another number of ranks; else ''.

    Raises:
        UserError: there is no state to resume from, or it belongs to another run.
    """
    content, note = load_last(files)
    try:
        anew = state.augmentation.get_state()
        changes_device = _of_another_device(content["augmentation"], anew)
        if changes_device:
            content["augmentation"] = anew
        _check_form(content, state)
        state.load_state_dict(content)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{files.last} does not belong to this run ({type(error).__name__}: "
            f"{one_line(str(error)):.100}); restore it from a copy, or train anew under another --model_name"
        ) from None
    if note:
        # now, as writing the next state keeps the present last.pt as last_before.pt
        os.replace(files.last_before, files.last)
        sync_folder(files.folder)
    notes = [note] if note else []
    if changes_device:
        notes.append("trained on another kind of device so far, so that random changes of images are drawn anew")
    before = content.get("ranks", 1)
    if before != ranks:
        notes.append(f"trained on {before} ranks so far and on {ranks} from here on, which rounds differently")
    return "; ".join(notes)


def _of_another_device(found: Any, own: Tensor) -> bool:
    """Whether ``found`` is the state of a generator on the other kind of device than that whose state is ``own``."""
    is_state = torch.is_tensor(found) and found.ndim == 1 and found.dtype == own.dtype
    return is_state and len(found) in GENERATORS - {len(own)}


def _check_form(content: dict[str, Any], state: TrainState) -> None:
    """Refuse a state that can be loaded but not trained with.

    Raises:
        ValueError: the structure of a part differs from that at the start of training.
        KeyError, TypeError: a part is missing.
    """
    expected = state.state_dict()
    for name in expected.keys() - {"optimizer", "best"}:
        check_like(content[name], expected[name], at=name)
    best = content["best"]
    numbers = [best[item.name] for item in fields(Best) if item.name != "selected"]
    if best.get("selected") is not None:  # of two sides, and of older files, there is none
        numbers.append(best["selected"])
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise ValueError("best")
    if content["epoch"] < 0 or not 0 <= content["sampler"]["step"] <= state.sampler.steps_per_epoch:
        raise ValueError("epoch or step")
    if not isinstance(content.get("ranks", 1), int):  # of older files there is none
        raise ValueError("ranks")
    frozen = state.freezing is not None and content["epoch"] <= state.freezing.epochs
    _check_optimizer(content["optimizer"], expected["optimizer"], state.optimizer, frozen=frozen)


def _check_optimizer(
    found: dict[str, Any], expected: dict[str, Any], optimizer: torch.optim.Optimizer, *, frozen: bool
) -> None:
    """Refuse options that differ, but for those that a run may change, or a state for some of the parameters only.

    As long as they are ``frozen``, those of the first group have no state.
    """
    for theirs, ours in zip(found["param_groups"], expected["param_groups"], strict=True):
        check_like(theirs["lr"], 0.0, at="lr")
        free = {name: ours[name] for name in ("lr", *OF_MACHINE) if name in ours}
        if {**theirs, **free} != ours:
            raise ValueError("options of the optimizer")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    first = len(optimizer.param_groups[0]["params"]) if frozen else 0
    if found["state"] and set(found["state"]) != set(range(first, len(parameters))):
        raise ValueError("parameters of the optimizer")
    for number, values in found["state"].items():
        if values.keys() != found["state"][first].keys() or not all(map(torch.is_tensor, values.values())):
            raise ValueError("state of the optimizer")
        for name, value in values.items():
            check_like(value, torch.zeros(()) if name == "step" else parameters[number].detach(), at=name)
