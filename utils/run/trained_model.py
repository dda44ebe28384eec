"""A trained run as an object: new images in, scores and decisions out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..losses.base import Loss
from ..metrics.decisions import Threshold
from ..metrics.roc import Array
from ..metrics.scores import mean_of_seeds
from ..run_files.model_pt import AGAIN, ClassesFile, SidesFile, read_model
from ..run_files.paths import RunPaths
from ..run_files.results_json import read_results
from ..system.devices import Machine, choose_device
from .class_model import ClassModel
from .seed_models import SeedModels


@dataclass(frozen=True)
class Decided:
    """What a model says of some images.

    ``score`` (n,) is the mean of the seeds' scores; ``positive`` (n,) is true where it reaches ``threshold.value``;
    ``probability`` (n,) is calibrated on the run's validation set, for the class mix of that set, or None;
    ``referral`` holds ``rule out``, ``refer`` or ``rule in`` of each image, or is None where the run has no two
    thresholds.
    """

    score: Array
    positive: NDArray[np.bool_]
    threshold: Threshold
    probability: Array | None
    referral: list[str] | None


class TrainedModel(SeedModels):
    """The models of all seeds of a run, with preprocessing and thresholds.

        model = load("checkpoint/runs/scans")
        scores = model.score(images)
        decided = model.decide(images, promise=0.98)

    Args:
        content: of model.pt, or of one seed's best.pt.
        machine: where to score, and in which precision.
    """

    def __init__(self, content: SidesFile, machine: Machine) -> None:
        super().__init__(content, machine, columns=())
        self.content = content
        self.decisions = content.decisions

    def numbers(self, loss: Loss, outputs: Tensor, threshold: Tensor) -> Tensor:
        """(B,) float64 scores, less the threshold that was learned."""
        return loss.score(outputs).double().cpu() - threshold

    def score(self, images: Any) -> Array:
        """(n,) float64 scores, the mean of those of the seeds; the higher, the more likely positive.

        Args:
            images: see ``of_seeds``.

        Raises:
            UserError: the images are of another form than the model's.
        """
        return mean_of_seeds(self.score_seeds(images))

    def score_seeds(self, images: Any) -> Array:
        """(seeds, n) float64 scores of each seed's model; see ``score``."""
        return self.of_seeds(images)

    def decide(self, images: Any, *, promise: float | None = None, rule: str | None = None) -> Decided:
        """Scores, decisions and, where the run has them, probabilities and what is to be referred.

        Args:
            images: see ``score``.
            promise: the target of the rule, such as a TPR of 0.98.
            rule: how the threshold was chosen, one of ``metrics.decisions.RULES``; see ``Decisions.chosen``.

        Raises:
            UserError: see ``score``; or the run has no such threshold, as when it had too few positives.
        """
        threshold = self.decisions.chosen(rule=rule, target=promise)
        pair = self.decisions.pair(tpr=threshold.target if threshold.rule == "NP" else None)
        scores = self.score(images)
        assert threshold.value is not None
        return Decided(
            score=scores,
            positive=scores >= threshold.value,
            threshold=threshold,
            probability=self.decisions.probabilities(scores),
            referral=pair.referral(scores) if pair else None,
        )


def load(path: str | Path, *, device: str = "auto") -> TrainedModel | ClassModel:
    """The model of a run: a ``TrainedModel`` of two sides, a ``ClassModel`` of K classes.

    Args:
        path: the folder of a run, its model.pt, or best.pt of a finished seed.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: there is none, it is damaged, or model.pt is not of the seeds that results.json counts.
    """
    content = _content(Path(path))
    chosen = choose_device(device)
    precision = content.config.precision
    if precision == "tf32" and chosen.type != "cuda":
        precision = "fp32"
    machine = Machine(chosen, precision, torch.get_num_threads())
    return ClassModel(content, machine) if isinstance(content, ClassesFile) else TrainedModel(content, machine)


def _content(path: Path) -> SidesFile | ClassesFile:
    """The content of a file, or of a run's model.pt after a check that it is of the seeds in results.json.

    Raises:
        UserError: it is not there, or of other seeds.
    """
    if not path.is_dir():
        return read_model(path)
    paths = RunPaths(path.parent.parent, path.parent.name, path.name)
    if not paths.model.exists():
        raise UserError(f"{path} must be the folder of a trained run, but it has no model.pt; {AGAIN}")
    content = read_model(paths.model)
    if paths.results.exists():
        counted = {seed: block.get("checksums") for seed, block in read_results(paths.results)["seeds"].items()}
        if counted != content.checksums:
            raise UserError(f"{paths.model} is not of the seeds that {paths.results} counts; {AGAIN}")
    return content
