"""The images that a model takes, and the way from their pixels to its input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .raw import UInt8Array, enlarged, enlarged_size


@dataclass(frozen=True)
class ImageFormat:
    """Channels (1 grey, 3 RGB), height and width in the files, and the normalisation.

    ``mean`` and ``std`` are per channel, of pixels in 0..1.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the model sees: short sides are enlarged (``raw.enlarged``)."""
        return enlarged_size(self.height, self.width)

    def as_dict(self) -> dict[str, Any]:
        """As best.pt and model.pt record it, with lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def normalised(self, device: str | torch.device, memory_format: torch.memory_format) -> Normalised:
        """The function that normalises batches on ``device``."""
        return Normalised(self.mean, self.std, device, memory_format)

    def batch(self, images: UInt8Array) -> Tensor:
        """Images (B, height, width, channels) as the uint8 tensor (B, C, *input_size), channels last in memory."""
        tensor = torch.from_numpy(enlarged(images)).permute(0, 3, 1, 2)
        return tensor.contiguous(memory_format=torch.channels_last)


class Normalised:
    """uint8 images (B, C, H, W) -> float32: a pixel v becomes (v/255 - mean) / std of its channel.

    There is no synchronisation, so it can be captured in a CUDA graph.
    """

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: str | torch.device,
        memory_format: torch.memory_format,
    ) -> None:
        means, stds = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
        self._scale = (1 / (255 * stds)).float().to(device)
        self._shift = (-means / stds).float().to(device)
        self._memory_format = memory_format

    def __call__(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32, memory_format=self._memory_format)
        return floats.mul_(self._scale).add_(self._shift)
