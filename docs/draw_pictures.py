"""Draw the pictures of the documentation again: ``make pictures``.

Trains what it shows on embedded digits, a minute on two cores. Pictures of pages (report, evidence card, TensorBoard)
are taken by Chromium without a window; where it is not installed, they stay as they are and this says so.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.datasets import load_digits

from utils.metrics.roc import roc
from utils.run_files.history_jsonl import read_history
from utils.run_files.results_json import read_results
from utils.run_files.scores_csv import read_scores
from utils.system.pictures import plain_matplotlib

HERE = Path(__file__).resolve().parent / "pictures"
ROOT = HERE.parents[1]
GREY, ORANGE, BLUE = "#444444", "#d95f02", "#1f78b4"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COMMON = "--dataset_name digits --resnet_type lenet5 --seeds 1-3 --num_epochs 40 --threads 1"
RUNS = {
    "mine": "--name_file_bs bce_balanced --calibration_fraction 0.25",
    "mine_alm": "--name_file_bs bce_balanced --name_file_alm ALM_13_beg --calibration_fraction 0.25",
}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the pictures")
    options = parser.parse_args(argv)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for run, flags in RUNS.items():
            call(folder, "main.py", *COMMON.split(), *flags.split(), "--model_name", run)
        runs = folder / "checkpoint" / "runs"
        corner(runs / "mine", out / "corner.png")
        constraint_at_work(runs, out / "constraint.png")
        equal_auc(out / "equal_auc.png")
        contact_sheet(folder, out / "contact_sheet.png")
        browser = next((found for found in map(shutil.which, BROWSERS) if found), None)
        if browser is None:
            print(f"no {', '.join(BROWSERS)}: report.png, card.png and tensorboard.png were not drawn again")
            return 0
        call(folder, "report.py", "checkpoint/runs", "--gallery", "0")
        take(browser, (runs / "report" / "report.html").as_uri(), out / "report.png", height=1180)
        call(folder, "report.py", "checkpoint/runs/mine", "--card", "--html", "card.html")
        take(browser, (folder / "card.html").as_uri(), out / "card.png", height=1250)
        tensorboard(browser, folder, out / "tensorboard.png")
    return 0


def call(folder: Path, program: str, *argv: str) -> None:
    """Run a program of the tree in ``folder``."""
    done = subprocess.run([sys.executable, str(ROOT / program), *argv], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{program} {' '.join(argv)}: {done.stderr}")


def save(figure: Any, path: Path) -> None:
    """As a PNG of 64 colours, a third of the size."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    Image.open(content).convert("RGB").quantize(64).save(path, optimize=True)
    print(f"-> {path}")


@plain_matplotlib()
def corner(run: Path, path: Path) -> None:
    """The corner of high TPR on test images: seeds, ensemble, and where the promised thresholds came to lie."""
    from matplotlib.figure import Figure

    test = read_results(run / "results.json")["ensemble"]["test"]
    figure = Figure(figsize=(8.4, 3.8), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    for seed in (1, 2, 3):
        scores = read_scores(run / f"seed{seed}" / "test.csv")
        curve = roc(scores.label, scores.score)
        label = "seeds" if seed == 1 else ""
        axes.step(100 * curve.fpr, 100 * curve.tpr, where="post", color=GREY, alpha=0.45, linewidth=0.9, label=label)
    scores = read_scores(run / "ensemble" / "test.csv")
    curve = roc(scores.label, scores.score)
    axes.step(100 * curve.fpr, 100 * curve.tpr, where="post", color=BLUE, linewidth=2, label="ensemble")
    box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1}
    for promise in test["promises"]:
        if promise["rule"] != "NP" or promise["threshold"] is None:
            continue
        tpr, fpr = 100 * promise["test"]["tpr"], 100 * promise["test"]["fpr"]
        axes.plot(fpr, tpr, "o", color=ORANGE, markersize=8)
        text = f"promised >= {100 * promise['tpr']:g} %\non test {tpr:.1f} %, FPR {fpr:.1f} %"
        axes.annotate(text, (fpr, tpr), xytext=(10, -26), textcoords="offset points", fontsize=9, bbox=box)
    axes.set(xlim=(-1, 64), ylim=(84, 100.4), xlabel="FPR on test images, %", ylabel="TPR, %")
    axes.set_title(
        f"Thresholds from {test['promises'][0]['n_positive']} positives of their own, each promise missed with "
        f"probability <= .05\n(digits 1:20, LeNet5, {test['n_positive']} positives to test)",
        fontsize=9,
    )
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    save(figure, path)


