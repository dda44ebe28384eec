"""Architectures by name.

The tables hold strings, so that listing the names (``--help``, checking a config) imports no torch.
To add an architecture, put a file here with a builder of the signature below and add a line to ``MODELS``:

    def builder(*, channels, image_size, head, hidden_widths) -> nn.Module

``head(features)`` creates the last layer for that number of features. Weights that the builder loads or sets are kept,
and what the constructors of its layers draw follows the seed; a layer with a method ``initialise(generator)`` is drawn
by that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .pretrained import DefaultWeights

__all__ = ["BACKBONES", "FLAT", "MODELS", "ONE_THREAD", "build_model", "default_weights", "own_normalisation"]

MODELS: dict[str, str] = {
    "resnet10": "resnet:resnet10",
    "resnet18": "resnet:resnet18",
    "resnet34": "resnet:resnet34",
    "resnet20": "resnet:resnet20",
    "resnet32": "resnet:resnet32",
    "lenet5": "lenet:lenet5",
    "linear": "dense:linear",
    "dense": "dense:dense",
}
BACKBONES: dict[str, str] = {  # what a name begins with -> its builder
    "torchvision:": "backbones:torchvision_backbone",
    "timm:": "backbones:timm_backbone",
}
FLAT = frozenset({"linear", "dense"})  # they see a row of numbers, so that they take features too
ONE_THREAD = frozenset({"lenet5", "linear", "dense"})  # too small to gain from a second CPU thread


def build_model(
    name: str,
    *,
    channels: int,
    image_size: tuple[int, int],
    outputs: int = 1,
    normalised_head: bool = False,
    hidden_widths: Sequence[int] = (300, 100),
    bias: float | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """Build the architecture ``name``: images (B, channels, *image_size) -> (B, outputs).

    Args:
        name: a key of ``MODELS``, or one of ``BACKBONES`` and a name after it, such as ``torchvision:resnet18``.
        channels: channels of the images, >= 1.
        image_size: height and width in pixels.
        outputs: outputs for each image.
        normalised_head: whether the last layer gives cosines between features and class vectors (LDAM).
        hidden_widths: widths of the hidden layers of ``dense``; ignored by the other architectures.
        bias: initial bias of the last layer; None to draw it like the rest.
        generator: the only source of what is drawn; the global random state is neither used nor changed. Weights that
            the architecture's builder loads are kept. The model is moved to the device of the generator.

    Raises:
        ValueError: an unknown name, or sizes that the architecture does not support.
    """
    from .heads import head_factory, set_bias
    from .initialisation import constructors_draw_from, initialise, initialise_own, is_drawn_by_generator

    prefix = name.partition(":")[0] + ":"
    if name not in MODELS and prefix not in BACKBONES:
        known = ", ".join((*MODELS, *(f"{prefix}NAME" for prefix in BACKBONES)))
        raise ValueError(f"model must be one of {known}, got {name!r}")
    for what, value in {"channels": channels, "height": image_size[0], "width": image_size[1]}.items():
        if value < 1:
            raise ValueError(f"{what} of the images must be at least 1, got {value}")
    module, function = (MODELS.get(name) or BACKBONES[prefix]).split(":")
    builder = getattr(import_module(f".{module}", __name__), function)
    if name not in MODELS:
        builder = functools.partial(builder, name.partition(":")[2])
    all_drawn = is_drawn_by_generator(builder)
    with constructors_draw_from(None if all_drawn else generator):
        model: nn.Module = builder(
            channels=channels,
            image_size=image_size,
            head=head_factory(outputs=outputs, normalised=normalised_head),
            hidden_widths=tuple(hidden_widths),
        )
    model.to(generator.device)
    (initialise if all_drawn else initialise_own)(model, generator=generator)
    if bias is not None:
        set_bias(model, bias)
    return model


def own_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels in 0..1, that the default weights of a backbone expect.

    Raises:
        ValueError: it has no weights of its own.
    """
    mean, std = _of_package(name, "normalisation")
    return tuple(map(float, mean)), tuple(map(float, std))


def default_weights(name: str) -> DefaultWeights:
    """Where the default weights of a backbone lie, on this machine and on the network.

    Raises:
        ValueError: it has none.
    """
    found: DefaultWeights = _of_package(name, "weights")
    return found


def _of_package(name: str, what: str) -> Any:
    """What ``torchvision_<what>`` or ``timm_<what>`` of ``backbones`` says of the architecture ``name``."""
    package, _, architecture = name.partition(":")
    if f"{package}:" not in BACKBONES:
        raise ValueError(f"{name} has no {what} of its own; only torchvision:NAME and timm:NAME have")
    return getattr(import_module(".backbones", __name__), f"{package}_{what}")(architecture)
