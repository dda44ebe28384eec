"""Violations of all pairs on a CPU: the smaller class is sorted, the larger one binned into it.

(P + N) log min(P, N) time and P + N memory; see ``pairwise`` for the formulas and for what is promised. numpy does the
work: its calls cost a tenth of torch's and wait for no second thread; autograd sees one step with a closed backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

CELLS_PER_EDGE = 128  # of the look-up table: about 1 value in 50 then shares its cell with an edge
CELLS_PER_VALUE = 4  # at most, so that the table is no larger than what it is for
CHUNK = 2**14  # values that are binned at a time, so that what lies between stays in the cache

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


class FewPositives(torch.autograd.Function):
    """(P,), (N,), delta -> (P,) q_j: the thresholds t_j are sorted, the negatives binned among them."""

    @staticmethod
    @np.errstate(all="ignore")
    def forward(ctx: Any, positives: Tensor, negatives: Tensor, delta: float) -> Tensor:
        thresholds = _floats(positives) - delta
        order = thresholds.argsort()
        edges = thresholds[order]
        bins = np.empty(len(negatives), dtype=np.int32)
        counts, rests = np.zeros(len(edges) + 1, dtype=np.int64), np.zeros(len(edges) + 1)
        for part, rest, places in _binned(edges, negatives.detach().numpy()):
            bins[part] = places
            counts += np.bincount(places, minlength=len(counts))
            rests += np.bincount(places, weights=rest, minlength=len(counts))
        above = counts[:0:-1].cumsum()[::-1]  # (P,) negatives above each threshold
        steps = rests[1:]
        steps[:-1] += above[1:] * np.diff(edges)
        q = np.empty(len(edges))
        q[order] = steps[::-1].cumsum()[::-1]
        if np.isnan(edges[-1]) or np.isnan(rests).any():
            q[:] = np.nan
        ctx.order, ctx.above, ctx.bins = order, above, bins
        return _tensor(q, positives)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        ordered = _floats(grad)[ctx.order]
        to_positives = to_negatives = None
        if ctx.needs_input_grad[0]:
            to_positives = _tensor(_scattered(-ctx.above * ordered, ctx.order), grad)
        if ctx.needs_input_grad[1]:
            up_to = np.concatenate([[0.0], ordered.cumsum()]).astype(_dtype(grad))
            slopes = np.empty(len(ctx.bins), dtype=up_to.dtype)
            for part in _parts(len(slopes), CHUNK):
                slopes[part] = up_to.take(ctx.bins[part])
            to_negatives = torch.from_numpy(slopes)
        return to_positives, to_negatives, None


class FewNegatives(torch.autograd.Function):
    """The same with the signs turned: the edges are -(s_k + delta), ascending; the -s_j are binned among them."""

    @staticmethod
    @np.errstate(all="ignore")
    def forward(ctx: Any, positives: Tensor, negatives: Tensor, delta: float) -> Tensor:
        turned = -(_floats(negatives) + delta)
        order = turned.argsort()
        edges = turned[order]
        before = np.zeros(len(edges) + 1)  # sum of the distances from the edge below a value to all edges before it
        np.cumsum(np.arange(1, len(edges)) * np.diff(edges), out=before[2:])
        q = np.empty(len(positives), dtype=_dtype(positives))
        bins = np.empty(len(positives), dtype=np.int32)  # negatives above each threshold
        for part, rest, places in _binned(edges, -positives.detach().numpy()):
            bins[part] = places
            q[part] = rest * places + before.take(places)
        if np.isnan(edges[-1]):
            q[:] = np.nan
        ctx.order, ctx.bins = order, bins
        return torch.from_numpy(q)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights = _floats(grad)
        to_positives = to_negatives = None
        if ctx.needs_input_grad[0]:
            to_positives = _tensor(-ctx.bins * weights, grad)
        if ctx.needs_input_grad[1]:
            sums = np.bincount(ctx.bins, weights=weights, minlength=len(ctx.order) + 1)
            to_negatives = _tensor(_scattered(sums[:0:-1].cumsum()[::-1], ctx.order), grad)
        return to_positives, to_negatives, None


class _Bins:
    """``find(values)``: how many of the ascending ``edges`` lie below each value.

    Cells of equal width between the first and the last edge are looked up in a table. The cell is a monotone function
    of the value in floating point too, so the edges of lower cells lie below it and those of higher cells do not; only
    the values whose cell holds an edge are compared with edges. Edges that one table cannot separate cost more time:
    a binary search for each value.
    """

    def __init__(self, edges: Floats, values: int) -> None:
        cells = min(CELLS_PER_EDGE * len(edges), CELLS_PER_VALUE * values)
        self._edges = edges
        self._last_cell = cells + 3
        self._scale = cells / (edges[-1] - edges[0])
        self._start = edges[0] - 1.5 / self._scale  # so that cell 0 holds what lies below all edges
        self._table: NDArray[np.signedinteger[Any]] | None = None
        if np.isfinite(self._scale) and self._scale > 0 and np.isfinite(self._start):
            held = self._cell(edges)
            numbers = np.arange(len(edges) + 1, dtype=np.min_scalar_type(~len(edges)))  # signed, as small as can be
            self._table = numbers.repeat(np.diff(held, prepend=-1, append=self._last_cell))
            self._table[held] = ~self._table[held]  # < 0: look at the edges

    def __call__(self, values: Floats) -> Places:
        if self._table is None:
            return self._edges.searchsorted(values)
        found = self._table.take(self._cell(values), mode="clip").astype(np.intp)  # a NaN: of any cell
        shared = np.flatnonzero(found < 0)
        found[shared] = self._edges.searchsorted(values[shared])
        return found

    def _cell(self, values: Floats) -> Places:
        cells: Floats = values - self._start
        cells *= self._scale
        cells.clip(0, self._last_cell, out=cells)
        return cells.astype(np.intp)


def _binned(edges: Floats, values: NDArray[Any]) -> Iterator[tuple[slice, Floats, Places]]:
    """Of each chunk of the values: where it stands, the distances to the edge below, the number of edges below.

    The distance of a value below all edges is to the first one, <= 0.
    """
    find = _Bins(edges, len(values))
    below = np.concatenate([edges[:1], edges])
    size = max(CHUNK, 4 * len(edges))  # what is summed for each edge in each chunk must not cost more than its values
    for part in _parts(len(values), size):
        chunk = values[part].astype(np.float64)
        places = find(chunk)
        chunk -= below.take(places)
        yield part, chunk, places


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))


def _scattered(values: Floats, places: Places) -> Floats:
    """``values`` put to their places."""
    result = np.empty(len(values))
    result[places] = values
    return result


def _floats(values: Tensor) -> Floats:
    return values.detach().numpy().astype(np.float64)


def _dtype(like: Tensor) -> np.dtype[Any]:
    dtype: np.dtype[Any] = like.detach().numpy().dtype
    return dtype


def _tensor(values: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(_dtype(like), copy=False))
