"""The images of the classes in use, in the order of a task, and their checksum. Imports no torch."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from .raw import Int64Array, RawData, UInt8Array


def rows_in_use(
    raw: RawData, classes: tuple[int, ...]
) -> tuple[UInt8Array, Int64Array, Int64Array, npt.NDArray[np.str_]]:
    """Images (M, H, W, C), original index, class and split of the rows with these classes.

    The images are copied only once, because large data do not fit in memory several times.
    """
    indices, labels, splits = [], [], []
    for split, _, part_labels in raw.parts():
        rows = np.flatnonzero(np.isin(part_labels, classes))
        indices.append(rows)
        labels.append(part_labels[rows])
        splits.append(np.full(len(rows), split))
    images = np.empty((sum(map(len, indices)), *raw.train_images.shape[1:]), dtype=np.uint8)
    start = 0
    for rows, (_, part_images, _) in zip(indices, raw.parts(), strict=True):
        np.take(part_images, rows, axis=0, out=images[start : start + len(rows)], mode="clip")  # "raise" would copy
        start += len(rows)
    return images, np.concatenate(indices), np.concatenate(labels), np.concatenate(splits)


def data_checksum(images: UInt8Array, original_class: Int64Array, original_split: npt.NDArray[np.str_]) -> str:
    """SHA-256 of what ``rows_in_use`` returns (see ``Task.checksum``)."""
    names, sizes = np.unique(original_split, return_counts=True)
    shape = (len(images), images.shape[3], *images.shape[1:3])
    digest = hashlib.sha256(f"{shape} {dict(zip(names.tolist(), sizes.tolist(), strict=True))}".encode())
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024].transpose(0, 3, 1, 2)).data)
    digest.update(original_class.astype("<i8").data)
    return digest.hexdigest()
