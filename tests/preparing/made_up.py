"""Made-up sources for prepare.py, and its result as plain values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import prepare
from utils.data.prepared_files import PreparedFiles, read_prepared


def grey(path: Path, value: int, size: tuple[int, int] = (2, 3), *, deep: bool = False) -> Path:
    """A grey image of one value; ``size`` is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype=np.uint16 if deep else np.uint8)).save(path)
    return path


def class_folders(root: Path, counts: dict[str, int], size: tuple[int, int] = (2, 3)) -> Path:
    """A folder for each class; image k of all has the value k."""
    number = 0
    for name, count in counts.items():
        for place in range(count):
            grey(root / name / f"{place:03d}.png", number % 256, size)
            number += 1
    return root


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return path


def patients(root: Path, *, count: int = 20, each: int = 3) -> Path:
    """``count`` patients with ``each`` images in one folder, every fourth patient ill; the table beside them."""
    rows = []
    for patient in range(count):
        for place in range(each):
            name = f"img/{patient}_{place}.png"
            grey(root / name, patient * each + place)
            rows.append((name, "ill" if patient % 4 == 0 else "well", f"p{patient}"))
    return table(root / "labels.csv", ("path", "label", "patient_id"), rows)


def prepared(*argv: object) -> PreparedFiles:
    """Run prepare.py and read its result, each pixel checked."""
    words = [str(word) for word in argv]
    assert prepare.main(words) == 0
    return read_prepared(Path(words[words.index("--out") + 1]), every_pixel=True)


def by_split(found: PreparedFiles) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for label, split in zip(found.labels, found.splits, strict=True):
        names = counts.setdefault(str(split), {})
        names[found.form.classes[label]] = names.get(found.form.classes[label], 0) + 1
    return counts
