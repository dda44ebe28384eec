"""Weights that were trained elsewhere: where the default ones lie, and how a state dict fits a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .heads import head_of

PREFIXES = ("module.", "model.", "backbone.", "body.", "encoder.", "_orig_mod.")  # that wrappers put before every name
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")  # under which a file may hold the tensors
COUNTER = "num_batches_tracked"  # of batch norm; older files lack it, and evaluation never reads it
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # outputs of googlenet and inception_v3 that are not built


@dataclass(frozen=True)
class DefaultWeights:
    """The default weights of an architecture: the file if it is on this machine, and where it can be had."""

    path: Path | None
    url: str
    place: str  # where to put the file, in words
    downloads: bool  # whether torch.hub may fetch it


def unwrapped(content: object) -> dict[str, Tensor]:
    """The tensors of a state dict, out of its wrapper and without a prefix that all names share.

    Raises:
        ValueError: it is not a mapping of names to tensors.
    """
    for _ in range(3):  # a wrapper within a wrapper
        if not isinstance(content, Mapping):
            break
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"it must hold a state dict, names and tensors, got {type(content).__name__}")
    wrong = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise ValueError(f"it must hold a state dict, names and tensors, but {str(wrong[0])[:60]!r} is no tensor")
    tensors = dict(content)
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


@torch.no_grad()
def take_over(model: nn.Module, content: object) -> str:
    """Copy weights into ``model``, all but those of its last layer, which stay as they are.

    The names and shapes must be those of the model. If no name is known, the list of shapes in the file's order must be
    that of the model, and so must the last parts of the names (``weight``, ``running_mean``); in both the last layer is
    left out.

    Returns:
        ``names`` or ``order``: what was matched.

    Raises:
        ValueError: it is no state dict, or that of another network; the message says how much fits.
    """
    found = unwrapped(content)
    ours = _without_head(model)
    short = unwrapped(ours) if ours else {}  # without the prefix of a wrapper, as ``found``
    real = dict(zip(short, ours, strict=True))
    if not short:
        raise ValueError("the model is a last layer alone, which is drawn anew")
    theirs = _named(found, short, _head_names(model))
    how = "names"
    if theirs is None and not short.keys() & found.keys():
        theirs, how = _ordered(found, short, head_of(model).in_features), "order"
    if theirs is None:
        raise ValueError(_misfit(found, short))
    for name, value in theirs.items():
        ours[real[name]].copy_(value)
    return how


def _without_head(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``model`` by name, in order, without those of its last layer."""
    own = {id(value) for value in head_of(model).state_dict(keep_vars=True).values()}
    return {name: value for name, value in model.state_dict(keep_vars=True).items() if id(value) not in own}


def _head_names(model: nn.Module) -> tuple[str, ...]:
    """What the names of the last layer's tensors begin with, with and without the prefix of a wrapper."""
    head = head_of(model)
    (path,) = (name for name, module in model.named_modules() if module is head)
    return (f"{path}.", f"{path.removeprefix('body.')}.")


def _named(found: Mapping[str, Tensor], ours: Mapping[str, Tensor], head: tuple[str, ...]) -> dict[str, Tensor] | None:
    """The tensors of the file for ``ours`` if names and shapes are the same."""
    rest = {name: value for name, value in found.items() if not name.startswith((*head, *AUXILIARY))}
    needed = {name for name in ours if not name.endswith(COUNTER)}
    if not needed <= rest.keys() <= ours.keys():
        return None
    if any(rest[name].shape != ours[name].shape for name in rest):
        return None
    return rest


def _ordered(found: Mapping[str, Tensor], ours: Mapping[str, Tensor], features: int) -> dict[str, Tensor] | None:
    """The tensors of the file for ``ours`` if the lists of shapes are the same, up to a last layer at the end."""
    items = list(found.items())
    last = len(items) - len(ours)  # tensors of the last layer: its weight, and its bias if it has one
    if last not in (0, 1, 2) or (last and items[len(ours)][1].shape[1:] != (features,)):
        return None
    items = items[: len(ours)]
    for (theirs, value), (name, own) in zip(items, ours.items(), strict=True):
        if value.shape != own.shape or theirs.rpartition(".")[2] != name.rpartition(".")[2]:
            return None
    return {name: value for name, (_, value) in zip(ours, items, strict=True)}


def _misfit(found: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """How many of the model's tensors the file has, and the first that does not fit."""
    fits = [name for name, value in ours.items() if name in found and found[name].shape == value.shape]
    for name, value in ours.items():
        if name not in fits and not name.endswith(COUNTER):
            got = f"has {tuple(found[name].shape)}" if name in found else "is not in the file"
            first = f"{name} {tuple(value.shape)} {got}"
            break
    else:
        known = ours.keys()
        first = f"{next(name for name in found if name not in known)} is not in the model"
    return (
        f"it holds the weights of another network: {len(fits)} of the model's {len(ours)} tensors fit, "
        f"the file has {len(found)}; first mismatch: {first}"
    )
