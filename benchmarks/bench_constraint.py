"""The violations q_j of a batch with their gradient, as a training step computes them: time, peak memory, error.

Up to DENSE_BATCH samples a run forms all pairs; a larger batch is sorted. Beside what a run executes ("ours") stand
both forms; dense is left out where its temporaries would take more than 2 GB. Scores are normal, those of the positives
(one in 32) shifted by 1, in float32; the margin is 0.5. Freed memory stays in the process, as in a run of main.py.
"""

from __future__ import annotations

import ctypes
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.bench_scale import by_size, slope_row
from benchmarks.measuring import Block, Report, alternate, common_arguments, milliseconds, ratios, row
from benchmarks.processes import python, run
from utils.pairwise.violations import (
    DENSE_BATCH,
    dense_masked_violations,
    masked_violations,
    sorted_masked_violations,
)
from utils.system.devices import keep_freed_memory

DELTA = 0.5
ROUNDS = 7
BATCHES = (64, 128, 256, 512, 1024, 4096, 10_000, 100_000)
QUICK_BATCHES = (64, 1024)
GOAL_BATCH = 10_000
DENSE_BYTES = 2 * 10**9

Form = Callable[..., Tensor]
FORMS: dict[str, Form] = {
    "ours": masked_violations,
    "dense": dense_masked_violations,
    "sorted": sorted_masked_violations,
}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--peak", nargs=2, metavar=("FORM", "B"), help="print the peak memory of one form")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak:
        form, size = options.peak
        print(f"peak {peak_bytes(FORMS[form], *batch(int(size), options.device))} bytes")
        return 0
    if options.device == "cpu":
        keep_freed_memory()
    report = Report("constraint", options, script="bench_constraint", argv=argv)
    report.facts["data"] = {"all": "synthetic scores"}
    report.facts["threads"] = torch.get_num_threads()
    sizes = QUICK_BATCHES if options.quick else BATCHES
    for size in sizes:
        times(report, options, size)
    slopes(report, options, [size for size in sizes if size > DENSE_BATCH])
    for size in sizes:
        errors(report, options, size)
    for size in [size for size in sizes if size > DENSE_BATCH]:
        memory(report, options, size)
    report.write()
    return 0


def batch(size: int, device: str) -> tuple[Tensor, Tensor]:
    """Scores (B,), a leaf, and targets (B,)."""
    targets = (torch.arange(size) % 32 == 0).long()
    scores = torch.randn(size, generator=torch.Generator().manual_seed(0)) + targets
    return scores.to(device).requires_grad_(), targets.to(device)


def forms_for(size: int) -> dict[str, Form]:
    """The forms that may run: dense holds three float32 tensors of all pairs."""
    return {name: form for name, form in FORMS.items() if name != "dense" or 3 * 4 * size**2 <= DENSE_BYTES}


def gradient(form: Form, scores: Tensor, targets: Tensor, count: int = 1) -> None:
    """Forward and backward."""
    for _ in range(count):
        torch.autograd.grad(form(scores, targets, delta=DELTA).sum(), scores)


def times(report: Report, options: Namespace, size: int) -> None:
    """Each form in turn."""
    blocks = {}
    for name, form in forms_for(size).items():
        dense = name == "dense" or (name == "ours" and size <= DENSE_BATCH)
        count = 1 if options.quick else min(50, max(1, 10**6 // (size**2 if dense else 20 * size)))
        blocks[name] = Block(partial(gradient, form, *batch(size, options.device), count), count)
    taken = alternate(blocks, rounds=_rounds(options), device=options.device)
    report.add(*(row(f"batch of {size}: {name}", milliseconds(values), unit="ms") for name, values in taken.items()))
    if "dense" in taken:
        goal = "violation_time" if size == GOAL_BATCH else ""
        report.add(
            row(f"batch of {size}: dense / ours", ratios(taken["dense"], taken["ours"]), goal=goal),
            row(f"batch of {size}: dense / sorted", ratios(taken["dense"], taken["sorted"])),
        )


def slopes(report: Report, options: Namespace, sizes: Sequence[int]) -> None:
    """log seconds over log B of the sorted form."""
    blocks = {}
    for size in (*sizes, 2 * sizes[-1]):
        count = 1 if options.quick else max(1, 100_000 // size)
        call = partial(gradient, sorted_masked_violations, *batch(size, options.device), count)
        blocks[str(size)] = Block(call, count)
    taken = by_size(alternate(blocks, rounds=_rounds(options), device=options.device))
    report.add(slope_row("sorted, over the batch size", taken))


def errors(report: Report, options: Namespace, size: int) -> None:
    """Largest error of values and gradients in float32, of the largest of each, against dense in float64."""
    scores, targets = batch(size, options.device)
    forms = forms_for(size)
    if "dense" not in forms:
        return
    exact = values_and_gradient(dense_masked_violations, scores.double(), targets)
    for name, form in forms.items():
        found = values_and_gradient(form, scores, targets)
        worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True))
        report.add(row(f"batch of {size}: error of {name}", [worst], unit="of max"))


def values_and_gradient(form: Form, scores: Tensor, targets: Tensor) -> list[Tensor]:
    """q (B,) and the gradient of its sum."""
    leaf = scores.detach().requires_grad_()
    q = form(leaf, targets, delta=DELTA)
    return [q.detach(), *torch.autograd.grad(q.sum(), leaf)]


def memory(report: Report, options: Namespace, size: int) -> None:
    """Peak memory of a forward with gradient, each form in a process of its own."""
    peaks: dict[str, float] = {}
    for name in sorted({"ours", "dense"} & set(forms_for(size))):
        command = ["-m", "benchmarks.bench_constraint", "--device", options.device, "--threads", str(options.threads)]
        found = re.search(r"peak (\d+) bytes", run(python(*command, "--peak", name, str(size))).output)
        if not found:
            return
        peaks[name] = max(1, int(found[1])) / 2**20
        report.add(row(f"batch of {size}: peak memory, {name}", [peaks[name]], unit="MiB"))
    if "dense" in peaks:
        goal = "violation_memory" if size == GOAL_BATCH else ""
        report.add(row(f"batch of {size}: peak memory, dense / ours", [peaks["dense"] / peaks["ours"]], goal=goal))


def peak_bytes(form: Form, scores: Tensor, targets: Tensor) -> int | None:
    """Peak of what a forward with gradient holds beyond the scores; None where the system does not tell."""
    gradient(form, scores, targets)  # loads code, starts threads
    if scores.is_cuda:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        gradient(form, scores, targets)
        return torch.cuda.max_memory_allocated() - before
    try:
        return _resident_growth(form, scores, targets)
    except (OSError, AttributeError):
        return None


def _resident_growth(form: Form, scores: Tensor, targets: Tensor) -> int:
    """The growth of the resident size, which the kernel counts to some hundred KiB.

    malloc keeps what is freed, so that a second call would seem to need nothing. Here every block from 64 KiB on is a
    mapping of its own, which goes back to the system at once; then the kernel's high-water mark is reset.
    """
    libc = ctypes.CDLL("libc.so.6")
    mmap_threshold, trim_threshold = -3, -1  # malloc.h
    if not (libc.mallopt(mmap_threshold, 2**16) and libc.mallopt(trim_threshold, 0)):
        raise OSError("mallopt refused")
    gradient(form, scores, targets)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    gradient(form, scores, targets)
    return max(0, _status("VmHWM") - before)  # the two counters are not read at the same moment


def _status(field: str) -> int:
    (kib,) = re.findall(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kib)


def _rounds(options: Namespace) -> int:
    return 2 if options.quick else ROUNDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
