"""Small prepared data sets, written without prepare.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from utils.data.prepared_files import ImageRows, PreparedForm, Samples, digest_of, statistics_of, write_prepared

BITS = {np.dtype("u1"): 8, np.dtype("u2"): 16, np.dtype("f4"): 32}


def write_set(
    root: Path,
    images: npt.NDArray[Any],
    labels: Sequence[int] | npt.NDArray[np.int64],
    splits: Sequence[str],
    *,
    classes: Sequence[str] = ("healthy", "tumour"),
    groups: Sequence[str] | None = None,
    positive: str | None = None,
    name: str = "scans",
) -> Path:
    """Write <root>/<name>/ with ``images`` (N, H, W, C) of uint8, uint16 or, for features, float32; its folder."""
    folder = root / name
    folder.mkdir(parents=True)
    form = PreparedForm(
        name=name,
        kind="features" if images.dtype.kind == "f" else "images",
        classes=tuple(classes),
        positive=positive,
        size=(images.shape[1], images.shape[2]),
        channels=images.shape[3],
        bits=BITS[images.dtype],
        fit="exact",
        colour="rgb" if images.shape[3] == 3 else "grey",
    )
    rows = ImageRows(folder / "images.npy", form)
    for image in images:
        rows.append(image.tobytes())
    rows.finish()
    samples = Samples(
        paths=[f"{classes[label]}/{row}.png" for row, label in enumerate(labels)],
        labels=np.asarray(labels, dtype=np.int64),
        splits=np.array(splits, dtype=np.str_),
        groups=None if groups is None else np.array(groups, dtype=object),
        digests=np.array([digest_of(image.tobytes()) for image in images], dtype=np.uint64),
    )
    facts = {"skipped": 0, "source": "made", "command": "made", "versions": {}}
    write_prepared(folder, form, samples, statistics=statistics_of(images), facts=facts)
    return folder


def made(
    counts: dict[str, tuple[int, int]], *, shape: tuple[int, int, int] = (28, 28, 1), dtype: str = "u1", seed: int = 0
) -> tuple[npt.NDArray[Any], list[int], list[str]]:
    """Images, labels and splits with so many of class 0 and 1 in each split, in mixed order; class 1 is brighter."""
    generator = np.random.Generator(np.random.PCG64(seed))
    labels, splits = [], []
    for split, (negatives, positives) in counts.items():
        labels += generator.permutation([0] * negatives + [1] * positives).tolist()
        splits += [split] * (negatives + positives)
    noise = generator.random((len(labels), *shape)) * 0.7 + 0.3 * np.array(labels)[:, None, None, None]
    full = {"u1": 255, "u2": 65535, "f4": 1}[dtype]
    return (noise * full).astype(dtype), labels, splits
