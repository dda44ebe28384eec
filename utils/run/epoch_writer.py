"""Write the files of an epoch, on a GPU while the next epoch trains."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import Tensor

from ..system.devices import Machine


class EpochWriter:
    """Calls one writing function per epoch, in order.

    On a GPU, where an epoch can be shorter than the writing of a checkpoint, a thread writes while the next epoch
    trains. ``put`` first waits for the previous epoch's files, so that a kill loses at most one epoch and the order of
    the files stays the same. On a CPU, whose cores are all busy, it writes immediately. Leaving the context waits for
    the last write; an error in the thread is raised by the next call.
    """

    def __init__(self, machine: Machine) -> None:
        self._in_background = machine.device.type != "cpu"
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def own(self, content: dict[str, Any]) -> dict[str, Any]:
        """``content``, or a copy on the CPU if it is written while training changes it."""
        copied: dict[str, Any] = _copied(content) if self._in_background else content
        return copied

    def put(self, write: Callable[[], None]) -> None:
        """Write an epoch's files.

        Raises:
            UserError: these files, or those of the previous epoch, cannot be written.
        """
        if not self._in_background:
            write()
            return
        self._wait()
        self._thread = threading.Thread(target=self._run, args=(write,), name="epoch writer")
        self._thread.start()

    def __enter__(self) -> EpochWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._wait()
        elif self._thread:
            self._thread.join()

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            self._error = error

    def _wait(self) -> None:
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._error:
            error, self._error = self._error, None
            raise error


def _copied(value: Any) -> Any:
    """A deep copy, its tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item) for item in value)
    return value
