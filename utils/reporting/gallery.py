"""The images that a threshold gets most wrong, from the data set if it is there.

Torch is imported only by data sets that torchvision reads.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data import find_prepared, load_raw
from ..data.prepared_files import SPLITS, read_prepared
from ..data.raw import Pixels
from ..data.rows import data_checksum, rows_in_use
from ..errors import UserError, one_line
from .analysis import Row
from .evidence import NP, PLUG_IN, Decision, Evidence
from .labels import asked
from .tables import number

CLASSES = ("negative_classes", "positive_classes", "classes")  # options; those that a run uses are resolved
MOST_PIXELS = 96  # of a side; a larger image is reduced


@dataclass(frozen=True)
class Picture:
    """An image of the test set as a data URI, and what is known of it."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Missed positives, lowest score first, and false alarms, highest score first; ``note`` says why there are none."""

    text: str
    missed: tuple[Picture, ...] = ()
    alarms: tuple[Picture, ...] = ()
    note: str = ""


@dataclass
class Originals:
    """The images of the data sets that a report needs, each read once."""

    found: dict[tuple[str, ...], dict[str, Pixels] | str] = field(default_factory=dict)

    def of(self, row: Row) -> dict[str, Pixels] | str:
        """The images of each split, or why they cannot be shown: not there, or not those that were scored."""
        options = row.run.record.options
        name, root = str(options.get("dataset_name", "")), str(asked(options, "data_root"))
        classes = tuple(number for flag in CLASSES for number in _classes(options.get(flag)))
        key = (name, root, str(sorted(classes)), row.run.record.checksum)
        if key not in self.found:
            self.found[key] = _read(name, root, classes, row.run.record.checksum)
        return self.found[key]


def gallery(row: Row, found: Evidence, originals: Originals, most: int) -> Gallery:
    """Up to ``most`` missed positives and as many false alarms at the promised threshold for the highest TPR.

    Without a promised threshold, at the plug-in threshold.
    """
    chosen = _threshold(found)
    assert chosen.threshold is not None
    labels, scores = row.test.label, row.test.score
    missed = np.flatnonzero((labels == 1) & (scores < chosen.threshold))
    alarms = np.flatnonzero((labels == 0) & (scores >= chosen.threshold))
    text = (
        f"At the threshold by {chosen.short}, {len(missed)} of {int((labels == 1).sum())} test positives are missed "
        f"and {len(alarms)} of {int((labels == 0).sum())} negatives are false alarms. The worst come first."
    )
    images = originals.of(row)
    if isinstance(images, str):
        return Gallery(text, note=images)
    lowest = missed[np.argsort(scores[missed], kind="stable")][:most]
    highest = alarms[np.argsort(-scores[alarms], kind="stable")][:most]
    try:
        shown, alarming = (
            tuple(_picture(row, images, place) for place in places.tolist()) for places in (lowest, highest)
        )
    except (KeyError, IndexError):
        return Gallery(text, note="The images cannot be shown: the data set lacks samples that were scored.")
    return Gallery(text, shown, alarming)


def _threshold(found: Evidence) -> Decision:
    kept = [each for each in found.given if each.rule == NP] or [each for each in found.given if each.rule == PLUG_IN]
    return max(kept or found.given, key=lambda each: each.tpr or 0.0)


def _classes(given: object) -> Sequence[int]:
    return [each for each in given if isinstance(each, int)] if isinstance(given, tuple) else []


def _read(name: str, root: str, classes: tuple[int, ...], checksum: str) -> dict[str, Pixels] | str:
    try:
        if folder := find_prepared(name, data_root=Path(root)):
            return _of_prepared(folder, checksum)
        raw = load_raw(name, data_root=Path(root))
        images, _, original_class, original_split = rows_in_use(raw, classes)
    except (UserError, OSError, ValueError, MemoryError, ImportError) as error:
        return f"The images cannot be shown: {one_line(error):.300}"
    if not len(images) or data_checksum(images, original_class, original_split) != checksum:
        return f"The images cannot be shown: the data in {one_line(root):.200} are not those that were scored."
    return {split: part for split, part, _ in raw.parts()}


def _of_prepared(folder: Path, checksum: str) -> dict[str, Pixels] | str:
    files = read_prepared(folder)
    if files.checksum != checksum:
        return f"The images cannot be shown: the data in {one_line(folder):.200} are not those that were scored."
    if files.form.kind != "images":
        return "There are no images to show: the samples are rows of features."
    return dict.fromkeys(SPLITS, files.images)  # a score names the row of all


def _picture(row: Row, images: dict[str, Pixels], place: int) -> Picture:
    index, split = int(row.test.index[place]), row.test.split[place]
    if index < 0:
        raise IndexError
    score = number(float(row.test.score[place]), 2)
    known = f"class {row.test.original_class[place]}" if row.test.path is None else one_line(row.test.path[place])[-80:]
    return Picture(as_uri(images[split][index]), f"{split} {index}, {known}, {score}")


def as_uri(image: Pixels) -> str:
    """An image (H, W, C) as a PNG in a data URI; of other than three channels the first is shown in grey.

    Of 16 bits the upper 8 are shown.
    """
    from PIL import Image

    image = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else np.asarray(image)
    picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
