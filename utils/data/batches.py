"""Batches by a gather on the device: no DataLoader and no worker processes."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..errors import UserError
from . import AUGMENTS
from .augment import cropped, draw_flips, draw_offsets, flipped, padded
from .task import Task


class Batches:
    """Normalised float32 batches (B, C, H, W) of a task's images.

    They are resized to the task's ``image_size`` after the augmentation; then a pixel v in 0..255 becomes
    (v/255 - mean) / std of its channel. There is no synchronisation and every shape depends
    on B only, so a step that uses this can be captured in a CUDA graph (register ``generator`` with it).

    Args:
        task: its images are copied only if device or memory format differ; a padded copy is made once if ``augment``
            needs it.
        augment: "none"; "crop" (pad by 4 black pixels, crop a random window of the original size); "crop_flip" (also
            flip horizontally with probability 1/2).
        device: of the batches and of ``generator``.
        channels_last: memory format of the batches.
        generator: the only source of randomness.

    Raises:
        UserError: an unknown ``augment``.
    """

    def __init__(
        self,
        task: Task,
        *,
        augment: str,
        device: str | torch.device,
        channels_last: bool,
        generator: torch.Generator,
    ) -> None:
        if augment not in AUGMENTS:
            raise UserError(f"augment must be one of {', '.join(AUGMENTS)}, got {augment!r} (--augment)")
        self.augment = augment
        self.generator = generator
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        # stored in the memory format of the batches: cheaper than converting each batch
        self._images = task.images.to(device).contiguous(memory_format=self._memory_format)
        self._normalised = task.image_format.normalised(device, self._memory_format)
        self.image_size = task.image_format.input_size  # height and width of what the model sees

    @functools.cached_property
    def _padded(self) -> Tensor:
        """A padded copy of all images, created lazily; evaluation never needs it."""
        return padded(self._images).contiguous(memory_format=self._memory_format)

    def training(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,) int64, augmented, resized and normalised."""
        if self.augment == "none":
            return self.plain(indices)
        offsets = draw_offsets(len(indices), generator=self.generator)
        images = cropped(self._padded, indices, offsets)
        if self.augment == "crop_flip":
            images = flipped(images, draw_flips(len(indices), generator=self.generator))
        return self._normalised(images)

    def plain(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,) int64, resized and normalised only."""
        return self._normalised(self._images[indices])
