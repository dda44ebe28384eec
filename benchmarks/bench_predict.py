"""What predict.py costs beside the model: PNG files in, rows out, against the bare forward of the same batches.

A run of one seed is trained for an epoch; 10,000 images are written as PNG files. Measured in alternation in one
process: ``predict`` from the folder to the finished file, and the forward passes of the same model on the same batches,
read and normalised before. And the peak memory of the command, in a process of its own, on a fifth of the images and on
all.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measuring import ROOT, Report, common_arguments, ratios, row
from benchmarks.processes import python
from benchmarks.synthetic import two_classes
from utils.commands.main import main as train
from utils.commands.predict import main as predict
from utils.data.image_files import find_images
from utils.run.trained_model import TrainedModel, load

IMAGES = 10_000
SIDE = 32
MODELS = ("resnet10", "lenet5")
MEMORY = (  # the high-water mark of this program alone; getrusage would count the process that started it
    "import re, sys; from utils.commands.predict import main; code = main(sys.argv[1:]); "
    "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); sys.exit(code)"
)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of each comparison")
    options = parser.parse_args(argv)
    report = Report("predict", options, script="bench_predict", argv=argv)
    count = 400 if options.quick else IMAGES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = write_images(folder / "images", count)
        for model in MODELS[1:] if options.quick else MODELS:
            compare(report, options, trained(folder, model, options), images, title=f"{model}, {count:,} images")
    report.write()
    return 0


def write_images(folder: Path, count: int) -> Path:
    """Noise as RGB files, a thousand in a folder."""
    generator = np.random.Generator(np.random.PCG64(1))
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path, compress_level=1)
    return folder


def trained(folder: Path, model: str, options: Namespace) -> Path:
    """A run of one seed and one epoch on noise."""
    two_classes(folder / "noise.npz", images=200, side=SIDE, channels=3, ratio=1)
    argv = f"--dataset_name noise --data_root {folder} --checkpoint_root {folder} --model_name {model} --seeds 1"
    argv += f" --resnet_type {model} --num_epochs 1 --ratio_pos_train 1 --device {options.device or 'cpu'}"
    with contextlib.redirect_stdout(io.StringIO()):
        assert train(argv.split()) == 0
    return folder / "runs" / model


def compare(report: Report, options: Namespace, run: Path, images: Path, *, title: str) -> None:
    """Measure a model both ways, in alternation, and the memory of the command."""
    threads = str(options.threads or torch.get_num_threads())
    argv = [str(run), "--images", str(images), "--threads", threads, "--device", options.device or "cpu"]
    model = load(run, device=options.device or "cpu")
    assert isinstance(model, TrainedModel)
    batches = prepared(model, images)
    seconds: dict[str, list[float]] = {"predict": [], "forward": []}
    rounds = 1 if options.quick else options.repeats + 1
    for number in range(rounds):
        times = {"predict": predicted(argv, images.parent / "out.csv"), "forward": forward(model, batches)}
        if number or options.quick:  # the first round fills the file cache
            for way, value in times.items():
                seconds[way].append(value)
    report.add(*(row(f"{title}: {way}", values, unit="s") for way, values in seconds.items()))
    found = ratios(seconds["forward"], seconds["predict"])
    goal = "predict_resnet10" if title.startswith("resnet10") else ""
    report.add(row(f"{title}: throughput of predict.py / bare forward", found, goal=goal))
    part = sorted(images.iterdir())[: max(1, len(list(images.iterdir())) // 5)]
    fifth = images.parent / "fifth.txt"
    fifth.write_text("\n".join(str(path) for folder in part for path in sorted(folder.iterdir())))
    few, all_ = ([peak([*argv[:2], str(source), *argv[3:]], images.parent / "out.csv")] for source in (fifth, images))
    report.add(row(f"{title}: peak memory, a fifth of them", few, unit="MiB"))
    report.add(row(f"{title}: peak memory, all", all_, unit="MiB"))


def prepared(model: TrainedModel, images: Path) -> list[Tensor]:
    """All images as normalised batches on the device."""
    found = find_images(images, model.form, fit="exact")
    size, result = model.batch_size, []
    for start in range(0, len(found.names), size):
        pixels = np.stack([found.read(number) for number in range(start, min(start + size, len(found.names)))])
        result.append(model.normalised(pixels))
    return result


@torch.inference_mode()
def forward(model: TrainedModel, batches: Sequence[Tensor]) -> float:
    """Seconds of the forward passes alone."""
    ((network, _, _),) = model.members
    start = time.perf_counter()
    for batch in batches:
        network(batch)
    if model.machine.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def predicted(argv: Sequence[str], out: Path) -> float:
    """Seconds of the command from the folder to the finished file."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        assert predict([*argv, "--out", str(out), "--overwrite", "1"]) == 0
    return time.perf_counter() - start


def peak(argv: Sequence[str], out: Path) -> float:
    """MiB of resident memory, at most, of the command in a process of its own."""
    done = subprocess.run(
        python("-c", MEMORY, *argv, "--out", str(out), "--overwrite", "1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