@plain_matplotlib()
def constraint_at_work(runs: Path, path: Path) -> None:
    """Scores of both classes, violation, and multipliers, of seed 1 with the constraint and without."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=110)
    left, middle, right = figure.subplots(1, 3)
    histories = {name: list(read_history(runs / name / "seed1" / "history.jsonl")) for name in RUNS}
    for name, shift, label in (("mine", 0, "without"), ("mine_alm", 1, "with")):
        scores = read_scores(runs / name / "seed1" / "validation.csv")
        for value, colour in ((0, BLUE), (1, ORANGE)):
            part = scores.score[scores.label == value]
            height = shift + np.random.default_rng(0).uniform(-0.2, 0.2, len(part))
            left.plot(part, height, "o", color=colour, markersize=3, alpha=0.6)
        negatives, positives = scores.score[scores.label == 0], scores.score[scores.label == 1]
        wrong = (positives[:, None] <= negatives).mean()
        left.text(0.02, 0.13 + 0.5 * shift, f"{label}: {100 * wrong:.1f} % of pairs in the wrong order",
                  transform=left.transAxes, fontsize=8)  # fmt: skip
    left.set(title="scores of validation images", xlabel="logit", yticks=(0, 1), yticklabels=("without", "with"))
    left.set_ylim(-0.6, 1.5)
    for name, colour, label in (("mine", GREY, "without"), ("mine_alm", ORANGE, "with")):
        middle.plot([each["constraint_violation"] for each in histories[name]], color=colour, label=label)
    middle.set(title="violation: mean of q / N over the positives", xlabel="epoch", yscale="log")
    middle.legend(frameon=False)
    quantiles = [each["multiplier_quantiles"] for each in histories["mine_alm"]]
    levels = {level: [each[level] for each in quantiles] for level in ("0", "0.25", "0.5", "0.75", "1")}
    epochs = range(len(quantiles))
    right.fill_between(epochs, levels["0"], levels["1"], color=ORANGE, alpha=0.15, linewidth=0, label="all positives")
    right.fill_between(
        epochs, levels["0.25"], levels["0.75"], color=ORANGE, alpha=0.35, linewidth=0, label="middle half"
    )
    right.plot(epochs, levels["0.5"], color=ORANGE, label="median")
    right.set(title="multipliers of the positives", xlabel="epoch")
    right.legend(frameon=False, loc="upper left", fontsize=8)
    save(figure, path)


@plain_matplotlib()
def equal_auc(path: Path) -> None:
    """Two classifiers with one AUC, of which the second misses a tenth of its positives."""
    from matplotlib.figure import Figure

    area, hard, low = 0.95, 0.1, 0.8  # AUC; share of the hard positives of B, and their distance
    distance = np.sqrt(2) * norm.ppf(area)
    far = brentq(lambda d: (1 - hard) * norm.cdf(d / np.sqrt(2)) + hard * norm.cdf(low / np.sqrt(2)) - area, 0, 9)
    thresholds = np.linspace(-6, 9, 4000)
    fpr = norm.sf(thresholds)
    tprs = {
        "A: all positives alike": norm.sf(thresholds - distance),
        "B: one in ten is hard": (1 - hard) * norm.sf(thresholds - far) + hard * norm.sf(thresholds - low),
    }
    figure = Figure(figsize=(9, 3.8), layout="constrained", dpi=110)
    whole, zoom = figure.subplots(1, 2)
    for (label, tpr), colour in zip(tprs.items(), (BLUE, ORANGE), strict=True):
        at = fpr[tpr >= 0.98].min()
        for axes in (whole, zoom):
            axes.plot(
                100 * fpr, 100 * tpr, color=colour, label=f"{label}; AUC {area}, FPR at 98 % TPR {100 * at:.0f} %"
            )
        zoom.plot(100 * at, 98, "o", color=colour)
    zoom.axhline(98, color=GREY, linewidth=0.8, linestyle=":")
    whole.set(title="the ROC", xlabel="FPR, %", ylabel="TPR, %")
    zoom.set(title="its corner", xlabel="FPR, %", ylim=(88, 100.3))
    whole.legend(frameon=False, loc="lower right", fontsize=8)
    for axes in (whole, zoom):
        axes.grid(alpha=0.3)
    save(figure, path)


def contact_sheet(folder: Path, path: Path) -> None:
    """What ``prepare.py`` draws of each class of a folder of images."""
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / "images" / ("zero" if label == 0 else "other")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).resize((32, 32)).save(place / f"{number:04d}.png")
    call(folder, "prepare.py", "images", "--out", "datasets/images", "--positive", "zero")
    sheets = sorted((folder / "datasets" / "images" / "contact_sheets").iterdir())
    shutil.copy(next(sheet for sheet in sheets if "zero" in sheet.name), path)
    print(f"-> {path}")


def take(browser: str, address: str, path: Path, *, width: int = 1280, height: int, wait_ms: int = 3000) -> None:
    """The upper part of a page."""
    size = [f"--window-size={width},{height}", f"--virtual-time-budget={wait_ms}", f"--screenshot={path}"]
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    subprocess.run([browser, *flags, *size, address], check=True, capture_output=True)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)
    print(f"-> {path}")


def tensorboard(browser: str, folder: Path, path: Path) -> None:
    """Its scalars of the two runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "checkpoint", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, env={**os.environ}, stderr=subprocess.DEVNULL)
    try:
        wanted = len(RUNS)
        while True:  # until the runs are loaded
            try:
                with urllib.request.urlopen(f"{address}/data/runs") as answer:
                    if len(json.load(answer)) >= wanted:
                        break
            except OSError:
                if server.poll() is not None:
                    raise SystemExit("tensorboard ended") from None
            time.sleep(0.5)
        take(browser, f"{address}/#timeseries", path, height=900, wait_ms=15000)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
