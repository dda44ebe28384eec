"""A process that runs one job of a sweep, and the verdict on the job when it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO

from ..system.child_processes import Child, how_it_ended
from ..system.files import no_link
from ..system.torchrun import ANOTHER_ENDED
from .job_state import Look, State, finished_epochs, look_inside, mark_failed
from .jobs import Job
from .rank_layout import first_death

TAIL_LINES = 40


class Worker(Child):
    """Runs ``command`` with the job's arguments, holds the job's claim while it lives, and logs what it prints."""

    def __init__(
        self,
        job: Job,
        claim: IO[str],
        *,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        ignored: Sequence[signal.Signals] = (),
    ) -> None:
        self.job = job
        self.claim = claim
        self.first_epoch = finished_epochs(job)
        self.started = time.monotonic()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = ""
        super().__init__(
            [*command, *job.argv],
            stdout=subprocess.PIPE,
            environment={"PYTHONUNBUFFERED": "1", **(environment or {})},
            pass_fds=[claim.fileno()],
            ignored=ignored,
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)

    def poll(self) -> int | None:
        """Its exit code, once it has ended; reads what it has printed."""
        self._listen()
        code = super().poll()
        if code is not None:
            self._listen()
        return code

    def close(self) -> None:
        """Release the claim and close the pipe."""
        self.output.close()
        self.claim.close()

    def _listen(self) -> None:
        """Keep the end of what it printed, and log all of it. A full disk costs the log, not the job."""
        parts: list[bytes] = []
        with contextlib.suppress(BlockingIOError):  # nothing more so far
            while part := os.read(self.output.fileno(), 1 << 16):
                parts.append(part)
        if not parts:
            return
        text = b"".join(parts).decode(errors="replace")
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        self.tail.extend(line.split("\r")[-1] for line in lines)
        with contextlib.suppress(OSError), open(self.job.log, "a", encoding="utf-8", opener=no_link) as stream:
            stream.write(text)


def judged(job: Job, code: int, tail: Sequence[str]) -> Look:
    """The state of a job whose process has ended; a failure that left no message in the folder gets one there."""
    inside = look_inside(job)
    if inside.state in (State.DONE, State.FAILED):
        return inside
    message = reason(code, tail)
    if " is in use by " in message:  # another command is training this seed
        return Look(State.RUNNING, inside.epochs, message)
    mark_failed(job, message)
    return Look(State.FAILED, inside.epochs, message)


def reason(code: int, tail: Sequence[str]) -> str:
    """Why a process ended: its own error message; of several ranks which one was killed; or its exit code and the last
    line it printed."""
    printed = [line for line in tail if line.strip()]
    errors = [line.removeprefix("error: ") for line in printed if line.startswith("error: ")]
    own = [error for error in errors if not error.startswith(ANOTHER_ENDED)]
    for found in (*own[-1:], first_death(printed), *errors[-1:]):
        if found:
            return found
    if code == 0:
        return "its process ended without finishing the seed"
    return how_it_ended(code) + (f": {printed[-1].strip()[:300]}" if printed and code > 0 else "")
