"""Processes that run main.py for the fault tests: forked from this one, which has torch loaded, or started afresh.

Torch is imported once, with one thread, before anything is computed: a fork then costs milliseconds.
"""

from __future__ import annotations

import importlib
import itertools
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
import torch.utils.tensorboard

import main
from benchmarks.processes import last_of_each
from utils.config.settings import resolve
from utils.run.prepare_run import prepare as prepare_run
from utils.run_files import results_json as results

ROOT = Path(__file__).resolve().parents[2]
Prepare = Callable[[], object]
FOLDER = Path("checkpoint/runs/run")  # of the run, below the folder in which main.py works
RATIO = "--ratio_pos_train 20"  # of a task of two sides
SMALL = (
    f"--dataset_name digits {RATIO} --resnet_type linear --device cpu --threads 1 --model_name run "
    "--parallel_seeds 1 --bsize 64 --evaluate_every_steps 4 --num_epochs 4 --resume 1"
)
LOADED_WHEN_NEEDED = (
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "sklearn.metrics",
    "sklearn.datasets",
    "PIL.PngImagePlugin",
    "tensorboard.plugins.hparams.api_pb2",
)
_starts = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or minus the number of the signal; and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stderr that are not empty."""
        return [line for line in self.err.splitlines() if line.strip()]


@dataclass(frozen=True)
class Child:
    """A process that runs main.py."""

    process: int
    out: Path
    err: Path

    def wait(self) -> Ended:
        """Until it ends."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return Ended(code, self.out.read_text(errors="replace"), self.err.read_text(errors="replace"))

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; it may have ended."""
        os.kill(self.process, number)


def nothing() -> None:
    """The ``prepare`` of an undisturbed run."""


def warm_up(options: list[str]) -> None:
    """Load and read what every run does; no backward pass, which forbids a fork."""
    torch.set_num_threads(1)
    for figures in (results.TWO_SIDES.figures, results.K_CLASSES.figures):
        figures.update(dict.fromkeys(figures, blank))
    for name in LOADED_WHEN_NEEDED:
        importlib.import_module(name)
    prepare_run(resolve(arguments(options)))


def blank(*args: object, **options: object) -> matplotlib.figure.Figure:
    """In place of the ROC picture, which takes most of a small run's time."""
    return matplotlib.figure.Figure(figsize=(1, 1))


def arguments(options: list[str]) -> list[str]:
    """The command line of a small run; ``options`` come last and so win."""
    small = SMALL.replace(RATIO, "") if "--task" in options else SMALL
    return last_of_each([*small.split(), *options])


def forked(folder: Path, options: list[str], prepare: Prepare = nothing) -> Child:
    """Start main.py in ``folder`` as a fork of this process; ``prepare`` is called in it first."""
    number, out, err = _outputs(folder)
    process = os.fork()
    if process:
        return Child(process, out, err)
    code = 70
    try:
        os.chdir(folder)  # so that the same command, with the same relative paths, runs everywhere
        for descriptor, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY), descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _shift_clock(2.0 * number)
        prepare()
        code = main.main(arguments(options))
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _outputs(folder: Path) -> tuple[int, Path, Path]:
    """The number of a new process, and empty files for what it prints: beside ``folder``, whose disk may be full."""
    number, place = next(_starts), folder.with_name(f"{folder.name}_printed")
    folder.mkdir(parents=True, exist_ok=True)
    place.mkdir(exist_ok=True)
    out, err = place / f"out{number}.txt", place / f"err{number}.txt"
    for path in (out, err):
        path.write_bytes(b"")
    return number, out, err


def _shift_clock(seconds: float) -> None:
    """Event files have names that tell apart no less than a second, and a run waits until it has one of its own."""
    now = time.time
    setattr(time, "time", lambda: now() + seconds)  # noqa: B010


def started(folder: Path, options: list[str]) -> Child:
    """Start main.py in ``folder`` afresh, as a user does."""
    _, out, err = _outputs(folder)
    with open(out, "wb") as to_out, open(err, "wb") as to_err:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *arguments(options)], cwd=folder, stdout=to_out, stderr=to_err
        )
    process.returncode = 0  # it is waited for by its number
    return Child(process.pid, out, err)


def finish(folder: Path, options: list[str]) -> Ended:
    """Run to the end, undisturbed."""
    ended = forked(folder, options).wait()
    if ended.code:
        raise AssertionError(f"main.py ended with {ended.code} in {folder}: {ended.err[-500:]}")
    return ended


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Board:
    """Numbers that a child sets and its parent reads, even when the child is dead."""

    def __init__(self, size: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, 4 * size)).cast("I")

    def __getitem__(self, place: int) -> int:
        return self._memory[place]

    def __setitem__(self, place: int, number: int) -> None:
        self._memory[place] = number
