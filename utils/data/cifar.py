"""CIFAR-10 and CIFAR-100 (fine labels), Krizhevsky 2009."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .raw import RawData
from .torchvision_files import TorchvisionFiles, load

# per channel, of pixels in 0..1; those of CIFAR-10, which the paper uses for both datasets
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
FILES = {
    "cifar10": TorchvisionFiles("CIFAR10", "cifar-10-batches-py", _BATCHES),
    "cifar100": TorchvisionFiles("CIFAR100", "cifar-100-python", ("train", "test")),
}


def load_cifar10(name: str, *, data_root: Path, download: bool) -> RawData:
    """50,000 + 10,000 colour images of 32 x 32 in 10 classes."""
    return _with_constants(load(name, FILES["cifar10"], data_root=data_root, download=download))


def load_cifar100(name: str, *, data_root: Path, download: bool) -> RawData:
    """50,000 + 10,000 colour images of 32 x 32 in 100 fine classes."""
    return _with_constants(load(name, FILES["cifar100"], data_root=data_root, download=download))


def _with_constants(raw: RawData) -> RawData:
    # a grey .npz file of that name is normalised by its own mean and standard deviation
    return replace(raw, mean=MEAN, std=STD) if raw.train_images.shape[3] == len(MEAN) else raw
