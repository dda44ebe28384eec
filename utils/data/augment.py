"""Random changes of a batch of images, drawn separately for each image, on its device and without waiting for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4  # black pixels on each side
ROTATION = 10  # degrees, at most
SCALE = 1.1  # at most, and its inverse at least
SHIFT = 1 / 16  # of a side, at most
BRIGHTNESS = CONTRAST = 0.15  # largest change of the factor
GAMMA = 1.25  # at most, and its inverse at least
MOVES = ("rotate", "scale", "shift_y", "shift_x")


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


def augmented(images: Tensor, transforms: Sequence[str], *, full: int, generator: torch.Generator) -> Tensor:
    """Draw and apply, for each image separately, all ``transforms`` but "crop", in the order of ``TRANSFORMS``.

    With u uniform in [0, 1), of its own for each image and each transform:

        flip, flip_vertical          mirrored left to right, top to bottom, with probability 1/2
        rotate                       by (2u - 1) 10 degrees
        scale                        by 1.1^(2u - 1)
        shift                        by (2u - 1) / 16 of the height and of the width
        brightness                   v <- v (1 + 0.15 (2u - 1))
        contrast                     v <- mean + (v - mean) (1 + 0.15 (2u - 1)), with the mean of the image
        gamma                        v <- full (v / full)^g,  g = 1.25^(2u - 1)
        autocontrast                 each channel stretched to 0..full, with probability 1/2

    Rotation, scale and shift are one bilinear interpolation around the centre of the image; what comes from outside is
    black (0). Values are kept in 0..full and not rounded. The channels of an image share its draws.

    Args:
        images: (B, C, H, W), integers in 0..full.
        transforms: names of ``TRANSFORMS``.
        full: the value of a white pixel.
        generator: on the device of the images; the only source of randomness.

    Returns:
        (B, C, H, W), of the same dtype if the transforms only mirror, else float32.
    """
    if "flip" in transforms:
        images = flipped(images, draw_flips(len(images), generator=generator))
    drawn = [name for name in transforms if name not in ("crop", "flip")]
    if not drawn:
        return images
    rows = [row for name in drawn for row in ((f"{name}_y", f"{name}_x") if name == "shift" else (name,))]
    uniform = torch.rand((len(rows), len(images)), generator=generator, device=images.device)
    draws = dict(zip(rows, uniform[:, :, None, None, None], strict=True))
    if "flip_vertical" in draws:
        images = torch.where(draws["flip_vertical"] < 0.5, images.flip(2), images)
    if drawn == ["flip_vertical"]:
        return images
    images = images.float()
    if {"rotate", "scale", "shift_y"} & draws.keys():
        images = _moved(images, draws)
    return _recoloured(images, draws, full=full).clamp(0, full)  # rounding goes a little beyond


def _moved(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """Rotate, scale and shift float images; each draw is (B, 1, 1, 1).

    The coordinates are computed element by element: a matrix product would be rounded to bfloat16 under autocast.
    """
    height, width = images.shape[2:]
    middle = images.new_full((len(images), 1, 1), 0.5)
    given = {name: draws[name].view(-1, 1, 1) if name in draws else middle for name in MOVES}
    signed = {name: 2 * value - 1 for name, value in given.items()}
    angle, scale = signed["rotate"] * math.radians(ROTATION), SCALE ** signed["scale"]
    rows, columns = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (height, width))
    y = rows.view(1, -1, 1) - signed["shift_y"] * (height * SHIFT)
    x = columns.view(1, 1, -1) - signed["shift_x"] * (width * SHIFT)
    sine, cosine = angle.sin() / scale, angle.cos() / scale
    # where a pixel comes from, in -1..1 from edge to edge
    grid = torch.stack([(cosine * x + sine * y) * (2 / width), (cosine * y - sine * x) * (2 / height)], dim=3)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _recoloured(images: Tensor, draws: Mapping[str, Tensor], *, full: int) -> Tensor:
    """Change brightness, contrast, gamma and range of float images; each draw is (B, 1, 1, 1)."""
    if "brightness" in draws:
        images = (images * (1 + BRIGHTNESS * (2 * draws["brightness"] - 1))).clamp(0, full)
    if "contrast" in draws:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (mean + (images - mean) * (1 + CONTRAST * (2 * draws["contrast"] - 1))).clamp(0, full)
    if "gamma" in draws:
        images = full * (images / full) ** (GAMMA ** (2 * draws["gamma"] - 1))
    if "autocontrast" in draws:
        low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
        stretched = (images - low) * (full / (high - low).clamp(min=1e-6))
        images = torch.where((draws["autocontrast"] < 0.5) & (high > low), stretched, images)
    return images
