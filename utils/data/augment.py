"""Random crops and flips of a batch of uint8 images, drawn separately for each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4  # black pixels on each side


def padded(images: Tensor) -> Tensor:
    """(M, C, H, W) -> (M, C, H+8, W+8), padded with black pixels."""
    return functional.pad(images, (PADDING,) * 4)


def draw_offsets(size: int, *, generator: torch.Generator) -> Tensor:
    """(2, B) int64: the upper left corner (y, x) of the window of each image, uniform over 0..8 x 0..8."""
    return torch.randint(0, 2 * PADDING + 1, (2, size), generator=generator, device=generator.device)


def draw_flips(size: int, *, generator: torch.Generator) -> Tensor:
    """(B,) bool: whether to flip each image horizontally, with probability 1/2."""
    return torch.randint(0, 2, (size,), generator=generator, device=generator.device).bool()


def cropped(padded_images: Tensor, indices: Tensor, offsets: Tensor) -> Tensor:
    """The windows of the images ``indices`` (B,) at ``offsets`` (2, B), in one gather.

    Args:
        padded_images: (M, C, H+8, W+8), see ``padded``.

    Returns:
        (B, C, H, W), of the same dtype.
    """
    height, width = (side - 2 * PADDING for side in padded_images.shape[2:])
    # (M, C, 9, 9, H, W): every window of every image, as a view
    windows = padded_images.unfold(2, height, 1).unfold(3, width, 1)
    return windows[indices, :, offsets[0], offsets[1]]


def flipped(images: Tensor, flips: Tensor) -> Tensor:
    """Flip the images of (B, C, H, W) horizontally where ``flips`` (B,) is true."""
    return torch.where(flips[:, None, None, None], images.flip(3), images)
