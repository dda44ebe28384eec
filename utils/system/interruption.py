"""Ctrl-C and SIGTERM: stop at the next training step, and remember which signal it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Raises KeyboardInterrupt on ``signals`` while it is entered; ``signal`` is the last one received.

    Python handles signals between calls into torch, of which a step has a few. A file that is being written at that
    moment is either complete or removed. A signal that the process was started to ignore stays ignored.
    With ``once`` those after the first are ignored too, so that a clean-up is not interrupted.
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS, *, once: bool = False) -> None:
        self.signals = signals
        self.once = once
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __str__(self) -> str:
        return f"interrupted by {(self.signal or signal.SIGINT).name}"

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, as in a shell."""
        return 128 + (self.signal or signal.SIGINT)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
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
        for other in self.signals if self.once else ():
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt


_entered: list[Interruption] = []


def exit_code_of_signal() -> int:
    """That of the signal that was received, within an ``Interruption``; else as after SIGINT."""
    return (_entered[-1] if _entered else Interruption()).exit_code


def check() -> None:
    """Stop if a signal was received whose KeyboardInterrupt Python discarded, as it does in ``__del__`` methods.

    Raises:
        KeyboardInterrupt: one was.
    """
    if _entered and _entered[-1].signal is not None:
        raise KeyboardInterrupt
