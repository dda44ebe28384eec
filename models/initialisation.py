"""Initial weights from a generator of one's own, in torch's default distributions."""

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
    """Constructors of torch draw from the global state; put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


def initialise(model: nn.Module, *, generator: torch.Generator) -> None:
    """Draw every parameter of ``model`` anew, in the order of ``model.modules()``.

    Convolutions and linear layers: weights and biases uniform in +-1/sqrt(fan_in), torch's default.
    Normalisation layers: weight 1, bias 0. Any other layer with parameters draws them itself in a method
    ``initialise(generator)``.

    Raises:
        TypeError: a layer whose parameters nobody would draw, so that they would depend on the global state.
    """
    for name, module in model.named_modules():
        own = getattr(module, "initialise", None)
        if callable(own):
            own(generator)
        elif isinstance(module, _Affine):
            _initialise_default(module, generator=generator)
        elif isinstance(module, _NORMALISATIONS):
            module.reset_parameters()  # constants: nothing is drawn
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(
                f"layer {name!r} ({type(module).__name__}) has parameters, but no method "
                f"initialise(generator) that draws them; add one"
            )


def _initialise_default(module: _Affine, *, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        bound = 1.0 / math.sqrt(module.weight[0].numel())  # fan_in: inputs to one output
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)
