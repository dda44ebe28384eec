"""Memory and CPU time of a training step of ResNet-18 with each stem, batch 64, one thread.

Each step in a process of its own. Memory is the largest that the system reports beyond that of the program itself.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.bench_memory import peak_bytes
from benchmarks.measuring import ROOT, Report, common_arguments, row
from benchmarks.processes import python

CASES = ((32, "3x3"), (64, "3x3"), (64, "7x7"), (96, "3x3"), (96, "7x7"), (224, "7x7"))
BATCH, ROUNDS = 64, 3


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    if argv[:1] == ["step"]:
        print(json.dumps(step(int(argv[1]), argv[2], batch=int(argv[3]))))
        return 0
    options = common_arguments(__doc__ or "").parse_args(argv)
    report = Report("stem", options, script="bench_stem", argv=argv)
    report.facts["threads"] = 1
    cases, batch, rounds = (CASES[3:5], 2, 1) if options.quick else (CASES, BATCH, ROUNDS)
    measured: dict[tuple[int, str], list[tuple[int, float]]] = {case: [] for case in cases}
    for _ in range(rounds):
        for size, stem in cases:
            command = python("-m", "benchmarks.bench_stem", "step", str(size), stem, str(batch))
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            measured[size, stem].append(json.loads(done.stdout.splitlines()[-1]))
    for (size, stem), values in measured.items():
        title = f"ResNet-18, {size} x {size} x 3, batch {batch}, stem {stem}: step"
        report.add(
            row(f"{title}, memory", [taken / 2**30 for taken, _ in values], unit="GiB"),
            row(f"{title}, CPU time", [seconds for _, seconds in values], unit="s"),
        )
    report.write()
    return 0


def step(size: int, stem: str, *, batch: int) -> tuple[int, float]:
    """Bytes and CPU seconds of a first step of this process."""
    import torch

    from models import resnet
    from models.heads import head_factory

    torch.set_num_threads(1)
    options = {"large_from": float("inf")} if stem == "3x3" else {}
    build = functools.partial(resnet.resnet18, channels=3, image_size=(size, size), **options)
    with torch.random.fork_rng(devices=[]):
        model = build(head=head_factory(outputs=1, normalised=False)).to(memory_format=torch.channels_last)
    if model.stem.kernel_size != (int(stem[0]),) * 2:
        raise RuntimeError(f"the stem of {size} pixels is {model.stem.kernel_size}, expected {stem}")
    images = torch.zeros(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    before, start = peak_bytes(), time.process_time()
    model(images).mean().backward()
    return peak_bytes() - before, time.process_time() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
