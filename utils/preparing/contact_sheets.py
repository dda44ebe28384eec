"""Contact sheets: up to 64 images of each class in a picture."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..data.prepared_files import PreparedForm
from ..system.files import make_folder, write_atomically

SHEETS = "contact_sheets"
MOST = 64
ACROSS = 8
LONGEST = 96  # pixels of the longer side of an image
GAP = 2

Pixels = npt.NDArray[Any]


def write_sheets(folder: Path, form: PreparedForm, images: Pixels, labels: npt.NDArray[np.int64]) -> None:
    """Write ``folder``/contact_sheets/NUMBER_CLASS.png for each class: the first 64 of a fixed draw, in their order.

    Images of 16 bits are drawn from the darkest value of the sheet to the brightest. One image at a time is in memory.
    """
    make_folder(folder / SHEETS)
    for label, name in enumerate(form.classes):
        rows = np.flatnonzero(labels == label)
        drawn = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(rows)[:MOST])
        content = io.BytesIO()
        _sheet(images, drawn.tolist()).save(content, "PNG")
        plain = re.sub(r"[^\w.+-]", "_", name)[:40]
        write_atomically(folder / SHEETS / f"{label:03d}_{plain}.png", lambda stream: stream.write(content.getvalue()))  # noqa: B023


def _sheet(images: Pixels, drawn: Sequence[int]) -> Image.Image:
    """The images (H, W, C) that are drawn, in rows of 8."""
    height, width, channels = images.shape[1:]
    shrink = min(1.0, LONGEST / max(height, width))
    across, down = max(1, round(width * shrink)), max(1, round(height * shrink))
    size = (min(len(drawn), ACROSS) * (across + GAP) + GAP, -(-len(drawn) // ACROSS) * (down + GAP) + GAP)
    sheet = Image.new("L" if channels == 1 else "RGB", size, 128 if channels == 1 else (128, 128, 128))
    darkest, brightest = 0, 255
    if images.dtype != np.uint8:
        darkest = min(int(images[number].min()) for number in drawn)
        brightest = max(int(images[number].max()) for number in drawn)
    for place, number in enumerate(drawn):
        image = images[number]
        if images.dtype != np.uint8:
            image = ((image - float(darkest)) * (255 / max(1, brightest - darkest))).astype(np.uint8)
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else image).resize((across, down))
        row, column = divmod(place, ACROSS)
        sheet.paste(picture, (GAP + column * (across + GAP), GAP + row * (down + GAP)))
    return sheet
