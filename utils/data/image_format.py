"""The images that a model takes, and the way from their pixels to its input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .raw import UInt8Array, enlarged, enlarged_size


@dataclass(frozen=True)
class ImageFormat:
    """Channels (1 grey, 3 RGB), height and width in the files, what they are resized to, and the normalisation.

    ``mean`` and ``std`` are per channel of what the model sees, of pixels in 0..1; a grey image is repeated in as many
    channels as they have. ``image_size`` is height and width of what the model sees, None for those in the file.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int] | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the model sees: ``image_size``, or short sides enlarged (``raw.enlarged``)."""
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
        return Normalised(self.mean, self.std, device, memory_format, self.image_size)

    def batch(self, images: UInt8Array) -> Tensor:
        """Images (B, height, width, channels) as the uint8 tensor (B, C, H, W), short sides enlarged, channels last."""
        tensor = torch.from_numpy(enlarged(images)).permute(0, 3, 1, 2)
        return tensor.contiguous(memory_format=torch.channels_last)


class Normalised:
    """uint8 images (B, C, H, W) -> float32: a pixel v becomes (v/255 - mean) / std of its channel.

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
        image_size: tuple[int, int] | None = None,
    ) -> None:
        means, stds = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
        self._scale = (1 / (255 * stds)).float().to(device)
        self._shift = (-means / stds).float().to(device)
        self._channels = len(mean)
        self._memory_format = memory_format
        self._image_size = image_size

    def __call__(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32, memory_format=self._memory_format)
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
