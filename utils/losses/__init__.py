"""Objectives. To add one: a file here, a line in ``LOSSES``, a file in ``configs/baseline``.

``LOSSES`` maps each ``--training_type`` to ``"module:Class"``. Nothing is imported before it is asked for::

    from rarecall.losses import LDAM
    loss = LDAM(class_counts=(4410, 44))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_attributes, load

if TYPE_CHECKING:
    from .alpha_focal import AlphaFocal as AlphaFocal
    from .anyloss import AnyLoss as AnyLoss
    from .aucm import AUCM as AUCM
    from .aum import AUMCount as AUMCount
    from .aum import AUMRate as AUMRate
    from .base import Loss as Loss
    from .bce import BCE as BCE
    from .class_balanced import ClassBalancedBCE as ClassBalancedBCE
    from .class_balanced_focal import ClassBalancedFocal as ClassBalancedFocal
    from .focal import AsymmetricFocal as AsymmetricFocal
    from .focal import SymmetricFocal as SymmetricFocal
    from .hinge import Hinge as Hinge
    from .hinge import SquaredHinge as SquaredHinge
    from .ldam import LDAM as LDAM
    from .ldam_drw import LDAMDRW as LDAMDRW
    from .log_pairwise import LogPairwise as LogPairwise
    from .logit_adjustment import LogitAdjustment as LogitAdjustment
    from .margin import AsymmetricMargin as AsymmetricMargin
    from .margin import SymmetricMargin as SymmetricMargin
    from .mbauc import MBAUC as MBAUC
    from .msfe import MSFE as MSFE
    from .pairwise_square import AllPairsSquare as AllPairsSquare
    from .pairwise_square import AllPairsSquaredHinge as AllPairsSquaredHinge
    from .partial_auc import PartialAUC as PartialAUC
    from .sampling_free import SamplingFree as SamplingFree
    from .vector_scaling import VectorScaling as VectorScaling
    from .weighted_bce import WeightedBCE as WeightedBCE
    from .weighted_cross_entropy import WeightedCrossEntropy as WeightedCrossEntropy
    from .weighted_logistic import WeightedLogistic as WeightedLogistic

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
__getattr__ = lazy_attributes([*LOSSES.values(), "base:Loss"], package=__name__)


def loss_class(training_type: str) -> type[Loss]:
    """The class behind a ``--training_type``.

    Raises:
        UserError: there is no such objective; the text lists the near ones.
    """
    found: type[Loss] = load(LOSSES, training_type, kind="training_type", package=__name__)
    return found
