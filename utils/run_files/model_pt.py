"""model.pt: what scores new images, the models of all seeds of a run with preprocessing and thresholds.

It needs neither the data nor another file of the run. Of a single seed, best.pt is enough by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..config.options import OPTIONS, Config, convert
from ..config.settings import Settings
from ..data import FITS, TASKS
from ..data.image_format import FULL, ImageFormat
from ..errors import UserError
from ..metrics.class_summary import ClassEvaluation
from ..metrics.decisions import Decisions
from ..metrics.summary import EvaluationOptions
from .best_pt import BEST
from .checkpoints import Format, load, save
from .model_classes import ClassContent, check_facts, class_content, evaluation_options

MODEL = Format(
    "rarecall model 1",
    {
        **dict.fromkeys(("config", "input", "classes", "decisions", "evaluation", "checksums"), dict),
        **dict.fromkeys(("run", "command", "data_checksum"), str),
        "seeds": list,
    },
)
OF_SEED = ("seed", "epoch", "weights", "loss", "threshold", "facts")
GROUPS = ("model", "objective")  # the options that rebuild model and objective
AGAIN = "the command that trained the run, with --train 0, writes model.pt anew"
LARGEST_INPUT = 2**26  # pixels times channels


@dataclass(frozen=True)
class SeedModel:
    """The model of one seed: weights, state of its objective, and the score that lies at its threshold."""

    seed: int
    epoch: int
    weights: dict[str, Any]
    loss: dict[str, Any]
    threshold: torch.Tensor
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """The content of model.pt, checked.

    ``config`` holds the run's options of model and objective, the rest at their defaults; ``class_names`` the names of
    all original classes, if there are any.
    """

    path: Path
    run: str
    config: Config
    form: ImageFormat
    seeds: tuple[SeedModel, ...]
    data_checksum: str
    checksums: dict[str, Any]
    class_names: tuple[str, ...] | None = None

    @property
    def settings(self) -> Settings:
        """The options as ``run.components`` takes them."""
        return Settings(self.config, dict.fromkeys(OPTIONS, "model.pt"), "")


@dataclass(frozen=True, kw_only=True)
class SidesFile(ModelFile):
    """The model of two sides; ``negative_classes`` and ``positive_classes`` are the original classes of each."""

    negative_classes: tuple[int, ...]
    positive_classes: tuple[int, ...]
    decisions: Decisions
    evaluation: EvaluationOptions


@dataclass(frozen=True, kw_only=True)
class ClassesFile(ModelFile):
    """The model of K classes, of which C are critical.

    ``classes`` (K) are the original class of each label, ``critical`` (C) the labels of the critical ones, in the order
    of the scores; ``decisions`` has the thresholds of each critical class by its name, in that order.
    """

    classes: tuple[int, ...]
    critical: tuple[int, ...]
    decisions: dict[str, Decisions]
    evaluation: ClassEvaluation

    @property
    def names(self) -> tuple[str, ...]:
        """What the K labels are called."""
        return self.evaluation.names


def own_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run's options that model.pt keeps, as far as they are set."""
    names = [name for name, item in OPTIONS.items() if item.metadata["group"] in GROUPS]
    return {name: config[name] for name in (*names, "precision") if config.get(name) is not None}


def evaluation_dict(options: EvaluationOptions | ClassEvaluation) -> dict[str, Any]:
    """How the run was evaluated, without its promises, which are thresholds by now."""
    if isinstance(options, ClassEvaluation):
        critical = {name: evaluation_dict(each) for name, each in options.critical.items()}
        return {"names": list(options.names), "train_counts": list(options.train_counts), "critical": critical}
    return {
        "tprs": list(options.tprs),
        "fprs": list(options.fprs),
        "alpha": options.alpha,
        "cost_ratio": options.cost_ratio,
        "default_threshold": options.default_threshold,
        "class_counts": list(options.class_counts),
    }


def write_model(path: Path, shared: Mapping[str, Any], checkpoints: Sequence[Mapping[str, Any]]) -> None:
    """Write model.pt.

    Args:
        path: its path.
        shared: what all seeds have in common, the keys of ``MODEL`` without ``seeds``.
        checkpoints: the content of best.pt of each seed.
    """
    seeds = [{name: content[name] for name in OF_SEED} for content in checkpoints]
    save(path, MODEL, {**shared, "seeds": seeds})


def read_model(path: Path) -> SidesFile | ClassesFile:
    """The content of a model.pt, or of the best.pt of a finished seed.

    Raises:
        UserError: it is missing, damaged, foreign, of an older version, or of a seed that is not finished.
    """
    if path.name == "best.pt":
        return _of_best(path)
    content = load(path, MODEL)
    return _checked(path, content, content["seeds"])


