"""The images that a model takes, and the way from their pixels to its input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .raw import Pixels, enlarged, enlarged_size

FULL = {8: 255, 16: 65535, 32: 1}  # bits -> the value of a white pixel; 32: features, which are numbers as they are


@dataclass(frozen=True)
class ImageFormat:
    """Channels (1 grey, 3 RGB), height and width in the files, normalisation, bits, and what images are resized to.

    ``mean`` and ``std`` are per channel of what the model sees, of pixels in 0..1; a grey image is repeated in as many
    channels as they have. ``bits`` of a pixel are 8, 16, or 32 of features: height and width are 1, and each channel is
    a feature. ``image_size`` is height and width of what the model sees, None for those in the file. ``fit`` is what
    was done to images of another size, and is to be done to new ones (``image_pixels.fitted``); ``any_depth`` and
    ``first_frame`` likewise (``image_pixels.read_pixels``). ``features`` are the names of the columns, if they had any.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bits: int = 8
    image_size: tuple[int, int] | None = None
    fit: str = "exact"
    any_depth: bool = False
    first_frame: bool = False
    features: tuple[str, ...] = ()

    @property
    def has_features(self) -> bool:
        """Whether the samples are rows of numbers, not images."""
        return self.bits == 32

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the model sees: ``image_size``, or short sides enlarged (``raw.enlarged``)."""
        if self.has_features:
            return self.height, self.width
        return self.image_size or enlarged_size(self.height, self.width)

    @property
    def input_channels(self) -> int:
        """Channels of what the model sees."""
        return len(self.mean)

    def as_dict(self) -> dict[str, Any]:
        """As best.pt and model.pt record it, with lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def normalised(self, device: str | torch.device, memory_format: torch.memory_format) -> Normalised:
        """The function that resizes and normalises batches on ``device``."""
        return Normalised(self.mean, self.std, device, memory_format, full=FULL[self.bits], image_size=self.image_size)

    def batch(self, images: Pixels) -> Tensor:
        """Images (B, height, width, channels) as the tensor (B, C, H, W) of numbers, short sides enlarged."""
        tensor = as_numbers(stored(images if self.has_features else enlarged(images)))
        return tensor.contiguous(memory_format=torch.channels_last)


class Normalised:
    """Pixels (B, C, H, W) -> float32: a pixel v becomes (v/full - mean) / std of its channel.

    Images of another size than ``image_size`` are resized first, as floats that are not rounded: bilinearly, pixel
    centres at half-integers, with a wider kernel where they shrink (antialias). A single channel is repeated for
    several means. There is no synchronisation, so it can be captured in a CUDA graph.
    """

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: str | torch.device,
        memory_format: torch.memory_format,
        *,
        full: int = 255,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        means, stds = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
        self._scale = (1 / (full * stds)).float().to(device)
        self._shift = (-means / stds).float().to(device)
        self._channels = len(mean)
        self._memory_format = memory_format
        self._image_size = image_size

    def __call__(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32, memory_format=self._memory_format, copy=True)  # features are float32 before
        if self._image_size is not None:
            floats = resized(floats, self._image_size)
        if floats.shape[1] < self._channels:
            floats = floats.expand(-1, self._channels, -1, -1).contiguous(memory_format=self._memory_format)
        return floats.mul_(self._scale).add_(self._shift)


def resized(images: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Floating-point images (B, C, H, W) -> (B, C, *image_size), bilinearly with antialias, as torchvision's v2."""
    if tuple(images.shape[2:]) == image_size:
        return images
    return functional.interpolate(images, size=image_size, mode="bilinear", antialias=True)


def stored(images: Pixels) -> Tensor:
    """Images (n, H, W, C) as the tensor (n, C, H, W) that is kept of them, without a copy.

    torch indexes no uint16: their bits are kept as int16, which ``as_numbers`` turns into what they mean.
    """
    array = images.view(np.int16) if images.dtype == np.uint16 else images
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def as_numbers(images: Tensor) -> Tensor:
    """A gathered batch of ``stored`` images, with 16 bits as int32 in 0..65535."""
    return images.to(torch.int32).bitwise_and_(0xFFFF) if images.dtype == torch.int16 else images
