"""How cost grows with the images, the batch, the seeds and the image size: the slope of log seconds over log size.

A slope of 1 is linear. Synthetic data throughout. Fixed costs pull a slope down, caches and quadratic work push it up.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measuring import Block, Report, Row, Seconds, alternate, common_arguments, row
from benchmarks.processes import python, run
from benchmarks.subject import Case, start
from benchmarks.synthetic import two_classes

ROUNDS = 5
LENET5 = "--dataset_name synthetic --resnet_type lenet5 --ratio_pos_train 9 --name_file_bs baseline_bce"
CASE = Case("LeNet5", "synthetic", f"{LENET5} --augment crop", "--name_file_alm ALM_14_beg --delta 0.25")
SIZES = {
    "images": (4000, 8000, 16000, 32000, 64000),
    "batch": (64, 128, 256, 512, 1024, 2048),
    "seeds": (2, 4, 8, 16),
    "image_size": (28, 56, 112, 224),
}
QUICK_SIZES = {"images": (500, 1000), "batch": (16, 64), "seeds": (1, 2), "image_size": (28, 56)}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", default=list(SIZES), choices=list(SIZES), help="which")
    options = parser.parse_args(argv)
    name = "scale" if options.only == list(SIZES) else f"scale_{'_'.join(options.only)}"
    report = Report(name, options, script="bench_scale", argv=argv)
    report.facts["data"] = {"all": "synthetic images"}
    for quantity in options.only:
        sizes = (QUICK_SIZES if options.quick else SIZES)[quantity]
        with TemporaryDirectory() as folder:
            MEASUREMENTS[quantity](report, options, Path(folder), sizes)
    report.facts["threads"] = torch.get_num_threads()
    report.write()
    return 0


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Least squares through the points (log size, log seconds).

    >>> round(slope([1, 2, 4], [3, 6, 12]), 6)
    1.0
    """
    return statistics.linear_regression([math.log(x) for x in sizes], [math.log(y) for y in seconds]).slope


def slope_row(what: str, seconds: Mapping[float, Sequence[float]]) -> Row:
    """The slope of each round; the medians of the seconds go with it as points."""
    sizes = list(seconds)
    slopes = [slope(sizes, values) for values in zip(*seconds.values(), strict=True)]
    points = tuple((size, statistics.median(values)) for size, values in seconds.items())
    shown = ", ".join(f"{size:g}: {second:.4g} s" for size, second in points)
    print(f"  {what}: {shown}")
    return replace(row(f"{what}: slope", slopes, unit="slope"), points=points)


def by_size(times: Seconds) -> dict[float, list[float]]:
    """The names are sizes."""
    return {float(name): values for name, values in times.items()}


def _rounds(options: Namespace) -> int:
    return 2 if options.quick else ROUNDS


def _alone(options: Namespace, size: int = 0) -> str:
    return f"--seeds 1 --parallel_seeds 1 --bsize {size or (16 if options.quick else 64)}"


def images(report: Report, options: Namespace, folder: Path, sizes: Sequence[int]) -> None:
    """Reading the data and building a seed; an epoch with its validation."""
    reading: dict[float, list[float]] = {}
    epochs: dict[str, Block] = {}
    for size in sizes:
        root = folder / str(size)
        root.mkdir()
        two_classes(root / "synthetic.npz", images=size, side=28)
        command, times = CASE.command(root, options, _alone(options)), []
        for _ in range(_rounds(options)):
            begin = time.perf_counter()
            subject = start(command)
            times.append(time.perf_counter() - begin)
        reading[size] = times
        epochs[str(size)] = Block(subject.epoch)
    report.add(
        slope_row("images: reading and preparing", reading),
        slope_row(
            "images: epoch with validation",
            by_size(alternate(epochs, rounds=_rounds(options), device=options.device)),
        ),
    )


def batch(report: Report, options: Namespace, folder: Path, sizes: Sequence[int]) -> None:
    """A step with the constraint and without it."""
    two_classes(folder / "synthetic.npz", images=400 if options.quick else 8000, side=28)
    for what, alm in (("with ALM", True), ("without ALM", False)):
        blocks = {}
        for size in sizes:
            command = CASE.command(folder, options, _alone(options, size), alm=alm)
            subject = start(command, whole_batches=True)
            steps = max(1, 2048 // size) if not options.quick else 1
            blocks[str(size)] = Block(partial(subject.run, steps), steps)
        times = alternate(blocks, rounds=_rounds(options), device=options.device)
        report.add(slope_row(f"batch size: step {what}", by_size(times)))


def seeds(report: Report, options: Namespace, folder: Path, sizes: Sequence[int]) -> None:
    """Whole runs by the real command, as the program arranges their seeds."""
    two_classes(folder / "synthetic.npz", images=400 if options.quick else 8000, side=28)
    times: dict[float, list[float]] = {size: [] for size in sizes}
    for number in range(1 if options.quick else 3):
        for size in sizes:
            results = ["--checkpoint_root", str(folder / f"results-{number}-{size}")]
            command = CASE.command(folder, options, f"--seeds 1-{size} --num_epochs {1 if options.quick else 3}")
            times[size].append(run(python("main.py", *command, *results)).seconds)
    report.add(slope_row("seeds: whole run", times))


def image_size(report: Report, options: Namespace, folder: Path, sizes: Sequence[int]) -> None:
    """A step over the pixels of an image, of the convolutions and of what makes the batch."""
    steps: dict[str, Block] = {}
    batches: dict[str, Block] = {}
    for side in sizes:
        root = folder / str(side)
        root.mkdir()
        two_classes(root / "synthetic.npz", images=400, side=side)
        subject = start(CASE.command(root, options, _alone(options, 64)), whole_batches=True)
        pixels = str(side * side)
        count = 1 if options.quick else max(1, 10 * 224 * 224 // (side * side) // 4)
        steps[pixels] = Block(partial(subject.run, count), count)
        training, indices = subject.data.batches.training, subject.data.train[:64]
        batches[pixels] = Block(partial(_repeated, partial(training, indices), count), count)
    for what, blocks in (("step with ALM", steps), ("gather, augmentation, normalisation", batches)):
        times = alternate(blocks, rounds=_rounds(options), device=options.device)
        report.add(slope_row(f"pixels of an image: {what}", by_size(times)))


def _repeated(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


MEASUREMENTS = {"images": images, "batch": batch, "seeds": seeds, "image_size": image_size}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
