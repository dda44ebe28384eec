"""A training step that is recorded once as a CUDA graph and replayed: one launch instead of hundreds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # steps of a batch size that run eagerly before its capture: they choose kernels and allocate what stays


class CapturedStep:
    """``step(indices)``, from a CUDA graph as soon as there is one for that number of indices.

    Every call is one real step: the first ones of each batch size run eagerly, on the stream that captures, the next
    is recorded and replayed. Batch sizes have graphs of their own, since BatchNorm forbids to fill up the last, smaller
    batch of an epoch; the graphs share one pool of memory.

    Args:
        step: reads and writes the same tensors at every call, has shapes that depend on ``len(indices)`` alone and
            never waits for the device.
        generators: CUDA generators that it draws from; a replay advances them as an eager step does.
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
        """The graph of one step, recorded without being run, and the tensor from which it reads the indices."""
        static_indices = indices.clone()
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool, stream=self._stream):
            self._step(static_indices)
        return graph, static_indices
