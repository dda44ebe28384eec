"""The state of a job, read from its folder alone, and the claim that keeps two sweeps from starting the same job."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from ..errors import UserError, one_line
from ..system.files import is_held, locked, make_folder, no_link, write_text
from ..system.text_files import parse_json, read_json, read_lines, read_text
from .jobs import Job

FAILED_BYTES = 2**20
MOST_TEXT = 2000  # characters of a message that are shown


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
    """What a look into a job's folder shows: its state, the finished epochs, and why it failed or where it waits."""

    state: State
    epochs: int = 0
    message: str = ""


def look(job: Job, *, is_queued: Callable[[Job], str] = lambda job: "") -> Look:
    """The state of a job.

    Args:
        job: the job.
        is_queued: says under which number a scheduler has it waiting, or ''.
    """
    if is_held(job.claim) or is_held(job.files.lock):
        return Look(State.RUNNING, finished_epochs(job))
    inside = look_inside(job)
    if inside.state in (State.DONE, State.FAILED):
        return inside
    number = is_queued(job) if job.queued.exists() else ""
    return Look(State.QUEUED, inside.epochs, number) if number else inside


def look_inside(job: Job) -> Look:
    """The state of a job that nobody works on."""
    files = job.files
    done = _read_json(files.done)
    if done is not None and _enough(done, job):
        # a kill between the two: main.py has nothing to train, and rebuilds the results
        listed = (_read_json(job.paths.results) or {}).get("seeds")
        counted = isinstance(listed, dict) and str(job.seed) in listed
        return Look(State.DONE if counted else State.TODO, int(done["epochs"]))
    if files.failed.exists():
        with contextlib.suppress(OSError, ValueError):
            message = read_text(files.failed, limit_bytes=FAILED_BYTES)[:MOST_TEXT]
            return Look(State.FAILED, finished_epochs(job), one_line(message))
    return Look(State.TODO, finished_epochs(job) if files.last.exists() else 0)


def finished_epochs(job: Job) -> int:
    """The lines of history.jsonl."""
    try:
        return sum(line.endswith("\n") for line in read_lines(job.files.history))
    except (OSError, ValueError):
        return 0


def epoch_seconds(job: Job) -> list[float]:
    """How long the epochs of a job took."""
    try:
        records = [parse_json(line) for line in read_lines(job.files.history)]
        return [float(record["seconds"]) for record in records]
    except (OSError, ValueError, OverflowError, KeyError, TypeError):
        return []


def claimed(job: Job) -> IO[str] | None:
    """Take the job's claim; None if somebody has it. It ends when the file that is returned and all copies are closed.

    Raises:
        UserError: the folder cannot be written.
    """
    make_folder(job.claim.parent)
    try:
        stream = open(job.claim, "a", encoding="utf-8", opener=no_link)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise UserError(f"cannot write {job.claim}: {error.strerror or error}") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream


def mark_failed(job: Job, message: str) -> bool:
    """Write the message into the job's folder. False if somebody works there, or the disk refuses."""
    try:
        make_folder(job.files.folder)
        with locked(job.files.lock, what=str(job)):
            write_text(job.files.failed, f"{message}\n")
    except UserError:
        return False
    return True


def _enough(done: dict[str, Any], job: Job) -> bool:
    try:
        more = job.num_epochs > int(done["epochs"]) and not done["stopped_early"] and "--continue_train" not in job.argv
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return not more


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
