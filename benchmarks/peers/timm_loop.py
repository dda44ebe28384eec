"""timm: its loader, optimizer, scheduler and meters in the loop of its train.py, which its package does not hold.

The data set is one in memory instead of a folder of files. ``create_loader`` collates bytes and normalises the whole
batch (its prefetcher); the augmentation is put in the place of that for ImageNet. No checkpoints are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from timm.data import create_loader
from timm.data.transforms import ToNumpy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter
from torch import nn
from torch.utils.data import Dataset
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

CHANNELS_LAST = "channels_last"  # the variant that train.py's option --channels-last is


class ImageDataset(Dataset[tuple[Any, int]]):
    """Images and targets in memory; ``create_loader`` sets ``transform``."""

    def __init__(self, images: Images, targets: Labels) -> None:
        self.images, self.targets = images, targets
        self.transform: Callable[[Image.Image], Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.targets[index])


def epochs(problem: Problem) -> Iterator[float]:
    """Train and validate."""
    device = torch.device("cpu")
    layout = torch.channels_last if problem.variant == CHANNELS_LAST else torch.contiguous_format
    model = problem.build().to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = create_optimizer_v2(model, opt="sgd", lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    options: dict[str, Any] = {
        "input_size": problem.size,
        "mean": problem.mean,
        "std": problem.std,
        "num_workers": problem.workers,
        "device": device,
        "pin_memory": False,
    }
    augment = [transforms.RandomCrop(problem.size[1:], padding=4), transforms.RandomHorizontalFlip()]
    train: Any = ImageDataset(*problem.train)
    train_loader = create_loader(train, batch_size=BATCH, is_training=True, **options)
    train.transform = transforms.Compose([*(augment if problem.augmented else []), ToNumpy()])
    validation: Any = ImageDataset(*problem.validation)
    eval_loader = create_loader(validation, batch_size=VALIDATION_BATCH, **options)
    validation.transform = ToNumpy()
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=300, updates_per_epoch=len(train_loader))
    loss_fn = nn.BCEWithLogitsLoss()
    epoch = updates = 0
    while True:
        losses = AverageMeter()
        model.train()
        optimizer.zero_grad()
        for images, targets in train_loader:
            images = images.contiguous(memory_format=layout)
            loss = loss_fn(model(images).squeeze(1), targets.float())
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), images.size(0))
            optimizer.zero_grad()
            updates += 1
            scheduler.step_update(num_updates=updates, metric=losses.avg)
        model.eval()
        outputs, labels, losses = [], [], AverageMeter()
        with torch.no_grad():
            for images, targets in eval_loader:
                output = model(images.contiguous(memory_format=layout)).squeeze(1)
                losses.update(loss_fn(output, targets.float()).item(), images.size(0))
                outputs.append(output.numpy())
                labels.append(targets.numpy())
        auc = float(roc_auc_score(np.concatenate(labels), np.concatenate(outputs)))
        epoch += 1
        scheduler.step(epoch, auc)
        yield auc


if __name__ == "__main__":
    measure(epochs, packages=["timm"], variants=["", CHANNELS_LAST])
