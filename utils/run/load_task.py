"""From the settings of a run to its task, and the values that follow from the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ..config.options import Config
from ..config.settings import Settings
from ..data import default_augment, defaults_for, load_raw
from ..data.folds import Resampling
from ..data.task import Task, build_task
from ..errors import UserError
from .architectures import BACKBONES, own_normalisation
from .components import built

# mean and SD of the channels, or of every channel, of pixels in 0..1
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),
    "lite": ((127 / 255,), (128 / 255,)),  # pixels (v - 127) / 128, of EfficientNet-Lite
}


def load_task(settings: Settings, device: torch.device) -> tuple[Settings, Task]:
    """Read the data, choose the images, and fill in what ``config.settings.with_defaults`` had to leave open.

    Raises:
        UserError: the data are missing or damaged, or do not match the options.
    """
    config = settings.config
    defaults = defaults_for(config.dataset_name)
    origin = f"default of {config.dataset_name}"
    raw = load_raw(config.dataset_name, data_root=Path(config.data_root), download=bool(config.download))
    has_own_validation = raw.validation_images is not None and not config.folds
    for name in ("validation_fraction", "validation_per_class"):
        if has_own_validation and settings.is_given(name):
            raise UserError(
                f"{name} (from {settings.origins[name]}) cannot act: {raw.source} has its own validation set"
            )
    if config.validation_per_class is None and not has_own_validation:
        settings = settings.completed({"validation_fraction": defaults.validation_fraction}, origin)
    config = settings.config
    task = build_task(
        raw,
        negative_classes=config.negative_classes,
        positive_classes=config.positive_classes,
        ratio_pos_train=config.ratio_pos_train,
        validation_fraction=config.validation_fraction or defaults.validation_fraction,
        validation_per_class=config.validation_per_class,
        calibration_fraction=config.calibration_fraction,
        train_fraction=config.train_fraction,
        resampling=_resampling(config),
        device=device,
    )
    settings = settings.completed({"ratio_pos_train": task.ratio_pos_train}, "the subsets")
    classes = {"negative_classes": task.negative_classes, "positive_classes": task.positive_classes}
    is_rest = config.negative_classes is not None or config.positive_classes is not None
    settings = settings.completed(classes, "the other classes" if is_rest else origin)
    settings = settings.completed({"augment": default_augment(channels=task.channels)}, origin)
    own = config.weights is not None and config.resnet_type.startswith(tuple(BACKBONES))
    settings = settings.completed({"normalisation": "weights" if own else "data"}, "default of the model")
    return settings, as_seen(task, settings.config)


def as_seen(task: Task, config: Config) -> Task:
    """``task`` with the image size and the normalisation that the options ask for in place of the data's own.

    Raises:
        UserError: the model has no normalisation of its own.
    """
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
    return Resampling(
        folds=config.folds,
        fold=config.fold,
        subset_ratios=config.subset_ratios,
        test_subset=config.test_subset,
        train_on=config.train_on,
        downsample=bool(config.downsample),
    )
