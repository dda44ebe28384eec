"""Learners that are fitted in one call, not trained by steps. To add one: a file here and a line in ``LEARNERS``.

``LEARNERS`` maps a ``--resnet_type`` to ``"module:function"``; nothing is imported before it is used. Each is a
``Learner`` (see ``base``): it takes features and labels and returns the weights and bias of a linear score, or of one
for each of more than two classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_attributes, load

if TYPE_CHECKING:
    from .base import Learner as Learner
    from .featureless import fit_featureless as fit_featureless
    from .logistic_cv import fit_logistic_cv as fit_logistic_cv

MODEL = "linear"  # the architecture that takes the weights of a fit
FIXED = ("training_type", "sampler", "use_ALM", "continue_train")  # they act on training steps: left at their defaults
UNREAD = (  # so do these
    *("optimizer", "lr", "momentum", "weight_dec", "bsize", "lr_decrease", "patience_lr", "patience_early_stopping"),
    *("augment", "evaluate_every_steps", "schedule", "warm_up", "lr_steps", "lr_factor", "ema"),
)
LEARNERS: dict[str, str] = {
    "featureless": "featureless:fit_featureless",
    "logistic_cv": "logistic_cv:fit_logistic_cv",
}
__getattr__, __dir__, __all__ = lazy_attributes(
    [*LEARNERS.values(), "base:Learner"], package=__name__, others=["LEARNERS", "learner"]
)


def learner(name: str) -> Learner:
    """The learner behind a ``--resnet_type``.

    Raises:
        UserError: there is no such learner; the text lists the near ones.
    """
    found: Learner = load(LEARNERS, name, kind="learner", package=__name__)
    return found
