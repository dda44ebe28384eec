"""Standard streams that cannot end a command: closed, of another encoding, or read by somebody who has gone."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence

BROKEN_PIPE = 128 + signal.SIGPIPE  # the exit code that a shell expects of a command whose reader has gone


def run_command(main: Callable[[Sequence[str]], int]) -> int:
    """Run ``main`` on the arguments of this process; returns the exit code.

    A stream that was closed (``2>&-``) is replaced by the null device, so that no file opened later takes its
    descriptor. What the terminal's encoding lacks is shown as an escape. Where the reader of the output has gone
    (``| head``), the command ends without a message.
    """
    _open_missing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)  # Python flushes once more as it exits
        code = BROKEN_PIPE
    return code


def _open_missing() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
            os.set_inheritable(descriptor, True)  # child processes need it as much
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (open until the process ends)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
