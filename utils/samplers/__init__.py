"""Samplers: which training samples make up each batch. To add one: a file here and a line in ``SAMPLERS``.

``SAMPLERS`` maps each ``--sampler`` to ``"module:Class"``; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..registry import lazy_attributes, load

if TYPE_CHECKING:
    from .balanced import BalancedSampler as BalancedSampler
    from .balanced_random import RandomBalancedSampler as RandomBalancedSampler
    from .base import Sampler as Sampler
    from .natural import NaturalSampler as NaturalSampler
    from .oversample import OversamplingSampler as OversamplingSampler
    from .smote import SmoteSampler as SmoteSampler
    from .stratified import StratifiedSampler as StratifiedSampler
    from .temperature import TemperatureSampler as TemperatureSampler
    from .two_phase import TwoPhaseSampler as TwoPhaseSampler
    from .undersample import UndersamplingSampler as UndersamplingSampler
    from .weighted import WeightedSampler as WeightedSampler

SAMPLERS: dict[str, str] = {
    "natural": "natural:NaturalSampler",
    "weighted": "weighted:WeightedSampler",
    "balanced": "balanced:BalancedSampler",
    "balanced_random": "balanced_random:RandomBalancedSampler",
    "stratified": "stratified:StratifiedSampler",
    "undersample": "undersample:UndersamplingSampler",
    "oversample": "oversample:OversamplingSampler",
    "two_phase": "two_phase:TwoPhaseSampler",
    "temperature": "temperature:TemperatureSampler",
    "smote": "smote:SmoteSampler",
}
__getattr__, __dir__, __all__ = lazy_attributes(
    [*SAMPLERS.values(), "base:Sampler"], package=__name__, others=["SAMPLERS", "many_classes", "sampler_class"]
)


def sampler_class(name: str, *, classes: int = 2) -> type[Sampler]:
    """The class behind a ``--sampler``.

    Args:
        classes: number of classes that it is for.

    Raises:
        UserError: there is no such sampler (the text lists the near ones), or it does not know so many classes.
    """
    found: type[Sampler] = load(SAMPLERS, name, kind="sampler", package=__name__)
    if classes > found.most_classes:
        raise UserError(f"{name} knows two classes only, got {classes}; use {', '.join(many_classes())}")
    return found


def many_classes() -> list[str]:
    """The samplers for any number of classes."""
    return [name for name in SAMPLERS if sampler_class(name).most_classes > 2]
