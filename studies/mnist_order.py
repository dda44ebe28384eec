"""Why the order of four losses on MNIST differs from the published one: the validation set, or the scale of the pixels?

    python -m studies.mnist_order train --part 1/2     # the other process: --part 2/2; resumes where it was stopped
    python -m studies.mnist_order                      # the table

LeNet5, MNIST 0-4 against 5-9 with every 100th positive, as in published_mnist_lenet5: published are AUM before weighted
logistic, ours have weighted logistic first. Two differences of the protocol are undone one at a time and together:

- validation: 59 positives, every 100th of ours, choose step size and moment, instead of all 5,879;
- pixels: in 0..1, instead of centred and scaled by the training set's mean and SD.

All else stays: four seeds, seven step sizes, batches of 1000, 250 steps, validated after every tenth. Each run is
trained once for each scale of the pixels, and both validation sets choose from its moments. Question and rule were
written before the runs: a factor "moves the order" if with it AUM rate has the highest mean test AUC of the four and
without it not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from studies.published_mnist_lenet5 import THEIRS
from studies.published_runs import (
    RESULTS,
    append_line,
    arguments,
    exit_code,
    markdown,
    mean_and_sd,
    read_lines,
    record,
    shown,
    write,
)
from utils.config.settings import resolve
from utils.metrics.roc import auc
from utils.metrics.scores import Scores
from utils.run.best_checkpoint import last_scores
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.run.seed_epochs import epoch_of
from utils.training.epoch import NonFiniteLossError
from utils.training.step import TrainingSteps

NAME = "mnist_order"
LRS, SEEDS, EVERY, STEPS = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0), (1, 2, 3, 4), 10, 250
PIXELS = ("scaled", "0..1")
KEPT = 100  # every 100th positive of validation is in the small set
CHOSEN_BY = {"all": "5,879 positives", "few": "59 positives"}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0], checkpoint=False)
    parser.add_argument("what", nargs="?", choices=("train", "table"), default="table", help="train, or make the table")
    parser.add_argument("--data_root", default="datasets", help="folder of the data set")
    parser.add_argument("--part", default="1/1", help="k/n: every n-th run from the k-th on, for n processes at once")
    options = parser.parse_args(argv)
    folder = (options.out or RESULTS) / NAME
    if options.what == "table":
        content = record(NAME, argv) | {"cells": cells(all_lines(folder))}
        write(content, text(content["cells"]), options.out)
        return 0
    part, parts = map(int, options.part.split("/"))
    there = {key(line) for line in all_lines(folder)}
    runs = list(product(SEEDS, THEIRS, LRS, PIXELS))
    for seed, loss, lr, pixels in runs[part - 1 :: parts]:
        if (seed, loss, lr, pixels) not in there:
            line = {"seed": seed, "loss": loss, "lr": lr, "pixels": pixels}
            line["moments"] = list(train(seed, loss, lr, pixels, data_root=options.data_root))
            append_line(folder / f"part{part}.jsonl", line)
    return 0


def all_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of all runs so far."""
    return [line for path in sorted(folder.glob("*.jsonl")) for line in read_lines(path)]


def key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What distinguishes a run."""
    return line["seed"], line["loss"], line["lr"], line["pixels"]


def train(seed: int, loss: str, lr: float, pixels: str, *, data_root: str) -> Iterator[dict[str, float]]:
    """AUCs after every tenth step: of both validation sets and test. Ends where the loss is not finite."""
    fixed = "--ratio_pos_train 104 --train_fraction 1 --validation_fraction 0.2 --momentum 0 --weight_dec 0"
    fixed += f" --bsize 1000 --evaluate_every_steps {EVERY} --patience_early_stopping 1000 --threads 1"
    argv = ["--dataset_name", "mnist", "--data_root", data_root, "--resnet_type", "lenet5", *fixed.split()]
    argv += ["--negative_classes", "0,1,2,3,4", "--positive_classes", "5,6,7,8,9"]
    argv += ["--training_type", loss, "--lr", f"{lr}", "--seeds", f"{seed}", "--num_epochs", f"{STEPS // EVERY}"]
    experiment = prepare(resolve(argv))
    if pixels == "0..1":
        experiment = replace(experiment, task=replace(experiment.task, mean=(0.0,), std=(1.0,)))
    state, data = build_state(experiment, seed)
    runner = TrainingSteps(state, data, machine=experiment.machine)
    epoch = epoch_of(experiment, runner, seed)
    for _ in range(STEPS // EVERY):
        try:
            epoch()
        except NonFiniteLossError:
            return
        validation, test = (last_scores(experiment, seed, runner, part=part) for part in ("validation", "test"))
        assert isinstance(validation, Scores)
        assert isinstance(test, Scores)
        positives, negatives = (np.flatnonzero(validation.label == side) for side in (1, 0))
        few = np.concatenate([positives[::KEPT], negatives])
        yield {
            "all": auc(validation.label, validation.score),
            "few": auc(validation.label[few], validation.score[few]),
            "test": auc(test.label, test.score),
        }


def cells(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each scale of the pixels and validation set, the test AUCs of each loss over the seeds."""
    result = []
    for pixels, chosen_by, loss in product(PIXELS, CHOSEN_BY, THEIRS):
        found = []
        for seed in SEEDS:
            runs = [line for line in lines if (line["seed"], line["loss"], line["pixels"]) == (seed, loss, pixels)]
            moments = [(moment, line["lr"]) for line in runs for moment in line["moments"]]
            if len(runs) == len(LRS) and moments:
                best, lr = max(moments, key=lambda each: each[0][chosen_by])
                found.append({"seed": seed, "lr": lr, "test": best["test"]})
        values = [each["test"] for each in found]
        cell: dict[str, Any] = {"pixels": pixels, "chosen_by": chosen_by, "loss": loss, "seeds": found}
        result.append(cell | (mean_and_sd(values) if values else {"n": 0}))
    return result


def text(found: Sequence[Mapping[str, Any]]) -> str:
    """The table, a row for each pair of factors, and what moves the order."""
    rows, first = [], {}
    for pixels, chosen_by in product(PIXELS, CHOSEN_BY):
        row = {cell["loss"]: cell for cell in found if (cell["pixels"], cell["chosen_by"]) == (pixels, chosen_by)}
        done = all(cell["n"] == len(SEEDS) for cell in row.values())
        if done:
            first[pixels, chosen_by] = max(row, key=lambda loss: row[loss]["mean"])
        rows.append([pixels, CHOSEN_BY[chosen_by], *(shown(cell) if cell["n"] else "-" for cell in row.values())])
        rows[-1].append(THEIRS[first[pixels, chosen_by]][0] if done else "not whole")
    rows.append(["0..1", "59 positives (published)", *(f"{mean:.3f} +- {sd:.3f}" for _, mean, sd in THEIRS.values())])
    rows[-1].append("AUM rate")
    header = ["pixels", "chosen by", *(name for name, *_ in THEIRS.values()), "first"]
    parts = ["Test AUC, mean and SD over four seeds.", markdown(header, rows)]
    if len(first) == len(PIXELS) * len(CHOSEN_BY):
        before = first["scaled", "all"] == "AUM_RATE"
        cases = {"validation": ("scaled", "few"), "pixels": ("0..1", "all"), "both": ("0..1", "few")}
        moved = [name for name, case in cases.items() if first[case] == "AUM_RATE" and not before]
        parts.append(f"Moves AUM to the first place: {', '.join(moved) or 'neither, nor both together'}.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
