"""Where a run is killed: its phases, and a death at an exact point of one of them."""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from children import Board

from utils.run import seed_epochs
from utils.run import train as train_run
from utils.system import files

# import: until training or the results begin, so loading, reading data and files, too
PHASES = ("import", "step", "write", "rename", "aggregation")
# the functions that are a phase, where they are looked up
REGIONS = (
    (seed_epochs, "train_epoch", "step"),
    (train_run, "save", "write"),
    (train_run, "_finish_seed", "aggregation"),
    (train_run, "report", "aggregation"),
)
RENAMED = 1 + len(PHASES)  # place on the board
RENAMES = ((os, "replace"), (os, "link"), (files, "sync_folder"))


@dataclass(frozen=True)
class Death:
    """In the ``entry``-th time (from 1) that ``phase`` begins, after the share ``at`` of what Python calls in it."""

    phase: str
    entry: int
    at: float


class Phases:
    """Follows the phases of a run in the child process.

    Args:
        board: where the parent reads the current phase, the calls of each and the renames; in that order.
        calls: how many calls one entry of each phase makes, to turn a share into a number; {} to count.
        death: where to die; None counts the calls, which costs time.
    """

    def __init__(self, board: Board, calls: dict[str, int], death: Death | None) -> None:
        self.board, self.calls, self.death = board, calls, death
        self.entries: Counter[str] = Counter()
        self._left = -1
        self._count = 0

    def install(self) -> None:
        """Put the watchers in place; the phase ``import`` begins."""
        for module, name, phase in REGIONS:
            setattr(module, name, self._watched(getattr(module, name), phase))
        for module, name in RENAMES:
            setattr(module, name, self._watched_rename(getattr(module, name)))
        self._begin("import")

    def _begin(self, phase: str) -> None:
        sys.setprofile(None)
        self.board[0] = PHASES.index(phase)
        self.entries[phase] += 1
        self._count = 0
        if self.death is None or (self.death.phase, self.death.entry) == (phase, self.entries[phase]):
            at = self.death.at if self.death else 2.0
            self._left = max(1, int(at * self.calls.get(phase, 1000))) if self.death else -1
            sys.setprofile(self._profile)

    def _end(self, phase: str) -> None:
        sys.setprofile(None)
        place = 1 + PHASES.index(phase)
        self.board[place] = max(self.board[place], self._count)
        if self.death and (self.death.phase, self.death.entry) == (phase, self.entries[phase]) and phase != "rename":
            die()  # there were fewer calls than expected

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self._count += 1
            if self._count == self._left:
                die()

    def _watched(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **options: Any) -> Any:
            if self.board[0] == PHASES.index("import"):
                self._end("import")
            before = self.board[0]
            self._begin(phase)
            try:
                return function(*args, **options)
            finally:
                self._end(phase)
                self.board[0] = before or PHASES.index("step")

        return watched

    def _watched_rename(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **options: Any) -> Any:
            self.entries["rename"] += 1
            self.board[RENAMED] = self.entries["rename"]
            death = self.death
            dies = death is not None and (death.phase, death.entry) == ("rename", self.entries["rename"])
            before, self.board[0] = self.board[0], PHASES.index("rename")
            if dies and death and death.at < 0.5:
                die()
            result = function(*args, **options)
            if dies:
                die()
            self.board[0] = before
            return result

        return watched


def die() -> None:
    """As by the out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def deaths(stream: random.Random, renames: int) -> list[Death]:
    """The deaths of one run, one after the other: first those while it trains, then those while it finishes."""
    early = ["import", "step", "write", "rename", *stream.choices(PHASES[:4], weights=(1, 2, 3, 3), k=4)]
    stream.shuffle(early)
    late = ["aggregation", "aggregation", "import", "rename", "aggregation"]
    found = []
    for phase in [*early, *late]:
        entry = {"import": 1, "rename": stream.randint(1, max(4, renames // 3))}.get(phase, stream.randint(1, 2))
        found.append(Death(phase, entry, stream.random()))
    return found
