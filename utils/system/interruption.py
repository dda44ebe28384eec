"""Ctrl-C and SIGTERM: stop at the next step, and remember which of them it was."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns SIGINT and SIGTERM into a KeyboardInterrupt while it is entered; ``signal`` is the one that came.

    A step is one call into torch or a few, and Python looks at signals between such calls. What is being written to a
    file at that moment is either whole or removed. A signal that the process was started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __str__(self) -> str:
        return f"interrupted by {(self.signal or signal.SIGINT).name}"

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, as a shell would say it."""
        return 128 + (self.signal or signal.SIGINT)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        _entered.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        if not _holding:
            raise KeyboardInterrupt


_entered: list[Interruption] = []
_holding: list[bool] = []


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A signal that comes inside stops at the end, as around a fork: Python prints what its hooks there raise.

    It is kept back by the kernel, since a new process forgets what reached it before its own first line of Python.

    Raises:
        KeyboardInterrupt: one has come.
    """
    _holding.append(True)  # for a signal that another thread takes
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        _holding.clear()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    check()


def release() -> None:
    """In a process that was forked inside ``held``: from here on signals stop it at once.

    Raises:
        KeyboardInterrupt: one has come since the fork, or had before it.
    """
    _holding.clear()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    check()


def check() -> None:
    """Stop if a signal has come whose KeyboardInterrupt was swallowed, as Python does where no code could catch it.

    Raises:
        KeyboardInterrupt: it has.
    """
    if _entered and _entered[-1].signal is not None:
        raise KeyboardInterrupt
