"""The violations q_j of all pairs, dense against sorted: time, peak memory, error, and how the cost grows.

Scores are normal, those of the positives shifted by 1, in float32; the margin is 0.5. A block is a forward, or a
forward with the gradient to every score. Dense sums over the pairs as they stand, without a loop; it is left out where
its temporaries would take more than 2 GB. Whether freed memory stays in the process is --allocator.
"""

from __future__ import annotations

import ctypes
import re
import sys
import tracemalloc
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench_scale import by_size, slope_row
from benchmarks.goals import GOALS
from benchmarks.measuring import Block, Report, alternate, common_arguments, milliseconds, ratios, row
from benchmarks.processes import python, run
from utils.pairwise.pairs import (
    dense_masked_violations,
    dense_violations,
    sorted_masked_violations,
    sorted_violations,
    violations,
)
from utils.system.devices import keep_freed_memory

DELTA = 0.5
ROUNDS = 7
GOAL_SIZE = (1000, 100_000)
SIZES = ((1, 63), (8, 56), (32, 480), (100, 900), (1000, 10_000), GOAL_SIZE, (10_000, 1_000_000))
QUICK_SIZES = ((1, 63), (100, 900))
SLOPE_SIZES = ((10, 1000), (100, 10_000), GOAL_SIZE, (10_000, 1_000_000))  # of one ratio
BATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
DENSE_BYTES = 2 * 10**9
STRETCH = {"violation_time": 400}

Form = Callable[..., Tensor]
Sides = tuple[Tensor, Tensor]
FORMS: dict[str, Form] = {"dense": dense_violations, "sorted": sorted_violations, "chosen by size": violations}
MASKED_FORMS: dict[str, Form] = {"dense": dense_masked_violations, "sorted": sorted_masked_violations}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--peak", nargs=3, metavar=("FORM", "P", "N"), help="print the peak memory of one form")
    parser.add_argument("--allocator", choices=("kept", "plain"), default="kept", help="kept: as in a run of main.py")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak:
        form, *size = options.peak
        print(f"peak {peak_bytes(FORMS[form], sides(int(size[0]), int(size[1]), options.device))} bytes")
        return 0
    keeps = options.allocator == "kept" and options.device == "cpu"
    if keeps:
        keep_freed_memory()
    report = Report("constraint" if keeps else "constraint_plain", options, script="bench_constraint", argv=argv)
    report.facts["allocator"] = "keeps freed memory, as main.py" if keeps else "as it is, as in anybody's own loop"
    report.facts["data"] = {"all": "made-up scores"}
    sizes = QUICK_SIZES if options.quick else SIZES
    for size in sizes:
        times(report, options, size)
    for batch in BATCHES[:2] if options.quick else BATCHES:
        batch_times(report, options, batch)
    slopes(report, options)
    for size in sizes:
        errors(report, options, size)
    for size in sizes[-1:] if options.quick else sizes:
        memory(report, options, size)
    report.facts["threads"] = torch.get_num_threads()
    report.facts["left_out"] = [f"dense at {p} x {n}: over 2 GB" for p, n in sizes if not fits(p, n)]
    report.facts["goals"] = goals(report)
    report.write()
    return 0


