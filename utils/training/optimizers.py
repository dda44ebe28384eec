"""Fused optimizers of torch, without their import of the compiler.

``torch.optim`` wraps its methods to exclude them from ``torch.compile``, and each wrapper imports the compiler when it
is first called, which adds more than a second to the start of every run. These are the same methods, unwrapped.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_RULES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
OF_MACHINE = ("capturable", "fused")  # entries of a parameter group that say how a step is computed, not which
_WRAPPED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def _without_wrappers(rule: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """A subclass of ``rule`` with the methods inside torch's wrappers."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(rule, name)) for name in _WRAPPED}
    return type(rule.__name__, (rule,), {**methods, "step": torch.no_grad()(inspect.unwrap(rule.step))})


_BUILT: dict[str, type[torch.optim.Optimizer]] = {name: _without_wrappers(rule) for name, rule in _RULES.items()}


def build_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter],
    *,
    lr: float | Tensor,
    weight_decay: float,
    momentum: float,
    capturable: bool = False,
    head: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Fused SGD, Adam or AdamW: one kernel for all parameters.

    ``step`` skips the update, without synchronising, if the float tensor ``found_inf`` that the caller sets as an
    attribute is 1.

    Args:
        name: sgd, adam or adamw.
        lr: a tensor on the device if the step is captured in a CUDA graph, which reads it at each replay; each other
            group has a copy of it.
        momentum: of sgd; ignored by the others.
        capturable: whether ``step`` will be captured in a CUDA graph.
        head: parameters that make a second group with the same options: a fused SGD cannot start the momentum of some
            parameters of a group later than that of others.
    """
    options: dict[str, Any] = {"momentum": momentum} if name == "sgd" else {"capturable": capturable}
    trained = [parameter for parameter in parameters if parameter.requires_grad]  # a pretrained network may be frozen
    optimizer = _BUILT[name](trained, lr=lr, weight_decay=weight_decay, fused=True, **options)  # type: ignore[call-arg]
    if last := list(head):
        _add_group(optimizer, last)
    return optimizer


def add_parameters(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Add ``parameters`` to the optimizer at the same learning rate, without weight decay."""
    if added := list(parameters):
        _add_group(optimizer, added, weight_decay=0.0)


def _add_group(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], **options: float) -> None:
    """Another group at the learning rate of the first."""
    rate = optimizer.param_groups[0]["lr"]
    if isinstance(rate, Tensor):
        rate = rate.clone()  # a plateau lowers the rate of each group in place, and a shared one would fall for each
    optimizer.add_param_group({"params": parameters, "lr": rate, **options})


def build_scheduler(
    optimizer: torch.optim.Optimizer, *, patience: int, factor: float = 0.5
) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
    """Multiplies the learning rate by ``factor`` after more than ``patience`` epochs without a better validation AUC.

    To be built once all parameters are in ``optimizer``: its state has an entry for each parameter group.
    """
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience)


def take_over_plateau(scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau, saved: dict[str, Any]) -> None:
    """Go on with the plateau that another scheduler's ``state_dict`` has seen, whose parameter groups may be others."""
    plateau = {name: saved[name] for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")}
    scheduler.load_state_dict({**scheduler.state_dict(), **plateau})


def first_groups(state: dict[str, Any], number: int) -> dict[str, Any]:
    """The first ``number`` parameter groups of an optimizer's ``state_dict``, with their state."""
    groups = state["param_groups"][:number]
    kept = {parameter for group in groups for parameter in group["params"]}
    return {"state": {key: value for key, value in state["state"].items() if key in kept}, "param_groups": groups}


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """``load_state_dict`` that keeps what belongs to this machine.

    That is ``OF_MACHINE``, and the tensors of the learning rates, because a captured step reads them.
    """
    own = [{name: group[name] for name in ("lr", *OF_MACHINE) if name in group} for group in optimizer.param_groups]
    groups = [{**theirs, **ours, "lr": theirs["lr"]} for theirs, ours in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for ours, group in zip(own, optimizer.param_groups, strict=True):
        set_learning_rate(group, float(group["lr"]), keep=ours["lr"])


def set_learning_rate(group: dict[str, Any], value: float, *, keep: float | Tensor | None = None) -> None:
    """Set the learning rate of a parameter group; a rate (or ``keep``) that is a tensor is filled in place."""
    rate = group["lr"] if keep is None else keep
    group["lr"] = rate.fill_(value) if isinstance(rate, Tensor) else value
