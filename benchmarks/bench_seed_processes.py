"""What it saves to fork the seeds of a run from one process, against a new process for each of them.

Both ways bring three seeds to the end of some training steps; what differs is how their processes start. Measured in
alternation: the seconds until all seeds have taken their first step, and the memory of all processes after the last
one (PSS, in which a page that n processes share counts 1/n in each). Linux only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import torch

from benchmarks.measuring import ROOT, Report, common_arguments, ratios, row
from benchmarks.processes import python
from benchmarks.subject import prepared, seed_of
from benchmarks.synthetic import found_or_synthetic
from utils.run.experiment import Experiment

WAYS = ("forked", "new")
CASES = {
    "digits": "--dataset_name digits --resnet_type lenet5 --name_file_bs baseline_bce",
    "mnist": "--dataset_name mnist --resnet_type lenet5 --ratio_pos_train 99 --name_file_bs baseline_bce",
}
SEEDS = 3
STEPS = 20


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    if argv and argv[0] in ROLES:
        return ROLES[argv[0]](argv[1:])
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of each comparison")
    options = parser.parse_args(argv)
    report = Report("seed_processes", options, script="bench_seed_processes", argv=argv)
    report.facts["data"] = {}
    for name in ["digits"] if options.quick else list(CASES):
        with found_or_synthetic(name, data_root=options.data_root, quick=options.quick) as data:
            report.facts["data"][name] = data.source
            compare(report, options, name, data.root)
    report.write()
    return 0


def compare(report: Report, options: Namespace, name: str, root: Path) -> None:
    """Measure a data set both ways, in alternation."""
    command = [*CASES[name].split(), "--data_root", str(root), "--threads", "1", "--device", "cpu", "--download", "0"]
    repeats = 1 if options.quick else options.repeats
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(repeats + (0 if options.quick else 1)):
        for way in WAYS:
            measured = measure(way, command)
            if number or options.quick:  # the first round fills the file cache
                found[way].append(measured)
    for what, unit in (("seconds until all seeds have taken a step", "s"), ("memory of all processes", "MiB")):
        values = {way: [item[unit] for item in found[way]] for way in WAYS}
        title = f"{name}, LeNet5, {SEEDS} seeds: {what}"
        report.add(*(row(f"{title}, {way}", values[way], unit=unit) for way in WAYS))
        extra = [(b - a) / SEEDS for a, b in zip(values["forked"], values["new"], strict=True)]
        report.add(row(f"{title}, new - forked, a seed", extra, unit=unit))
        report.add(row(f"{title}, new / forked", ratios(values["new"], values["forked"])))


def measure(way: str, command: Sequence[str]) -> dict[str, float]:
    """Start the run's process, which starts those of its seeds; seconds and MiB."""
    begin = time.perf_counter()
    parent = subprocess.Popen(
        python("-m", "benchmarks.bench_seed_processes", way, *command), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    output, _ = parent.communicate()
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return {"s": result["ready"] - begin, "MiB": result["MiB"]}


def run_forked(command: Sequence[str]) -> int:
    """A run whose seeds are forks of it."""
    experiment = prepared([*command, "--seeds", f"1-{SEEDS}", "--parallel_seeds", str(SEEDS)])
    torch.set_num_threads(1)  # forks of a process that has started OpenMP's threads would wait for them for ever
    children = []
    for seed in range(1, SEEDS + 1):
        out, to_parent = os.pipe()
        from_parent, into = os.pipe()
        if not os.fork():
            os.dup2(to_parent, 1)
            os.dup2(from_parent, 0)
            take_steps(experiment, seed)
            os._exit(0)
        os.close(to_parent)
        os.close(from_parent)
        children.append((os.fdopen(out), os.fdopen(into, "w")))
    gather(children)
    return 0


def run_new(command: Sequence[str]) -> int:
    """A run whose seeds are new processes."""
    prepared([*command, "--seeds", f"1-{SEEDS}", "--parallel_seeds", str(SEEDS)])
    children = []
    for seed in range(1, SEEDS + 1):
        words = python("-m", "benchmarks.bench_seed_processes", "seed", *command, "--seeds", str(seed))
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdin is not None
        children.append((child.stdout, child.stdin))
    gather(children)
    return 0


def new_seed(command: Sequence[str]) -> int:
    """A seed in a new process."""
    experiment = prepared([*command, "--parallel_seeds", "1"])
    take_steps(experiment, experiment.config.seeds[0])
    return 0


def take_steps(experiment: Experiment, seed: int) -> None:
    """Print when the first step is done; take the others, say so, and wait for a line, so that memory can be read."""
    subject = seed_of(experiment, seed)
    subject.run(1)
    print(time.perf_counter(), flush=True)
    subject.run(STEPS)
    print(os.getpid(), flush=True)
    sys.stdin.readline()


def gather(children: Sequence[tuple[IO[str], IO[str]]]) -> None:
    """Wait for all seeds, add up the memory of all processes, print both."""
    ready = max(float(out.readline()) for out, _ in children)
    processes = [os.getpid(), *(int(out.readline()) for out, _ in children)]
    kib = sum(pss_kib(process) for process in processes)
    for _, into in children:
        into.write("\n")
        into.flush()
    print(json.dumps({"ready": ready, "MiB": kib / 1024}), flush=True)


def pss_kib(process: int) -> int:
    """The proportional set size: a page that n processes share counts 1/n."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


ROLES = {"forked": run_forked, "new": run_new, "seed": new_seed}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
