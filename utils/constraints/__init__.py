"""Constraints on the scores. To add one: a file here and a line in ``CONSTRAINTS``.

``CONSTRAINTS`` maps a name to ``"module:Class"``; nothing is imported before it is asked for. What sums over pairs of
samples lies in ``pairwise``, for constraints, losses and metrics alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_attributes

if TYPE_CHECKING:
    from .augmented_lagrangian import AugmentedLagrangian as AugmentedLagrangian
    from .rate import RateConstraint as RateConstraint

CONSTRAINTS: dict[str, str] = {
    "pairwise": "augmented_lagrangian:AugmentedLagrangian",
    "rate": "rate:RateConstraint",
}
__getattr__ = lazy_attributes(CONSTRAINTS.values(), package=__name__)
