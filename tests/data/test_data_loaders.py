"""The named datasets: torchvision's folders, .npz files in their stead, digits, enlarging small images."""

from __future__ import annotations

import hashlib
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from utils.data import DATASETS, default_augment, defaults_for, load_raw
from utils.data.raw import enlarged
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def mnist_arrays(train: int = 40, test: int = 20) -> dict[str, Any]:
    generator = np.random.Generator(np.random.PCG64(0))
    return {
        "x_train": generator.integers(0, 256, (train, 28, 28), dtype=np.uint8),
        "y_train": (np.arange(train) % 10).astype(np.uint8),
        "x_test": generator.integers(0, 256, (test, 28, 28), dtype=np.uint8),
        "y_test": (np.arange(test) % 10).astype(np.uint8),
    }


def write_mnist_folder(folder: Path, arrays: dict[str, Any]) -> None:
    """The four files in MNIST's format: 0, 0, type 8 (bytes), number of axes, their lengths, the bytes."""
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for key, name in (("x", "images-idx3-ubyte"), ("y", "labels-idx1-ubyte")):
            array = arrays[f"{key}_{split}"]
            lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
            header = bytes((0, 0, 8, array.ndim)) + lengths
            (folder / f"{prefix}-{name}").write_bytes(header + array.tobytes())


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network\nin this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
@pytest.mark.parametrize("below", ["", "own"])
def test_torchvisions_folder_is_found_and_read(tmp_path: Path, name: str, folder: str, below: str) -> None:
    arrays = mnist_arrays()
    root = tmp_path / name if below else tmp_path
    write_mnist_folder(root / folder / "raw", arrays)
    raw = load_raw(name, data_root=tmp_path)
    assert np.array_equal(raw.train_images[..., 0], arrays["x_train"])
    assert np.array_equal(raw.test_labels, arrays["y_test"])
    assert folder in raw.source


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_an_npz_stands_in_without_torchvision(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / f"{name}.npz", **mnist_arrays())
    raw = load_raw(name, data_root=str(tmp_path), download=True)
    assert raw.source == str(tmp_path / f"{name}.npz")
    assert raw.mean is None


def test_cifar_is_normalised_by_its_constants(tmp_path: Path) -> None:
    arrays = mnist_arrays()
    colour: dict[str, Any] = {k: np.stack([v] * 3, -1) if k.startswith("x") else v for k, v in arrays.items()}
    np.savez(tmp_path / "cifar100.npz", **colour)
    raw = load_raw("cifar100", data_root=tmp_path)
    assert raw.mean == (0.4914, 0.4822, 0.4465)
    assert raw.std == (0.2023, 0.1994, 0.2010)


def test_cifar100_folder_gives_fine_labels_and_channels_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar100: Any = pytest.importorskip("torchvision.datasets").CIFAR100
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (6, 3072), dtype=np.uint8)
    labels = {"fine_labels": [72, 4, 95, 30, 55, 73], "coarse_labels": [0, 0, 0, 0, 0, 1]}
    contents: dict[str, Any] = {name: {"data": pixels, **labels} for name in ("train", "test")}
    contents["meta"] = {"fine_label_names": [str(i) for i in range(100)]}
    (tmp_path / "cifar-100-python").mkdir()
    for name, content in contents.items():
        data = pickle.dumps(content)
        (tmp_path / "cifar-100-python" / name).write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        if name == "meta":
            monkeypatch.setattr(cifar100, "meta", cifar100.meta | {"md5": md5})
        else:
            monkeypatch.setattr(cifar100, f"{name}_list", [[name, md5]])
    raw = load_raw("cifar100", data_root=tmp_path)
    assert raw.test_labels.tolist() == labels["fine_labels"]
    assert np.array_equal(raw.train_images, pixels.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1))
    assert raw.mean == (0.4914, 0.4822, 0.4465)


def test_a_refused_cifar_folder_names_itself_and_the_npz(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps({"data": [], "labels": []}))
    with pytest.raises(UserError, match="Dataset not found or corrupted") as refused:
        load_raw("cifar10", data_root=tmp_path)
    message = str(refused.value)
    assert str(folder) in message
    assert str(tmp_path / "cifar10.npz") in message
    assert "\n" not in message
    assert "download=True" not in message
    assert "--data_root" in message
    # and what it advises helps
    np.savez(tmp_path / "cifar10.npz", **mnist_arrays())
    assert load_raw("cifar10", data_root=tmp_path).source == str(tmp_path / "cifar10.npz")


