"""Child processes: the seeds of a run that train at once, and the jobs of a sweep.

A child is a new process, not a fork of its parent. Forking would save each child the imports: 2 to 3 s and about
450 MiB (benchmarks/bench_seed_processes.py), little beside a training run. But a process may be forked only before it
starts threads of OpenMP, autograd or CUDA, and with signals held back, since Python runs hooks around a fork and
discards what a signal handler raises in them. New processes need neither, work the same on a GPU, and are supervised
alike in a run and in a sweep.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

PATIENCE_SECONDS = 10.0  # between asking a process to stop and killing it
POLL_SECONDS = 0.02
_PARENT = "RARECALL_PARENT"  # environment variable: the process with which a child ends
_PR_SET_PDEATHSIG = 1  # Linux's prctl.h


class Child:
    """A process in a session of its own: a Ctrl-C reaches the parent alone, which then stops its children.

    Its program calls ``end_with_parent`` first. A ``preexec_fn`` could do that, but with one Python runs hooks around
    the fork, and an interruption of the parent that arrives in a hook is lost. Only ``ignored`` needs one.

    Args:
        command: the program and its arguments.
        stdin, stdout: as for subprocess.Popen; None inherits the parent's. A pipe takes stderr too.
        environment: variables to set.
        pass_fds: open files that the child keeps.
        ignored: signals that the child ignores from its start.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        ignored: Sequence[signal.Signals] = (),
    ) -> None:
        self.ignored = frozenset(ignored)
        if stdout is None:
            sys.stdout.flush()  # what was printed before comes before what the child prints
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=None if stdout is None else subprocess.STDOUT,
            env={**os.environ, _PARENT: str(os.getpid()), **(environment or {})},
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=self._ignore if ignored else None,
        )

    def _ignore(self) -> None:
        for number in self.ignored:
            signal.signal(number, signal.SIG_IGN)

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self.process.poll()

    def stop(self) -> None:
        """Ask it to stop; kill it if it ignores SIGTERM."""
        self._signal(signal.SIGKILL if signal.SIGTERM in self.ignored else signal.SIGTERM)

    def ended(self, *, deadline: float) -> int:
        """Wait for its end until ``deadline`` (of time.monotonic), then kill it; returns the exit code."""
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                return self.process.wait()
            time.sleep(POLL_SECONDS)
        return code

    def close(self) -> None:
        """Close the files that it was started with."""

    def _signal(self, number: signal.Signals) -> None:
        if self.process.returncode is None:  # else its number may be another process's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def stop_all(children: Sequence[Child]) -> None:
    """Stop processes, all at once."""
    for child in children:
        child.stop()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for child in children:
        child.ended(deadline=deadline)
        child.close()


def was_killed(code: int) -> bool:
    """Whether a process with this exit code was ended from outside."""
    return code < 0 or code in (130, 137, 143)


def how_it_ended(code: int) -> str:
    """In words.

    >>> how_it_ended(-9)
    'its process was ended by SIGKILL (out of memory?)'
    >>> how_it_ended(3)
    'its process ended with exit code 3'
    """
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def adopt_children() -> None:
    """In a process that starts others by itself, not as ``Child``: have those end with it that ``end_with_parent``."""
    os.environ[_PARENT] = str(os.getpid())


def end_with_parent() -> None:
    """In a child: be killed when the parent ends, however it ends. Linux only; elsewhere the child goes on."""
    parent = os.environ.pop(_PARENT, "")
    if parent and sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if str(os.getppid()) != parent:  # it ended before this line
            os._exit(1)
