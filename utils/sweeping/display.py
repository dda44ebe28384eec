"""The output of a sweep: a live table on a terminal, plain lines elsewhere, and the final summary."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from .job_state import Look, State, epoch_seconds
from .jobs import Job
from .plan import Board
from .rank_layout import RankLayout

MOST_LINES = 20
PLAIN_SECONDS = 60.0  # between two progress lines without a terminal


class Display:
    """Shows the progress of the running jobs, of which there are ``slots`` at once, and the time left.

    A terminal gets a table that is redrawn, anything else gets lines.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.live = sys.stdout.isatty()
        self._drawn = 0
        self._last = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._extra: list[float] = []
        self._said: set[str] = set()

    def event(self, text: str) -> None:
        """Print a line above the table."""
        self.clear()
        print(text, flush=True)

    def notes(self, *notes: str) -> None:
        """Print lines above the table, each once."""
        for note in notes:
            if note not in self._said:
                self._said.add(note)
                self.event(note)

    def learn(self, job: Job, *, seconds: float, epochs: int) -> None:
        """Record the time a job took in addition to its epochs: to start and to write its results."""
        if epochs:
            self._extra.append(max(0.0, seconds - sum(epoch_seconds(job)[-epochs:])))

    def progress(self, board: Board) -> None:
        """Redraw the table, or print a line from time to time."""
        if not self.live:
            if time.monotonic() - self._last >= PLAIN_SECONDS:
                self._last = time.monotonic()
                print(self._headline(board), flush=True)
            return
        width = shutil.get_terminal_size().columns
        running = board.having(State.RUNNING)
        lines = [self._headline(board), *(_bar(job, found) for job, found in running[:MOST_LINES])]
        if len(running) > MOST_LINES:
            lines.append(f"  and {len(running) - MOST_LINES} more")
        self.clear()
        print("\n".join(line[: width - 1] for line in lines), flush=True)
        self._drawn = len(lines)

    def clear(self) -> None:
        """Remove the table."""
        if self._drawn:
            print(end=f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _headline(self, board: Board) -> str:
        left = self._time_left(board)
        return f"{counted(board)}{f'; at most {left} left' if left else ''}"

    def _time_left(self, board: Board) -> str:
        """An upper bound, since runs may stop early: from the mean seconds per epoch of each row, where known."""
        for job, found in board.entries:
            is_new = found.epochs and job.row not in self._seconds
            if (found.state == State.RUNNING or is_new) and (seconds := epoch_seconds(job)):
                self._seconds[job.row] = statistics.fmean(seconds)
        if not self._seconds:
            return ""
        usual = statistics.fmean(self._seconds.values())
        extra = statistics.fmean(self._extra) if self._extra else 0.0
        total = sum(
            extra + self._seconds.get(job.row, usual) * max(job.num_epochs - found.epochs, 0)
            for job, found in board.having(State.TODO, State.RUNNING)
        )
        return tqdm.format_interval(total / self.slots)


def counted(board: Board) -> str:
    """``12 of 170 done, 2 running, 156 to do``."""
    counts = {state: len(board.having(state)) for state in State}
    done = f"{counts.pop(State.DONE)} of {len(board.entries)} done"
    rest = [f"{count} {state}" for state, count in counts.items() if count]
    return ", ".join([done, *rest, *filter(None, [board.later])])


def status_lines(board: Board) -> list[str]:
    """One line per row: its seeds, grouped by state."""
    rows: dict[str, list[tuple[Job, Look]]] = {}
    for job, found in board.entries:
        rows.setdefault(job.row, []).append((job, found))
    width = max(map(len, rows), default=0)
    lines = []
    for row, entries in rows.items():
        seeds = {state: [_seed(job.seed, found) for job, found in entries if found.state == state] for state in State}
        parts = "; ".join(f"{state}: {' '.join(shown)}" for state, shown in seeds.items() if shown)
        lines.append(f"{row:{width}}  {parts}  -> {entries[0][0].paths.folder}")
    return [*lines, *board.notes]


def failure_lines(failed: Sequence[tuple[Job, Look]], layout: RankLayout) -> list[str]:
    """The reason, command and log of each failed job."""
    lines = []
    for job, found in failed:
        log = f"\n  log      {job.log}" if job.log.exists() else ""
        lines.append(f"failed: {job}\n  reason   {found.message}\n  command  {layout.typed(job.argv)}{log}")
    return lines


def _seed(seed: int, found: Look) -> str:
    if found.state == State.QUEUED:
        return f"{seed} ({found.message})"
    if found.state in (State.TODO, State.RUNNING) and found.epochs:
        return f"{seed} (epoch {found.epochs})"
    return str(seed)


def _bar(job: Job, found: Look) -> str:
    filled = 20 * found.epochs // max(job.num_epochs, 1)
    return f"  {job!s:40} {'#' * filled:.<20} epoch {found.epochs}/{job.num_epochs}"
