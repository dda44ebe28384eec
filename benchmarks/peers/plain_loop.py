"""A plain PyTorch loop: a DataLoader over PIL images with torchvision's transforms, BCE, SGD.

As in PyTorch's tutorials: the data set returns PIL images as those of torchvision.datasets do, workers persist, the
batches of the validation are larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
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


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images and labels in memory."""

    def __init__(self, images: Images, labels: Labels, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def epochs(problem: Problem) -> Iterator[float]:
    """Train and validate."""
    model = problem.build()
    to_tensor = [transforms.ToTensor(), transforms.Normalize(problem.mean, problem.std)]
    augment = [transforms.RandomCrop(problem.size[1:], padding=4), transforms.RandomHorizontalFlip()]
    train = ImageDataset(*problem.train, transforms.Compose([*(augment if problem.augmented else []), *to_tensor]))
    validation = ImageDataset(*problem.validation, transforms.Compose(to_tensor))
    workers = problem.workers
    persistent, pinned = workers > 0, torch.cuda.is_available()
    train_loader = DataLoader(
        train, BATCH, shuffle=True, num_workers=workers, persistent_workers=persistent, pin_memory=pinned
    )
    validation_loader = DataLoader(
        validation, VALIDATION_BATCH, num_workers=workers, persistent_workers=persistent, pin_memory=pinned
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    while True:
        model.train()
        total = 0.0
        for images, targets in train_loader:
            loss = criterion(model(images).squeeze(1), targets.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        scores, labels = [], []
        with torch.no_grad():
            for images, targets in validation_loader:
                scores.append(model(images).squeeze(1).numpy())
                labels.append(targets.numpy())
        yield float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))


if __name__ == "__main__":
    measure(epochs)