def _of_best(path: Path) -> SidesFile | ClassesFile:
    content = load(path, BEST)
    missing = [name for name in ("input", "classes", "evaluation", "decisions") if not content.get(name)]
    if missing:
        raise UserError(
            f"{path} has no {missing[0]}: its seed is not finished, or an older version wrote it; finish it with "
            f"--resume 1, or use model.pt of its run ({AGAIN})"
        )
    shared = {"run": path.parent.parent.name, "checksums": {}}
    return _checked(path, {**content, **shared}, [content])


def _checked(path: Path, content: dict[str, Any], seeds: list[Any]) -> SidesFile | ClassesFile:
    try:
        options = {name: convert(name, value, str(path)) for name, value in own_options(content["config"]).items()}
        classes = content["classes"]
        shared: dict[str, Any] = {
            "path": path,
            "run": content["run"],
            "form": _form(content["input"]),
            "data_checksum": content["data_checksum"],
            "checksums": content["checksums"],
            "class_names": tuple(map(str, classes["names"])) if classes.get("names") else None,
        }
        if "labels" in classes:
            found = class_content(content, shared["class_names"])
            return ClassesFile(
                **shared,
                config=Config(task=TASKS[1], **options),
                seeds=tuple(_seed(item, found) for item in seeds),
                classes=found.classes,
                critical=found.critical,
                decisions=found.decisions,
                evaluation=found.evaluation,
            )
        return SidesFile(
            **shared,
            config=Config(**options),
            negative_classes=tuple(map(int, classes["negative"])),
            positive_classes=tuple(map(int, classes["positive"])),
            seeds=tuple(_seed(item) for item in seeds),
            decisions=Decisions.from_dict(content["decisions"]),
            evaluation=evaluation_options(content["evaluation"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise UserError(
            f"{path} must be a model of this program, but its content is not ({error!r:.100}); {AGAIN}"
        ) from None


def _form(content: Mapping[str, Any]) -> ImageFormat:
    seen = content.get("image_size")
    form = ImageFormat(
        channels=content["channels"],
        height=content["height"],
        width=content["width"],
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        bits=content.get("bits", 8),  # older versions had no other
        image_size=None if seen is None else tuple(seen),
        fit=content.get("fit", "exact"),
        any_depth=content.get("any_depth") is True,
        first_frame=content.get("first_frame") is True,
        features=tuple(content.get("features") or ()),
    )
    if form.fit not in FITS:
        raise ValueError(f"fit {form.fit}")
    if form.bits not in FULL:
        raise ValueError(f"{form.bits} bits")
    if form.features and (len(set(form.features)) != form.channels or not all(type(n) is str for n in form.features)):
        raise ValueError("names of other features")
    for sizes in ((form.channels, form.height, form.width), (len(form.mean), *form.input_size)):
        if any(type(size) is not int or size < 1 for size in sizes) or math.prod(sizes) > LARGEST_INPUT:
            raise ValueError(f"images of {sizes}")
    numbers = (*form.mean, *form.std)
    repeated = (form.channels, len(form.mean)) == (1, 3)  # a grey image in three channels
    if (len(form.mean) != form.channels and not repeated) or len(form.std) != len(form.mean):
        raise ValueError("mean and std of other channels")
    if seen is not None and len(seen) != 2:
        raise ValueError("image_size")
    if not all(isinstance(value, float) and math.isfinite(value) for value in numbers) or min(form.std) <= 0:
        raise ValueError("mean and std that are not numbers")
    return form


def _seed(content: Mapping[str, Any], of_classes: ClassContent | None = None) -> SeedModel:
    seed = SeedModel(**{name: content[name] for name in OF_SEED})
    columns = of_classes.columns if of_classes else ()
    if seed.threshold.shape != columns or seed.threshold.dtype != torch.float32:
        raise ValueError("a threshold that is not a float32 number")
    if not torch.isfinite(seed.threshold).all():
        raise ValueError("a threshold that is not finite")
    facts = {name: tuple(value) if isinstance(value, list) else value for name, value in seed.facts.items()}
    if of_classes:
        check_facts(facts, of_classes)
    sizes = [value.numel() for value in seed.loss.values() if isinstance(value, torch.Tensor)]
    samples = min(int(seed.facts["num_samples"]), max([1, *sizes]))  # an objective allocates what the file holds
    return SeedModel(seed.seed, seed.epoch, seed.weights, seed.loss, seed.threshold, {**facts, "num_samples": samples})
