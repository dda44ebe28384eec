"""The update rules of torch in their fused form, without the compiler that they load.

``torch.optim`` wraps its methods so that ``torch.compile`` leaves them alone, and each wrapper imports the compiler
when it is first called: more than a second of a run's start, for nothing. Here are the same methods without wrappers.
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
_WRAPPED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def _without_wrappers(rule: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """A subclass of ``rule`` whose methods are those inside torch's wrappers."""
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
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW in the fused form: one kernel for all parameters, and none where ``found_inf`` is 1.

    Args:
        name: sgd, adam or adamw.
        lr: a tensor on the device where the step is captured in a CUDA graph, which reads it anew at each replay.
        momentum: of sgd; the others have none.
        capturable: whether ``step`` will be captured in a CUDA graph.

    An attribute ``found_inf`` (a float tensor) that the caller sets makes ``step`` skip the update where it is 1,
    without a wait for the device.
    """
    options: dict[str, Any] = {"momentum": momentum} if name == "sgd" else {"capturable": capturable}
    return _BUILT[name](list(parameters), lr=lr, weight_decay=weight_decay, fused=True, **options)  # type: ignore[call-arg]


def add_parameters(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Train these too, at the same learning rate, but without weight decay; where there are none, nothing changes."""
    added = list(parameters)
    if added:
        # the rate itself, not its value: where it is a tensor, a change of one is a change of all
        optimizer.add_param_group({"params": added, "lr": optimizer.param_groups[0]["lr"], "weight_decay": 0.0})


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """``load_state_dict``, but a learning rate that is a tensor stays the same tensor: a captured step reads it."""
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for rate, group in zip(rates, optimizer.param_groups, strict=True):
        set_learning_rate(group, float(group["lr"]), keep=rate)


def set_learning_rate(group: dict[str, Any], value: float, *, keep: float | Tensor | None = None) -> None:
    """Write ``value`` as the learning rate of a parameter group: into its tensor (or ``keep``), where it has one."""
    rate = group["lr"] if keep is None else keep
    group["lr"] = rate.fill_(value) if isinstance(rate, Tensor) else value
