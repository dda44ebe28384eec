"""Any dataset in an .npz file with the keys of Keras or MedMNIST."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..errors import one_line as printable
from ..registry import near
from ..system.installation import typed
from ..system.memory import memory_to_spare
from .raw import (
    ENLARGED_SIDE,
    SHORTEST_SIDE,
    WITHOUT_VALIDATION,
    Int64Array,
    Pixels,
    RawData,
    UInt8Array,
    one_line,
    with_small_images_enlarged,
)

if TYPE_CHECKING:
    from .image_format import ImageFormat

# the keys of (images, labels) in each layout; the validation set is optional
_KERAS = {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_MEDMNIST = {
    "train": ("train_images", "train_labels"),
    "validation": ("val_images", "val_labels"),
    "test": ("test_images", "test_labels"),
}
KEYS_HINT = "keys x_train, y_train, x_test, y_test"
MAX_ARRAY_BYTES = 32 * 2**30  # the largest MedMNIST file takes 15 GiB
MAX_SHARE = 0.5  # of the free memory that the arrays of a file may take
MAX_RATIO = 200  # of unpacked to packed size, for arrays above UNSUSPECTED; real images are far below it
UNSUSPECTED = 2**28  # bytes


def npz_candidates(name: str, *, data_root: Path) -> tuple[Path, Path]:
    """The paths searched for the .npz file of ``name``, in this order."""
    return data_root / f"{name}.npz", data_root / name / f"{name}.npz"


def find_npz(name: str, *, data_root: Path) -> Path | None:
    """The first of ``npz_candidates`` that exists."""
    # os.path.exists, because Path.exists raises for a folder without permission
    return next((path for path in npz_candidates(name, data_root=data_root) if os.path.exists(path)), None)


def load_npz(name: str, *, data_root: Path, download: bool) -> RawData:
    """Read ``<data_root>/<name>.npz`` or ``<data_root>/<name>/<name>.npz``; ``download`` is ignored.

    Raises:
        UserError: no such file, or see ``read_npz``.
    """
    path = find_npz(name, data_root=data_root)
    if path is None:
        raise _nothing_there(name, data_root)
    return read_npz(path, name=name)


def _nothing_there(name: str, data_root: Path) -> UserError:
    """The error for a name without data: the near names there are, and how data get one."""
    from . import DATASETS, own_names

    places = " nor ".join(str(place) for place in npz_candidates(name, data_root=data_root))
    close = near(name, [*DATASETS, *own_names(data_root)])
    hint = f"did you mean {' or '.join(map(printable, close))}? Else " if close else ""
    folder = data_root / name
    if os.path.isdir(folder):
        command = typed("prepare", [str(folder), "--out", f"{folder}_prepared"])
        remedy = f"make a data set of the folder {folder}: {command}"
    else:
        command = typed("prepare", ["IMAGES", "--out", str(folder)])
        remedy = f"put the file there ({KEYS_HINT}), make a data set of images: {command}"
    return UserError(
        f"dataset_name must be one of {', '.join(DATASETS)} or the name of prepared data or of an .npz file, got"
        f" {name!r}: neither {places} exists; {hint}{remedy}, or change --dataset_name or --data_root"
    )


def read_npz(path: Path, *, name: str) -> RawData:
    """Read the images and labels of a file with the keys of Keras or MedMNIST; nothing is unpickled.

    Images (n, H, W), (n, H, W, 1) or (n, H, W, 3), integers in 0..255; labels (n,) or (n, 1), integers. The
    validation set (x_val, y_val or val_images, val_labels) is optional.

    Raises:
        UserError: the file cannot be read or has other contents.
    """
    parts = read_parts(path)
    arrays_by_field: dict[str, Any] = {
        f"{split}_{field}": array
        for split, part in parts.items()
        for field, array in zip(("images", "labels"), part, strict=True)
    }
    return with_small_images_enlarged(RawData(name=name, source=str(path), **arrays_by_field))


def read_parts(path: Path) -> dict[str, tuple[UInt8Array, Int64Array]]:
    """split -> images (n, H, W, C) of one size and labels (n,), as they are in the file; see ``read_npz``.

    Raises:
        UserError: likewise.
    """
    keys = check_npz(path)
    with _readable(path), np.load(path, allow_pickle=False) as file:
        # the full name, because another member could be called just "x_train"
        arrays = {key: file[f"{key}.npy"] for pair in keys.values() for key in pair}
    parts = {split: _part(path, arrays, *pair) for split, pair in keys.items()}
    shapes = {keys[split][0]: images.shape[1:] for split, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise UserError(f"{path}: expected images of one size (height, width, channels) in all sets, got {sizes}")
    return parts


def read_npz_images(path: Path, form: ImageFormat, *, keys: Sequence[str]) -> Pixels:
    """The images (n, H, W, C) under the first of ``keys`` that the file has; nothing is unpickled.

    Raises:
        UserError: the file cannot be read, has none of the keys, or see ``checked_pixels``.
    """
    with _readable(path):
        with zipfile.ZipFile(path) as archive:
            found = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
            key = next((key for key in keys if key in found), None)
            if key is None:
                shown = printable(", ".join(found[:50]))[:500]
                raise UserError(f"{path} must have one of the keys {', '.join(keys)}, got {shown or 'none'}")
            _check_memory(path, {key: _header(path, archive, key)})
        with np.load(path, allow_pickle=False) as file:
            array = file[f"{key}.npy"]
    return checked_pixels(f"{path}: {key}", array, form)


def check_npz(path: Path) -> dict[str, tuple[str, str]]:
    """Check all of a file but its values, which are not read; returns the keys (images, labels) of each split.

    Raises:
        UserError: see ``read_npz``.
    """
    with _readable(path):
        if not path.is_file():  # opening a pipe would block
            raise UserError(f"{path}: expected an .npz file, but it is not a regular file and cannot be opened")
        with path.open("rb") as opened:
            start = opened.read(2)
        if start != b"PK":
            raise UserError(f"{path}: expected an .npz file (a zip archive of .npy arrays), but it is not a zip")
        with zipfile.ZipFile(path) as archive:
            keys = _keys_in_use(path, [file[:-4] for file in archive.namelist() if file.endswith(".npy")])
            headers = {key: _header(path, archive, key) for pair in keys.values() for key in pair}
            _check_memory(path, headers)
    return keys


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's warnings about headers of old or unusual files
            yield
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a damaged file
        raise UserError(
            f"{path}: expected a readable .npz file, but it is truncated or damaged or cannot be opened"
            f" ({one_line(error)}); copy or save it again"
        ) from error


def _keys_in_use(path: Path, found: list[str]) -> dict[str, tuple[str, str]]:
    """The keys of each split that the file has, in the layout it follows."""
    layout = _MEDMNIST if any(key in found for pair in _MEDMNIST.values() for key in pair) else _KERAS
    if any(key in found for pair in _KERAS.values() for key in pair):
        layout = _KERAS
    used = {
        split: pair for split, pair in layout.items() if split != "validation" or pair[0] in found or pair[1] in found
    }
    missing = [key for pair in used.values() for key in pair if key not in found]
    if missing:
        keras, medmnist = (", ".join(k for p in lay.values() for k in p) for lay in (_KERAS, _MEDMNIST))
        raise UserError(
            f"{path}: {', '.join(missing)} missing; expected the keys {keras} or {medmnist} (val optional),"
            f" got {printable(', '.join(found[:50]))[:500] or 'none'}"
        )
    return used


@dataclass(frozen=True)
class _Header:
    """The size that an array declares."""

    shape: tuple[int, ...]
    itemsize: int

    @property
    def needed(self) -> int:
        """Bytes in memory, including the enlarged copy of small images."""
        size = math.prod(self.shape) * self.itemsize
        if len(self.shape) < 3 or not size:
            return size
        sides = (max(side, ENLARGED_SIDE) if side < SHORTEST_SIDE else side for side in self.shape[1:3])
        return size + self.shape[0] * math.prod(sides) * math.prod(self.shape[3:])


def _header(path: Path, archive: zipfile.ZipFile, key: str) -> _Header:
    """Check the declared type and size of an array before any memory is allocated for it."""
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > max(UNSUSPECTED, MAX_RATIO * info.compress_size):
        raise UserError(
            f"{path}: {key} must not grow more than {MAX_RATIO}-fold when unpacked, got {info.compress_size:,} to"
            f" {info.file_size:,} bytes; save it uncompressed, with numpy.savez"
        )
    with archive.open(info) as member:
        if np.lib.format.read_magic(member) != (1, 0):  # later versions declare the length of their header themselves
            raise UserError(f"{path}: {key} must be an .npy array of version 1.0; save it again with numpy.savez")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        held = info.file_size - member.tell()
    if dtype.hasobject:
        raise UserError(
            f"{path}: {key} must be an array of numbers, got pickled Python objects (dtype object), which are never"
            " loaded; save images of one size as one array"
        )
    if dtype.kind not in "buif":
        raise UserError(f"{path}: {key} must be an array of numbers, got dtype {dtype}")
    announced = math.prod(shape) * dtype.itemsize
    if announced > MAX_ARRAY_BYTES:
        raise UserError(
            f"{path}: {key} declares shape {shape} of {dtype}, {announced:,} bytes; at most"
            f" {MAX_ARRAY_BYTES:,} are read"
        )
    if announced != held:
        raise UserError(
            f"{path}: {key} declares shape {shape} of {dtype}, {announced:,} bytes, but {held:,} follow;"
            " save the file again"
        )
    return _Header(shape, dtype.itemsize)


def _check_memory(path: Path, headers: Mapping[str, _Header]) -> None:
    """Refuse a file whose arrays together would take too much memory."""
    needed, spare = sum(header.needed for header in headers.values()), memory_to_spare()
    if needed > MAX_SHARE * spare:
        raise UserError(
            f"{path}: its arrays must fit in {MAX_SHARE * 100:.0f} % of the {spare:,} free bytes of memory, got"
            f" {needed:,}; use a machine with more memory, or fewer or smaller images"
        )


def _part(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], image_key: str, label_key: str
) -> tuple[UInt8Array, Int64Array]:
    for key in (image_key, label_key):
        if arrays[key].size == 0:
            remedy = WITHOUT_VALIDATION if "val" in key else "it must hold images of each class in use and their labels"
            raise UserError(f"{path}: {key} is empty (shape {arrays[key].shape}); {remedy}")
    images = _images(f"{path}: {image_key}", arrays[image_key])
    labels = _labels(f"{path}: {label_key}", arrays[label_key])
    if len(images) != len(labels):
        raise UserError(
            f"{path}: expected a label for each image, got {len(images)} images in {image_key} and"
            f" {len(labels)} labels in {label_key}"
        )
    return images, labels


def checked_pixels(what: str, array: npt.NDArray[Any], form: ImageFormat) -> Pixels:
    """Images (n, H, W, C) from an array of the size, channels and bits of ``form``; features are (n, C) there.

    Raises:
        UserError: it has another shape or depth, or values other than integers in 0..255 (16 bits: 65535).
    """
    if form.has_features:
        return _features(what, array, form)
    images = _images(what, array) if form.bits == 8 else _deep_images(what, array)
    expected = (form.height, form.width, form.channels)
    if images.shape[1:] != expected:
        raise UserError(
            f"{what} must be {expected} (height, width, channels), as the model was trained on, got {images.shape[1:]}"
        )
    return images


def _features(what: str, array: npt.NDArray[Any], form: ImageFormat) -> Pixels:
    """(n, 1, 1, C) float32."""
    rows = array.reshape(len(array), -1) if array.ndim else array
    if rows.ndim != 2 or rows.shape[1] != form.channels or rows.dtype.kind not in "buif":
        raise UserError(
            f"{what} must be (n, {form.channels}) numbers, the features that the model was trained on, got"
            f" {array.shape} of {array.dtype}"
        )
    if not np.isfinite(rows).all():
        raise UserError(f"{what} must hold finite numbers, got NaN or infinite ones")
    return rows.astype(np.float32).reshape(-1, 1, 1, form.channels)


def _deep_images(what: str, array: npt.NDArray[Any]) -> Pixels:
    """(n, H, W, C) uint16."""
    _check_image_shape(what, array)
    if array.dtype.kind not in "ui" or array.dtype.itemsize == 1:
        raise UserError(f"{what} must hold integers of 16 bits, as the model was trained on, got {array.dtype}")
    if array.min(initial=0) < 0 or array.max(initial=0) > 65535:
        raise UserError(f"{what} must hold integers in 0..65535, got {array.min()} to {array.max()}")
    deep = array.astype(np.uint16)
    return deep if deep.ndim == 4 else deep[..., None]


def _images(what: str, array: npt.NDArray[Any]) -> UInt8Array:
    """(n, H, W, C) uint8."""
    _check_image_shape(what, array)
    if array.dtype != np.uint8:
        _check_pixels(what, array)
        array = array.astype(np.uint8)
    return array if array.ndim == 4 else array[..., None]


def _check_image_shape(what: str, array: npt.NDArray[Any]) -> None:
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise UserError(
            f"{what} must have shape (n, H, W), (n, H, W, 1) or (n, H, W, 3), channels last, got shape {array.shape}"
        )


def _check_pixels(what: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(f"{what} must hold integers in 0..255, got NaN or infinite pixels")
        if (array != np.rint(array)).any():
            raise UserError(
                f"{what} must hold integers in 0..255, got {array.dtype} from {array.min():.4g} to"
                f" {array.max():.4g}; multiply by 255 if they are in 0..1, round, and save as uint8"
            )
    if array.min() < 0 or array.max() > 255:
        raise UserError(
            f"{what} must hold integers in 0..255, got {array.dtype} from {array.min():.6g} to"
            f" {array.max():.6g}; rescale and save as uint8"
        )


def _labels(what: str, array: npt.NDArray[Any]) -> Int64Array:
    """(n,) int64."""
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise UserError(f"{what} must have shape (n,) or (n, 1), one class number per image, got {array.shape}")
    array = array.reshape(-1)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        bad = array[~np.isfinite(array) | (array != np.rint(array))][0]
        raise UserError(f"{what} must hold integers (class numbers), got {bad}")
    # as Python integers, whose comparison cannot overflow
    least, most = int(array.min()), int(array.max())
    if least < -(2**31) or most >= 2**31:
        raise UserError(f"{what} must hold class numbers below 2**31, got {least} to {most}")
    return array.astype(np.int64)
