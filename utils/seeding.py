"""A separate random stream for each purpose, derived from the run's seed; the global state is never used."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed derived from ``seed`` and ``purpose`` by SHA-256.

    >>> derived_seed(1, "order") != derived_seed(1, "split") != derived_seed(2, "split")
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_stream(seed: int, purpose: str) -> np.random.Generator:
    """A NumPy generator for ``purpose``."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, purpose)))


def torch_stream(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for ``purpose``, on ``device``."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(derived_seed(seed, purpose))
    return generator
