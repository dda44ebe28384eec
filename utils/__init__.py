"""Losses, constraints, samplers, metrics and the training machinery. Importing this package imports no torch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .system.installation import MODELS_PACKAGE
from .system.installation import VERSION as __version__

if TYPE_CHECKING:
    from .run.class_model import ClassModel
    from .run.trained_model import TrainedModel

# public name -> "module" or "module:attribute", imported on first use
LAZY: dict[str, str] = {
    "constraints": ".constraints",
    "distributed": ".distributed",
    "losses": ".losses",
    "metrics": ".metrics",
    "models": MODELS_PACKAGE,
    "pairwise": ".pairwise",
    "samplers": ".samplers",
    "testing": ".testing",
}
__all__ = ["__version__", "load", *LAZY]


def load(path: str | Path, *, device: str = "auto") -> TrainedModel | ClassModel:
    """The model of a trained run, to score and decide on new images: see ``run.trained_model``, ``run.class_model``.

        model = rarecall.load("checkpoint/runs/scans")
        decided = model.decide(["new/1.png", "new/2.png"], promise=0.98)

    Args:
        path: the folder of a run, its model.pt, or best.pt of a finished seed.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from .run.trained_model import load as load_model  # needs the extra [experiments], unlike the rest

    return load_model(path, device=device)


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = LAZY[name].partition(":")
    found = importlib.import_module(module, __name__)
    return getattr(found, attribute) if attribute else found
