"""Losses, constraints, samplers, metrics and the training machinery. Importing this package imports no torch."""

from __future__ import annotations

import importlib
from typing import Any

from .system.installation import MODELS_PACKAGE
from .system.installation import VERSION as __version__

# public name -> "module" or "module:attribute", imported on first use
LAZY: dict[str, str] = {
    "constraints": ".constraints",
    "load": ".run.trained_model:load",
    "losses": ".losses",
    "metrics": ".metrics",
    "models": MODELS_PACKAGE,
    "pairwise": ".pairwise",
    "samplers": ".samplers",
    "testing": ".testing",
}
__all__ = ["__version__", *LAZY]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = LAZY[name].partition(":")
    found = importlib.import_module(module, __name__)
    return getattr(found, attribute) if attribute else found
