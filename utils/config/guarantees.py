"""What the evaluation of a run promises, and among how many models its validation set chooses."""

from __future__ import annotations

from ..metrics.promised_thresholds import USUAL_RISK, Promise
from .options import Config


def promises(config: Config) -> tuple[Promise, ...]:
    """The promises asked for; by default each TPR below 1, missed with a probability of at most .05."""
    given = config.promise or tuple(value for tpr in config.tpr if tpr < 1 for value in (tpr, USUAL_RISK))
    return tuple(map(Promise, given[::2], given[1::2]))


def compared(config: Config) -> int:
    """Among how many epochs the validation set chooses the model of a seed: as many as may be trained."""
    if config.is_fitted:
        return 1
    return config.num_epochs * (config.continue_train_epochs if config.continue_train else 1)
