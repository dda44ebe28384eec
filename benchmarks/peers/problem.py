"""What every loop is given (images, labels, model, options), and how its epochs are timed.

A loop is a generator: it trains an epoch, validates, yields the validation AUC, and goes on. ``measure`` lets one epoch
pass untimed, counts its images, and times the following ones.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from models import build_model

BATCH, VALIDATION_BATCH = 64, 512
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 2e-4
DELTA, MU = 0.25, 1e-4  # of the constraint
AUGMENTED = ("resnet10",)  # a crop of the image padded by 4 pixels, and a flip; the others see the images as they are
SHARED = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass
class Problem:
    """The task of a loop.

    Attributes:
        path: the .npz that all loops read.
        model: name of the architecture.
        workers: of a loop's DataLoader.
        variant: of a loop that has any, see there.
        train, validation: images (N, H, W) or (N, H, W, C) uint8, and their labels, 0 or 1.
        mean, std: of each channel of the training images, pixels in 0..1.
        seen: images that the model saw in training and in evaluation mode while they were counted.
    """

    path: Path
    model: str
    threads: int
    workers: int
    variant: str
    train: tuple[Images, Labels]
    validation: tuple[Images, Labels]
    mean: list[float]
    std: list[float]
    seen: dict[str, int] = field(default_factory=lambda: {"trained": 0, "validated": 0})
    _hooks: list[RemovableHandle] = field(default_factory=list)

    @property
    def augmented(self) -> bool:
        return self.model in AUGMENTED

    @property
    def size(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, height, width, *channels = self.train[0].shape
        return (channels[0] if channels else 1), height, width

    def build(self) -> nn.Module:
        """The model, with one output: a logit."""
        channels, *side = self.size
        model: nn.Module = build_model(
            self.model,
            channels=channels,
            image_size=(side[0], side[1]),
            generator=torch.Generator().manual_seed(0),
        )
        return self.counted(model)

    def counted(self, model: nn.Module) -> nn.Module:
        """Have the images counted that ``model`` sees in the first epoch."""
        self._hooks.append(model.register_forward_pre_hook(self._count))
        return model

    def _count(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.seen["trained" if model.training else "validated"] += len(inputs[0])

    def stop_counting(self) -> None:
        """Take the counter off the model."""
        for hook in self._hooks:
            hook.remove()


Epochs = Callable[[Problem], Iterator[float]]


def load(path: Path, model: str, *, threads: int = 1, workers: int = 0, variant: str = "") -> Problem:
    """The problem in an .npz of x_train, y_train, x_val, y_val."""
    with np.load(path) as arrays:
        train, validation = ((arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64)) for part in ("train", "val"))
    pixels = train[0].reshape(len(train[0]), *train[0].shape[1:3], -1) / np.float32(255)
    mean, std = (getattr(pixels, name)(axis=(0, 1, 2), dtype=np.float64).tolist() for name in ("mean", "std"))
    return Problem(path, model, threads, workers, variant, train, validation, mean, std)


def measure(
    epochs: Epochs,
    *,
    packages: Sequence[str] = (),
    variants: Sequence[str] = ("",),
    argv: Sequence[str] | None = None,
) -> None:
    """Print one line of JSON: seconds of each timed epoch, images seen in one, AUC of the last, versions of packages.

    Args:
        packages: distributions whose versions are recorded beside the shared ones.
        variants: those that the loop knows.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--variant", default="", choices=variants)
    parser.add_argument("--epochs", type=int, default=1, help="timed, after one that is not")
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    made_of = {"threads": options.threads, "workers": options.workers, "variant": options.variant}
    problem = load(options.data, options.model, **made_of)
    running = epochs(problem)
    next(running)
    problem.stop_counting()
    seconds, auc = [], math.nan
    for _ in range(options.epochs):
        begin = time.perf_counter()
        auc = next(running)
        seconds.append(time.perf_counter() - begin)
    content: dict[str, Any] = {
        "seconds": seconds,
        **problem.seen,
        "auc": auc,
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in (*SHARED, *packages)}},
    }
    print(json.dumps(content), flush=True)
