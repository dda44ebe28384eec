"""From options to an objective, a constraint and a sampler, each asked for no more than it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Generator, Tensor

from ..config.options import OPTIONS, Config
from ..config.settings import Settings
from ..constraints import CONSTRAINTS, AugmentedLagrangian, RateConstraint
from ..errors import UserError
from ..losses import LOSSES, loss_class
from ..losses.base import Loss
from ..registry import unknown
from ..samplers import SAMPLERS, sampler_class
from ..samplers.base import Sampler

Constraint = AugmentedLagrangian | RateConstraint
Built = TypeVar("Built")
_OF_A_CONSTRAINT = {  # options that act under one constraint only
    "pairwise": ("introd_ALM_from", "p2_norm", "cap_mu"),
    "rate": ("tpr_at_least", "fpr_at_most"),
}


def check_components(settings: Settings) -> None:
    """Whether objective, sampler and constraint are known; imports none of them.

    Raises:
        UserError: a name is in no table, or an option belongs to the other constraint.
    """
    for option, table in (("training_type", LOSSES), ("sampler", SAMPLERS), ("constraint", CONSTRAINTS)):
        name = getattr(settings.config, option)
        if name not in table:
            raise unknown(option, name, table, origin=settings.origins[option])
    for constraint, names in _OF_A_CONSTRAINT.items():
        given = [name for name in names if settings.is_given(name)]
        if given and settings.config.constraint != constraint:
            raise UserError(
                f"{given[0]} (from {settings.origins[given[0]]}) has no use with constraint "
                f"{settings.config.constraint}; it belongs to {constraint}"
            )


def build_loss(settings: Settings, facts: Mapping[str, Any]) -> Loss:
    """The objective with its options from the user and its facts from the run.

    Raises:
        UserError: an option that it does not take, lacks, or that is out of range.
    """
    kind = loss_class(settings.config.training_type)
    given = _given(kind, settings, choice="training_type", remedy=" or a base config with --name_file_bs")
    return built(lambda: kind(**given, **{name: facts[name] for name in kind.facts}))


def build_sampler(settings: Settings, indices: Tensor, labels: Tensor, *, generator: Generator) -> Sampler:
    """The stream of batches of ``indices`` (n,), whose ``labels`` (n,) are 0 or 1.

    Raises:
        UserError: an option that it does not take or that is out of range, or data that it cannot work on.
    """
    kind = sampler_class(settings.config.sampler)
    given = _given(kind, settings, choice="sampler")
    facts = {"labels": labels} if "labels" in kind.facts else {}
    return built(lambda: kind(indices, batch_size=settings.config.bsize, generator=generator, **facts, **given))


def build_constraint(config: Config, num_samples: int, *, first_epoch: int) -> Constraint | None:
    """The constraint, if there is to be one; ``first_epoch`` matters where training goes on from a baseline."""
    if not config.use_ALM:
        return None
    if config.constraint == "rate":
        return built(
            lambda: RateConstraint(
                tpr_at_least=config.tpr_at_least,
                fpr_at_most=config.fpr_at_most,
                mu=config.mu,
                rho=config.rho,
                mu_limit=config.mu_limit,
            )
        )
    continued = bool(config.continue_train)
    return built(
        lambda: AugmentedLagrangian(
            num_samples,
            delta=config.delta,
            mu=config.mu,
            rho=config.rho,
            mu_limit=config.mu_limit,
            p2_norm=config.p2_norm,
            cap_mu=bool(config.cap_mu),
            introd_ALM_from=max(first_epoch - 1, 0) if continued else config.introd_ALM_from,
            unconditional_step=not continued,
            first_epoch=first_epoch,
        )
    )


def _given(kind: type, settings: Settings, *, choice: str, remedy: str = "") -> dict[str, Any]:
    """The options of the group of ``choice`` that are set, if ``kind`` takes them all and lacks none.

    Raises:
        UserError: it does not.
    """
    config, name = settings.config, getattr(settings.config, choice)
    group = OPTIONS[choice].metadata["group"]
    known = [option for option, item in OPTIONS.items() if item.metadata["group"] == group and option != choice]
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    given = {option: getattr(config, option) for option in known if getattr(config, option) is not None}
    takes = [option for option in known if option in parameters]
    for option in given:
        if option not in takes:
            raise UserError(
                f"{option} (from {settings.origins[option]}) has no use in {name}, "
                f"which takes {', '.join(takes) or 'no options'}"
            )
    for option in takes:
        if parameters[option].default is inspect.Parameter.empty and option not in given:
            raise UserError(f"{name} needs {option}: give --{option}{remedy}")
    return given


def built(build: Callable[[], Built]) -> Built:
    """What ``build`` gives; a value out of its range is the user's."""
    try:
        return build()
    except ValueError as error:
        raise UserError(str(error)) from None
