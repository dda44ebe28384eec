"""An endless stream of a class's members in which none comes again before all have come."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import require


class Cycle:
    """The numbers 0..size-1, each once in a fresh order, before any comes again.

    >>> cycle, generator = Cycle(3), torch.Generator().manual_seed(1)
    >>> taken = torch.cat([cycle.take(2, generator), cycle.take(4, generator)]).tolist()
    >>> sorted(taken[:3]), sorted(taken[3:])
    ([0, 1, 2], [0, 1, 2])
    """

    def __init__(self, size: int) -> None:
        self._order = torch.arange(size, device="cpu")
        self._left = 0  # that many of the order's last are still to come

    def take(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) the next ones, drawn from ``generator`` where a new order is needed."""
        size = len(self._order)
        rounds = max(0, -(-(count - self._left) // size))
        # a matrix of random numbers, sorted row by row: all new orders at once, however small the class is
        orders = torch.rand(rounds, size, generator=generator, dtype=torch.float64).argsort(dim=1)
        stream = torch.cat([self._order[size - self._left :], orders.flatten()])
        if rounds:
            self._order = orders[-1].clone()  # a view would keep, and save, all of them
        self._left = len(stream) - count
        return stream[:count]

    def state_dict(self) -> dict[str, Any]:
        """The order, and how many of its last are still to come."""
        return {"order": self._order, "left": self._left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there.

        Raises:
            ValueError: it is not a state of a cycle of this size.
        """
        size, order, left = len(self._order), state["order"], int(state["left"])
        is_order = torch.equal(order.sort().values, torch.arange(size, device="cpu"))
        require(is_order and 0 <= left <= size, f"a cycle must be an order of 0..{size - 1} and what is left", left)
        self._order, self._left = order, left
