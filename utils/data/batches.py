"""Batches by a gather on the device: no DataLoader and no worker processes."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import UserError
from . import AUGMENTS, transforms_of
from .augment import PADDING, augmented, cropped, draw_offsets, padded
from .image_format import FULL, as_numbers
from .task import Task


class Batches:
    """Normalised float32 batches (B, C, H, W) of a task's images.

    They are resized to the task's ``image_size`` after the augmentation; then a pixel v in 0..255 becomes
    (v/255 - mean) / std of its channel (see ``image_format.Normalised``). There is no synchronisation and every shape
    depends on B only, so a step that uses this can be captured in a CUDA graph (register ``generator`` with it).

    Args:
        task: its images are copied only if device or memory format differ; a padded copy is made once if ``augment``
            needs it.
        augment: a name of ``AUGMENTS``, or several of these and of ``TRANSFORMS``, separated by commas. "crop" pads by
            4 black pixels and crops a random window of the original size; for the others see ``augment.augmented``.
        device: of the batches and of ``generator``.
        channels_last: memory format of the batches.
        generator: the only source of randomness.

    Raises:
        UserError: an unknown ``augment``.
    """

    reads_ahead = False  # whether ``ahead`` needs its indices on the CPU

    def __init__(
        self,
        task: Task,
        *,
        augment: str,
        device: str | torch.device,
        channels_last: bool,
        generator: torch.Generator,
    ) -> None:
        try:
            self._transforms = transforms_of(augment)
        except ValueError as error:
            expected = f"one of {', '.join(AUGMENTS)}, or several transforms"
            raise UserError(f"augment must be {expected}, got {augment!r} (--augment): {error}") from None
        self.augment = augment
        self._full = FULL[task.bits]
        self.generator = generator
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._normalised = task.image_format.normalised(device, self._memory_format)
        self.image_size = task.image_format.input_size  # height and width of what the model sees
        self._device = torch.device(device)
        self._keep(task)

    def _keep(self, task: Task) -> None:
        # stored in the memory format of the batches: cheaper than converting each batch
        self._images = task.images.to(self._device).contiguous(memory_format=self._memory_format)

    @property
    def bytes_to_come(self) -> int:
        """What the padded copy will take, if there is to be one."""
        if "crop" not in self._transforms:
            return 0
        count, channels, height, width = self._images.shape
        return count * channels * (height + 2 * PADDING) * (width + 2 * PADDING) * self._images.element_size()

    @functools.cached_property
    def _padded(self) -> Tensor:
        """A padded copy of all images, created lazily; evaluation never needs it."""
        return padded(self._images).contiguous(memory_format=self._memory_format)

    def training(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,) int64, augmented, resized and normalised."""
        if "crop" in self._transforms:
            images = self._cropped(indices, draw_offsets(len(indices), generator=self.generator))
        else:
            images = self._gathered(indices)
        images = augmented(as_numbers(images), self._transforms, full=self._full, generator=self.generator)
        return self._normalised(images)

    def _gathered(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,), as they are stored."""
        return self._images[indices]

    def _cropped(self, indices: Tensor, offsets: Tensor) -> Tensor:
        """Their windows at ``offsets`` (2, B)."""
        return cropped(self._padded, indices, offsets)

    def plain(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,) int64, resized and normalised only."""
        return self._normalised(as_numbers(self._images[indices]))

    def ahead(self, sampler: Iterator[Tensor], steps: int) -> Iterator[Tensor]:
        """The next ``steps`` batches of indices, each ready for ``training``; here the images are there already."""
        for _ in range(steps):
            yield next(sampler)

    def in_order(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        """The images ``indices``, resized and normalised only, ``size`` at a time."""
        for chunk in indices.split(size):
            yield self.plain(chunk)
