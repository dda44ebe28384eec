"""One random stream for each purpose, derived from a run's seed; the global state is never touched."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed that depends on both ``seed`` and ``purpose`` (SHA-256 of the two).

    >>> derived_seed(1, "order") != derived_seed(1, "split") != derived_seed(2, "split")
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_stream(seed: int, purpose: str) -> np.random.Generator:
    """A NumPy generator of its own for ``purpose``."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, purpose)))


def torch_stream(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator of its own for ``purpose``, on ``device``."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(derived_seed(seed, purpose))
    return generator
