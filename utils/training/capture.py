"""A training step captured in a CUDA graph and replayed: one launch instead of hundreds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # eager steps of each batch size before its capture: they select kernels and allocate persistent buffers


class CapturedStep:
    """Call ``step(indices)``, replaying a CUDA graph once one exists for this batch size.

    Every call is one real step. The first ``WARM_UP`` calls of each batch size run eagerly on the capture stream; the
    next one is captured, then replayed. Each batch size has its own graph, because BatchNorm rules out padding the
    last, smaller batch of an epoch; the graphs share one memory pool.

    Args:
        step: must read and write the same tensors at every call, have shapes that depend on ``len(indices)`` only, and
            never synchronise with the device.
        generators: CUDA generators that ``step`` draws from; a replay advances them as an eager step does.
    """

    def __init__(self, step: Callable[[Tensor], None], *, generators: Sequence[torch.Generator]) -> None:
        self._step = step
        self._generators = generators
        self._stream = torch.cuda.Stream()
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._eager_steps: Counter[int] = Counter()

    def __call__(self, indices: Tensor) -> None:
        size = len(indices)
        if size not in self._graphs:
            if self._eager_steps[size] < WARM_UP:
                self._eager_steps[size] += 1
                self._run_eagerly(indices)
                return
            self._graphs[size] = self._captured(indices)
        graph, static_indices = self._graphs[size]
        static_indices.copy_(indices)
        graph.replay()

    def _run_eagerly(self, indices: Tensor) -> None:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._step(indices)
        current.wait_stream(self._stream)

    def _captured(self, indices: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """Capture one step without running it; return the graph and the tensor that it reads the indices from."""
        static_indices = indices.clone()
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool, stream=self._stream):
            self._step(static_indices)
        return graph, static_indices
