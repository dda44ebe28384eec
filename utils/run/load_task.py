"""From the settings of a run to its task, and the values that follow from the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config.options import Config
from ..config.settings import Settings
from ..data import default_augment, defaults_for, find_prepared, load_raw, transforms_of
from ..data.class_names import NUMBER
from ..data.classes_in_use import ClassChoice
from ..data.folds import Resampling
from ..data.prepared_files import PreparedFiles, read_prepared
from ..data.raw import RawData
from ..data.sources import ArraySource, PreparedSource, Source, class_numbers
from ..data.task import Task, build_task
from ..errors import UserError
from ..system.devices import Machine
from ..system.memory import memory_to_spare
from .architectures import BACKBONES, own_normalisation
from .components import built

MARKED, RARER, RAREST = "the data say so", "the rarer one in training", "the rarest in training"
SECOND = "the second of two"
CHOSEN_BY_DATA = (MARKED, RARER, RAREST, SECOND)  # origins of positive_classes and critical_classes
MAX_SHARE = 0.5  # of the free memory that the images of prepared data may take before they stay on the disk
# mean and SD of the channels, or of every channel, of pixels in 0..1
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),
    "lite": ((127 / 255,), (128 / 255,)),  # pixels (v - 127) / 128, of EfficientNet-Lite
}


def load_task(settings: Settings, machine: Machine) -> tuple[Settings, Task]:
    """Read the data, choose the images, and fill in what ``config.settings.with_defaults`` had to leave open.

    Raises:
        UserError: the data are missing or damaged, or do not match the options.
    """
    config = settings.config
    defaults = defaults_for(config.dataset_name)
    origin = f"default of {config.dataset_name}"
    data = _read(config)
    source: Source = PreparedSource(data) if isinstance(data, PreparedFiles) else ArraySource(data)
    sets = () if config.folds else tuple(split for split, _ in source.parts())
    _check_own_sets(settings, source, sets)
    if config.validation_per_class is None and "validation" not in sets:
        settings = settings.completed({"validation_fraction": defaults.validation_fraction}, origin)
    augment = "none" if source.bits == 32 else default_augment(channels=_channels(data))
    settings = settings.completed({"augment": augment}, origin)
    config = settings.config
    if source.bits == 32 and config.augment != "none":
        raise UserError(
            f"augment {config.augment} (from {settings.origins['augment']}) cannot act: {source.source} has features,"
            " not images; leave it out"
        )
    assert config.train_fraction is not None
    task = build_task(
        data,
        **_chosen_classes(settings, source),
        validation_fraction=config.validation_fraction or defaults.validation_fraction,
        validation_per_class=config.validation_per_class,
        calibration_fraction=config.calibration_fraction,
        train_fraction=config.train_fraction,
        resampling=_resampling(config),
        device=machine.device,
        mapped=_stays_on_disk(settings, data, machine),
    )
    if task.many:
        settings = _with_many_classes(settings, task, source)
    else:
        settings = settings.completed({"ratio_pos_train": task.sides.ratio_pos_train}, "the subsets")
        settings = _with_classes(settings, task, source, origin)
    own = config.weights is not None and config.resnet_type.startswith(tuple(BACKBONES))
    settings = settings.completed({"normalisation": "weights" if own else "data"}, "default of the model")
    return settings, as_seen(task, settings.config)


def _chosen_classes(settings: Settings, source: Source) -> dict[str, Any]:
    """What the options say of the classes, as ``build_task`` takes it."""
    config = settings.config

    def numbers(flag: str) -> tuple[int, ...] | None:
        return class_numbers(getattr(config, flag), source, flag=flag, origin=settings.origins[flag])

    if config.has_classes:
        return {
            "many": ClassChoice(
                classes=numbers("classes"),
                critical=numbers("critical_classes"),
                imbalance=config.imbalance,
                factor=config.imbalance_factor or 1.0,
            )
        }
    sides = {flag: numbers(flag) for flag in ("negative_classes", "positive_classes")}
    return {**sides, "ratio_pos_train": config.ratio_pos_train}


def _read(config: Config) -> RawData | PreparedFiles:
    root = Path(config.data_root)
    folder = find_prepared(config.dataset_name, data_root=root)
    if folder:
        return read_prepared(folder)
    return load_raw(config.dataset_name, data_root=root, download=bool(config.download))


def counts_in_file(config: Config) -> dict[str, dict[int, int]]:
    """{split: {class: samples}} of all classes of the data set, used or not."""
    data = _read(config)
    source: Source = PreparedSource(data) if isinstance(data, PreparedFiles) else ArraySource(data)
    found = {}
    for split, labels in source.parts():
        classes, numbers = np.unique(labels, return_counts=True)
        found[split] = dict(zip(classes.tolist(), numbers.tolist(), strict=True))
    return found


def _channels(data: RawData | PreparedFiles) -> int:
    return data.form.channels if isinstance(data, PreparedFiles) else int(data.train_images.shape[3])


def _check_own_sets(settings: Settings, source: Source, sets: Sequence[str]) -> None:
    """Refuse to draw a set that the data have.

    Raises:
        UserError: the options ask for it.
    """
    for name in ("validation_fraction", "validation_per_class", "calibration_fraction"):
        own = name.partition("_")[0]
        if own in sets and settings.is_given(name) and getattr(settings.config, name):
            raise UserError(f"{name} (from {settings.origins[name]}) cannot act: {source.source} has its own {own} set")


def _stays_on_disk(settings: Settings, data: RawData | PreparedFiles, machine: Machine) -> bool:
    """Whether the images of prepared data are read batch by batch.

    Raises:
        UserError: the user says so of other data.
    """
    config = settings.config
    if not isinstance(data, PreparedFiles):
        if config.images == "mapped":
            raise UserError(
                f"images mapped (from {settings.origins['images']}) cannot act: {data.source} is not prepared data,"
                " and its images are kept on the device; see prepare.py"
            )
        return False
    if config.images != "auto":
        return config.images == "mapped"
    # a run with random crops keeps a second copy, with a border; seeds that train at once share the first one only
    copies = 1 + (machine.seeds_at_once if "crop" in transforms_of(config.augment or "none") else 0)
    spare = memory_to_spare()
    if machine.device.type == "cuda":
        spare = min(spare, torch.cuda.mem_get_info(machine.device)[0])
    return copies * data.images.nbytes > MAX_SHARE * spare


def _with_classes(settings: Settings, task: Task, source: Source, origin: str) -> Settings:
    """With the classes in use, by their names where the data have names."""
    config = settings.config
    sides = (task.sides.negative, task.sides.positive)
    negative, positive = (tuple(_typed(task, number) for number in numbers) for numbers in sides)
    missing = [flag for flag in ("negative_classes", "positive_classes") if getattr(config, flag) is None]
    is_default = task.class_names is None and len(missing) == 2
    origins = dict.fromkeys(missing, origin if is_default else "the other classes")
    if len(missing) == 2 and not is_default:
        origins["positive_classes"] = MARKED if source.positive else RARER
    return replace(
        settings,
        config=replace(config, negative_classes=negative, positive_classes=positive),
        origins={**settings.origins, **origins},
    )


def _with_many_classes(settings: Settings, task: Task, source: Source) -> Settings:
    """The same of a task of K classes."""
    assert task.many
    config = settings.config
    critical = tuple(task.many.in_use[label] for label in task.many.critical)
    is_marked = source.class_names is not None and source.positive in task.names
    origins = {
        "classes": None if config.classes else "all classes of the data",
        "critical_classes": None if config.critical_classes else _why_critical(task, config, is_marked=is_marked),
    }
    classes, chosen = (tuple(_typed(task, number) for number in numbers) for numbers in (task.many.in_use, critical))
    return replace(
        settings,
        config=replace(config, classes=classes, critical_classes=chosen),
        origins={**settings.origins, **{flag: origin for flag, origin in origins.items() if origin}},
    )


def _why_critical(task: Task, config: Config, *, is_marked: bool) -> str:
    """The origin of critical classes that the user did not give."""
    if config.classes and task.targets.classes == 2:
        return SECOND
    return MARKED if is_marked else RAREST


def _typed(task: Task, number: int) -> int | str:
    """A class as its option reads it: by name, or by number where it has none."""
    name = task.class_name(number)
    return int(name) if NUMBER.fullmatch(name) and str(int(name)) == name else name


def as_seen(task: Task, config: Config) -> Task:
    """``task`` with the image size and the normalisation that the options ask for in place of the data's own.

    Raises:
        UserError: the model has no normalisation of its own, or the data are no images.
    """
    if task.image_format.has_features:
        for name, value in (("image_size", config.image_size), ("normalisation", config.normalisation)):
            if value not in (None, "data"):
                reason = f"cannot act: {task.source} has features, not images"
                raise UserError(f"{name} {value} {reason}; leave --{name} out")
    size = None if config.image_size is None else (config.image_size, config.image_size)
    if config.normalisation == "data":
        return replace(task, image_size=size)
    if config.normalisation == "weights":
        mean, std = built(lambda: own_normalisation(config.resnet_type))
    else:
        mean, std = NORMALISATIONS[str(config.normalisation)]
    if len(mean) == 1:  # the same for all channels
        mean, std = mean * task.channels, std * task.channels
    if task.channels not in (1, len(mean)):
        raise UserError(f"normalisation {config.normalisation} is of 3 channels, the images have {task.channels}")
    return replace(task, image_size=size, mean=mean, std=std)


def _resampling(config: Config) -> Resampling | None:
    if not config.folds:
        return None
    assert config.subset_ratios is not None
    return Resampling(
        folds=config.folds,
        fold=config.fold,
        subset_ratios=config.subset_ratios,
        test_subset=config.test_subset,
        train_on=config.train_on,
        downsample=bool(config.downsample),
    )
