"""Several seeds at once, each in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ..errors import UserError
from ..system import interruption

_PR_SET_PDEATHSIG = 1  # Linux's prctl.h
_INTERRUPTED = 130  # exit code
Train = Callable[[int], str | None]


@dataclass(frozen=True)
class _Worker:
    """A process that trains one seed, and where it says what came of it."""

    seed: int
    process: BaseProcess
    words: Connection


def train_in_processes(
    train: Train, seeds: Sequence[int], *, at_once: int, threads: int, forked: bool, meanwhile: Callable[[], None]
) -> dict[int, str]:
    """Call ``train(seed)`` for every seed, each call in a new process, ``at_once`` of them at the same time.

    Args:
        train: returns None, or why the seed failed. Where not ``forked`` it must be picklable.
        threads: CPU threads of each process.
        forked: whether the processes start as copies of this one and share its memory; then this process must have
            started neither OpenMP's nor autograd's threads, nor CUDA.
        meanwhile: called once when the first processes run and more are to follow.

    Returns:
        Why each seed failed that did.

    Raises:
        UserError: as one of the processes did; the others are asked to stop.
    """
    context: BaseContext = multiprocessing.get_context("fork" if forked else "spawn")
    waiting, running, failures = deque(seeds), dict[int, _Worker](), dict[int, str]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                worker = _started(context, train, waiting.popleft(), threads)
                running[worker.process.sentinel] = worker
            interruption.check()
            if waiting:
                meanwhile()
                meanwhile = _nothing
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                worker = running.pop(sentinel)
                if failure := _outcome(worker):
                    failures[worker.seed] = failure
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.process.join()
    return dict(sorted(failures.items()))


def _nothing() -> None:
    pass


def _started(context: Any, train: Train, seed: int, threads: int) -> _Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(train, seed, threads, sender, os.getpid()), name=f"seed {seed}")
    try:
        with interruption.held():
            process.start()
    except KeyboardInterrupt:  # comes when it has started, and nobody else knows of it yet
        process.terminate()
        process.join()
        raise
    sender.close()
    return _Worker(seed, process, receiver)


def _outcome(worker: _Worker) -> str | None:
    """Why the seed failed, if it did, when its process has ended."""
    worker.process.join()
    code = worker.process.exitcode
    kind, text = "", ""
    with contextlib.suppress(EOFError):  # it ended without a word
        kind, text = worker.words.recv()
    worker.words.close()
    if kind == "refused":
        raise UserError(text)
    if code == 0:
        return text or None
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        failure = f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    else:
        failure = "it was interrupted" if code == _INTERRUPTED else f"its process ended with exit code {code}"
    failure += "; the same command with --resume 1 goes on after its last finished epoch"
    print(f"seed {worker.seed} stopped: {failure}", file=sys.stderr)
    return failure


def _work(train: Train, seed: int, threads: int, words: Connection, parent: int) -> None:
    """In the new process."""
    _end_with(parent)
    torch.set_num_threads(threads)
    try:
        interruption.release()
        words.send(("failed", train(seed)))
    except UserError as error:
        words.send(("refused", str(error)))
    except OSError as error:
        where = f"{str(error.filename)!r:.200}: " if error.filename else ""
        words.send(("refused", f"{where}{error.strerror or error}"))
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)


def _end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, however it ends; on Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
