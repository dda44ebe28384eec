"""The state of a job, read from its folder alone, and the claim that keeps two sweeps from starting the same job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from ..errors import UserError
from ..run_files import history_jsonl
from ..run_files.done import is_complete, read_done, read_failed, write_failed
from ..run_files.results_json import read_results
from ..system.files import is_held, locked, make_folder, no_link, try_lock
from .jobs import Job


class State(StrEnum):
    """Where a job stands."""

    TODO = "to do"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


OPEN = (State.TODO, State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Look:
    """The state of a job, its finished epochs, and why it failed or where it is queued."""

    state: State
    epochs: int = 0
    message: str = ""


def look(job: Job, *, is_queued: Callable[[Job], str] = lambda job: "") -> Look:
    """The state of a job; ``is_queued`` returns the scheduler's number of a waiting job, or ''."""
    if is_held(job.claim) or is_held(job.files.lock):
        return Look(State.RUNNING, finished_epochs(job))
    inside = look_inside(job)
    if inside.state in (State.DONE, State.FAILED):
        return inside
    number = is_queued(job) if job.queued.exists() else ""
    return Look(State.QUEUED, inside.epochs, number) if number else inside


def look_inside(job: Job) -> Look:
    """The state of a job that no process works on."""
    files = job.files
    with contextlib.suppress(UserError):
        done = read_done(files)
        if is_complete(done, job.num_epochs) or job.after:
            # after a kill between `done` and results.json, main.py has nothing to train and rebuilds the results
            counts = str(job.seed) in read_results(job.paths.results)["seeds"]
            return Look(State.DONE if counts else State.TODO, done["epochs"])
    message = read_failed(files)
    if message is not None:
        return Look(State.FAILED, finished_epochs(job), message)
    return Look(State.TODO, finished_epochs(job) if files.last.exists() else 0)


def finished_epochs(job: Job) -> int:
    """The epochs in a job's history.jsonl."""
    return history_jsonl.finished_epochs(job.files.history)


def epoch_seconds(job: Job) -> list[float]:
    """How long the epochs of a job took."""
    seconds = history_jsonl.read_curves(job.files.history, ("seconds",))["seconds"]
    return [value for value in seconds if value is not None]


def claimed(job: Job) -> IO[str] | None:
    """Take the job's claim; None if another process has it. It ends when the file and all its copies are closed.

    Raises:
        UserError: the claim cannot be written or locked.
    """
    make_folder(job.claim.parent)
    try:
        stream = open(job.claim, "a", encoding="utf-8", opener=no_link)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise UserError(f"cannot write {job.claim}: {error.strerror or error}") from error
    try:
        try_lock(stream)
    except (BlockingIOError, UserError) as error:
        stream.close()
        if isinstance(error, UserError):
            raise
        return None
    return stream


def mark_failed(job: Job, message: str) -> bool:
    """Write the message into the job's folder. False if a process works there, or the disk refuses."""
    try:
        make_folder(job.files.folder)
        with locked(job.files.lock, what=str(job)):
            write_failed(job.files, message)
    except UserError:
        return False
    return True