def sides(positives: int, negatives: int, device: str) -> Sides:
    """Leaves (P,) and (N,)."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(positives + negatives, generator=generator)
    return (
        (scores[:positives] + 1).to(device).requires_grad_(),
        scores[positives:].clone().to(device).requires_grad_(),
    )


def fits(positives: int, negatives: int) -> bool:
    """Whether dense may run: three float32 tensors of all pairs."""
    return 3 * 4 * positives * negatives <= DENSE_BYTES


def forward(form: Form, scores: Sides, count: int) -> None:
    """Without a graph."""
    with torch.no_grad():
        for _ in range(count):
            form(*scores, delta=DELTA)


def gradient(form: Form, scores: Sequence[Tensor], count: int, **options: Tensor) -> None:
    """Forward and the gradients to every score."""
    for _ in range(count):
        torch.autograd.grad(form(*scores, **options, delta=DELTA).sum(), scores)


def times(report: Report, options: Namespace, size: tuple[int, int]) -> None:
    """Forward, and forward with gradient, of each form in turn."""
    positives, negatives = size
    scores = sides(positives, negatives, options.device)
    blocks: dict[str, Block] = {}
    for name, form in FORMS.items():
        if name == "dense" and not fits(*size):
            continue
        work = positives * negatives if name == "dense" else 20 * (positives + negatives)
        count = 1 if options.quick else min(50, max(1, 10**6 // work))
        blocks[f"{name}, forward"] = Block(partial(forward, form, scores, count), count)
        blocks[f"{name}, with gradient"] = Block(partial(gradient, form, scores, count), count)
    taken = alternate(blocks, rounds=_rounds(options), device=options.device)
    label = f"violation, {positives} x {negatives}"
    report.add(*(row(f"{label}: {name}", milliseconds(values), unit="ms") for name, values in taken.items()))
    if fits(*size):
        for what in ("forward", "with gradient"):
            goal = "violation_time" if size == GOAL_SIZE and what == "with gradient" else ""
            quotients = ratios(taken[f"dense, {what}"], taken[f"sorted, {what}"])
            report.add(row(f"{label}: dense / sorted, {what}", quotients, goal=goal))


def batch_times(report: Report, options: Namespace, batch: int) -> None:
    """The masked forms, of fixed shape, as a step uses them: which batch is large enough to be sorted."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(batch, generator=generator).to(options.device).requires_grad_()
    targets = (torch.arange(batch) % 32 == 0).long().to(options.device)
    blocks = {
        name: Block(partial(gradient, form, [scores], count, targets=targets), count)
        for name, form in MASKED_FORMS.items()
        for count in [1 if options.quick else max(1, 20_000 // batch // (1 + batch // 512))]
    }
    taken = alternate(blocks, rounds=_rounds(options), device=options.device)
    quotients = ratios(taken["dense"], taken["sorted"])
    shown = ", ".join(f"{name} {min(values) * 1000:.3g} ms" for name, values in taken.items())
    report.add(row(f"batch of {batch}, with gradient: dense / sorted", quotients, note=f"at best {shown}"))


def slopes(report: Report, options: Namespace) -> None:
    """log cost over log(P + N) of the sorted form, at 100 negatives a positive."""
    blocks = {}
    for positives, negatives in SLOPE_SIZES[: 2 if options.quick else None]:
        scores = sides(positives, negatives, options.device)
        count = 1 if options.quick else max(1, 100_000 // (positives + negatives))
        blocks[str(positives + negatives)] = Block(partial(gradient, sorted_violations, scores, count), count)
    taken = by_size(alternate(blocks, rounds=_rounds(options), device=options.device))
    report.add(slope_row("violation with gradient, sorted, over P + N", taken))
    if len(taken) > 2:  # the smallest sizes are fixed costs
        report.add(slope_row("the same, from 100 x 10000 on", dict(list(taken.items())[1:])))


def errors(report: Report, options: Namespace, size: tuple[int, int]) -> None:
    """Largest error of values and gradients in float32, of the largest of each; the reference is dense in float64."""
    if not fits(*size):
        return
    scores = sides(*size, options.device)
    expected = reference(scores)
    for name in ("dense", "sorted"):
        q = FORMS[name](*scores, delta=DELTA)
        found = [q.detach(), *torch.autograd.grad(q.sum(), scores)]
        worst = max(
            float((ours - exact).abs().max() / exact.abs().max()) for ours, exact in zip(found, expected, strict=True)
        )
        report.add(row(f"violation, {size[0]} x {size[1]}: error of {name}", [worst], unit="of max"))


def reference(scores: Sides) -> list[Tensor]:
    """q_j and the gradients of their sum, in float64, some positives at a time."""
    positives, negatives = (side.detach().double() for side in scores)
    values, to_positives, to_negatives = [], [], torch.zeros_like(negatives)
    for part in positives.split(max(1, 10**7 // len(negatives))):
        leaves = part.clone().requires_grad_(), negatives.clone().requires_grad_()
        q = dense_violations(*leaves, delta=DELTA)
        to_part, to_all = torch.autograd.grad(q.sum(), leaves)
        values.append(q.detach())
        to_positives.append(to_part)
        to_negatives += to_all
    return [torch.cat(values), torch.cat(to_positives), to_negatives]


def memory(report: Report, options: Namespace, size: tuple[int, int]) -> None:
    """Peak memory of a forward with gradient, each form in a process of its own."""
    peaks: dict[str, float] = {}
    for name in ("dense", "sorted"):
        if name == "dense" and not fits(*size):
            continue
        command = ["-m", "benchmarks.bench_constraint", "--device", options.device, "--threads", str(options.threads)]
        found = re.search(r"peak (\d+) bytes", run(python(*command, "--peak", name, *map(str, size))).output)
        if not found:
            return
        peaks[name] = int(found[1])
        report.add(row(f"violation, {size[0]} x {size[1]}: peak memory, {name}", [peaks[name] / 2**20], unit="MiB"))
    if "dense" in peaks and peaks["sorted"] and peaks["dense"] > 10 * 2**20:  # less is lost in pages
        goal = "violation_memory" if size == GOAL_SIZE else ""
        what = f"violation, {size[0]} x {size[1]}: peak memory, dense / sorted"
        report.add(row(what, [peaks["dense"] / peaks["sorted"]], goal=goal))


def peak_bytes(form: Form, scores: Sides) -> int | None:
    """Peak of what a forward with gradient holds beyond the scores; None where the system does not tell.

    On a CPU the larger of two numbers: the growth of the resident size, which the kernel counts to some hundred KiB
    only, and what the allocators were asked for.
    """
    gradient(form, scores, 1)  # loads code, starts threads
    if scores[0].is_cuda:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        gradient(form, scores, 1)
        return torch.cuda.max_memory_allocated() - before
    try:
        return max(_resident_growth(form, scores), _allocated(form, scores))
    except (OSError, AttributeError):
        return None


def _resident_growth(form: Form, scores: Sides) -> int:
    """malloc keeps what is freed, so that a second run would seem to need nothing.

    Here every block from 64 KiB on is a mapping of its own, which goes back to the system at once; then the kernel's
    high-water mark is set back.
    """
    libc = ctypes.CDLL("libc.so.6")
    mmap_threshold, trim_threshold = -3, -1  # malloc.h
    if not (libc.mallopt(mmap_threshold, 2**16) and libc.mallopt(trim_threshold, 0)):
        raise OSError("mallopt refused")
    gradient(form, scores, 1)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    gradient(form, scores, 1)
    return _status("VmHWM") - before


def _allocated(form: Form, scores: Sides) -> int:
    """Peak of numpy's memory plus peak of torch's, of the forward or of the backward, whichever is more."""
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    peaks = []
    held = 0  # by torch
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as forward_memory:
        total = form(*scores, delta=DELTA).sum()
    peaks.append(tracemalloc.get_traced_memory()[1] - start)
    tracemalloc.reset_peak()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as backward_memory:
        torch.autograd.grad(total, scores)
    peaks.append(tracemalloc.get_traced_memory()[1] - start)
    tracemalloc.stop()
    for phase, memory_of in enumerate((forward_memory, backward_memory)):
        events = [event for event in memory_of.profiler.kineto_results.events() if event.name() == "[memory]"]
        course = list(accumulate((event.nbytes() for event in sorted(events, key=_time)), initial=held))
        peaks[phase] += max(course)
        held = course[-1]
    return max(peaks)


def _time(event: Any) -> int:
    return int(event.start_ns())


def _status(field: str) -> int:
    (kib,) = re.findall(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kib)


def goals(report: Report) -> Mapping[str, dict[str, object]]:
    """Each goal of this script with what was measured."""
    found: dict[str, dict[str, object]] = {}
    for item in report.rows:
        if item.goal:
            goal = GOALS[item.goal]
            found[item.goal] = {"goal": str(goal), "measured": item.median, "met": goal.is_met(item.median)}
            if item.goal in STRETCH:
                found[item.goal] |= {"stretch": STRETCH[item.goal], "stretch_met": item.median >= STRETCH[item.goal]}
    return found


def _rounds(options: Namespace) -> int:
    return 2 if options.quick else ROUNDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
