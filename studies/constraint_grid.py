"""The constraint given its due: mu and delta chosen on validation for each row, then fresh seeds with and without it.

    python -m studies.constraint_grid --data cifar10 --part 1/2     # the other process: --part 2/2
    python -m studies.constraint_verdict

Written before the runs, but for the rule of mu, which was put more exactly after them:

- Data: MNIST and Fashion-MNIST, even labels (positive) against odd at 1:99, and the CIFAR-10 pair, automobile against
  truck (positive) at 1:100; LeNet5, SGD with momentum .9, batches of 64. MNIST: 3 epochs of 391 steps; CIFAR-10: 9
  epochs of 70. Of each run the epoch with the best validation AUC counts.
- Rows: six objectives, with natural batches (.64 positives in 64) and with balanced ones (32). With BCE also batches
  between: natural ones of 256 (2.6 positives), and a share of .1 in batches of 64 (6.4).
- Grid: seed 1. Without the constraint: step size .01 and .1. With it: the same two, times mu 1e-2 ... 1e-7, times delta
  0, .1, .25, .5, 1; it acts from the first epoch, and mu follows its rule: it doubles once after the third epoch, and
  after each later one in which the validation AUC falls by more than .05.
- Choice, for "without" and "with" alike: once by the best validation AUC, once by the lowest validation FPR at 98 % TPR
  (ties: the higher AUC, then the first in the order of the grid). A run whose loss was not finite cannot be chosen.
- Fresh seeds: 11 to 20 with each choice.
- Verdict: for each data set, row and choice the mean over the fresh seeds of the test FPR at 98 % TPR, with minus
  without, tested over seeds and test images (``seed_test``). Primary family: all these p values of all data sets that
  are whole, corrected together (Holm). The constraint *helps* in a row if the corrected p is below .05 and the
  difference negative, and *harms* if it is positive. The same for the AUC, as a second family.
- Nothing is chosen on test. The 30 settings a step size of "with" are a wider search than the one of "without"; fresh
  seeds and test images make that no advantage in the numbers, only in what could be found.

The line of each setting, and the epochs of each fresh run, are kept in results/constraint_grid/<data>/<row>.jsonl; a
stopped process goes on where it was. The test scores of fresh runs are kept below checkpoint/constraint_grid/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from studies.published_runs import RESULTS, append_line, exit_code, read_lines
from utils.config.settings import resolve
from utils.errors import UserError
from utils.metrics.roc import auc, fpr_at_tpr
from utils.metrics.scores import Scores
from utils.run.best_checkpoint import last_scores
from utils.run.experiment import Experiment
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.run.seed_epochs import epoch_of
from utils.training.epoch import NonFiniteLossError
from utils.training.step import TrainingSteps

NAME, TPR = "constraint_grid", 0.98
GRID_SEED, FRESH = 1, range(11, 21)
LRS, MUS, DELTAS = (0.01, 0.1), (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7), (0.0, 0.1, 0.25, 0.5, 1.0)
EVEN_ODD = ["--ratio_pos_train", "99", "--evaluate_every_steps", "391", "--num_epochs", "3"]
DATA = {
    "cifar10": ["--ratio_pos_train", "100", "--evaluate_every_steps", "70", "--num_epochs", "9"],
    "mnist": EVEN_ODD,
    "fashion_mnist": EVEN_ODD,
}
OBJECTIVES = {
    "BCE": "baseline_bce",
    "S-FL": "baseline_s_FL_g1",
    "A-FL": "baseline_a_FL_g1",
    "S-LM": "baseline_s_LM_m05",
    "W-BCE": "baseline_WBCE_1_3",
    "LDAM": "baseline_LDAM",
}
BATCHES = {"natural": [], "balanced": ["--sampler", "balanced", "--positive_share", "0.5"]}
ROWS = {
    f"{objective}_{batches}": ["--name_file_bs", file, *flags]
    for (objective, file), (batches, flags) in product(OBJECTIVES.items(), BATCHES.items())
} | {
    "BCE_natural256": ["--name_file_bs", "baseline_bce", "--bsize", "256"],
    "BCE_share10": ["--name_file_bs", "baseline_bce", "--sampler", "balanced", "--positive_share", "0.1"],
}
READINGS = ("auc", "fpr")


@dataclass(frozen=True)
class Setting:
    """A step size, and the constraint's mu and delta, or None and None without it."""

    lr: float
    mu: float | None = None
    delta: float | None = None

    @property
    def flags(self) -> list[str]:
        """For the command line."""
        if self.mu is None:
            return ["--lr", f"{self.lr}"]
        return ["--lr", f"{self.lr}", "--use_ALM", "1", "--rho", "2", "--mu", f"{self.mu}", "--delta", f"{self.delta}"]

    @staticmethod
    def of(record: Mapping[str, Any]) -> Setting:
        """The setting of a line."""
        return Setting(record["lr"], record["mu"], record["delta"])


