"""Constraints on the scores. To add one: a file here and a line in ``CONSTRAINTS``.

``CONSTRAINTS`` maps a name to ``"module:Class"``; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..names import load

if TYPE_CHECKING:
    from .augmented_lagrangian import AugmentedLagrangian as AugmentedLagrangian

CONSTRAINTS: dict[str, str] = {"pairwise": "augmented_lagrangian:AugmentedLagrangian"}
_CLASSES = {target.split(":")[1]: target for target in CONSTRAINTS.values()}
__all__ = ["CONSTRAINTS", *sorted(_CLASSES)]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return load(_CLASSES, name, kind="constraint", package=__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