@pytest.mark.parametrize("size", [0, 10, 20000])
def test_a_truncated_mnist_folder(tmp_path: Path, size: int) -> None:
    write_mnist_folder(tmp_path / "MNIST" / "raw", mnist_arrays())
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:size])
    with pytest.raises(UserError, match="torchvision refuses the folder") as refused:
        load_raw("mnist", data_root=tmp_path)
    assert str(images.parent) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_images_and_labels_of_unequal_number(tmp_path: Path) -> None:
    arrays = mnist_arrays()
    write_mnist_folder(tmp_path / "MNIST" / "raw", arrays | {"y_train": arrays["y_train"][:-1]})
    with pytest.raises(UserError, match="40 images but 39 labels in the train files"):
        load_raw("mnist", data_root=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_missing_files_say_what_was_looked_for_and_where(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"neither .* exists in .*; allow the download") as refused:
        load_raw(name, data_root=tmp_path / "nowhere")
    message = str(refused.value)
    assert f"{tmp_path / 'nowhere'} or {tmp_path / 'nowhere' / name}" in message
    assert f"{name}.npz" in message
    assert "\n" not in message


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_failed_download_is_one_line_and_can_be_repeated(tmp_path: Path, name: str) -> None:
    before = socket.getdefaulttimeout()
    for _ in range(2):  # the first attempt leaves folders behind
        with pytest.raises(UserError, match=r"neither .* exists in .*; the download failed \(.*no network") as refused:
            load_raw(name, data_root=tmp_path, download=True)
        assert "\n" not in str(refused.value)
    assert socket.getdefaulttimeout() == before


def test_digits_need_no_file_and_are_the_same_each_time() -> None:
    raw = load_raw("digits", data_root="nowhere")
    again = load_raw("digits", data_root="nowhere")
    assert raw.train_images.shape == (1347, 32, 32, 1)
    assert raw.test_images.shape == (450, 32, 32, 1)
    assert raw.train_images.min() == 0
    assert raw.train_images.max() == 255
    for part, other in zip(raw.parts(), again.parts(), strict=True):
        assert np.array_equal(part[1], other[1])
        assert np.array_equal(part[2], other[2])
    quarter = np.bincount(raw.test_labels) / np.bincount(np.concatenate([raw.train_labels, raw.test_labels]))
    assert np.allclose(quarter, 0.25, atol=0.005)


@pytest.mark.parametrize("height, width", [(8, 8), (20, 20), (27, 12), (1, 1), (40, 7), (28, 27)])
def test_enlarging_equals_torchs_bilinear_interpolation(height: int, width: int) -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    images = generator.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    size = tuple(32 if side < 28 else side for side in (height, width))
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    expected = interpolate(floats, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    result = enlarged(images)
    assert result.shape == (3, *size, 3)
    assert result.dtype == np.uint8
    assert np.abs(result - expected.numpy()).max() <= 0.5 + 1e-9


def test_enlarging_works_over_several_chunks_and_leaves_large_images_alone() -> None:
    images = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (1500, 2, 2, 1), dtype=np.uint8)
    assert np.array_equal(enlarged(images)[1400:], enlarged(images[1400:]))
    large = np.zeros((2, 28, 30, 1), dtype=np.uint8)
    assert enlarged(large) is large


def test_defaults() -> None:
    cifar10, cifar100, digits = (defaults_for(name) for name in ("cifar10", "cifar100", "digits"))
    assert (cifar10.negative_classes, cifar10.positive_classes) == ((1,), (9,))
    assert (cifar10.validation_per_class, cifar10.lr, cifar10.augment) == (100, 0.01, "crop_flip")
    assert (cifar100.negative_classes, cifar100.positive_classes) == ((72, 4, 95, 30, 55), (73,))
    assert (cifar100.validation_per_class, cifar100.lr, cifar100.augment) == (50, 0.001, "crop_flip")
    assert (digits.ratio_pos_train, digits.augment, digits.validation_per_class) == (20, "none", None)
    assert defaults_for("mnist") == defaults_for("fashion_mnist")
    unknown = defaults_for("scans")
    assert (unknown.negative_classes, unknown.augment, unknown.ratio_pos_train) == (None, None, "natural")
    assert (unknown.train_fraction, unknown.subset_ratios) == (1.0, ("natural",))
    assert {(defaults_for(name).train_fraction, defaults_for(name).subset_ratios) for name in DATASETS} == {(0.9, (1,))}


def test_the_default_of_augment_follows_from_the_channels() -> None:
    assert (default_augment(channels=3), default_augment(channels=1)) == ("crop_flip", "none")


def test_importing_the_package_and_reading_an_npz_import_neither_torch_nor_torchvision(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "mnist.npz", **mnist_arrays())
    code = (
        "import sys, utils.data as d; d.defaults_for('mnist'); d.load_raw('mnist', data_root=sys.argv[1]);"
        "print([m for m in ('torch', 'torchvision', 'sklearn') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
