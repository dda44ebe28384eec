"""What is saved to go on later: weights that can be trusted, and the state of a training."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from .errors import UserError
from .files import write_atomically

BEST = "rarecall best 1"  # what a file is and the version of its content
LAST = "rarecall last 1"
CONTENT: dict[str, dict[str, type]] = {  # what must be in a file, whoever wrote it, to be of use
    BEST: {
        **dict.fromkeys(("weights", "loss", "optimizer", "config", "facts"), dict),
        "epoch": int,
        "command": str,
        "data_checksum": str,
    },
    LAST: {"epoch": int},
}


def save(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and dicts of them, atomically."""
    write_atomically(path, lambda stream: torch.save({"format": kind, **content}, stream))


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read what ``save`` wrote, onto the CPU; nothing in the file is executed.

    Raises:
        UserError: the file is missing, damaged or of another program.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about foreign files, which are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file can fail in any way
        raise UserError(
            f"{path} must be a checkpoint of this program, but it is foreign or damaged ({type(error).__name__}); "
            "restore it from a copy, or train anew under another --model_name"
        ) from None
    if not isinstance(content, dict) or content.get("format") != kind:
        found = content.get("format", "no format") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path} must be a checkpoint of the format {kind!r}, got {found!s:.60}")
    for name, needed in CONTENT[kind].items():
        if not isinstance(content.get(name), needed):
            found = type(content[name]).__name__ if name in content else "nothing"
            raise UserError(f"{path} is not of this program: it must hold {name!r}, a {needed.__name__}, got {found}")
    return content


def restore(module: torch.nn.Module, state: dict[str, Any], *, path: Path, what: str) -> None:
    """``load_state_dict`` with an error of one line.

    Raises:
        UserError: the names or shapes differ.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path} belongs to another {what}: {first:.200}") from None
