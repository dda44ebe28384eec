"""Training on images that do not fit into memory: its peak memory, and how long a step waits for its batch.

Made-up images of 224 x 224 x 3 in a sparse images.npy, which takes no room on the disk: 10,000 and 100,000 of them.
Each size is trained on in a process of its own, with torchvision's ResNet-18. A sparse file is read at the speed of the
page cache; what a batch of scattered images costs from the disk itself is measured on a written file outside the cache.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import ROOT, Report, common_arguments, milliseconds, row
from benchmarks.processes import python
from utils.config.settings import resolve
from utils.data.mapped_images import MappedImages
from utils.data.prepared_files import ImageRows, PreparedForm, Samples, write_prepared
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.training.evaluation import model_outputs
from utils.training.step import TrainingSteps

SIDE = 224
IMAGES = (10_000, 100_000)
STEPS = 24
BATCH = 16
ON_DISK = 2_000  # images that are written, for reads from the disk


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    if argv[:1] == ["trained"]:
        print(json.dumps(trained(Path(argv[1]), steps=int(argv[2]), threads=int(argv[3]))))
        return 0
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--scratch", type=Path, help="folder for the files, of 0.3 GB (default: a temporary one)")
    options = parser.parse_args(argv)
    report = Report("mapped", options, script="bench_mapped", argv=argv)
    report.facts["threads"] = options.threads or torch.get_num_threads()
    report.facts["data"] = {"all": f"made up, {SIDE} x {SIDE} x 3, sparse"}
    measure(report, options)
    report.write()
    return 0


def measure(report: Report, options: Namespace) -> None:
    """Both sizes, then reads from the disk."""
    sizes, steps = ((200, 400), 2) if options.quick else (IMAGES, STEPS)
    for count in sizes:
        with TemporaryDirectory(dir=options.scratch) as name:
            sparse_set(Path(name) / "made", count)
            command = python("-m", "benchmarks.bench_mapped", "trained", name, str(steps), str(options.threads))
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
        title = f"ResNet-18, batch {BATCH}, {count:,} images ({found['gigabytes']:.1f} GB)"
        report.add(
            row(f"{title}: peak memory", [found["peak"]], unit="MiB"),
            row(f"{title}: a step", found["steps"], unit="s"),
            row(f"{title}: waiting for data, share of all steps", [found["share"]]),
        )
    with TemporaryDirectory(dir=options.scratch) as name:
        report.add(row(f"{BATCH} scattered images from the disk", milliseconds(cold_reads(Path(name))), unit="ms"))


def sparse_set(folder: Path, count: int) -> None:
    """A prepared data set of ``count`` black images, a tenth of them positive; 200 for validation and test each."""
    folder.mkdir()
    form = PreparedForm(
        name=folder.name,
        kind="images",
        classes=("negative", "positive"),
        positive="positive",
        size=(SIDE, SIDE),
        channels=3,
        bits=8,
        fit="exact",
        colour="rgb",
    )
    rows = ImageRows(folder / "images.npy", form)
    rows.count = count
    rows.finish()
    os.truncate(rows.path, os.path.getsize(rows.path) + count * rows.row_bytes)
    held = min(200, count // 4)
    samples = Samples(
        paths=[f"{number}.png" for number in range(count)],
        labels=(np.arange(count) % 10 == 0).astype(np.int64),
        splits=np.array(["train"] * (count - 2 * held) + ["validation"] * held + ["test"] * held),
        groups=None,
        digests=np.arange(count, dtype=np.uint64),
    )
    statistics = np.ones((count, 3, 2), dtype=np.uint64)
    facts = {"skipped": 0, "source": "made up", "command": "", "versions": {}}
    write_prepared(folder, form, samples, statistics=statistics, facts=facts)


def trained(root: Path, *, steps: int, threads: int) -> dict[str, object]:
    """Train some steps and score the validation set: seconds of each step, share of waiting, peak MiB."""
    argv = f"--dataset_name made --data_root {root} --checkpoint_root {root} --resnet_type torchvision:resnet18"
    argv += f" --images mapped --bsize {BATCH} --seeds 1 --device cpu --threads {threads} --augment crop_flip"
    with redirect_stdout(io.StringIO()):
        experiment = prepare(resolve(argv.split()))
        state, data = build_state(experiment, 1)
    runner = TrainingSteps(state, data, machine=experiment.machine)
    waited, ends = list[float](), list[float]()
    ahead = data.batches.ahead

    def timed(sampler: Iterator[Tensor], count: int) -> Iterator[Tensor]:
        batches, start = ahead(sampler, count), time.perf_counter()
        for indices in batches:
            waited.append(time.perf_counter() - start)
            yield indices
            start = time.perf_counter()
            ends.append(start)

    setattr(data.batches, "ahead", timed)  # noqa: B010 (mypy knows it as a method)
    begin = time.perf_counter()
    runner.run(steps)
    whole = time.perf_counter() - begin
    model_outputs(state.model, data.batches, data.validation, machine=experiment.machine)
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    assert isinstance(experiment.task.pixels, MappedImages)
    return {
        "steps": np.diff([begin, *ends]).tolist(),
        "share": sum(waited) / whole,
        "peak": int(found[1]) / 1024,
        "gigabytes": experiment.task.pixels.nbytes / 1e9,
    }


def cold_reads(folder: Path) -> list[float]:
    """Seconds to read a batch of scattered images of a file that the page cache does not hold."""
    path = folder / "images.npy"
    noise = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (100, SIDE, SIDE, 3), dtype=np.uint8)
    with path.open("wb") as stream:
        for _ in range(ON_DISK // 100):
            stream.write(noise.data)
        stream.flush()
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    shape = (ON_DISK, SIDE, SIDE, 3)
    images = MappedImages(path, offset=0, dtype=noise.dtype, shape=shape, rows=np.arange(ON_DISK))
    order = np.random.Generator(np.random.PCG64(2)).permutation(ON_DISK)
    seconds = []
    for first in range(0, 30 * BATCH, BATCH):
        start = time.perf_counter()
        images.read(order[first : first + BATCH])
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
