"""Initial weights, a function of an explicit generator; weights that a model brings along are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

_Affine = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_DRAWN: set[Callable[..., nn.Module]] = set()


def drawn_by_generator(builder: Builder) -> Builder:
    """Mark a builder that loads no weights: ``initialise`` draws all of them, whatever the constructors have drawn."""
    _DRAWN.add(builder)
    return builder


def is_drawn_by_generator(builder: Callable[..., nn.Module]) -> bool:
    """Whether ``builder`` itself was marked; one that wraps it may load weights."""
    return builder in _DRAWN


@contextmanager
def constructors_draw_from(generator: torch.Generator | None) -> Iterator[None]:
    """Seed the global random state, from which torch's constructors draw, by ``generator``; restore it on exit.

    Args:
        generator: it makes one draw; None to leave the state unseeded.
    """
    with torch.random.fork_rng(devices=[]):
        if generator is not None:
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            torch.default_generator.manual_seed(int(seed))  # of the CPU alone, where constructors draw
        yield


def initialise_own(model: nn.Module, *, generator: torch.Generator) -> None:
    """Call ``initialise(generator)`` of the modules that have it, in order; keep the rest."""
    for module in model.modules():
        if callable(own := getattr(module, "initialise", None)):
            own(generator)


def initialise(model: nn.Module, *, generator: torch.Generator) -> None:
    """Initialise every parameter of ``model``, in the order of ``model.modules()``.

    Convolutions and linear layers: weights and biases uniform in +-1/sqrt(fan_in), torch's default. Normalisation
    layers: weight 1, bias 0. Other layers with parameters must have a method ``initialise(generator)``.

    Raises:
        TypeError: a layer with parameters has no such method; its values would depend on the global random state.
    """
    for name, module in model.named_modules():
        own = getattr(module, "initialise", None)
        if callable(own):
            own(generator)
        elif isinstance(module, _Affine):
            _initialise_default(module, generator=generator)
        elif isinstance(module, _NORMALISATIONS):
            module.reset_parameters()  # constants, without random numbers
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(
                f"layer {name!r} ({type(module).__name__}) has parameters, so it must have a method "
                "initialise(generator) that draws them; add one"
            )


def _initialise_default(module: _Affine, *, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        bound = 1.0 / math.sqrt(module.weight[0].numel())  # fan_in: inputs of one output
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)
