"""Reading .npz files: both layouts, and one line for everything that can be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.data import load_raw
from utils.errors import UserError

Arrays = dict[str, Any]


def keras_arrays(shape: tuple[int, ...] = (28, 28), train: int = 12, test: int = 6) -> Arrays:
    generator = np.random.Generator(np.random.PCG64(0))
    return {
        "x_train": generator.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train) % 2,
        "x_test": generator.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test) % 2,
    }


def saved(folder: Path, arrays: Arrays) -> Path:
    path = folder / "scans.npz"
    np.savez_compressed(path, allow_pickle=True, **arrays)
    return path


@pytest.mark.parametrize("shape, expected", [((28, 30), (28, 30, 1)), ((28, 28, 1),) * 2, ((32, 40, 3),) * 2])
def test_keras_keys(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    arrays = keras_arrays(shape)
    path = saved(tmp_path, arrays)
    raw = load_raw("scans", data_root=tmp_path)
    assert raw.train_images.shape == (12, *expected)
    assert raw.test_images.shape == (6, *expected)
    assert np.array_equal(raw.train_images.reshape(12, *shape), arrays["x_train"])
    assert raw.train_labels.dtype == np.int64
    assert raw.test_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert raw.validation_images is None
    assert raw.source == str(path)


def test_medmnist_keys_with_their_validation_set(tmp_path: Path) -> None:
    arrays = keras_arrays((28, 28, 3))
    medmnist = {
        "train_images": arrays["x_train"],
        "train_labels": arrays["y_train"][:, None].astype(np.uint8),
        "val_images": arrays["x_test"][:4],
        "val_labels": arrays["y_test"][:4, None].astype(np.uint8),
        "test_images": arrays["x_test"],
        "test_labels": arrays["y_test"][:, None].astype(np.uint8),
    }
    (tmp_path / "scans").mkdir()
    saved(tmp_path / "scans", medmnist)  # <data_root>/<name>/<name>.npz is looked into as well
    raw = load_raw("scans", data_root=tmp_path)
    assert [split for split, _, _ in raw.parts()] == ["train", "validation", "test"]
    assert raw.validation_labels is not None
    assert raw.validation_labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float16", "float64"])
def test_whole_numbers_of_any_type_are_taken(tmp_path: Path, dtype: str) -> None:
    arrays = keras_arrays()
    pixels = (arrays["x_train"] % 2).astype(dtype)
    saved(tmp_path, arrays | {"x_train": pixels, "y_train": arrays["y_train"].astype(dtype)})
    raw = load_raw("scans", data_root=tmp_path)
    assert raw.train_images.dtype == np.uint8
    assert np.array_equal(raw.train_images[..., 0], arrays["x_train"] % 2)
    assert raw.train_labels.tolist() == [0, 1] * 6


def changed(**changes: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {key: change(arrays[key]) for key, change in changes.items()}


def without(*keys: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: value for key, value in arrays.items() if key not in keys}


def with_value(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.astype(np.float64)
        array.flat[3] = value
        return array

    return change


REFUSALS: list[tuple[Callable[[Arrays], Arrays], str]] = [
    (without("y_test"), "y_test missing; expected the keys x_train, y_train, x_val"),
    (without("y_test"), "got x_train, y_train, x_test"),
    (lambda arrays: {"a": arrays["x_train"]}, "got a"),
    (lambda arrays: {"train_images": arrays["x_train"]}, "train_labels, test_images, test_labels missing"),
    (changed(x_train=lambda x: x.astype(object)), "x_train must be an array of numbers, got pickled"),
    (changed(y_train=lambda y: y.astype(object)), "y_train must be an array of numbers, got pickled"),
    (changed(y_train=lambda y: y.astype(str)), "y_train must be an array of numbers, got dtype <U"),
    (changed(x_train=lambda x: x * 1j), "x_train must be an array of numbers, got dtype complex128"),
    (changed(y_train=lambda y: y[:-1]), "got 12 images in x_train and 11 labels in y_train"),
    (changed(y_train=with_value(0.5)), "y_train must hold integers (class numbers), got 0.5"),
    (changed(y_train=with_value(np.nan)), "y_train must hold integers (class numbers), got nan"),
    (changed(y_train=lambda y: y + 2**40), "y_train must hold class numbers below 2**31"),
    (changed(y_train=lambda y: np.eye(2)[y]), "y_train must have shape (n,) or (n, 1)"),
    (changed(x_train=with_value(np.nan)), "x_train must hold integers in 0..255, got NaN or infinite pixels"),
    (changed(x_test=with_value(-np.inf)), "x_test must hold integers in 0..255, got NaN or infinite pixels"),
    (changed(x_train=lambda x: x / 255), "float64 from 0 to 1; multiply by 255"),
    (changed(x_train=lambda x: x.astype(int) * 2), "integers in 0..255, got int64 from 0 to 510"),
    (changed(x_train=lambda x: x.astype(int) - 1), "integers in 0..255, got int64 from -1 to 254"),
    (changed(x_train=lambda x: x[:, 0]), "x_train must have shape (n, H, W), (n, H, W, 1) or (n, H, W, 3)"),
    (changed(x_train=lambda x: x[:, None]), "channels last, got shape (12, 1, 28, 28)"),
    (changed(x_train=lambda x: np.stack([x, x], -1)), "channels last, got shape (12, 28, 28, 2)"),
    (changed(x_train=lambda x: x[..., None, None]), "got shape (12, 28, 28, 1, 1)"),
    (changed(x_train=lambda x: x[:0], y_train=lambda y: y[:0]), "x_train is empty (shape (0, 28, 28))"),
    (changed(y_test=lambda y: y[:0]), "y_test is empty (shape (0,)); it must hold"),
    (lambda arrays: arrays | {"x_val": arrays["x_test"][:0], "y_val": arrays["y_test"][:0]}, "x_val is empty (shape"),
    (
        lambda arrays: arrays | {"x_val": arrays["x_test"], "y_val": arrays["y_test"][:0]},
        "y_val is empty (shape (0,)); a file without x_val, y_val (val_images, val_labels) gets a validation set drawn",
    ),
    (lambda arrays: arrays | {"x_val": arrays["x_test"]}, "y_val missing; "),
    (changed(x_train=lambda x: x[0, 0, 0]), "x_train must have shape"),
    (changed(x_test=lambda x: x[:, 1:]), "in all sets, got x_train (28, 28, 1), x_test (27, 28, 1)"),
]


@pytest.mark.parametrize("change, message", REFUSALS)
def test_refusals(tmp_path: Path, change: Callable[[Arrays], Arrays], message: str) -> None:
    path = saved(tmp_path, change(keras_arrays()))
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        load_raw("scans", data_root=tmp_path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


BROKEN: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: b"", "is not a zip"),
    (lambda data: b"\x93NUMPY" + data, "is not a zip"),
    (lambda data: data[: len(data) // 2], "truncated or damaged"),
    (lambda data: data[:-1], "truncated or damaged"),
    (lambda data: data[:40], "truncated or damaged"),
    (lambda data: data[:2000] + b"\0" * 500 + data[2500:], "truncated or damaged"),
]


@pytest.mark.parametrize("damage, message", BROKEN)
def test_damaged_files(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = saved(tmp_path, keras_arrays())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as refused:
        load_raw("scans", data_root=tmp_path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_any_flipped_byte_is_read_or_refused_never_a_traceback(tmp_path: Path) -> None:
    path = saved(tmp_path, keras_arrays((28, 28), train=2, test=2))
    data = path.read_bytes()
    generator = np.random.Generator(np.random.PCG64(0))
    for place in generator.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[place] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        with suppress(UserError):
            load_raw("scans", data_root=tmp_path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be one of cifar10, cifar100, mnist") as refused:
        load_raw("scans", data_root=tmp_path)
    assert str(tmp_path / "scans.npz") in str(refused.value)
    assert str(tmp_path / "scans" / "scans.npz") in str(refused.value)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scans.npz").mkdir()
    with pytest.raises(UserError, match="cannot be opened"):
        load_raw("scans", data_root=tmp_path)


@pytest.mark.parametrize("name", ["", "../scans", "/etc/scans", "a/b", ".hidden", "scans.npz", "a\nb"])
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="dataset_name must be one of cifar10") as refused:
        load_raw(name, data_root=tmp_path)
    assert "\n" not in str(refused.value)
