"""Objectives. To add one: a file here, a line in ``LOSSES``, a file in ``configs/baseline``.

``LOSSES`` maps each ``--training_type`` to ``"module:Class"``. Nothing is imported before it is asked for::

    from rarecall.losses import LDAM
    loss = LDAM(class_counts=(4410, 44))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..names import lazy_attributes, load

if TYPE_CHECKING:
    from .base import Loss as Loss
    from .bce import BCE as BCE
    from .class_balanced import ClassBalancedBCE as ClassBalancedBCE
    from .focal import AsymmetricFocal as AsymmetricFocal
    from .focal import SymmetricFocal as SymmetricFocal
    from .ldam import LDAM as LDAM
    from .log_pairwise import LogPairwise as LogPairwise
    from .margin import AsymmetricMargin as AsymmetricMargin
    from .margin import SymmetricMargin as SymmetricMargin
    from .mbauc import MBAUC as MBAUC
    from .msfe import MSFE as MSFE
    from .weighted_bce import WeightedBCE as WeightedBCE

LOSSES: dict[str, str] = {
    "BCE": "bce:BCE",
    "SYM_LM": "margin:SymmetricMargin",
    "ASYM_LM": "margin:AsymmetricMargin",
    "SYM_FL": "focal:SymmetricFocal",
    "ASYM_FL": "focal:AsymmetricFocal",
    "WBCE": "weighted_bce:WeightedBCE",
    "cb_BCE": "class_balanced:ClassBalancedBCE",
    "LDAM": "ldam:LDAM",
    "MBAUC": "mbauc:MBAUC",
    "MSFE": "msfe:MSFE",
    "LOG_PW": "log_pairwise:LogPairwise",
}
__getattr__ = lazy_attributes([*LOSSES.values(), "base:Loss"], package=__name__)


def loss_class(training_type: str) -> type[Loss]:
    """The class behind a ``--training_type``.

    Raises:
        UserError: there is no such objective; the text lists the near ones.
    """
    found: type[Loss] = load(LOSSES, training_type, kind="training_type", package=__name__)
    return found
