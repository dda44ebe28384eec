"""What a case may not do: write outside its folder, start a process, ask the network, hang, take much memory."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {  # events of the interpreter whose arguments with these numbers are paths that are changed
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime"), (0,)),
    **dict.fromkeys(("os.rename", "os.link"), (0, 1)),
    "os.symlink": (1,),
}
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "socket.connect")
MOST_MEMORY = 2**29  # bytes that the peak may grow by in one case


class HangError(BaseException):
    """A case took too long. No Exception, so that nobody takes it for one of theirs."""


class Watch:
    """Looks on while a case runs: ``with watch.case(): ...``; what it saw stands in ``seen`` afterwards."""

    def __init__(self, allowed: Path, *, seconds: float) -> None:
        self.allowed = os.path.realpath(allowed)
        self.seconds = seconds
        self.seen: list[str] = []
        self._active = False
        sys.addaudithook(self._event)
        signal.signal(signal.SIGALRM, _late)

    @contextlib.contextmanager
    def case(self) -> Iterator[None]:
        """Watch what happens inside; raises ``HangError`` there when it takes too long."""
        self.seen = []
        before = _peak()
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        self._active = True
        try:
            yield
        finally:
            self._active = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            grown = _peak() - before
            if grown > MOST_MEMORY:
                self.seen.append(f"took {grown / 2**20:.0f} MiB of memory")

    def _event(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING:
                self._touched(name, path)
        elif name in PATHS:
            for number in PATHS[name]:
                self._touched(name, arguments[number])
        elif name in FORBIDDEN:
            self.seen.append(f"{name} {arguments!r:.200}")

    def _touched(self, name: str, path: Any) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)) or path == os.devnull:
            return
        where = os.path.realpath(os.fsdecode(path))
        if where != self.allowed and not where.startswith(self.allowed + os.sep):
            self.seen.append(f"{name} outside: {where!r:.200}")


def _late(number: int, frame: FrameType | None) -> NoReturn:
    raise HangError


def _peak() -> int:
    """In bytes; not that of getrusage, which begins with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
