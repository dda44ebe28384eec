"""A model whose gradients are averaged over the ranks, and nothing else of it is sent."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def data_parallel(model: nn.Module) -> DistributedDataParallel:
    """``model`` in DDP. Its batch norm must be converted or frozen: then its buffers are the same on all ranks."""
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # the older name
    option: dict[str, Any] = {name: False}
    return DistributedDataParallel(model, **option)
