"""The architectures: models/, which no other module imports, by its name in the source tree or in the wheel.

Imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..system.installation import MODELS_PACKAGE

if TYPE_CHECKING:
    from models import BACKBONES, FLAT, MODELS, ONE_THREAD, build_model
else:
    _models = import_module(MODELS_PACKAGE)
    BACKBONES, FLAT, MODELS = _models.BACKBONES, _models.FLAT, _models.MODELS
    ONE_THREAD, build_model = _models.ONE_THREAD, _models.build_model

__all__ = ["BACKBONES", "FLAT", "MODELS", "ONE_THREAD", "build_model"]
