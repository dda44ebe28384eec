"""Constraints on the scores. To add one: a file here, a line in ``CONSTRAINTS``, a file in ``configs/ALM``.

``CONSTRAINTS`` maps each ``--constraint`` to ``"module:Class"``; nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..registry import lazy_attributes, load

if TYPE_CHECKING:
    from .augmented_lagrangian import AugmentedLagrangian as AugmentedLagrangian
    from .base import Constraint as Constraint
    from .rate import RateConstraint as RateConstraint

CONSTRAINTS: dict[str, str] = {
    "pairwise": "augmented_lagrangian:AugmentedLagrangian",
    "rate": "rate:RateConstraint",
}
# Optional: the options that stand in labels and in the default name of a run. Kept here, not in the class, because
# the report and the configuration read them without torch.
SHOWN: dict[str, dict[str, str]] = {
    "pairwise": {"mu": "mu=", "delta": "delta=", "against": "against "},
    "rate": {"tpr_at_least": "TPR>=", "fpr_at_most": "FPR<=", "mu": "mu="},
}
DEFAULT = "pairwise"
__getattr__, __dir__, __all__ = lazy_attributes(
    [*CONSTRAINTS.values(), "base:Constraint"], package=__name__, others=["CONSTRAINTS", "constraint_class"]
)


def constraint_class(name: str) -> type[Constraint]:
    """The class behind a ``--constraint``.

    Raises:
        UserError: there is no such constraint; the text lists the near ones.
    """
    found: type[Constraint] = load(CONSTRAINTS, name, kind="constraint", package=__name__)
    return found


def label(options: Mapping[str, Any], *, show: Callable[[Any], str] = "{:g}".format) -> str:
    """What tables and messages call the constraint of a run with these options; ``show`` writes a value.

    >>> label({"constraint": "rate", "tpr_at_least": 0.98, "fpr_at_most": None, "mu": 0.1})
    'ALM rate TPR>=0.98 mu=0.1'
    """
    name = str(options.get("constraint", DEFAULT))[:80]
    symbols = SHOWN.get(name, {"mu": "mu="})
    given = {key: options[key] for key in symbols if options.get(key) is not None}
    values = [f"{symbols[key]}{value if isinstance(value, str) else show(value)}" for key, value in given.items()]
    return " ".join(["ALM", *([name] if name != DEFAULT else []), *values])


def name_part(options: Mapping[str, Any]) -> str:
    """The part of a run's default name that stands for its constraint; a config file stands for the options in it.

    >>> name_part({"constraint": "pairwise", "name_file_alm": "", "mu": 0.1, "delta": 0.5})
    'ALM_mu0.1_delta0.5'
    """
    name = options["constraint"]
    first = options["name_file_alm"] or f"{'ALM' if name == DEFAULT else name}_mu{options['mu']:g}"
    delta = f"_delta{options['delta']:g}" if "delta" in SHOWN.get(name, {}) else ""
    against = f"_against_{options['against']}" if options.get("against") else ""
    return f"{first}{delta}{against}"
