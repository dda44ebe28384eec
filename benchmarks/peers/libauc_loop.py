"""LibAUC: AUCM loss, PESG and DualSampler, as in its tutorial "Optimizing AUROC loss on imbalanced dataset (PESG)".

Its data set, with the augmentation that all loops have here; sigmoid before the loss; its AUC. A sampling rate slightly
above the share of positives, as its documentation recommends, is one positive of a batch of 64, so that an epoch has
the steps of the others. The AUC of the training set in each epoch is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from libauc.losses import AUCMLoss
from libauc.metrics import auc_roc_score
from libauc.optimizers import PESG
from libauc.sampler import DualSampler
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.peers.problem import (
    BATCH,
    LR,
    MOMENTUM,
    VALIDATION_BATCH,
    WEIGHT_DECAY,
    Images,
    Labels,
    Problem,
    measure,
)

SAMPLING_RATE = 0.02


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images and targets in memory; the sampler reads ``targets``."""

    def __init__(self, images: Images, targets: Labels, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.targets, self.transform = images, targets, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.targets[index]


def epochs(problem: Problem) -> Iterator[float]:
    """Train and validate."""
    model = problem.build()
    to_tensor = [transforms.ToTensor(), transforms.Normalize(problem.mean, problem.std)]
    augment = [transforms.RandomCrop(problem.size[1:], padding=4), transforms.RandomHorizontalFlip()]
    train = ImageDataset(*problem.train, transforms.Compose([*(augment if problem.augmented else []), *to_tensor]))
    validation = ImageDataset(*problem.validation, transforms.Compose(to_tensor))
    sampler = DualSampler(train, BATCH, sampling_rate=SAMPLING_RATE)
    persistent = problem.workers > 0
    train_loader = DataLoader(train, BATCH, sampler=sampler, num_workers=problem.workers, persistent_workers=persistent)
    validation_loader = DataLoader(
        validation, VALIDATION_BATCH, num_workers=problem.workers, persistent_workers=persistent
    )
    loss_fn = AUCMLoss(device="cpu")
    optimizer = PESG(
        model.parameters(),
        loss_fn=loss_fn,
        lr=LR,
        momentum=MOMENTUM,
        margin=1.0,
        epoch_decay=0.003,
        weight_decay=WEIGHT_DECAY,
        device="cpu",
    )
    while True:
        model.train()
        for images, targets in train_loader:
            loss = loss_fn(torch.sigmoid(model(images)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        predictions, labels = [], []
        with torch.no_grad():
            for images, targets in validation_loader:
                predictions.append(torch.sigmoid(model(images)).numpy())
                labels.append(targets.numpy())
        yield float(auc_roc_score(np.concatenate(labels), np.concatenate(predictions)))


if __name__ == "__main__":
    measure(epochs, packages=["libauc"])
