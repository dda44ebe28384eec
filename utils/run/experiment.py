"""What all seeds of a run share, and the networks that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..config.options import Config
from ..config.settings import Settings
from ..data import NATURAL
from ..data.batches import Batches
from ..data.image_format import ImageFormat
from ..data.mapped_batches import batches_of
from ..data.splits import Split
from ..data.task import Task
from ..losses.base import Loss
from ..losses.softmax import SoftmaxLoss
from ..system.devices import Machine
from ..system.memory import check_widths
from ..training.training_data import samples_to_make
from .architectures import build_model
from .components import built
from .weights_file import WeightsFile


@dataclass(frozen=True)
class Experiment:
    """What all seeds of a run share. Of its settings only options that the components do not take are still None."""

    settings: Settings
    task: Task
    machine: Machine
    weights: WeightsFile | None = None  # what the network starts from
    features: torch.Tensor | None = None  # (M, F), what the last layer takes, if the rest is frozen in all epochs
    stem: str = ""  # of a network whose stem depends on the size of the images

    @property
    def config(self) -> Config:
        """The resolved options."""
        return self.settings.config


def run_facts(experiment: Experiment, split: Split) -> dict[str, Any]:
    """What a loss or constraint may ask of the run: the obtained class counts, the requested ratio, the samples.

    The counts are those of the training set, before the sampler changes the balance; of them follows a natural ratio.
    """
    task = experiment.task
    counts = tuple(task.class_counts(split)["train"].values())
    ratio = experiment.config.ratio_pos_train
    facts = {
        "class_counts": counts,
        "ratio_pos_train": obtained_ratio(counts) if ratio in (NATURAL, None) else ratio,
        "num_samples": len(task.labels) + samples_to_make(experiment.config.sampler, counts),
    }
    return facts | ({"classes": task.many.classes, "critical": task.many.critical} if task.many else {})


def obtained_ratio(counts: Sequence[int]) -> float:
    """Negatives per positive, or the largest of several classes over the smallest.

    >>> obtained_ratio((900, 100)), obtained_ratio((500, 50, 100))
    (9.0, 10.0)
    """
    return counts[0] / counts[1] if len(counts) == 2 else max(counts) / min(counts)


def columns_of(loss: Loss) -> tuple[int, ...]:
    """The shape of a sample's scores: () of two classes, (C,) of more."""
    return (len(loss.critical),) if isinstance(loss, SoftmaxLoss) and loss.classes > 2 else ()


def build_network(task: Task, config: Config, loss: Loss, generator: torch.Generator) -> torch.nn.Module:
    """The model that the objective asks for, with its initial weights, on the CPU."""
    return network(config, loss, task.image_format, generator)


def network(config: Config, loss: Loss, form: ImageFormat, generator: torch.Generator) -> torch.nn.Module:
    """The same for images of this form."""
    channels, image_size = form.input_channels, form.input_size
    if config.resnet_type == "dense":
        check_widths((channels * image_size[0] * image_size[1], *config.hidden_widths))
    return built(
        lambda: build_model(
            config.architecture,
            channels=channels,
            image_size=image_size,
            outputs=loss.outputs,
            normalised_head=loss.normalised_head,
            hidden_widths=config.hidden_widths,
            bias=loss.initial_bias,
            generator=generator,
        )
    )


def plain_batches(experiment: Experiment) -> Batches:
    """Batches for evaluation: nothing in them is random."""
    device = experiment.machine.device
    generator = torch.Generator(device=device)
    return batches_of(experiment.task, augment="none", device=device, generator=generator)
