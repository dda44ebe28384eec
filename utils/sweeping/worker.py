"""One running process of main.py: started, listened to, stopped, and judged when it has ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO

from ..system.files import no_link
from .job_state import Look, State, look_inside, mark_failed
from .jobs import Job

TAIL_LINES = 40
PATIENCE_SECONDS = 10.0  # between asking a process to end and ending it
_PR_SET_PDEATHSIG = 1  # Linux's prctl.h
_IGNORED_IN_CHILD = (signal.SIGUSR1, signal.SIGUSR2)  # a scheduler's words to the parent
_LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec is no time for it


class Worker:
    """A process that works on a job. It holds the job's claim as long as it lives, and ends with its parent.

    Args:
        job: the job.
        claim: the file that ``claimed`` returned.
        command: what starts main.py; the job's arguments come behind it.
        environment: variables to set.
        deaf: whether it goes on when it is asked to end; ``stop`` then ends it at once.
    """

    def __init__(
        self,
        job: Job,
        claim: IO[str],
        *,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        deaf: bool = False,
    ) -> None:
        self.job = job
        self.claim = claim
        self.deaf = deaf
        self.started = time.monotonic()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = ""
        parent = os.getpid()
        self.process = subprocess.Popen(
            [*command, *job.argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            pass_fds=[claim.fileno()],
            start_new_session=True,  # a Ctrl-C is for the sweep, which stops its workers itself
            preexec_fn=lambda: _end_with(parent, deaf=deaf),
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)

    def listen(self) -> None:
        """Read what it printed, keep the end, add it to the log. A full disk costs the log, not the job."""
        text = ""
        while part := self._read():
            text += part.decode(errors="replace")
        if not text:
            return
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        self.tail.extend(line.split("\r")[-1] for line in lines)
        with contextlib.suppress(OSError), open(self.job.log, "a", encoding="utf-8", opener=no_link) as stream:
            stream.write(text)

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        self.listen()
        code = self.process.poll()
        if code is not None:
            self.listen()
        return code

    def stop(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL if self.deaf else signal.SIGTERM)

    def ended(self, *, deadline: float) -> int:
        """Wait for its end until ``deadline`` (of time.monotonic), then end it; returns the exit code."""
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                code = self.process.wait()
                break
            time.sleep(0.02)
        self.close()
        return code

    def close(self) -> None:
        """Let go of the claim and the pipe."""
        self.output.close()
        self.claim.close()

    def _read(self) -> bytes:
        try:
            return os.read(self.output.fileno(), 1 << 16)
        except BlockingIOError:
            return b""


def stop_all(workers: Sequence[Worker]) -> None:
    """Stop processes, all at once."""
    for worker in workers:
        worker.stop()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for worker in workers:
        worker.ended(deadline=deadline)


def was_killed(code: int) -> bool:
    """Whether a process with this exit code was ended from outside."""
    return code < 0 or code in (130, 137, 143)


def judged(job: Job, code: int, tail: Sequence[str]) -> Look:
    """The state of a job whose process has ended; a failure that left no message in the folder gets one there."""
    inside = look_inside(job)
    if inside.state in (State.DONE, State.FAILED):
        return inside
    message = reason(code, tail)
    if " is in use by " in message:  # a command typed by hand has this seed
        return Look(State.RUNNING, inside.epochs, message)
    mark_failed(job, message)
    return Look(State.FAILED, inside.epochs, message)


def reason(code: int, tail: Sequence[str]) -> str:
    """Why a process ended: its own last word, or its exit code."""
    said = [line for line in tail if line.strip()]
    own = [line for line in said if line.startswith("error: ")]
    if own:
        return own[-1].removeprefix("error: ")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"ended by signal {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    if code == 0:
        return "ended without finishing the seed"
    return f"ended with exit code {code}" + (f": {said[-1].strip()[:300]}" if said else "")


def _end_with(parent: int, *, deaf: bool) -> None:
    """In the child, before main.py: end when the parent does, however it does, and leave its signals alone."""
    for number in (*_IGNORED_IN_CHILD, *((signal.SIGTERM,) if deaf else ())):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before this line
            os._exit(1)