GRID = {
    "without": [Setting(lr) for lr in LRS],
    "with": [Setting(*point) for point in product(LRS, MUS, DELTAS)],
}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA), help="data sets, in this order")
    parser.add_argument("--data_root", default="datasets", help="folder of the data sets")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), help="which")
    parser.add_argument("--part", default="1/1", help="k/n: every n-th row from the k-th on, for n processes at once")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--checkpoint_root", type=Path, default=Path("checkpoint"), help="folder of the test scores")
    options = parser.parse_args(argv)
    part, parts = map(int, options.part.split("/"))
    for data in options.data:
        for row in options.rows[part - 1 :: parts]:
            train_row(data, row, options)
    return 0


def train_row(data: str, row: str, options: argparse.Namespace) -> None:
    """All runs of a row that are not there yet: the grid, then the fresh seeds with its choices."""
    if judged_file(options.out, data, row).is_file():
        return
    lines = lines_file(options.out, data, row)
    common = ["--dataset_name", data, "--data_root", options.data_root, "--resnet_type", "lenet5", "--threads", "1"]
    common += ["--patience_early_stopping", "1000", *DATA[data], *ROWS[row]]
    for setting in (*GRID["without"], *GRID["with"]):
        if not any(Setting.of(line) == setting and line["seed"] == GRID_SEED for line in read_lines(lines)):
            line, _ = train([*common, *setting.flags], GRID_SEED, setting)
            append_line(lines, line)
    chosen = {choice(read_lines(lines), side, reading) for side in GRID for reading in READINGS}
    for seed, setting in product(FRESH, sorted(chosen, key=str)):
        file = scores_file(options.checkpoint_root, data, row, setting, seed)
        old = [line for line in read_lines(lines) if Setting.of(line) == setting and line["seed"] == seed]
        if any(line["failed"] or file.is_file() for line in old):
            continue
        line, test = train([*common, *setting.flags], seed, setting)
        file.parent.mkdir(parents=True, exist_ok=True)
        if test is not None:
            np.savez(file, label=test.label, score=test.score)
        append_line(lines, line)


def lines_file(out: Path, data: str, row: str) -> Path:
    """Where the lines of a row are."""
    return out / NAME / data / f"{row}.jsonl"


def judged_file(out: Path, data: str, row: str) -> Path:
    """Where what follows of a row is, once it is whole (``studies.constraint_verdict``)."""
    return out / NAME / data / f"{row}.json"


def scores_file(root: Path, data: str, row: str, setting: Setting, seed: int) -> Path:
    """Where the test scores of a fresh run are: ``label`` and ``score``."""
    return root / NAME / data / row / f"lr{setting.lr}_mu{setting.mu}_delta{setting.delta}_seed{seed}.npz"


def choice(lines: Sequence[Mapping[str, Any]], side: str, reading: str) -> Setting:
    """The setting of ``GRID[side]`` with the best validation AUC, or the lowest validation FPR.

    Raises:
        UserError: none of them finished.
    """
    found = {Setting.of(line): line for line in lines if line["seed"] == GRID_SEED and line["failed"] is None}
    order = [setting for setting in GRID[side] if setting in found]
    if not order:
        raise UserError(f"all settings {side} the constraint failed: nothing to choose from")

    def rank(setting: Setting) -> tuple[float, float]:
        line = found[setting]
        return (-line["auc"], 0.0) if reading == "auc" else (line["fpr"], -line["auc"])

    return min(order, key=rank)


def train(argv: Sequence[str], seed: int, setting: Setting) -> tuple[dict[str, Any], Scores | None]:
    """One run: its line, and of a fresh seed that did not fail the scores of the test set by the best epoch.

    A line of a fresh seed has its ``epochs``: violation, validation AUC and FPR, and mu of each.
    """
    experiment = prepare(resolve([*argv, "--seeds", str(seed)]))
    state, training = build_state(experiment, seed)
    epoch = epoch_of(experiment, runner := TrainingSteps(state, training, machine=experiment.machine), seed)
    line: dict[str, Any] = {"seed": seed, "lr": setting.lr, "mu": setting.mu, "delta": setting.delta, "failed": None}
    epochs: list[list[float]] = []
    test = None
    try:
        for number in range(experiment.config.num_epochs):
            done = epoch()
            fpr = fpr98(scores_of(experiment, runner, seed, "validation"))
            epochs.append([round(done["constraint_violation"], 6), done["val_auc"], fpr, done["mu"]])
            if done["is_best"]:
                line |= {"epoch": number, "auc": done["val_auc"], "fpr": fpr}
                if seed != GRID_SEED:
                    test = scores_of(experiment, runner, seed, "test")
    except NonFiniteLossError as error:
        return line | {"failed": str(error).split(";")[0]}, None
    if test is not None:
        line |= {"test_auc": auc(test.label, test.score), "test_fpr": fpr98(test), "epochs": epochs}
    return line, test


def scores_of(experiment: Experiment, runner: TrainingSteps, seed: int, part: str) -> Scores:
    """The scores of a set, by the weights as they are."""
    found = last_scores(experiment, seed, runner, part=part)
    assert isinstance(found, Scores)
    return found


def fpr98(scores: Scores) -> float:
    """FPR at 98 % TPR."""
    return fpr_at_tpr(scores.label, scores.score, TPR)


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
