"""Objectives. To add one: a file here, a line in ``LOSSES``, a file in ``configs/baseline``.

``LOSSES`` maps each ``--training_type`` to ``"module:Class"``. A module is imported on first use::

    from rarecall.losses import LDAM
    loss = LDAM(class_counts=(4410, 44))                            # two classes: negatives and positives
    loss = LDAM(class_counts=(5000, 2000, 50), critical=(1, 2))     # three, two of them critical
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..registry import lazy_attributes, load

if TYPE_CHECKING:
    from .base import Loss as Loss

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
    "AUM_RATE": "aum:AUMRate",
    "AUM_COUNT": "aum:AUMCount",
    "SQ_HINGE_PW": "pairwise_square:AllPairsSquaredHinge",
    "SQUARE_PW": "pairwise_square:AllPairsSquare",
    "AUCM": "aucm:AUCM",
    "PAUC": "partial_auc:PartialAUC",
    "W_LOGISTIC": "weighted_logistic:WeightedLogistic",
    "WCE": "weighted_cross_entropy:WeightedCrossEntropy",
    "ALPHA_FL": "alpha_focal:AlphaFocal",
    "cb_FL": "class_balanced_focal:ClassBalancedFocal",
    "LA": "logit_adjustment:LogitAdjustment",
    "VS": "vector_scaling:VectorScaling",
    "LDAM_DRW": "ldam_drw:LDAMDRW",
    "SAMPLING_FREE": "sampling_free:SamplingFree",
    "ANYLOSS": "anyloss:AnyLoss",
    "HINGE": "hinge:Hinge",
    "SQ_HINGE": "hinge:SquaredHinge",
}
__getattr__, __dir__, __all__ = lazy_attributes(
    [*LOSSES.values(), "base:Loss"], package=__name__, others=["LOSSES", "loss_class", "many_classes"]
)


def loss_class(training_type: str, *, classes: int = 2) -> type[Loss]:
    """The class of a ``--training_type``.

    Args:
        classes: number of classes that it is for.

    Raises:
        UserError: no such objective (the message suggests similar names), or it does not know so many classes.
    """
    found: type[Loss] = load(LOSSES, training_type, kind="training_type", package=__name__)
    if classes > 2 and not found.class_facts:
        raise UserError(f"{training_type} knows two classes only, got {classes}; use {', '.join(many_classes())}")
    return found


def many_classes() -> list[str]:
    """The objectives for any number of classes."""
    return [name for name in LOSSES if loss_class(name).class_facts]
