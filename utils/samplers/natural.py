"""Every sample once an epoch, in a fresh order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NaturalSampler:
    """An endless stream of batches; each epoch is a new permutation, its last batch may be smaller.

    Args:
        indices: (n,) dataset indices to draw from, on the device that the batches shall be on.
        batch_size: samples a batch, >= 1.
        generator: a CPU generator of this sampler's own; the order is the same on every device.

    >>> sampler = NaturalSampler(torch.arange(5), batch_size=2, generator=torch.Generator().manual_seed(1))
    >>> sorted(index for _ in range(3) for index in next(sampler).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, indices: Tensor, *, batch_size: int, generator: torch.Generator) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        if len(indices) == 0:
            raise ValueError("indices must hold at least one sample, got none")
        self.indices = indices
        self.batch_size = batch_size
        self.generator = generator
        self.steps_per_epoch = -(-len(indices) // batch_size)
        self._step = 0  # within the epoch
        self._state_at_epoch_start = generator.get_state()
        self._order = self._draw_order()

    def __iter__(self) -> NaturalSampler:
        return self

    def __next__(self) -> Tensor:
        """(B,) dataset indices."""
        if self._step == self.steps_per_epoch:
            self._state_at_epoch_start = self.generator.get_state()
            self._order = self._draw_order()
            self._step = 0
        start = self._step * self.batch_size
        self._step += 1
        return self._order[start : start + self.batch_size]

    def _draw_order(self) -> Tensor:
        order = torch.randperm(len(self.indices), generator=self.generator)
        return self.indices[order.to(self.indices.device)]

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream: the generator at the start of the epoch, and the step within it."""
        return {"generator": self._state_at_epoch_start, "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from that position."""
        self.generator.set_state(state["generator"])
        self._state_at_epoch_start = state["generator"]
        self._order = self._draw_order()
        self._step = int(state["step"])
