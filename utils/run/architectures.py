"""The architectures: models/, which no other module imports, by its name in the source tree or in the wheel.

Imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..system.installation import MODELS_PACKAGE

if TYPE_CHECKING:
    from models import MODELS, ONE_THREAD, build_model
else:
    _models = import_module(MODELS_PACKAGE)
    MODELS, ONE_THREAD, build_model = _models.MODELS, _models.ONE_THREAD, _models.build_model

__all__ = ["MODELS", "ONE_THREAD", "build_model"]
