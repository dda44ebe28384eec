"""Runs of main.py that are killed by SIGKILL and resumed, for test_resume.py; no test itself.

    python tests/kills.py FOLDER ARGUMENTS OF MAIN.PY

Torch is imported once, with one thread, before anything is computed; each run is a fork of this process.
``--checkpoint_root ROOT`` among the arguments becomes a folder of its own for each run. Prints a JSON report.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib.figure
import torch
import torch.utils.tensorboard

import main
from utils import results, train_run
from utils.config import resolve
from utils.experiment import prepare as prepare_run

RANDOM_KILLS = 5
POINTS = 7
Prepare = Callable[[], object]


def forked(argv: list[str], prepare: Prepare) -> int:
    """Start main.py as a child process; ``prepare`` is called in it first. Returns its id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        prepare()
        code = main.main(argv)
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """The exit code, or -9 of a child that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(argv: list[str]) -> None:
    """Run to the end, undisturbed."""
    code = wait(forked(argv, lambda: None))
    if code:
        raise SystemExit(f"main.py ended with {code}: {argv}")


def watch_renames(log: Path, *, kill_at: int = 0, after: bool = False) -> None:
    """Note the name of every file that is put in place; die before or after the ``kill_at``-th one (from 1)."""
    replace, count = os.replace, 0

    def watched(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(f"{target}\n")
        if count == kill_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, "replace", watched)  # noqa: B010 (mypy wants the signature of the original)


def kill_at_random(argv: list[str], duration: float, stream: random.Random) -> list[int]:
    """Kill the same run again and again, at moments drawn from the time that it takes; 1 for each that was alive."""
    kills = []
    for _ in range(RANDOM_KILLS):
        child = forked(argv, lambda: None)
        time.sleep(stream.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        kills.append(int(wait(child) == -signal.SIGKILL))
    return kills


def all_runs(folder: Path, arguments: list[str]) -> dict[str, Any]:
    """The undisturbed run, the one killed at random, and those killed at a rename."""

    def argv(name: str) -> list[str]:
        return [str(folder / name) if word == "ROOT" else word for word in arguments]

    stream = random.Random(2102)
    log = folder / "renames.txt"
    prepare_run(resolve(argv("none")))  # what every run imports and reads; no backward pass, which forbids a fork
    start = time.monotonic()
    code = wait(forked(argv("straight"), lambda: watch_renames(log)))
    duration = time.monotonic() - start
    if code:
        raise SystemExit(f"main.py ended with {code}")
    written = log.read_text(encoding="utf-8").split()
    report: dict[str, Any] = {"straight": {"written": written}, "points": {}}
    report["random"] = {"kills": kill_at_random(argv("random"), duration, stream)}
    finish(argv("random"))
    leftovers = 0
    for number in sorted(stream.sample(range(1, len(written) + 1), POINTS)):
        after = stream.random() < 0.5
        name = f"{'after' if after else 'before'}_{number}_{Path(written[number - 1]).name}"
        prepare = _watcher(log, number, after)
        code = wait(forked(argv(name), prepare))
        leftovers += len(list((folder / name).rglob(".*.tmp")))
        report["points"][name] = {"killed": code == -signal.SIGKILL}
        finish(argv(name))
    return {**report, "leftovers": leftovers}


def _watcher(log: Path, number: int, after: bool) -> Prepare:
    return lambda: watch_renames(log, kill_at=number, after=after)


def blank(*args: object, **options: object) -> matplotlib.figure.Figure:
    """In place of the ROC picture, which takes most of a small run's time."""
    return matplotlib.figure.Figure(figsize=(1, 1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for module in (results, train_run):
        setattr(module, "roc_figure", blank)  # noqa: B010 (likewise)
    print(json.dumps(all_runs(Path(sys.argv[1]), sys.argv[2:])))
