"""The architectures: models/, which no other module imports, by its name in the source tree or in the wheel.

Imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..system.installation import MODELS_PACKAGE

if TYPE_CHECKING:
    from torch import nn

    from models import BACKBONES, FLAT, MODELS, ONE_THREAD, build_model, default_weights, own_normalisation
else:
    _models = import_module(MODELS_PACKAGE)
    BACKBONES, FLAT, MODELS = _models.BACKBONES, _models.FLAT, _models.MODELS
    ONE_THREAD, build_model = _models.ONE_THREAD, _models.build_model
    default_weights, own_normalisation = _models.default_weights, _models.own_normalisation

__all__ = [
    "BACKBONES",
    "FLAT",
    "MODELS",
    "ONE_THREAD",
    "build_model",
    "default_weights",
    "head_of",
    "own_normalisation",
    "take_over",
]


def head_of(model: nn.Module) -> nn.Linear:
    """The last layer of a model."""
    found: nn.Linear = import_module(f"{MODELS_PACKAGE}.heads").head_of(model)
    return found


def take_over(model: nn.Module, content: object) -> str:
    """Copy weights of a file into a model, without its last layer; see ``models.pretrained.take_over``."""
    how: str = import_module(f"{MODELS_PACKAGE}.pretrained").take_over(model, content)
    return how
