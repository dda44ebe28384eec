"""A tensor on the CPU that child processes use without a copy of their own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor


@dataclass(frozen=True)
class SharedTensor:
    """Where a tensor lies: an open file, inherited by the children, and the layout of the tensor in it."""

    file: int
    size: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @classmethod
    def write(cls, tensor: Tensor, stream: IO[bytes]) -> SharedTensor:
        """Write the storage of ``tensor`` to ``stream``, a file of ``memory_file``, which must stay open."""
        flat = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
        stream.write(flat.numpy().data)
        stream.flush()
        offset = int(tensor.storage_offset())
        return cls(stream.fileno(), len(flat), tensor.dtype, tuple(tensor.shape), tensor.stride(), offset)

    def tensor(self) -> Tensor:
        """The tensor, mapped from the file; a page is copied only when this process writes to it."""
        flat = torch.from_file(f"/dev/fd/{self.file}", shared=False, size=self.size, dtype=self.dtype)
        return flat.as_strided(self.shape, self.strides, self.offset)


def memory_file() -> IO[bytes]:
    """A file without a name, in memory on Linux; it is gone when all processes have closed it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("shared_tensor"), "w+b")
    return tempfile.TemporaryFile()
