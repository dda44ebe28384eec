"""Every sample once an epoch, in a fresh order."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Sampler


class NaturalSampler(Sampler):
    """An endless stream of batches; each epoch is a new permutation, its last batch may be smaller.

    Args:
        indices: (n,) dataset indices to draw from, on the device where the batches are needed.
        batch_size: samples a batch, >= 1.
        generator: a CPU generator of this sampler's own; the order is the same on every device.

    >>> sampler = NaturalSampler(torch.arange(5), batch_size=2, generator=torch.Generator().manual_seed(1))
    >>> sorted(index for _ in range(3) for index in next(sampler).tolist())
    [0, 1, 2, 3, 4]
    """

    def _draw_pass(self) -> Tensor:
        return torch.randperm(len(self.indices), generator=self.generator)
