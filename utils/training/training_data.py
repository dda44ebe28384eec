"""The samples that one seed trains and validates on, including synthetic positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..data.batches import Batches
from ..data.computed_features import ComputedFeatures
from ..data.mapped_batches import batches_of
from ..data.mapped_images import MappedImages
from ..data.splits import Split
from ..data.synthetic_positives import synthetic_positives
from ..data.task import Task
from ..errors import UserError
from ..samplers import sampler_class
from ..seeding import numpy_stream
from ..system.devices import Machine
from .freezing import Freezing
from .state import TrainingData


def training_data(
    task: Task,
    split: Split,
    *,
    seed: int,
    augment: str,
    sampler: str,
    neighbours: int | None,
    augmentation: torch.Generator,
) -> TrainingData:
    """The indices, labels and batches of a seed's samples.

    Args:
        sampler: its name; the synthetic positives of SMOTE are appended to the samples of the data set.
        neighbours: of SMOTE; None for the default.
        augmentation: generator of the random changes of images, on the device.

    Raises:
        UserError: too few positives to interpolate between.
    """
    device = task.labels.device
    train, labels, enlarged = torch.from_numpy(split.train).to(device), task.labels, task
    count = samples_to_make(sampler, tuple(task.class_counts(split)["train"].values()))
    if count:
        made = _synthetic(task, split, count=count, seed=seed, neighbours=neighbours).to(device)
        train = torch.cat([train, torch.arange(len(labels), len(labels) + count, device=device)])
        labels = torch.cat([labels, labels.new_ones(count)])
        enlarged = replace(task, pixels=torch.cat([task.images, made]))
    batches = batches_of(enlarged, augment=augment, device=device, generator=augmentation)
    validation = torch.from_numpy(split.validation).to(device)
    return TrainingData(batches, labels, train, validation, task.groups, critical=task.targets.critical)


def on_features(data: TrainingData, features: torch.Tensor, freezing: Freezing, *, machine: Machine) -> TrainingData:
    """``data`` with the ``features`` (M, F) of a task's images in place of its images.

    Those of synthetic samples, which follow the task's and belong to one seed, are computed here.
    """
    assert isinstance(data.batches, Batches)
    made = torch.arange(len(features), len(data.labels), device=features.device)
    if len(made):
        features = torch.cat([features, features.new_empty(len(made), features.shape[1])])
        freezing.fill(features, data.batches, made, machine=machine)
    return replace(data, batches=ComputedFeatures(features, image_size=data.batches.image_size))


def samples_to_make(sampler: str, counts: Sequence[int]) -> int:
    """How many synthetic positives ``sampler`` adds to a training set with so many negatives and positives."""
    if not sampler_class(sampler, classes=len(counts)).synthesises:
        return 0
    negatives, positives = counts
    return max(0, negatives - positives)


def _synthetic(task: Task, split: Split, *, count: int, seed: int, neighbours: int | None) -> torch.Tensor:
    """(count, C, H, W) images, stored as the task's, interpolated between training positives."""
    if isinstance(task.pixels, MappedImages):
        raise UserError(
            "synthetic positives need all images in memory, but those of"
            f" {task.source} stay on the disk; use --images device, or --sampler oversample"
        )
    positives = split.train[task.targets.labels(task.original_class[split.train]) == 1]
    images = task.images[torch.from_numpy(positives).to(task.images.device)].cpu().numpy()
    if task.bits == 16:
        images = images.view(np.uint16)
    options = {} if neighbours is None else {"neighbours": neighbours}
    try:
        made = synthetic_positives(images, count=count, generator=numpy_stream(seed, "smote"), **options)
    except ValueError as error:
        raise UserError(str(error)) from None
    return torch.from_numpy(made.view(np.int16) if task.bits == 16 else made)
