"""MNIST (LeCun 1998) and Fashion-MNIST (Xiao 2017), which have the same file names."""

from __future__ import annotations

from pathlib import Path

from .raw import RawData
from .torchvision_files import TorchvisionFiles, load

_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FILES = {
    "mnist": TorchvisionFiles("MNIST", "MNIST/raw", _NAMES),
    "fashion_mnist": TorchvisionFiles("FashionMNIST", "FashionMNIST/raw", _NAMES),
}


def load_mnist(name: str, *, data_root: Path, download: bool) -> RawData:
    """60,000 + 10,000 grey images of 28 x 28, the digits 0..9."""
    return load(name, FILES["mnist"], data_root=data_root, download=download)


def load_fashion_mnist(name: str, *, data_root: Path, download: bool) -> RawData:
    """60,000 + 10,000 grey images of 28 x 28, ten kinds of clothes."""
    return load(name, FILES["fashion_mnist"], data_root=data_root, download=download)
