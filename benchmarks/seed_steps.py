"""Train a few steps of the seeds of a run in a new process, several seeds at once as main.py would.

``python -m benchmarks.seed_steps STEPS ARGUMENTS...`` with the arguments of main.py prints a line of JSON: seconds,
seed_steps, at_once. With one seed the clock runs while its steps do. With several it also runs while their processes
start and read the data, and each seed is built.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Sequence

import torch

from benchmarks.processes import last_of_each
from benchmarks.subject import prepared, seed_of
from utils.run.experiment import Experiment
from utils.run.seed_workers import train_in_processes

WARM_UP = 10


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    steps, command = int(argv[0]), argv[1:]
    experiment = prepared(command)
    seeds = experiment.config.seeds
    seconds = one_process(experiment, steps) if len(seeds) == 1 else at_once(experiment, command, steps)
    at_the_same_time = experiment.machine.seeds_at_once
    print(json.dumps({"seconds": seconds, "seed_steps": steps * len(seeds), "at_once": at_the_same_time}))
    return 0


def one_process(experiment: Experiment, steps: int) -> float:
    """Seconds of ``steps`` steps of one seed."""
    subject = seed_of(experiment, experiment.config.seeds[0])
    subject.run(WARM_UP)
    _wait()
    begin = time.perf_counter()
    subject.run(steps)
    _wait()
    return time.perf_counter() - begin


def at_once(experiment: Experiment, command: Sequence[str], steps: int) -> float:
    """Seconds of ``steps`` steps of every seed, with the start of their processes."""
    from benchmarks.seed_steps import take  # not of __main__: the processes unpickle it

    machine, seeds = experiment.machine, experiment.config.seeds
    alone = last_of_each([*command, "--parallel_seeds", "1", "--threads", str(machine.threads)])
    begin = time.perf_counter()
    failures = train_in_processes(functools.partial(take, alone, steps), seeds, at_once=machine.seeds_at_once)
    seconds = time.perf_counter() - begin
    if failures:
        raise RuntimeError(f"seeds failed: {failures}")
    return seconds


def take(command: Sequence[str], steps: int, seed: int) -> None:
    """Build one seed and take its steps; a process prepares the experiment once, as main.py's share what was read."""
    seed_of(_shared(tuple(command)), seed).run(steps)
    _wait()


@functools.cache
def _shared(command: Sequence[str]) -> Experiment:
    """The experiment of a process."""
    return prepared(command)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
