"""A picture of a batch as the model sees it: after augmentation, with the normalisation undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..system.files import write_atomically

COLUMNS, MOST = 8, 64  # images in a row, and in all
SMALLEST, LARGEST = 64, 224  # pixels of the longer side; smaller images are enlarged by a whole factor
FRAME = 3  # pixels around each image
POSITIVE, NEGATIVE = (234, 88, 12), (64, 64, 64)  # colours of the frames


def write_picture(
    path: Path, images: Tensor, targets: Tensor, *, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """Write the first ``MOST`` images as a PNG, positives in an orange frame.

    Args:
        path: is overwritten.
        images: (B, C, H, W) float32, normalised by ``mean`` and ``std`` of the channels; C is 1 or 3.
        targets: (B,) 0 or 1.

    Raises:
        UserError: the disk refuses.
    """
    from PIL import Image

    means, stds = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))
    values = (images[:MOST].float().cpu() * stds + means).clamp(0, 1).expand(-1, 3, -1, -1)
    pixels = (values * 255).round().byte().permute(0, 2, 3, 1).numpy()
    tiles = [_tile(each, is_positive) for each, is_positive in zip(pixels, targets[:MOST].tolist(), strict=True)]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    write_atomically(path, lambda stream: Image.fromarray(np.concatenate(rows)).save(stream, format="PNG"))


def _tile(pixels: npt.NDArray[np.uint8], is_positive: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> enlarged, or of large images every k-th pixel, in its frame."""
    longer = max(pixels.shape[:2])
    factor, step = max(1, SMALLEST // longer), -(-longer // LARGEST)
    image = pixels[::step, ::step].repeat(factor, axis=0).repeat(factor, axis=1)
    framed = np.empty((image.shape[0] + 2 * FRAME, image.shape[1] + 2 * FRAME, 3), dtype=np.uint8)
    framed[:] = POSITIVE if is_positive else NEGATIVE
    framed[FRAME:-FRAME, FRAME:-FRAME] = image
    return framed
