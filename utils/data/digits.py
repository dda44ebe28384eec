"""The digits embedded in scikit-learn: no file and no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..seeding import numpy_stream
from .raw import Int64Array, RawData, with_small_images_enlarged


def load_digits(name: str, *, data_root: Path, download: bool) -> RawData:
    """1,797 grey images of 8 x 8, enlarged to 32 x 32; a fixed stratified quarter is the test set.

    Both sets keep the order of scikit-learn. ``data_root`` and ``download`` are ignored.
    """
    from sklearn.datasets import load_digits as load_embedded

    bunch = load_embedded()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    test = _stratified_quarter(labels)
    raw = RawData(
        name=name,
        source="scikit-learn load_digits (embedded)",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
    )
    return with_small_images_enlarged(raw)


def _stratified_quarter(labels: Int64Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """A mask of the rows, true for a quarter of each class; the same in every run."""
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        chosen[numpy_stream(0, f"digits test/{digit}").permutation(rows)[: round(len(rows) / 4)]] = True
    return chosen
