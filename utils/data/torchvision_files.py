"""Datasets in torchvision's format: its folder if present, else an .npz file, else a download."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .npz import KEYS_HINT, find_npz, npz_candidates, read_npz
from .raw import RawData, one_line, with_small_images_enlarged

_TIMEOUT = 60.0  # seconds without a response; torchvision sets no timeout


@dataclass(frozen=True)
class TorchvisionFiles:
    """``class_name`` in torchvision.datasets, its ``folder`` below the root, and the ``files`` in that folder."""

    class_name: str
    folder: str
    files: tuple[str, ...]

    def present(self, root: Path) -> bool:
        """Whether any of the files exists (a failed download leaves an empty folder)."""
        return any(os.path.isfile(root / self.folder / file) for file in self.files)

    def complete(self, root: Path) -> bool:
        """Whether all of the files exist."""
        return all(os.path.isfile(root / self.folder / file) for file in self.files)


class _RefusedError(Exception):
    """torchvision could not read, verify or download the files."""


def load(name: str, files: TorchvisionFiles, *, data_root: Path, download: bool) -> RawData:
    """Read ``name`` from torchvision's folder or an .npz file, or download it to ``data_root``.

    Both are searched for in ``data_root`` and ``data_root/name``. A folder that torchvision refuses is an error unless
    there is an .npz file.

    Raises:
        UserError: nothing usable was found or downloaded.
    """
    reasons = []
    for root in (data_root, data_root / name):
        if files.present(root):
            try:
                return _read(name, files, root=root, download=False)
            except _RefusedError as refusal:
                reasons.append(
                    f"torchvision refuses the folder {root / files.folder} ({refusal}), which must contain the"
                    " complete original files"
                )
    npz = find_npz(name, data_root=data_root)
    if npz is not None:
        return read_npz(npz, name=name)
    if not reasons:
        places = f"{data_root} or {data_root / name}"
        reasons.append(f"neither torchvision's {files.folder} nor {name}.npz exists in {places}")
    if download:
        try:
            return _read(name, files, root=data_root, download=True)
        except _RefusedError as refusal:
            reasons.append(f"the download failed ({refusal})")
    raise UserError(f"{name}: {'; '.join(reasons)}; {_advice(name, files, data_root, download)}")


def _advice(name: str, files: TorchvisionFiles, data_root: Path, tried_download: bool) -> str:
    fetch = "" if tried_download else "allow the download (--download 1), or "
    return (
        f"{fetch}put the original {files.folder} into {data_root}, or the data as"
        f" {npz_candidates(name, data_root=data_root)[0]} ({KEYS_HINT}), or name another folder (--data_root)"
    )


def _read(name: str, files: TorchvisionFiles, *, root: Path, download: bool) -> RawData:
    try:
        # imported here because it takes 1.5 s, which an .npz file does not need
        dataset_class = getattr(importlib.import_module("torchvision.datasets"), files.class_name)
        with _network_timeout(_TIMEOUT):
            train = dataset_class(root=str(root), train=True, download=download)
            test = dataset_class(root=str(root), train=False, download=False)
        arrays = _arrays(train, "train") | _arrays(test, "test")
    # torchvision, urllib, tarfile and pickle raise many types for damaged files or a missing network
    except Exception as error:
        # without its advice about a parameter that is not ours
        raise _RefusedError(one_line(error).partition(" You can use download=True")[0]) from error
    source = f"torchvision {files.class_name}: {root / files.folder}"
    return with_small_images_enlarged(RawData(name=name, source=source, **arrays))


def _arrays(dataset: Any, split: str) -> dict[str, Any]:
    images = np.asarray(dataset.data, dtype=np.uint8)
    labels = np.asarray(dataset.targets, dtype=np.int64)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images but {len(labels)} labels in the {split} files")
    images = images if images.ndim == 4 else images[..., None]
    return {f"{split}_images": images, f"{split}_labels": labels}


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
