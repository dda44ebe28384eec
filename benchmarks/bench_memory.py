"""How exact the estimate of memory before a training is: against the peak of a process that takes two steps.

Each model in a process of its own, after the same start; the peak is what the system reports of the process (VmHWM)
beyond what it had before the first step.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measuring import ROOT, Report, common_arguments, row
from benchmarks.processes import python
from utils.run.architectures import build_model
from utils.system.devices import Machine, keep_freed_memory
from utils.training.memory_needs import estimate
from utils.training.optimizers import build_optimizer

CASES = (  # model, side, batch
    ("resnet18", 96, 8),
    ("resnet10", 224, 2),
    ("resnet20", 64, 32),
    ("lenet5", 32, 512),
    ("torchvision:resnet18", 224, 8),
    ("torchvision:efficientnet_b0", 128, 8),
)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    if argv[:1] == ["stepped"]:
        print(json.dumps(stepped(argv[1], side=int(argv[2]), batch=int(argv[3]))))
        return 0
    options = common_arguments(__doc__ or "").parse_args(argv)
    report = Report("memory", options, script="bench_memory", argv=argv)
    report.facts["threads"] = 1
    for model, side, batch in CASES[3:4] if options.quick else CASES:
        values = []
        for _ in range(1 if options.quick else 3):
            command = python("-m", "benchmarks.bench_memory", "stepped", model, str(side), str(batch))
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            values.append(json.loads(done.stdout.splitlines()[-1]))
        title = f"{model}, {side} x {side} x 3, batch {batch}"
        report.add(
            row(f"{title}: estimated / peak", [needed / peak for needed, peak in values]),
            row(f"{title}: peak", [peak / 2**20 for _, peak in values], unit="MiB"),
        )
    report.write()
    return 0


def stepped(name: str, *, side: int, batch: int) -> tuple[int, int]:
    """Bytes that two training steps are estimated to need, and those that they took."""
    torch.set_num_threads(1)
    keep_freed_memory()
    machine = Machine(torch.device("cpu"), "fp32", 1)
    model = build_model(name, channels=3, image_size=(side, side), generator=torch.Generator())
    model.to(memory_format=torch.channels_last)
    rule = build_optimizer("sgd", model.parameters(), lr=0.01, weight_decay=0.0, momentum=0.9)
    images = torch.zeros(batch, 3, side, side).to(memory_format=torch.channels_last)
    before = peak_bytes()
    for _ in range(2):
        rule.zero_grad()
        model(images).sum().backward()
        rule.step()
    taken = peak_bytes() - before
    needs = estimate(model, input_shape=(3, side, side), batch_size=batch, optimizer="sgd", machine=machine, data=0)
    return needs.total, taken


def peak_bytes() -> int:
    """The most memory that this process has had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
