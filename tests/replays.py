"""A CUDA graph played on a CPU: the operations of one call are recorded, and replayed on the tensors of that call.

A graph replays kernels: Python is not run again, no tensor is made anew, and an input is read where it lay at the
capture. ``RecordedStep`` does the same with ATen operations, so that it shows on a CPU whether a step may be captured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal.default")
BATCH_NORM_TICK = "num_batches_tracked"


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(wait in str(func) for wait in WAITS):
            raise AssertionError(f"{func} waits for the device, or has a shape that depends on the data")
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result


class RecordedStep:
    """Records ``step(indices)`` while it runs, and replays it for other indices of the same number."""

    def __init__(self, step: Callable[[Tensor], None], indices: Tensor) -> None:
        self._indices = indices.clone()
        with _Recorder() as recorder:
            step(self._indices)
        self.calls = recorder.calls

    def replay(self, indices: Tensor) -> None:
        """Run the recorded operations on the tensors that they were recorded with."""
        self._indices.copy_(indices)
        with torch.no_grad():
            for func, args, kwargs, recorded in self.calls:
                inputs = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
                for old, new in zip(tree_flatten(recorded)[0], tree_flatten(func(*args, **kwargs))[0], strict=True):
                    if isinstance(old, Tensor) and not any(_share(old, other) for other in inputs):
                        old.copy_(new)


def _share(one: Tensor, other: Tensor) -> bool:
    """Whether the two lie in the same memory: a view, or an operation in place, which is done when it has been run."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
