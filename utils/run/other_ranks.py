"""What the ranks other than 0 do: train the seeds that rank 0 trains, and write nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..training.epoch import NonFiniteLossError
from ..training.step import TrainingSteps
from .experiment import Experiment
from .frozen_features import with_features
from .initial_state import build_state
from .rank_group import next_seed
from .seed_epochs import end_of, epoch_of


def compute_along(experiment: Experiment, baselines: dict[int, Path]) -> int:
    """A rank other than 0: train each seed that rank 0 trains, from its state, and write nothing."""
    prepared = False
    while told := next_seed():
        seed, content = told
        if not prepared:
            experiment, prepared = with_features(experiment), True
        state, data = build_state(experiment, seed, baseline=baselines.get(seed))
        end = end_of(experiment.config, state)
        state.load_state_dict(content)
        epoch = epoch_of(experiment, TrainingSteps(state, data, machine=experiment.machine), seed)
        with contextlib.suppress(NonFiniteLossError):  # rank 0 says it
            while state.epoch < end and not state.should_stop(experiment.config.patience_early_stopping):
                epoch()
    return 0
