"""The files of an epoch, written while the next one trains where that pays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import Tensor

from ..system.devices import Machine


class EpochWriter:
    """Calls one function an epoch, in the order in which they are put.

    In the background (on a GPU, whose epochs can be shorter than the writing of a checkpoint) the files of an epoch are
    written while the next one trains, and ``put`` first waits for those of the epoch before: so at most one epoch is
    lost to a kill, and the order of the files is the same. On a CPU, where all cores are at work, it writes at once.
    Leaving the context waits for what is being written; what went wrong there is raised by the next call.
    """

    def __init__(self, machine: Machine) -> None:
        self._in_background = machine.device.type != "cpu"
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def own(self, content: dict[str, Any]) -> dict[str, Any]:
        """``content`` so that training on does not change it: a copy on the CPU, where the writing takes longer."""
        copied: dict[str, Any] = _copied(content) if self._in_background else content
        return copied

    def put(self, write: Callable[[], None]) -> None:
        """Write an epoch's files.

        Raises:
            UserError: the disk refuses these files or those of the epoch before.
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
