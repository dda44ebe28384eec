"""Samplers: which training samples make up each batch. To add one: a file here and a line in ``SAMPLERS``.

``SAMPLERS`` maps each ``--sampler`` to ``"module:Class"``; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..names import lazy_attributes, load

if TYPE_CHECKING:
    from .natural import NaturalSampler as NaturalSampler

SAMPLERS: dict[str, str] = {"natural": "natural:NaturalSampler"}
__getattr__ = lazy_attributes(SAMPLERS.values(), package=__name__)


def sampler_class(name: str) -> type[NaturalSampler]:
    """The class behind a ``--sampler``.

    Raises:
        UserError: there is no such sampler; the text lists the near ones.
    """
    found: type[NaturalSampler] = load(SAMPLERS, name, kind="sampler", package=__name__)
    return found
