"""Each rank's part of a global batch that all of them draw alike.

W ranks; B samples in the global batch, of which rank r takes ``batch[r::W]``. So every sampler works unchanged, what it
balances is balanced in the global batch, and its state is the same on every rank and for every W.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..samplers.base import Sampler, require
from .ranks import rank_and_world, require_same


def shard(batch: Tensor, rank: int | None = None, world: int | None = None) -> Tensor:
    """``batch[rank::world]``, the part of a global batch that one rank computes.

    Args:
        batch: (B, ...) on every rank the same.
        rank: r, 0..W-1; that of the default process group unless given, 0 without one.
        world: W >= 1, likewise; 1 without one.

    Returns:
        (ceil((B - r) / W), ...): the parts differ by one sample at most, and are empty on the last ranks if B < W.

    Raises:
        ValueError: there is no such rank.

    >>> import torch
    >>> [shard(torch.arange(5), rank, 2).tolist() for rank in range(2)]
    [[0, 2, 4], [1, 3]]
    """
    own_rank, own_world = rank_and_world()
    rank, world = own_rank if rank is None else rank, own_world if world is None else world
    require(world >= 1, "world must be >= 1", world)
    require(0 <= rank < world, f"rank must lie in 0..{world - 1}", rank)
    return batch[rank::world]


def lengths_of_parts(size: int, world: int) -> list[int]:
    """The number of samples of each rank in a global batch of ``size``.

    >>> lengths_of_parts(5, 4), lengths_of_parts(3, 4)
    ([2, 1, 1, 1], [1, 1, 1, 0])
    """
    return [len(range(rank, size, world)) for rank in range(world)]


class ShardedSampler:
    """The part of this rank in each batch of ``sampler``, for torch's DataLoader::

        sampler = ShardedSampler(BalancedSampler(...))                 # built alike, with one seed, on every rank
        loader = DataLoader(dataset, sampler=sampler, batch_size=None)

    ``batch_size=None`` hands the (B,) indices of a part to the data set at once, as ``TensorDataset`` takes them, also
    where it has none. As ``batch_sampler`` it works as long as no batch has fewer than W samples: a DataLoader cannot
    collate none.

    ``len``, ``next``, ``for``, ``state_dict`` and ``load_state_dict`` are those of ``sampler``, whose position counts
    global batches: a state of W ranks continues on any other number of them.

    Args:
        sampler: the same on every rank: same arguments, generators of one seed.

    Raises:
        ValueError: its next batch is not the same on every rank, such as with a seed that depends on the rank. The
            ranks exchange a checksum of it once, here and in ``load_state_dict``, which every rank must call.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self._require_same()

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Tensor]:
        """The parts up to the end of the pass."""
        return map(shard, iter(self.sampler))

    def __next__(self) -> Tensor:
        """(ceil((B - r) / W),) dataset indices."""
        return shard(next(self.sampler))

    def state_dict(self, *, step: int | None = None) -> dict[str, Any]:
        """See :meth:`Sampler.state_dict`."""
        return self.sampler.state_dict(step=step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`Sampler.load_state_dict`."""
        self.sampler.load_state_dict(state)
        self._require_same()

    def _require_same(self) -> None:
        require_same(next(copy.deepcopy(self.sampler)), "the batches of the sampler")
