"""One model on several ranks: the messages of a step, and what ranks cost beside one process.

The steps are those of main.py with the constraint. Messages are counted on two ranks. A step of a single rank of
torchrun is timed against one of main.py alone, and a step of two ranks of one thread against one of a process of two
threads. Each has processes of its own, which wait for a line while the others work.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measuring import ROOT, Block, Report, Row, alternate, common_arguments, milliseconds, ratios, row
from benchmarks.processes import last_of_each, python, run
from benchmarks.subject import CASES
from benchmarks.synthetic import found_or_synthetic

RANKS = 2
ROUNDS = 10  # of each pair of processes
STEPS = {"lenet5": 60, "resnet10": 2}  # in a timed block
BATCH, QUICK_BATCH = 64, 8
PROGRAM = ("-m", "benchmarks.rank_steps")


class Stepping:
    """A process, or the ranks of torchrun, that takes steps when told to."""

    def __init__(self, command: Sequence[str], steps: int, *, threads: int, ranks: int | None = None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo"}
        words = launched(last_of_each([str(steps), *command, "--threads", str(threads)]), ranks)
        self.words = shlex.join(words)
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.seconds: list[float] = []
        self._read_until("ready")

    def step(self) -> None:
        """Take a block of steps; its own clock is kept in ``seconds``."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        self.seconds.append(float(self.process.stdout.readline()))

    def end(self) -> None:
        """Wait for its end.

        Raises:
            RuntimeError: its exit code is not 0.
        """
        self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"exit code {self.process.returncode} of {self.words}")

    def _read_until(self, word: str) -> None:
        assert self.process.stdout is not None
        if not any(line.strip() == word for line in self.process.stdout):
            raise RuntimeError(f"{self.words} did not print {word!r}")


def launched(words: Sequence[str], ranks: int | None) -> list[str]:
    """The command of the program, under torchrun if ``ranks`` are given."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks else []
    return python(*torchrun, *PROGRAM, *words)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of processes of the comparisons")
    options = parser.parse_args(argv)
    report = Report("ranks", options, script="bench_ranks", argv=argv)
    report.facts["threads"] = "as each row says"
    report.facts["data"] = {}
    for case in ["lenet5"] if options.quick else list(STEPS):
        with found_or_synthetic(CASES[case].dataset, data_root=options.data_root, quick=options.quick) as data:
            report.facts["data"][case] = data.source
            command = arguments(case, data.root, options)
            report.add(*counted(case, command, options))
            if case == "lenet5":
                report.add(*overhead(case, command, options))
            if case == "resnet10" or options.quick:
                report.add(*two_ways(case, command, options))
    report.write()
    return 0


def arguments(case: str, root: Path, options: Namespace) -> list[str]:
    """Those of main.py."""
    more = f"--bsize {QUICK_BATCH if options.quick else BATCH} --seeds 1 --parallel_seeds 1"
    on_cpu = Namespace(**{**vars(options), "device": "cpu", "threads": 1})
    return CASES[case].command(root, on_cpu, more)


def counted(case: str, command: Sequence[str], options: Namespace) -> list[Row]:
    """Messages a step on two ranks, in which nothing is timed."""
    output = run(launched(["0", *command], RANKS)).output
    found = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
    title, others = f"{CASES[case].label}, {RANKS} ranks: messages a step", found.pop("others")
    note = f"{found.pop('bytes of the gather')} bytes of each rank; {found.pop('weights')} weights in the buckets"
    goal = "" if options.quick else f"messages_{case}"
    kinds = [row(f"{title}, {kind}", [count], unit="", note=note) for kind, count in found.items()]
    return [*kinds, row(f"{title}, others", [others], unit="", goal=goal)]


@contextlib.contextmanager
def started(*processes: Stepping) -> Iterator[None]:
    """Ended when the block ends."""
    try:
        yield
        for process in processes:
            process.end()
    finally:
        for process in processes:
            process.process.kill()


def compared(
    kinds: dict[str, dict[str, int]], case: str, command: Sequence[str], options: Namespace
) -> dict[str, list[float]]:
    """Seconds a step of each kind of process, in alternation, over several starts of them."""
    steps, rounds = (1, 2) if options.quick else (STEPS[case], ROUNDS)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(1 if options.quick else options.repeats):
        processes = {name: Stepping(command, steps, **kind) for name, kind in kinds.items()}
        with started(*processes.values()):
            alternate({name: Block(process.step) for name, process in processes.items()}, rounds=rounds)
        for name, process in processes.items():
            seconds[name] += process.seconds[1:]  # after the warm-up
    return seconds


def overhead(case: str, command: Sequence[str], options: Namespace) -> list[Row]:
    """A single rank of torchrun against main.py alone, one thread each."""
    kinds = {"torchrun": {"threads": 1, "ranks": 1}, "main.py": {"threads": 1}}
    seconds = compared(kinds, case, command, options)
    title = f"{CASES[case].label}: step"
    goal = "" if options.quick else "one_rank"
    return [
        *(row(f"{title}, {name}, one thread", milliseconds(values), unit="ms") for name, values in seconds.items()),
        row(f"{title}, one rank of torchrun / main.py", ratios(seconds["torchrun"], seconds["main.py"]), goal=goal),
    ]


def two_ways(case: str, command: Sequence[str], options: Namespace) -> list[Row]:
    """Two ranks of one thread against one process of two."""
    kinds = {"2 ranks of 1 thread": {"threads": 1, "ranks": RANKS}, "1 process of 2 threads": {"threads": 2}}
    seconds = compared(kinds, case, command, options)
    title = f"{CASES[case].label}: step"
    return [
        *(row(f"{title}, {name}", milliseconds(values), unit="ms") for name, values in seconds.items()),
        row(f"{title}, {' / '.join(kinds)}", ratios(*seconds.values())),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
