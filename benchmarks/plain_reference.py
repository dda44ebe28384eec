"""Training as it is commonly written, timed against ours: same model, data, batch size, options and precision.

A DataLoader over PIL images with torchvision's transforms, positives and negatives picked by boolean masks, a Python
loop over the positives for the constraint, its multipliers in a dict, ``.item()`` at each step, SGD that is not fused,
contiguous tensors, validation image by image. Used for this comparison only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class ImageDataset(Dataset[tuple[Tensor, int, int]]):
    """(image, label, dataset index) of the samples ``indices``.

    Args:
        images: (M, H, W, C) uint8.
        transform: from a PIL image to a tensor.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: Sequence[int],
        indices: Sequence[int],
        transform: Callable[[Image.Image], Tensor],
    ) -> None:
        self.images, self.labels, self.indices, self.transform = images, labels, indices, transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> tuple[Tensor, int, int]:
        index = self.indices[item]
        pixels = self.images[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self.transform(image), self.labels[index], index


def transform_of(augment: str, *, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Any:
    """torchvision's transforms for ``augment`` none, crop or crop_flip."""
    steps: list[Any] = []
    if augment in ("crop", "crop_flip"):
        steps.append(transforms.RandomCrop(size, padding=4))
    if augment == "crop_flip":
        steps.append(transforms.RandomHorizontalFlip())
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])


class LoopedConstraint:
    """The augmented Lagrangian with a loop over the positives of the batch; mu is constant."""

    def __init__(self, *, delta: float, mu: float, p2_norm: float = 1.0) -> None:
        self.delta, self.mu, self.p2_norm = delta, mu, p2_norm
        self.multipliers: dict[int, float] = {}
        self._violations: dict[int, float] = {}

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """1/(P*N) * sum_j [ mu/2 * q_j^(2 p2_norm) + multiplier_j * q_j ]; 0 where the batch lacks a class."""
        positives, negatives = scores[targets == 1], scores[targets == 0]
        self._violations = {}
        total = scores.sum() * 0
        if len(positives) == 0 or len(negatives) == 0:
            return total
        for score, index in zip(positives, indices[targets == 1].tolist(), strict=True):
            violation = torch.clamp(self.delta - (score - negatives), min=0).sum()
            quadratic = self.mu / 2 * violation ** (2 * self.p2_norm)
            total = total + quadratic + self.multipliers.get(index, 0.0) * violation
            self._violations[index] = violation.item()
        return total / (len(positives) * len(negatives))

    def update_multipliers(self) -> None:
        """multiplier_j <- multiplier_j + mu * q_j."""
        for index, violation in self._violations.items():
            self.multipliers[index] = self.multipliers.get(index, 0.0) + self.mu * violation


class PlainTraining:
    """Steps and validation of one seed.

    Args:
        model: changed in place; contiguous.
        train, validation: their samples.
        constraint: or None.
        autocast: the context of a forward pass.
        seed: of the order.
    """

    def __init__(
        self,
        model: nn.Module,
        train: ImageDataset,
        validation: ImageDataset,
        *,
        constraint: LoopedConstraint | None,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        autocast: Callable[[], AbstractContextManager[object]],
        seed: int,
    ) -> None:
        self.model, self.constraint, self.optimizer, self.autocast = model, constraint, optimizer, autocast
        self.criterion = nn.BCEWithLogitsLoss()
        generator = torch.Generator().manual_seed(seed)
        self._loader = DataLoader(train, batch_size=batch_size, shuffle=True, generator=generator)
        self._validation_loader = DataLoader(validation, batch_size=1)
        self._batches = self._endless()
        self.train_loss = 0.0
        self.train_scores: list[float] = []

    def _endless(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            yield from self._loader

    def steps(self, count: int) -> None:
        """Train on the next ``count`` batches."""
        self.model.train()
        self.train_scores.clear()
        for images, targets, indices in itertools.islice(self._batches, count):
            with self.autocast():
                outputs = self.model(images)
            scores = outputs.float().squeeze(1)
            loss = self.criterion(scores, targets.float())
            if self.constraint:
                loss = loss + self.constraint.penalty(scores, targets, indices)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if self.constraint:
                self.constraint.update_multipliers()
            self.train_loss += loss.item()
            self.train_scores.extend(scores.tolist())

    @torch.no_grad()
    def validate(self, count: int) -> float:
        """AUC of the first ``count`` validation images; NaN where they lack a class."""
        self.model.eval()
        losses, scores, labels = [], [], []
        for image, target, _ in itertools.islice(self._validation_loader, count):
            with self.autocast():
                output = self.model(image)
            score = output.float().squeeze(1)
            losses.append(self.criterion(score, target.float()).item())
            scores.append(score.item())
            labels.append(target.item())
        return float(roc_auc_score(labels, scores)) if len(set(labels)) > 1 else float("nan")
