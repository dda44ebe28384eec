"""Initial weights in torch's default distributions, drawn from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_Affine = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


@contextmanager
def keep_global_random_state() -> Iterator[None]:
    """Restore the global random state, from which torch's constructors draw, on exit."""
    with torch.random.fork_rng(devices=[]):
        yield


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
