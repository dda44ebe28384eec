"""Images that stay on the disk: rows of an .npy file, read when they are asked for. Imports no torch."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from ..errors import UserError
from .raw import Int64Array, Pixels, enlarged, enlarged_size


class MappedImages:
    """The images ``rows`` of a file of ``count`` images, in that order.

    They are read by ``pread`` into the caller's memory, not through a mapping: what a process has read of a mapping
    counts as its memory, and a file that is cut short would end it by a signal.

    Args:
        path: the .npy file.
        offset: of its first image, in bytes.
        dtype: of a pixel.
        shape: (N, H, W, C) of the array in the file.
        rows: (M,) the row in the file of each image.
        enlarges: whether images with short sides are enlarged (``raw.enlarged``); features are not.
    """

    def __init__(
        self,
        path: Path,
        *,
        offset: int,
        dtype: np.dtype[np.generic],
        shape: tuple[int, ...],
        rows: Int64Array,
        enlarges: bool = True,
    ) -> None:
        self.path, self.offset, self.dtype, self.size_in_file = path, offset, dtype, shape[1:]
        self.rows, self.enlarges = rows, enlarges
        self._row_bytes = math.prod(self.size_in_file) * dtype.itemsize
        self._file: int | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(M, C, H, W) after small images are enlarged, as a task's tensor of images has it."""
        height, width, channels = self.size_in_file
        if self.enlarges:
            height, width = enlarged_size(height, width)
        return len(self.rows), channels, height, width

    @property
    def nbytes(self) -> int:
        """Bytes that all images would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, object]:
        """Without the open file, so that another process can use it."""
        return {**self.__dict__, "_file": None}

    def read(self, indices: Int64Array, out: Pixels | None = None) -> Pixels:
        """The images ``indices`` (B,) of the M, as (B, H, W, C).

        Args:
            indices: in 0..M - 1.
            out: where to put them, in C order; None for new memory.

        Raises:
            UserError: the file is not readable any more, or shorter than it was.
        """
        _, channels, height, width = self.shape
        if out is None:
            out = np.empty((len(indices), height, width, channels), dtype=self.dtype)
        is_small = (height, width) != self.size_in_file[:2]
        images = np.empty((len(indices), *self.size_in_file), dtype=self.dtype) if is_small else out
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            for place, row in enumerate(self.rows[indices].tolist()):
                self._read_row(images[place], row)
        except OSError as error:
            raise UserError(
                f"cannot read {self.path} any more: {error.strerror or error}; resume with --resume 1"
            ) from None
        if is_small:
            out[...] = enlarged(images)
        return out

    def _read_row(self, image: Pixels, row: int) -> None:
        assert self._file is not None
        memory = image.reshape(-1).view(np.uint8)
        position, done = self.offset + row * self._row_bytes, 0
        while done < self._row_bytes:  # a read may return less than was asked for
            count = os.preadv(self._file, [memory[done:].data], position + done)
            if count == 0:
                raise OSError("it is shorter than it was")
            done += count
