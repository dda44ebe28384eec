"""Ten classes: a training step with the constraint against the same step without it, and the violations alone.

The step is ResNet-32 with cross-entropy on a prepared batch of 128 images of noise, forward, backward and fused SGD:
the floor of a training loop. With the constraint it also has the scores of the critical classes, the penalty and the
update of the multipliers. The violations are those of every critical class against each other class, of batches of 64
to 100,000 normal scores in which the classes are long-tailed: what a run executes ("ours") beside all pairs ("dense",
up to 2 GB of them) and one sort for each critical class ("sorted").
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.bench_scale import by_size, slope_row
from benchmarks.measuring import Block, Report, alternate, common_arguments, milliseconds, ratios, row
from models import build_model
from utils.constraints import AugmentedLagrangian
from utils.data.imbalance import imbalance_profile
from utils.losses import BCE
from utils.pairwise.class_violations import class_violations, dense_class_violations, sorted_class_violations
from utils.pairwise.violations import DENSE_BATCH
from utils.system.devices import keep_freed_memory

CLASSES = 10
CRITICAL = (8, 9)
BATCH = 128
IMAGES = 12_406  # CIFAR-10-LT exp-100
ROUNDS = 30
VIOLATION_ROUNDS = 7
BATCHES = (64, 128, 256, 512, 1024, 4096, 10_000, 100_000)
QUICK_BATCHES = (64, 1024)
DENSE_BYTES = 2 * 10**9
FORMS: dict[str, Callable[..., Tensor]] = {
    "ours": class_violations,
    "dense": dense_class_violations,
    "sorted": sorted_class_violations,
}


class Step:
    """The step of a model of its own, with a constraint or without."""

    def __init__(self, against: str | None, critical: tuple[int, ...], *, device: str, batch: int) -> None:
        generator = torch.Generator().manual_seed(0)
        model = build_model("resnet32", channels=3, image_size=(32, 32), outputs=CLASSES, generator=generator)
        self._model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        images = torch.randn(batch, 3, 32, 32, generator=generator)
        self._images = images.to(device, memory_format=torch.channels_last)
        self._labels = long_tailed(batch, generator).to(device)
        self._indices = torch.randperm(IMAGES, generator=generator)[:batch].to(device)
        self._loss = BCE(classes=CLASSES, critical=critical).to(device)
        self._constraint = None
        if against is not None:
            self._constraint = AugmentedLagrangian(
                IMAGES, delta=0.25, mu=1e-3, classes=CLASSES, critical=critical, against=against
            ).to(device)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def run(self, steps: int) -> None:
        """Whole steps."""
        for _ in range(steps):
            outputs = self._model(self._images)
            value = self._loss(outputs, self._labels)
            if self._constraint is not None:
                value = value + self._constraint.penalty(self._loss.score(outputs), self._labels, self._indices)
            self._optimizer.zero_grad(set_to_none=True)
            value.backward()
            self._optimizer.step()
            if self._constraint is not None:
                self._constraint.update_multipliers()


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = common_arguments(__doc__ or "").parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cpu":
        keep_freed_memory()
    report = Report("classes", options, script="bench_classes", argv=argv)
    report.facts["data"] = {"all": "noise and synthetic scores"}
    report.facts["threads"] = torch.get_num_threads()
    steps(report, options)
    sizes = QUICK_BATCHES if options.quick else BATCHES
    for size in sizes:
        violations(report, options, size)
    slopes(report, options, [size for size in sizes if size > DENSE_BATCH])
    report.write()
    return 0


def steps(report: Report, options: Namespace) -> None:
    """The step without a constraint, and with each reading, in turn."""
    every = tuple(range(CLASSES))
    kinds: dict[str, tuple[str | None, tuple[int, ...]]] = {
        "without": (None, CRITICAL),
        "rest, 2 critical": ("rest", CRITICAL),
        "classes, 2 critical": ("classes", CRITICAL),
        "classes, 10 critical": ("classes", every),
    }
    batch = 8 if options.quick else BATCH
    blocks = {
        name: Block(partial(Step(against, critical, device=options.device, batch=batch).run, 1))
        for name, (against, critical) in kinds.items()
    }
    taken = alternate(blocks, rounds=2 if options.quick else ROUNDS, device=options.device)
    model = f"ResNet-32, {CLASSES} classes, batch {batch}"
    report.add(*(row(f"{model}: step, {name}", milliseconds(values), unit="ms") for name, values in taken.items()))
    for name in list(kinds)[1:]:
        goal = "step_classes" if name == "classes, 2 critical" and not options.quick else ""
        report.add(row(f"{model}: step, {name} / without", ratios(taken[name], taken["without"]), goal=goal))


def long_tailed(size: int, generator: torch.Generator) -> Tensor:
    """(size,) classes, as frequent as in CIFAR-10-LT."""
    counts = imbalance_profile("exp", largest=5000, classes=CLASSES, factor=0.01)
    return torch.multinomial(torch.tensor(counts).double(), size, replacement=True, generator=generator)


def scores_and_labels(size: int, device: str) -> tuple[Tensor, Tensor]:
    """(B, C), a leaf, and (B,)."""
    generator = torch.Generator().manual_seed(0)
    labels = long_tailed(size, generator)
    scores = torch.randn(size, len(CRITICAL), generator=generator)
    return scores.to(device).requires_grad_(), labels.to(device)


def gradient(form: Callable[..., Tensor], scores: Tensor, labels: Tensor, count: int) -> None:
    """Forward and backward."""
    column_of = torch.full((CLASSES,), -1)
    column_of[list(CRITICAL)] = torch.arange(len(CRITICAL))
    column_of = column_of.to(scores.device)
    for _ in range(count):
        torch.autograd.grad(form(scores, labels, column_of=column_of, delta=0.5).sum(), scores)


def violations(report: Report, options: Namespace, size: int) -> None:
    """Each form in turn."""
    forms = {name: form for name, form in FORMS.items() if name != "dense" or 3 * 8 * size**2 <= DENSE_BYTES}
    blocks = {}
    for name, form in forms.items():
        dense = name == "dense" or (name == "ours" and size <= DENSE_BATCH)
        count = 1 if options.quick else min(50, max(1, 10**6 // (size**2 if dense else 50 * size)))
        blocks[name] = Block(partial(gradient, form, *scores_and_labels(size, options.device), count), count)
    taken = alternate(blocks, rounds=_rounds(options), device=options.device)
    report.add(*(row(f"batch of {size}: {name}", milliseconds(values), unit="ms") for name, values in taken.items()))
    if "dense" in taken:
        report.add(row(f"batch of {size}: dense / ours", ratios(taken["dense"], taken["ours"])))


def slopes(report: Report, options: Namespace, sizes: Sequence[int]) -> None:
    """log seconds over log B of the sorted form."""
    blocks = {}
    for size in (*sizes, 2 * sizes[-1]):
        count = 1 if options.quick else max(1, 50_000 // size)
        call = partial(gradient, sorted_class_violations, *scores_and_labels(size, options.device), count)
        blocks[str(size)] = Block(call, count)
    taken = by_size(alternate(blocks, rounds=_rounds(options), device=options.device))
    report.add(slope_row("sorted, over the batch size", taken))


def _rounds(options: Namespace) -> int:
    return 2 if options.quick else VIOLATION_ROUNDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
