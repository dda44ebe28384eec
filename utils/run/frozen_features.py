"""The features of a frozen network for all images of a run: computed once, shared by the seeds."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from ..errors import UserError
from ..system.memory import memory_to_spare
from ..training.evaluation import batch_size
from .experiment import Experiment, plain_batches
from .initial_state import build_state


def with_features(experiment: Experiment) -> Experiment:
    """``experiment`` with the features of its images, if its network is frozen in all epochs.

    They do not depend on the seed: all of the network but its last layer comes from the file of ``--weights``.

    Raises:
        UserError: they would not fit in memory.
    """
    if experiment.config.freeze_epochs != "all":
        return experiment
    task, seeds, device = experiment.task, experiment.config.seeds, experiment.machine.device
    state, _ = build_state(experiment, seeds[0])
    assert state.freezing is not None
    width = state.freezing.head.in_features
    _check_memory(len(task.labels), width, device)
    # the sets one by one, as an evaluation takes them: then its scores are those of the images bit for bit
    sets = [rows for part, rows in task.split(seeds[0]).parts().items() if part != "train"]
    sets.append(np.unique(np.concatenate([task.split(seed).train for seed in seeds])))
    features, batches = torch.full((len(task.labels), width), torch.nan, device=device), plain_batches(experiment)
    number = sum(map(len, sets))
    size = " x ".join(map(str, batches.image_size))
    what = f"features of {number:,} images of {size}, {width:,} each, {features.nbytes / 2**20:,.0f} MiB"
    print(f"{what}: computed once for all epochs and seeds")
    for rows in sets:
        chunks = torch.from_numpy(rows).to(device).split(batch_size(*batches.image_size))
        for chunk in tqdm(chunks, unit="batch", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False):
            state.freezing.fill(features, batches, chunk, machine=experiment.machine)
    return replace(experiment, features=features)


def _check_memory(rows: int, width: int, device: torch.device) -> None:
    needed, spare = 4 * rows * width, memory_to_spare()
    if device.type == "cpu" and needed > spare / 2:
        raise UserError(
            f"the features of {rows:,} images must fit in half of the {spare:,} free bytes, but need {needed:,}; "
            "freeze a number of epochs instead of all (--freeze_epochs)"
        )
