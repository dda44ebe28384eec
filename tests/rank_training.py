"""Three epochs of a run of main.py on the digits, in float32 as it trains and in float64, in one process and by ranks.

Data, crops, batches, network, loss, constraint, optimizer and schedule of mu are those of the run.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import torch
from runs import start_of
from torch import Tensor

from utils.distributed import gather, shard
from utils.distributed.data_parallel import data_parallel
from utils.distributed.ranks import rank_and_world
from utils.metrics.roc import auc
from utils.training.evaluation import outputs_by_ranks

COMMAND = "--resnet_type lenet5 --bsize 31 --augment crop --name_file_bs baseline_bce"
CONSTRAINTS = {"without constraint": "", "with it": "--name_file_alm ALM_12_beg --delta 1"}
TYPES = {"float32": torch.float32, "float64": torch.float64}
EPOCHS = 3
SHOWN = 100  # images that are validated
ODD = 7


def trained(options: str, dtype: torch.dtype, *, epochs: int = EPOCHS, steps: int | None = None) -> Tensor:
    """The outputs of ``SHOWN`` images after some epochs, of which each ends after ``steps`` if that is given."""
    with tempfile.TemporaryDirectory() as folder:
        _, state, data = start_of(Path(folder), f"{COMMAND} {options}")
    for part in (state.model, state.loss, state.constraint):
        if part is not None:
            part.to(dtype)  # in place, so the optimizer keeps its parameters
    network = data_parallel(state.model) if rank_and_world()[1] > 1 else state.model

    def outputs_of(batch: Tensor) -> Tensor:
        images = data.batches.training(batch) if state.model.training else data.batches.plain(batch)
        own = network(shard(images.to(dtype)))
        return gather(own, shard(data.labels[batch]), size=len(batch))[0]

    for _ in range(epochs):
        state.model.train()
        for batch in itertools.islice(state.sampler, steps):
            outputs, targets = outputs_of(batch), data.labels[batch]
            value = state.loss(outputs, targets, batch)
            if state.constraint:
                value = value + state.constraint.penalty(state.loss.score(outputs), targets, batch)
            state.optimizer.zero_grad()
            value.backward()
            state.optimizer.step()
            if state.constraint:
                state.constraint.update_multipliers()
        state.model.eval()
        with torch.no_grad():
            outputs = outputs_of(shown := data.validation[:SHOWN])
        if state.constraint:
            state.constraint.end_epoch(auc(data.labels[shown].numpy(), state.loss.score(outputs).double().numpy()))
    return outputs


def evaluated() -> Tensor:
    """(ODD,) outputs, as a run validates."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, state, data = start_of(Path(folder), COMMAND)
    return outputs_by_ranks(state.model, data.batches, data.validation[:ODD], machine=experiment.machine).clone()


def train_all() -> dict[str, Tensor]:
    """Each type of numbers, with the constraint and without; a few steps with batch norm; an evaluation."""
    found = {
        f"{name}, {kind}": trained(options, dtype)
        for name, dtype in TYPES.items()
        for kind, options in CONSTRAINTS.items()
    }
    found["batch norm"] = trained("--resnet_type resnet20 --bsize 9", torch.float64, epochs=1, steps=2)
    found["evaluation"] = evaluated()
    return found
