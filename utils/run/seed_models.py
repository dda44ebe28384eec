"""The models of all seeds of a run: images in, the numbers of each seed out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.image_files import read_image
from ..data.image_pixels import BrokenImageError
from ..data.npz import checked_pixels
from ..data.prepared_files import DTYPES
from ..data.raw import Pixels
from ..errors import UserError, one_line
from ..losses.base import Loss
from ..metrics.roc import Array
from ..run_files.checkpoints import restore
from ..run_files.model_pt import ModelFile, SeedModel
from ..seeding import torch_stream
from ..system.devices import Machine
from ..training.evaluation import batch_size
from .components import build_loss
from .experiment import network


class SeedModels:
    """Base of the trained models, with preprocessing; a subclass says which ``numbers`` an image has.

    Args:
        content: of model.pt, or of one seed's best.pt.
        machine: where to score, and in which precision.
        columns: the shape of the numbers of an image.
    """

    def __init__(self, content: ModelFile, machine: Machine, *, columns: tuple[int, ...]) -> None:
        self.path = content.path
        self.machine = machine
        self.form = content.form
        self.columns = columns
        self.seeds = [seed.seed for seed in content.seeds]
        self.batch_size = batch_size(*self.form.input_size)
        self._normalised = self.form.normalised(machine.device, torch.channels_last)
        self.members = [(*_rebuilt(seed, content, machine), seed.threshold.double()) for seed in content.seeds]

    def numbers(self, loss: Loss, outputs: Tensor, threshold: Tensor) -> Tensor:
        """(B, *columns) float64 on the CPU, from the outputs of one seed's network."""
        raise NotImplementedError(f"{type(self).__name__} must define numbers")  # pragma: no cover

    def of_seeds(self, images: Any) -> Array:
        """(seeds, n, *columns) float64 numbers of each seed's model.

        Args:
            images: (n, H, W) or (n, H, W, C) integers in 0..255, of a model of 16 bits in 0..65535; (n, C) features; or
                a list of paths of images.

        Raises:
            UserError: the images are of another form than the model's, or a file cannot be read.
        """
        pixels = self._pixels(images)
        parts = [self.score_batch(pixels[i : i + self.batch_size]) for i in range(0, len(pixels), self.batch_size)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(self.seeds), 0, *self.columns))

    @torch.inference_mode()
    def score_batch(self, images: Pixels) -> Array:
        """(seeds, B, *columns) numbers of one batch (B, H, W, C).

        Raises:
            UserError: one of them is not finite.
        """
        batch = self.normalised(images)
        found = np.empty((len(self.members), len(images), *self.columns))
        for row, (model, loss, threshold) in enumerate(self.members):
            with self.machine.autocast():
                outputs = model(batch).float()
            found[row] = self.numbers(loss, outputs, threshold).numpy()
        if not np.isfinite(found).all():
            raise UserError(f"the model in {self.path} gives scores that are not finite numbers")
        return found

    def normalised(self, images: Pixels) -> Tensor:
        """What the models see of images (B, H, W, C): float32 (B, C, *input_size) on the device."""
        return self._normalised(self.form.batch(images).to(self.machine.device))

    def _pixels(self, images: Any) -> Pixels:
        if isinstance(images, (str, Path)):
            images = [images]
        if isinstance(images, Sequence) and all(isinstance(item, (str, Path)) for item in images):
            size = (self.form.height, self.form.width, self.form.channels)
            read = [self._read(Path(item)) for item in images]
            return np.stack(read) if read else np.zeros((0, *size), dtype=DTYPES[self.form.bits])
        return checked_pixels("images", np.asarray(images), self.form)

    def _read(self, path: Path) -> Pixels:
        try:
            return read_image(path, self.form)
        except BrokenImageError as error:
            raise UserError(f"cannot score {one_line(path)}: {error}") from None


def _rebuilt(seed: SeedModel, content: ModelFile, machine: Machine) -> tuple[torch.nn.Module, Loss]:
    loss = build_loss(content.settings, seed.facts)
    model = network(content.config, loss, content.form, torch_stream(seed.seed, "initialisation"))
    restore(model, seed.weights, path=content.path, what="model")
    restore(loss, seed.loss, path=content.path, what="objective")
    model.to(machine.device).to(memory_format=torch.channels_last)
    return model.eval(), loss.to(machine.device)
