"""This process among those that train one model: rank r of W, and what they agree on."""

from __future__ import annotations

import hashlib

import torch
import torch.distributed as dist
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """(r, W) of the default process group; (0, 1) without one.

    >>> rank_and_world()
    (0, 1)
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def device_of_messages() -> torch.device:
    """Where tensors must be to be sent: NCCL sends from the current GPU only."""
    return torch.device("cuda" if "nccl" in dist.get_backend() and torch.cuda.is_available() else "cpu")


def all_gathered(values: Tensor) -> Tensor:
    """(n,) of each rank -> (W, n), one message; n must be the same on every rank."""
    _, world = rank_and_world()
    received = values.new_empty(world * len(values))
    dist.all_gather_into_tensor(received, values.contiguous())
    return received.view(world, len(values))


def require_same(values: Tensor, what: str) -> None:
    """Raise ValueError, on every rank, unless ``values`` are the same bits on all of them. Waits for the device.

    >>> require_same(torch.arange(3), "the order")                     # one process agrees with itself
    """
    rank, world = rank_and_world()
    if world == 1:
        return
    digest = hashlib.sha256(values.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).digest()
    digests = all_gathered(torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(device_of_messages()))
    others = [other for other in range(world) if not torch.equal(digests[other], digests[0])]
    if others:
        raise ValueError(
            f"{what} must be the same on every rank, got others on {others} than on 0 (this is rank {rank})"
        )
