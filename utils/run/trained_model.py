"""A trained run as an object: new images in, scores and decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.image_files import read_image
from ..data.npz import checked_pixels
from ..data.prepared_files import DTYPES
from ..data.raw import Pixels
from ..errors import UserError
from ..losses.base import Loss
from ..metrics.decisions import Threshold
from ..metrics.roc import Array
from ..run_files.checkpoints import restore
from ..run_files.model_pt import AGAIN, ModelFile, SeedModel, read_model
from ..run_files.paths import RunPaths
from ..run_files.results_json import read_results
from ..seeding import torch_stream
from ..system.devices import Machine, choose_device
from ..training.evaluation import batch_size
from .components import build_loss
from .experiment import network


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


class TrainedModel:
    """The models of all seeds of a run, with preprocessing and thresholds.

        model = load("checkpoint/runs/scans")
        scores = model.score(images)
        decided = model.decide(images, promise=0.98)

    Args:
        content: of model.pt, or of one seed's best.pt.
        machine: where to score, and in which precision.
    """

    def __init__(self, content: ModelFile, machine: Machine) -> None:
        self.content = content
        self.machine = machine
        self.form = content.form
        self.decisions = content.decisions
        self.seeds = [seed.seed for seed in content.seeds]
        self.batch_size = batch_size(*self.form.input_size)
        self._normalised = self.form.normalised(machine.device, torch.channels_last)
        self.members = [(*self._rebuilt(seed), seed.threshold.double()) for seed in content.seeds]

    def score(self, images: Any) -> Array:
        """(n,) float64 scores, the mean of those of the seeds; the higher, the more likely positive.

        Args:
            images: (n, H, W) or (n, H, W, C) integers in 0..255, of a model of 16 bits in 0..65535; (n, C) features; or
                a list of paths of images.

        Raises:
            UserError: the images are of another form than the model's.
        """
        mean: Array = self.score_seeds(images).mean(axis=0)
        return mean

    def score_seeds(self, images: Any) -> Array:
        """(seeds, n) float64 scores of each seed's model; see ``score``."""
        pixels = self._pixels(images)
        parts = [self.score_batch(pixels[i : i + self.batch_size]) for i in range(0, len(pixels), self.batch_size)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(self.seeds), 0))

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

    @torch.inference_mode()
    def score_batch(self, images: Pixels) -> Array:
        """(seeds, B) scores of one batch (B, H, W, C).

        Raises:
            UserError: a score is not a finite number.
        """
        batch = self.normalised(images)
        scores = np.empty((len(self.members), len(images)))
        for row, (model, loss, threshold) in enumerate(self.members):
            with self.machine.autocast():
                outputs = model(batch).float()
            scores[row] = (loss.score(outputs).double().cpu() - threshold).numpy()
        if not np.isfinite(scores).all():
            raise UserError(f"the model in {self.content.path} gives scores that are not finite numbers")
        return scores

    def normalised(self, images: Pixels) -> Tensor:
        """What the models see of images (B, H, W, C): float32 (B, C, *input_size) on the device."""
        return self._normalised(self.form.batch(images).to(self.machine.device))

    def _rebuilt(self, seed: SeedModel) -> tuple[torch.nn.Module, Loss]:
        content, form = self.content, self.form
        loss = build_loss(content.settings, seed.facts)
        generator = torch_stream(seed.seed, "initialisation")
        model = network(content.config, loss, form, generator)
        restore(model, seed.weights, path=content.path, what="model")
        restore(loss, seed.loss, path=content.path, what="objective")
        model.to(self.machine.device).to(memory_format=torch.channels_last)
        return model.eval(), loss.to(self.machine.device)

    def _pixels(self, images: Any) -> Pixels:
        if isinstance(images, (str, Path)):
            images = [images]
        if isinstance(images, Sequence) and all(isinstance(item, (str, Path)) for item in images):
            size = (self.form.height, self.form.width, self.form.channels)
            read = [read_image(Path(item), self.form) for item in images]
            return np.stack(read) if read else np.zeros((0, *size), dtype=DTYPES[self.form.bits])
        return checked_pixels("images", np.asarray(images), self.form)


def load(path: str | Path, *, device: str = "auto") -> TrainedModel:
    """The model of a run.

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
    return TrainedModel(content, Machine(chosen, precision, torch.get_num_threads()))


def _content(path: Path) -> ModelFile:
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
