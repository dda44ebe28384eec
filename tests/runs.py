"""Whole runs of main.py on the embedded digits, small and in this process, and what to compare of their folders."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from benchmarks.processes import last_of_each
from utils.config.settings import resolve
from utils.metrics import SELECTIONS
from utils.run.experiment import Experiment
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.run_files.best_pt import BEST
from utils.run_files.checkpoints import load
from utils.run_files.last_pt import LAST
from utils.training import epoch as training
from utils.training.state import TrainingData, TrainState
from utils.training.step import TrainingSteps

RATIO = "--ratio_pos_train 20"  # of a task of two sides
SMALL = (
    f"--dataset_name digits {RATIO} --resnet_type linear --device cpu --threads 1 --model_name run "
    "--seeds 1 --num_epochs 1 --parallel_seeds 1"
)
NAMES = ("validation.csv", "test.csv")
# what an objective must be told
OPTIONS_OF = {
    **dict.fromkeys(("SYM_LM", "ASYM_LM"), "--m 0.5"),
    **dict.fromkeys(("SYM_FL", "ASYM_FL"), "--gamma 2"),
    "WBCE": "--c 1",
    "cb_BCE": "--beta 0.99",
}


def arguments(root: Path, more: str = "") -> list[str]:
    """The command line of a small run; what ``more`` says comes last and so wins."""
    small = SMALL.replace(RATIO, "") if "--task classes" in more else SMALL
    return last_of_each([*small.split(), "--checkpoint_root", str(root), *more.split()])


def run(root: Path, more: str = "", *, code: int = 0) -> Path:
    """Run main.py with ``arguments``, check its exit code; returns the run's folder."""
    argv = arguments(root, more)
    assert main.main(argv) == code
    name = [argv[i + 1] for i, word in enumerate(argv) if word == "--model_name"][-1]
    return root / "runs" / name


def experiment_of(root: Path, more: str = "") -> Experiment:
    """What such a run is prepared as."""
    return prepare(resolve(arguments(root, more)))


def start_of(root: Path, more: str = "", *, seed: int = 1) -> tuple[Experiment, TrainState, TrainingData]:
    """The state at the start of one seed of such a run."""
    experiment = experiment_of(root, more)
    return (experiment, *build_state(experiment, seed))


def history(folder: Path) -> list[dict[str, Any]]:
    """The records of a seed's history.jsonl."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return content


def best(folder: Path) -> dict[str, Any]:
    return load(folder / "best.pt", BEST)


def last(folder: Path) -> dict[str, Any]:
    return load(folder / "last.pt", LAST)


def assert_same(one: Any, other: Any, *, at: str = "") -> None:
    """Equal in structure and in every bit; NaN equals NaN."""
    assert type(one) is type(other), f"{at}: {type(one)} and {type(other)}"
    if isinstance(one, dict):
        assert list(one) == list(other), at
        for key in one:
            assert_same(one[key], other[key], at=f"{at}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), at
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, at=f"{at}/{number}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, at
        assert one.shape == other.shape, at
        assert torch.equal(one.isnan(), other.isnan()), at
        assert torch.equal(one.nan_to_num(), other.nan_to_num()), at
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other), at
    else:
        assert one == other, f"{at}: {one} and {other}"


def assert_same_run(one: Path, other: Path, *, seeds: tuple[int, ...] = (1,)) -> None:
    """All that two runs computed is the same, bit for bit; times and commands may differ."""
    for seed in seeds:
        a, b = one / f"seed{seed}", other / f"seed{seed}"
        best_a, best_b = best(a), best(b)
        for key in ("weights", "loss", "optimizer", "scheduler", "seed", "epoch", "validation_auc", "facts"):
            assert_same(best_a[key], best_b[key], at=f"best.pt/{key}")
        assert_same(last(a), last(b), at="last.pt")
        assert_same(timeless(history(a)), timeless(history(b)), at="history.jsonl")
        for name in NAMES:
            assert (a / name).read_bytes() == (b / name).read_bytes(), name
    for name in NAMES:
        assert (one / "ensemble" / name).read_bytes() == (other / "ensemble" / name).read_bytes(), name
    assert_same(without_command(results(one)), without_command(results(other)), at="results.json")


def timeless(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def without_command(content: dict[str, Any]) -> dict[str, Any]:
    """results.json without the command, and without the checksum of best.pt, which holds the command too."""
    result = {key: value for key, value in content.items() if key != "command"}
    result["seeds"] = {
        seed: {**values, "checksums": {**values["checksums"], "best.pt": ""}} if "checksums" in values else values
        for seed, values in content["seeds"].items()
    }
    return result


def scripted(monkeypatch: pytest.MonkeyPatch, aucs: Sequence[float]) -> None:
    """Let the validation AUCs be these, of K classes the other numbers too; all else is as it is."""
    course = iter(aucs)

    def validate(runner: TrainingSteps, *, of_classes: bool = False) -> tuple[float, dict[str, float]]:
        return 1.0, dict.fromkeys(SELECTIONS if of_classes else ("auc",), next(course))

    monkeypatch.setattr(training, "validate", validate)
