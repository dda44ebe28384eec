"""Batches of images that stay on the disk: one thread reads a batch while the step before runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from .augment import cropped, padded
from .batches import Batches
from .image_format import as_numbers
from .mapped_images import MappedImages
from .task import Task


class MappedBatches(Batches):
    """The same batches, bit for bit, as ``Batches`` of images in memory; no more than two of them are in memory.

    ``training`` augments the batch that ``ahead`` has read last. It lies in a buffer that is the same for each batch
    size, so that a CUDA graph can read it; from pinned memory it is copied there without waiting for the device.
    """

    reads_ahead = True

    def _keep(self, task: Task) -> None:
        assert isinstance(task.pixels, MappedImages)
        self._mapped = task.pixels
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._inputs: dict[int, Tensor] = {}  # batch size -> what the step of that size reads; on a CPU one at a time

    @property
    def bytes_to_come(self) -> int:
        """That of two batches is so little that it is not counted."""
        return 0

    def _gathered(self, indices: Tensor) -> Tensor:
        """The images ``indices`` (B,), which ``ahead`` gave last."""
        return self._inputs[len(indices)]

    def _cropped(self, indices: Tensor, offsets: Tensor) -> Tensor:
        images = self._inputs[len(indices)]
        return cropped(padded(images), torch.arange(len(indices), device=images.device), offsets)

    def plain(self, indices: Tensor) -> Tensor:
        return next(self.in_order(indices, max(1, len(indices))))

    def ahead(self, sampler: Iterator[Tensor], steps: int) -> Iterator[Tensor]:
        """The next ``steps`` batches of indices, on the device; the images of the next one are read meanwhile.

        None is drawn beyond ``steps``, so that the sampler ends where it ends without reading ahead.

        Args:
            sampler: its indices are on the CPU, because reading them from a device would wait for it.
            steps: number of batches.
        """
        waiting = self._read(next(sampler)) if steps else None
        for step in range(steps):
            assert waiting is not None
            indices, future = waiting
            images = future.result()
            waiting = self._read(next(sampler)) if step + 1 < steps else None
            if self._device.type == "cpu":
                self._inputs = {len(indices): images}
                yield indices
                continue
            if len(indices) not in self._inputs:
                self._inputs[len(indices)] = torch.empty_like(images, device=self._device)
            self._inputs[len(indices)].copy_(images, non_blocking=True)
            yield indices.pin_memory().to(self._device, non_blocking=True)

    def in_order(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        chunks = indices.cpu().split(size)
        waiting = self._read(chunks[0])
        for number in range(len(chunks)):
            images = waiting[1].result()
            if number + 1 < len(chunks):
                waiting = self._read(chunks[number + 1])
            yield self._normalised(as_numbers(images.to(self._device, non_blocking=True)))

    def _read(self, indices: Tensor) -> tuple[Tensor, Future[Tensor]]:
        return indices, self._reader.submit(self._from_disk, indices.numpy())

    def _from_disk(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        """(B, C, H, W), channels last in memory, pinned for a GPU.

        Pinned memory comes from torch's allocator, which does not give it out again before a copy from it has ended.
        """
        _, channels, height, width = self._mapped.shape
        kind = torch.from_numpy(np.empty(0, dtype=self._mapped.dtype)).dtype
        pixels = torch.empty((len(rows), height, width, channels), dtype=kind, pin_memory=self._device.type == "cuda")
        self._mapped.read(rows, out=pixels.numpy())
        pixels = pixels.view(torch.int16) if kind == torch.uint16 else pixels  # as ``image_format.stored``
        return pixels.permute(0, 3, 1, 2)


def batches_of(task: Task, *, augment: str, device: str | torch.device, generator: torch.Generator) -> Batches:
    """The batches of a task, wherever its images are, channels last in memory."""
    kind = MappedBatches if isinstance(task.pixels, MappedImages) else Batches
    return kind(task, augment=augment, device=device, channels_last=True, generator=generator)
