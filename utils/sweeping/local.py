"""Run the jobs of a sweep as processes on this machine.

Several sweeps may run at once: a sweep claims a job before it starts it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Sequence

from tqdm import tqdm

from ..errors import UserError
from ..system.child_processes import stop_all, was_killed
from ..system.resources import Shares
from .display import Display
from .job_state import Look, State, claimed, finished_epochs, look_inside
from .jobs import Job, Key
from .plan import Board, Sweep
from .worker import Worker, judged

LOOK_SECONDS = 1.0  # between two scans of all folders
LISTEN_SECONDS = 0.1
MOST_KILLS = 2  # in a row without a completed epoch, after which a job has failed


class LocalRun:
    """Starts jobs with ``command``, reads their output and records how each ended.

    ``retry`` are those that failed before, to be started once each.
    """

    def __init__(self, sweep: Sweep, shares: Shares, *, command: Sequence[str], retry: Collection[Key]) -> None:
        self.sweep = sweep
        self.shares = shares
        self.command = command
        self.retry = set(retry)
        self.display = Display(shares.jobs)
        self.workers: dict[int, Worker] = {}
        self.kills: Counter[Key] = Counter()
        self.never = set[Key]()  # moved to another folder once already

    def run(self) -> Board:
        """Run until nothing is left to start or to wait for; returns the state of all jobs."""
        listed = 0
        try:
            while True:
                board = self.sweep.board(advance=True)
                if len(board.entries) != listed:  # rows were added after a choice: update table.json
                    listed = len(board.entries)
                    self.sweep.write_table()
                self.display.notes(*board.notes)
                lost = self._start(board)
                if not self.workers and not lost and not self._must_wait(board):
                    return self.sweep.board(advance=False)
                self.display.progress(board)
                self._listen()
        finally:
            self.display.clear()
            stop_all(list(self.workers.values()))

    def _must_wait(self, board: Board) -> bool:
        """Whether another process is running some of these jobs; those it leaves unfinished are started here."""
        elsewhere = board.having(State.RUNNING)
        if elsewhere and not self.display.live:
            self.display.notes(f"waiting for another process: {', '.join(str(job) for job, _ in elsewhere)}")
        return bool(elsewhere)

    def _start(self, board: Board) -> bool:
        """Fill the free slots; returns whether another process took a job after the board was made."""
        lost = False
        for job, found in board.entries:
            free = [slot for slot in range(self.shares.jobs) if slot not in self.workers]
            if not free:
                break
            if self._may_start(job, found):
                try:
                    lost |= not self._start_one(job, free[0])
                except (UserError, OSError) as error:  # a full disk, no more processes
                    self._failed(job, Look(State.FAILED, found.epochs, str(error)))
        return lost

    def _may_start(self, job: Job, found: Look) -> bool:
        retried = found.state == State.FAILED and job.key in self.retry
        return (found.state == State.TODO or retried) and self.sweep.is_ready(job)

    def _start_one(self, job: Job, slot: int) -> bool:
        claim = claimed(job)
        if claim is None:
            return False
        with contextlib.ExitStack() as until_started:
            until_started.callback(claim.close)
            if not self._may_start(job, look_inside(job)):  # finished by another process since the scan
                return False
            self.retry.discard(job.key)
            self.sweep.verdicts.pop(job.key, None)
            with contextlib.suppress(OSError):
                job.files.failed.unlink(missing_ok=True)
            worker = Worker(job, claim, command=self.command, environment=self.shares.environment(slot))
            self.workers[slot] = worker
            until_started.pop_all()
        self.display.event(f"start   {job}{f' from epoch {worker.first_epoch}' if worker.first_epoch else ''}")
        return True

    def _listen(self) -> None:
        """Wait until a process ends or the next scan of the folders is due."""
        end = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < end:
            ended = {slot: code for slot, worker in self.workers.items() if (code := worker.poll()) is not None}
            for slot, code in ended.items():
                worker = self.workers.pop(slot)
                try:
                    self._judge(worker, code)
                finally:
                    worker.close()
            if ended:
                return
            time.sleep(LISTEN_SECONDS)

    def _judge(self, worker: Worker, code: int) -> None:
        job, key = worker.job, worker.job.key
        seconds = time.monotonic() - worker.started
        took = tqdm.format_interval(seconds)
        if was_killed(code) and look_inside(job).state == State.TODO and self._is_worth_a_restart(worker):
            self.display.event(f"killed  {job} after {took}; it resumes from epoch {finished_epochs(job)}")
            return
        if any("holds another run" in line for line in worker.tail) and key not in self.never:
            self.never.add(key)
            if self.sweep.forget(job):
                self.display.event(f"moved   {job}: its folder now holds another run; a new folder")
                return
        found = judged(job, code, worker.tail)
        if found.state == State.FAILED:
            self._failed(job, found)
        else:
            self.display.learn(job, seconds=seconds, epochs=found.epochs - worker.first_epoch)
            self.display.event(f"{found.state:7} {job} after {took}, {found.epochs} epochs")

    def _is_worth_a_restart(self, worker: Worker) -> bool:
        key = worker.job.key
        self.kills[key] = 1 if finished_epochs(worker.job) > worker.first_epoch else self.kills[key] + 1
        return self.kills[key] < MOST_KILLS

    def _failed(self, job: Job, found: Look) -> None:
        self.sweep.verdicts[job.key] = found
        self.display.event(f"failed  {job}: {found.message}")
