"""From settings to an experiment: the data are read and everything is built once."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Settings, called, check_names
from ..config.synonyms import VALUES
from ..distributed.ranks import rank_and_world
from ..errors import UserError
from ..learners import LEARNERS
from ..registry import unknown
from ..system.devices import keep_freed_memory, set_up_machine
from ..training.memory_needs import MemoryNeeds, check_memory, estimate
from ..training.state import TrainingData, TrainState
from .architectures import BACKBONES, FLAT, MODELS
from .components import check_components
from .experiment import Experiment
from .initial_state import build_state
from .load_task import load_task
from .rank_group import device_of_rank, ranks_on_device
from .weights_file import find_weights, load_weights

FEATURE_BYTES = 4  # float32


def prepare(settings: Settings, *, in_child: bool = False) -> Experiment:
    """Read the data, fill in what follows from them, and build everything once, to find mistakes before writing a file.

    Args:
        in_child: whether this process trains one of several seeds at once, of whose memory its parent has made sure:
            what the others have taken by now would be counted twice.

    Raises:
        UserError: the options do not fit each other, the data or the machine.
    """
    config = settings.config
    is_backbone = config.resnet_type.startswith(tuple(BACKBONES))
    if config.resnet_type not in (known := {**MODELS, **LEARNERS}) and not is_backbone:
        origin, meanings = settings.origins["resnet_type"], VALUES["resnet_type"]
        every = [*known, *(f"{prefix}NAME" for prefix in BACKBONES)]
        raise unknown(called("resnet_type", origin), config.resnet_type, every, origin=origin, meanings=meanings)
    check_names(settings)  # again, as those of an evaluation come from best.pt
    check_components(settings)
    machine = set_up_machine(
        device=device_of_rank(config.device),
        precision=config.precision,
        threads=config.threads,
        deterministic=bool(config.deterministic),
        seeds=len(config.seeds) if config.train else 1,
        # features are computed once, on all cores; what is left for each seed is one small layer
        seeds_at_once=config.parallel_seeds or int(config.freeze_epochs == "all"),
        ranks=rank_and_world()[1],
    )
    weights = find_weights(settings.config)
    settings, task = load_task(settings, machine)
    if task.image_format.has_features and settings.config.architecture not in FLAT:
        raise UserError(
            f"{config.resnet_type} needs images, but {task.source} has features; use one of"
            f" {', '.join((*sorted(FLAT), *LEARNERS))} (--resnet_type)"
        )
    if machine.device.type == "cpu":
        keep_freed_memory()
    experiment = Experiment(settings, task, machine)
    state, data = build_state(experiment, settings.config.seeds[0])
    if config.train and not config.is_fitted and not in_child:
        needs = memory_needs(experiment, state, data)
        check_memory(needs, machine, at_once=max(machine.seeds_at_once, ranks_on_device(machine.device)))
    loaded = load_weights(weights, state.network) if weights else None
    return replace(experiment, weights=loaded, stem=getattr(state.network, "stem_text", ""))


def memory_needs(experiment: Experiment, state: TrainState, data: TrainingData) -> MemoryNeeds:
    """What a seed needs beside the images that are loaded, and its weights."""
    config, form = experiment.config, experiment.task.image_format
    shape: tuple[int, ...] = (form.input_channels, *form.input_size)
    to_come = data.batches.bytes_to_come
    if state.freezing and config.freeze_epochs == "all":  # the last layer alone, on features
        shape = (state.freezing.head.in_features,)
        to_come = FEATURE_BYTES * len(data.labels) * shape[0]
    return estimate(
        state.model,
        input_shape=shape,
        batch_size=min(config.bsize, len(data.train)),
        optimizer=config.optimizer,
        machine=experiment.machine,
        data=to_come,
    )
