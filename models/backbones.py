"""Architectures of torchvision, by their names there: ``torchvision:resnet18``. Their weights are drawn, not loaded."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .heads import HeadFactory

CLASSES = 1000  # outputs of the last layer, which is replaced
WITHOUT_AUXILIARY = ("googlenet", "inception_v3")  # that have outputs beside the last layer's unless told otherwise


class Backbone(nn.Module):
    """An architecture for colour images with another last layer; grey images are repeated in three channels.

    Dropout and stochastic depth are off: they draw from the global random state, so that a stopped run could not go on
    as an undisturbed one.
    """

    def __init__(self, body: nn.Module, *, channels: int) -> None:
        super().__init__()
        self.body = body
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.body(images.expand(-1, 3, -1, -1) if self.channels == 1 else images)
        return outputs


def torchvision_backbone(
    name: str, *, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int]
) -> nn.Module:
    """The architecture ``name`` of torchvision.models.

    Raises:
        ValueError: there is none, it does not end in a linear layer, or it does not take images of this size.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"torchvision has no model {name!r}{hint} torchvision.models.list_models() lists them")
    if channels not in (1, 3):
        raise ValueError(f"torchvision:{name} needs images of 1 or 3 channels, got {channels}")
    options: dict[str, object] = {}
    if name in WITHOUT_AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": image_size[0]}
    body = models.get_model(name, weights=None, **options)
    _replace_last(body, name, head)
    for module in body.modules():
        if isinstance(module, (nn.Dropout, models.swin_transformer.StochasticDepth)):
            module.p = 0.0
    model = Backbone(body, channels=channels)
    _try(model, name, channels, image_size)
    return model


def _replace_last(body: nn.Module, name: str, head: HeadFactory) -> None:
    """Put ``head`` in the place of the last linear layer."""
    linear = [(path, module) for path, module in body.named_modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1][1].out_features != CLASSES:
        raise ValueError(f"torchvision:{name} does not end in a linear layer, so that it can have no other outputs")
    path, last = linear[-1]
    parent, _, attribute = path.rpartition(".")
    setattr(body.get_submodule(parent), attribute, head(last.in_features))


@torch.no_grad()
def _try(model: nn.Module, name: str, channels: int, image_size: tuple[int, int]) -> None:
    """One image, to find out now that the size does not fit."""
    try:
        model.eval()(torch.zeros(1, channels, *image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"torchvision:{name} does not take images of {image_size[0]} x {image_size[1]} pixels: {first:.150}"
        ) from None
    model.train()
