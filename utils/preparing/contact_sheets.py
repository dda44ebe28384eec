"""Contact sheets: up to 64 images of each class in a picture."""

from __future__ import annotations

import io
import re
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


def write_sheets(folder: Path, form: PreparedForm, images: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> None:
    """Write ``folder``/contact_sheets/NUMBER_CLASS.png for each class: the first 64 of a fixed draw, in their order.

    Images of 16 bits are drawn from the darkest value of the sheet to the brightest.
    """
    make_folder(folder / SHEETS)
    for label, name in enumerate(form.classes):
        rows = np.flatnonzero(labels == label)
        drawn = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(rows)[:MOST])
        sheet = _sheet(_eight_bits(np.stack([images[row] for row in drawn])))
        plain = re.sub(r"[^\w.+-]", "_", name)[:40]
        content = io.BytesIO()
        sheet.save(content, "PNG")
        write_atomically(folder / SHEETS / f"{label:03d}_{plain}.png", lambda stream: stream.write(content.getvalue()))  # noqa: B023


def _eight_bits(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return images
    least, most = int(images.min()), int(images.max())
    scaled: npt.NDArray[np.uint8] = ((images.astype(np.float64) - least) * (255 / max(1, most - least))).astype(
        np.uint8
    )
    return scaled


def _sheet(images: npt.NDArray[np.uint8]) -> Image.Image:
    """The images (n, H, W, C) in rows of 8."""
    count, height, width, channels = images.shape
    shrink = min(1.0, LONGEST / max(height, width))
    across, down = max(1, round(width * shrink)), max(1, round(height * shrink))
    size = (min(count, ACROSS) * (across + GAP) + GAP, -(-count // ACROSS) * (down + GAP) + GAP)
    sheet = Image.new("L" if channels == 1 else "RGB", size, 128 if channels == 1 else (128, 128, 128))
    for number, image in enumerate(images):
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else image).resize((across, down))
        row, column = divmod(number, ACROSS)
        sheet.paste(picture, (GAP + column * (across + GAP), GAP + row * (down + GAP)))
    return sheet
