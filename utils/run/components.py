"""Build the loss, constraint and sampler from the options that each accepts and the facts that each asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Generator, Tensor

from ..config.options import OPTIONS, SWITCHES, Config
from ..config.settings import Settings
from ..constraints import constraint_class
from ..constraints.base import Constraint
from ..errors import UserError
from ..losses import loss_class
from ..losses.base import Loss
from ..samplers import sampler_class
from ..samplers.base import Sampler

Built = TypeVar("Built")
CLASSES: dict[str, Callable[[str], type[Any]]] = {  # the option that names a component -> its class
    "training_type": loss_class,
    "sampler": sampler_class,
    "constraint": constraint_class,
}
FILES = {"training_type": " or a base config with --name_file_bs", "constraint": " or a file with --name_file_alm"}


def check_components(settings: Settings) -> None:
    """Check that loss, sampler and constraint lack no option that they need.

    Raises:
        UserError: one needs an option.
    """
    for choice in CLASSES:
        if choice != "constraint" or settings.config.use_ALM:
            _options(settings, choice)


def build_loss(settings: Settings, facts: Mapping[str, Any]) -> Loss:
    """The objective with its options from the user and its facts from the run.

    Raises:
        UserError: an option that it does not take, lacks, or that is out of range.
    """
    loss: Loss = _build(settings, "training_type", facts)
    return loss


def build_sampler(
    settings: Settings, indices: Tensor, labels: Tensor, *, generator: Generator, classes: int = 2
) -> Sampler:
    """The stream of batches of ``indices`` (n,), whose ``labels`` (n,) are 0 or 1, or 0..K-1 of K ``classes``.

    Raises:
        UserError: an option that it does not take or that is out of range, or data that it cannot work on.
    """
    fixed = {"batch_size": settings.config.bsize, "generator": generator}
    sampler: Sampler = _build(settings, "sampler", {"labels": labels, "classes": classes}, indices, **fixed)
    return sampler


def build_constraint(settings: Settings, facts: Mapping[str, Any]) -> Constraint | None:
    """The constraint, if there is to be one, with its options from the user and its facts from the run.

    Raises:
        UserError: an option that it does not take, lacks, or that is out of range.
    """
    if not settings.config.use_ALM:
        return None
    constraint: Constraint = _build(settings, "constraint", facts)
    return constraint


def _build(settings: Settings, choice: str, facts: Mapping[str, Any], *args: Any, **fixed: Any) -> Any:
    name = getattr(settings.config, choice)
    kind = CLASSES[choice](name)
    if settings.config.has_classes:
        check_knows(choice, name, classes=facts["classes"])
    asked = (*kind.facts, *kind.class_facts) if settings.config.has_classes else kind.facts
    options = _options(settings, choice) | {name: facts[name] for name in asked}
    return built(lambda: kind(*args, **fixed, **options))


def check_knows(choice: str, name: str, *, classes: int) -> None:
    """Check that a component can be told of K classes, two included.

    Raises:
        UserError: it knows two sides only; the text lists those that know classes.
    """
    if choice == "sampler":
        sampler_class(name, classes=classes)
        return
    known = [each for each in OPTIONS[choice].metadata["names"] if CLASSES[choice](each).class_facts]
    if name not in known:
        raise UserError(f"{choice} {name} knows two sides only, and task is classes; use {', '.join(known)}")


def _options(settings: Settings, choice: str) -> dict[str, Any]:
    """The options of the component that ``choice`` names, by its constructor's signature.

    Raises:
        UserError: one is missing.
    """
    config, name = settings.config, getattr(settings.config, choice)
    parameters = _parameters(choice, name)
    group = OPTIONS[choice].metadata["group"]
    switches = {choice, SWITCHES.get(group)}
    known = [option for option, item in OPTIONS.items() if item.metadata["group"] == group and option not in switches]
    takes = [option for option in known if option in parameters]
    given = {option: getattr(config, option) for option in takes if getattr(config, option) is not None}
    for option in takes:
        if parameters[option].default is inspect.Parameter.empty and option not in given:
            raise UserError(f"{name} needs {option}: give --{option}{FILES.get(choice, '')}")
    return given


def taken(config: Config, choice: str, option: str) -> Any:
    """The value of ``option`` that the component of ``choice`` takes: the user's, or its own; None: neither."""
    parameter = _parameters(choice, getattr(config, choice)).get(option)
    given = getattr(config, option)
    return given if parameter is None or given is not None else parameter.default


def _parameters(choice: str, name: str) -> Mapping[str, inspect.Parameter]:
    kind = CLASSES[choice](name)
    return inspect.signature(kind.__init__).parameters


def built(build: Callable[[], Built]) -> Built:
    """What ``build`` gives; a value out of its range is the user's."""
    try:
        return build()
    except ValueError as error:
        raise UserError(str(error)) from None
