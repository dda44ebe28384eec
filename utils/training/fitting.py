"""Fit a learner in closed form or by its own solver; it counts as a single epoch."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..learners import learner
from ..seeding import numpy_stream
from .epoch import validate
from .evaluation import model_outputs
from .step import TrainingSteps
from .views import mean_auc_and_violation


def fit_epoch(
    runner: TrainingSteps, *, name: str, seed: int, delta: float, select: str | None = None
) -> dict[str, Any]:
    """Fit the learner ``name`` on the training samples, copy the result into the linear model, and validate.

    Args:
        runner: the seed's state and data; the model must be linear.
        delta: margin at which the violation is logged.
        select: see ``train_epoch``.

    Returns:
        The record of epoch 0, with the keys of ``train_epoch``, and ``is_best``.
    """
    from threadpoolctl import threadpool_limits  # imported here: no other run needs it

    start = time.perf_counter()
    state, data = runner.state, runner.data
    features = _pixels(runner, data.train).double().cpu().numpy()
    labels = data.labels[data.train].cpu().numpy()
    groups = None if data.groups is None else data.groups[data.train.cpu().numpy()]
    # BLAS ignores --threads, and seeds that run in parallel would compete for the cores
    with threadpool_limits(limits=torch.get_num_threads(), user_api="blas"):
        weights, bias = learner(name)(features, labels, generator=numpy_stream(seed, "fit"), groups=groups)
    head = state.model.head
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(np.atleast_1d(bias)))
    outputs = model_outputs(state.model, data.batches, data.train, machine=runner.machine)
    targets = data.labels[data.train]
    with torch.inference_mode():
        scores, loss = state.loss.score(outputs), float(state.loss(outputs, targets, data.train))
        both = mean_auc_and_violation(scores, targets, data.critical, delta=delta)
    train_auc, violation = torch.stack(both).tolist()
    val_loss, numbers = validate(runner, of_classes=select is not None)
    return {
        "epoch": state.epoch,
        "train_loss": loss,
        "train_penalty": 0.0,
        "constraint_violation": violation,
        "mu": None,
        "multiplier_quantiles": None,
        "train_auc": train_auc,
        **{f"val_{name}": value for name, value in numbers.items()},
        "val_loss": val_loss,
        "lr": float(state.optimizer.param_groups[0]["lr"]),
        "seconds": time.perf_counter() - start,
        "one_class_batches": 0,
        "steps": 0,
        "is_best": state.finish_epoch(numbers["auc"], val_loss, train_auc, numbers[select] if select else None),
    }


def _pixels(runner: TrainingSteps, indices: Tensor) -> Tensor:
    """(n, C * H * W) normalised pixels of the images ``indices`` (n,), flattened as the model flattens them."""
    return torch.cat([images.flatten(1) for images in runner.data.batches.in_order(indices, 1024)])
