"""The global batch on every rank, with gradients that come out right after the averaging of DDP.

W ranks; B samples in the global batch, of which rank r computes ``batch[r::W]``; C outputs of each.

Losses that look at a whole batch (pairs, ranks, rates, sums of weights) are not means of the losses of its parts. So
every rank gathers the outputs of all and computes the same loss. Its gradient by the rank's own outputs is then a slice
of the gradient, and needs no message. The gradients of the parameters must be summed over the ranks, but DDP averages
them, so the slice is multiplied by W.

This factor stands here, not on the loss. ``loss * W`` would be wrong by W for whatever is not behind the model: the
parameters of a loss or a constraint, a penalty on the weights, the value that is logged. And it cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .ranks import all_gathered, device_of_messages, rank_and_world
from .sharding import lengths_of_parts


@overload
def gather(
    outputs: Tensor, targets: Tensor, indices: Tensor, *, size: int | None = None
) -> tuple[Tensor, Tensor, Tensor]: ...
@overload
def gather(
    outputs: Tensor, targets: Tensor, indices: None = None, *, size: int | None = None
) -> tuple[Tensor, Tensor, None]: ...
def gather(
    outputs: Tensor, targets: Tensor, indices: Tensor | None = None, *, size: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The outputs, targets and indices of the global batch, in its order, on every rank.

    Every rank calls it in every step, with its part of the batch (``shard``), also if that is empty, and then computes
    the same loss of what it gets. After ``loss.backward()`` through ``DistributedDataParallel`` the gradients of the
    model are those of one process with the global batch. Parameters of a loss or of a constraint have the right
    gradient on every rank, within DDP or outside: give them to the optimizer as they are. Without DDP, where gradients
    are summed over the ranks instead of averaged, divide the sums by W.

    One message, of the bytes of the three tensors; no value is rounded. Without a process group, or with one rank, the
    arguments are returned as they are.

    Args:
        outputs: (b,) or (b, C) outputs of this rank's part, of any floating-point type; ``outputs`` get the gradient.
        targets: (b,) of any type.
        indices: (b,) dataset indices, or None on every rank.
        size: B, the size of the global batch. None: the ranks first tell each other the sizes of their parts, in a
            message of one number each, for which a GPU must be waited for.

    Returns:
        (B,) or (B, C) outputs, (B,) targets, (B,) indices or None. Only the outputs have a gradient, once.

    Raises:
        ValueError: the shapes do not match, or the sizes are not those of ``shard``: equal, or one less from some rank
            on. Where the other ranks do not raise, they wait for this one until it ends, which ``torchrun`` sees to.

    >>> outputs, targets, indices = gather(torch.tensor([0.5]), torch.tensor([1]), torch.tensor([7]))   # one process
    >>> outputs.tolist(), targets.tolist(), indices.tolist()
    ([0.5], [1], [7])
    """
    _check_shapes(outputs, targets, indices)
    rank, world = rank_and_world()
    if size is not None:
        _check_own(len(outputs), size, rank, world)
    if world == 1:
        return outputs, targets, indices
    size = _agreed_size(len(outputs), world) if size is None else size
    others = (targets,) if indices is None else (targets, indices)
    gathered, *more = _Gather.apply(size, outputs, *(each.detach() for each in others))
    return gathered, more[0], more[1] if indices is not None else None


def _check_shapes(outputs: Tensor, targets: Tensor, indices: Tensor | None) -> None:
    rows = [tuple(each.shape) for each in (targets, indices) if each is not None]
    if outputs.dim() not in (1, 2) or any(shape != (len(outputs),) for shape in rows):
        shapes = ", ".join(map(str, [tuple(outputs.shape), *rows]))
        raise ValueError(f"outputs must be (b,) or (b, C), targets and indices (b,) of the same b, got {shapes}")


def _check_own(found: int, size: int, rank: int, world: int) -> None:
    expected = lengths_of_parts(size, world)[rank]
    if size < 1 or found != expected:
        raise ValueError(
            f"rank {rank} of {world} must have {expected} samples of a global batch of size {size} (see shard),"
            f" got {found}"
        )


def _agreed_size(own: int, world: int) -> int:
    """B, from a message of the sizes of all parts."""
    found = all_gathered(torch.tensor([own], device=device_of_messages())).flatten().tolist()
    size = sum(found)
    if size < 1 or found != lengths_of_parts(size, world):
        raise ValueError(
            f"the ranks must have parts of one batch (see shard), of sizes such as {lengths_of_parts(size, world)},"
            f" got {found}"
        )
    return int(size)


class _Gather(torch.autograd.Function):
    """Forward: one all_gather of the bytes of all tensors. Backward: this rank's slice of the gradient, times W."""

    @staticmethod
    def forward(ctx: Any, size: int, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.rank, ctx.world = rank_and_world()
        rows = lengths_of_parts(size, ctx.world)[0]
        received = all_gathered(torch.cat([_bytes(part, rows) for part in parts]))
        gathered = _unpacked(received, parts, rows=rows, size=size)
        ctx.mark_non_differentiable(*gathered[1:])
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, grads[0][ctx.rank :: ctx.world] * ctx.world, *(None,) * (len(grads) - 1)


def _bytes(part: Tensor, rows: int) -> Tensor:
    """(n,) uint8 of a part that is filled up to ``rows`` samples."""
    padded = part.new_zeros(rows, *part.shape[1:])
    padded[: len(part)] = part
    return padded.view(torch.uint8).flatten()


def _unpacked(received: Tensor, parts: Sequence[Tensor], *, rows: int, size: int) -> tuple[Tensor, ...]:
    """(W, n) bytes -> the tensors of the global batch, each like that of this rank in ``parts``."""
    gathered, start = [], 0
    for part in parts:
        shape = part.shape[1:]
        end = start + rows * shape.numel() * part.element_size()
        values = received[:, start:end].contiguous().view(part.dtype).view(-1, rows, *shape)  # (W, rows, ...)
        # row i of rank r is sample i W + r, so what filled up the parts stands at the end
        gathered.append(values.transpose(0, 1).reshape(-1, *shape)[:size])
        start = end
    return tuple(gathered)
