"""Samplers: which training samples make up each batch. To add one: a file here and a line in ``SAMPLERS``.

``SAMPLERS`` maps each ``--sampler`` to ``"module:Class"``; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..names import load

if TYPE_CHECKING:
    from .natural import NaturalSampler as NaturalSampler

SAMPLERS: dict[str, str] = {"natural": "natural:NaturalSampler"}
_CLASSES = {target.split(":")[1]: target for target in SAMPLERS.values()}
__all__ = ["SAMPLERS", "sampler_class", *sorted(_CLASSES)]


def sampler_class(name: str) -> type[NaturalSampler]:
    """The class behind a ``--sampler``.

    Raises:
        UserError: there is no such sampler; the text lists the near ones.
    """
    found: type[NaturalSampler] = load(SAMPLERS, name, kind="sampler", package=__name__)
    return found


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return load(_CLASSES, name, kind="sampler", package=__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
