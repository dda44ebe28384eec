"""Even against odd MNIST, balanced and unbalanced: the finished runs, and whether AUM leads on the unbalanced set only.

Run first ``python sweep.py configs/table/published_even_odd.yaml``. The published result is a picture: test AUC on the
balanced subset, AUM ahead of logistic where trained on the unbalanced one and faster to its best, no difference on the
balanced one. Intervals are Student's t over the folds; the training sets of folds overlap, so they are somewhat narrow.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from studies.published_runs import (
    SeedRun,
    arguments,
    exit_code,
    fold_interval,
    markdown,
    mean_and_sd,
    protocol,
    provenance,
    read_sweep,
    record,
    shown,
    t_interval,
    write,
)
from utils.errors import UserError

NAME = "published_even_odd"
FOLDS = 3
SUBSETS = {1: "balanced", 2: "unbalanced"}
SIZES = {"balanced": 35578, "unbalanced": 17968, "both": 53546}  # images, a third of them in each fold
METHODS = {
    "AUM_RATE": "AUM rate",
    "BCE": "logistic",
    "W_LOGISTIC": "logistic, weighted",
    "logistic_cv": "logistic, cross-validated",
    "featureless": "featureless",
}
FITTED = ("logistic_cv", "featureless")
DIFFERENCES = [
    "17,789 odd images a subset and 17,789 or 179 even ones, theirs 17,791: each digit is halved by itself",
    "pixels are centred and scaled by the training set's mean and SD; should theirs lie in 0..1, their step 0.1 is"
    " about 0.01 here, which stands beside it",
]

Key = tuple[str, str]  # method, step size
Place = tuple[str, str]  # subset that is tested, subset that was trained on
Cells = dict[Place, dict[Key, dict[int, SeedRun]]]


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = arguments(__doc__ or "").parse_args(argv)
    runs = read_sweep(options.checkpoint_root, NAME)
    done = [run for run in runs if run.result is not None]
    if not done:
        raise UserError(f"no run is done; python sweep.py configs/table/{NAME}.yaml")
    cells = by_place(done)
    comparisons = {
        step: {place: compared(cells, place, step) for place in cells} for step in sorted(_steps(done), reverse=True)
    }
    content = {
        **record(NAME, argv),
        "n": "test AUC over folds: mean, SD with n - 1, 95 % interval of the mean by Student's t; that of differences "
        "is widened for training sets that overlap (Nadeau and Bengio 2003)",
        "differences": DIFFERENCES,
        "unfinished": len(runs) - len(done),
        "runs": provenance(runs),
        "cells": [
            {"tested": tested, "trained_on": trained, "method": METHODS[method], "step_size": step, **summary(found)}
            for (tested, trained), keys in cells.items()
            for (method, step), found in keys.items()
        ],
        "aum_minus_logistic": [
            {"step_size": step, "tested": place[0], "trained_on": place[1], **item}
            for step, places in comparisons.items()
            for place, item in places.items()
            if item
        ],
        "finding": [sentence(step, places) for step, places in comparisons.items()],
    }
    write(content, text(content), options.out)
    return 0


def method_of(run: SeedRun) -> Key:
    """Method and step size; fitted learners have no step size."""
    fitted = run.options.get("resnet_type", "")
    return (fitted, "") if fitted in FITTED else (run.options["training_type"], run.options["lr"])


def place_of(run: SeedRun) -> Place:
    """The subset tested on and the one trained on.

    >>> place_of(SeedRun("", {"test_subset": "1", "train_on": "other"}, 1, None, None))
    ('balanced', 'unbalanced')
    """
    tested = int(run.options["test_subset"])
    trained = {"same": SUBSETS[tested], "other": SUBSETS[3 - tested], "all": "both"}[run.options["train_on"]]
    return SUBSETS[tested], trained


def by_place(done: Sequence[SeedRun]) -> Cells:
    """Runs by subset tested and trained on, by method, by fold."""
    cells: Cells = defaultdict(lambda: defaultdict(dict))
    for run in done:
        cells[place_of(run)][method_of(run)][int(run.options["fold"])] = run
    order = [(tested, trained) for tested in SUBSETS.values() for trained in (*SUBSETS.values(), "both")]
    return {place: cells[place] for place in order if place in cells}


def summary(found: Mapping[int, SeedRun]) -> dict[str, Any]:
    """Test AUC and step of the best validation AUC over the folds."""
    aucs = [found[fold].auc("test") for fold in sorted(found)]
    steps = [_best_step(found[fold]) for fold in sorted(found)]
    return {"test_auc": mean_and_sd(aucs), "interval": t_interval(aucs), "steps_to_best": mean_and_sd(steps)}


def compared(cells: Cells, place: Place, step: str) -> dict[str, Any]:
    """AUM minus logistic, fold by fold: test AUC and steps to the best validation AUC; {} where one is missing."""
    aum = cells[place].get(("AUM_RATE", step), {})
    result: dict[str, Any] = {}
    for other in ("BCE", "W_LOGISTIC"):
        theirs = cells[place].get((other, step), {})
        folds = sorted(set(aum) & set(theirs))
        if folds:
            aucs = [aum[fold].auc("test") - theirs[fold].auc("test") for fold in folds]
            steps = [_best_step(aum[fold]) - _best_step(theirs[fold]) for fold in folds]
            result[other] = {
                "test_auc": mean_and_sd(aucs),
                "interval": fold_interval(aucs, ratio=test_ratio(*place)),
                "steps_to_best": mean_and_sd(steps),
                "steps_interval": fold_interval(steps, ratio=test_ratio(*place)),
            }
    return result


def test_ratio(tested: str, trained_on: str) -> float:
    """Images that a fold tests over those that it trains on.

    >>> test_ratio("balanced", "balanced"), round(test_ratio("balanced", "unbalanced"), 2)
    (0.5, 0.99)
    """
    return SIZES[tested] / ((FOLDS - 1) * SIZES[trained_on])


def sentence(step: str, places: Mapping[Place, Mapping[str, Any]]) -> str:
    """Whether AUM leads plain logistic on the balanced test subset, for each training subset."""
    parts = []
    for trained in SUBSETS.values():
        item = places.get(("balanced", trained), {}).get("BCE")
        if item is None or item["interval"] is None:
            parts.append(f"trained on the {trained} subset: not known")
            continue
        faster = _verdict(item["steps_interval"], above="later at its best", below="sooner at its best")
        verdict = _verdict(item["interval"], above="AUM leads logistic", below="logistic leads AUM")
        difference, interval = item["test_auc"]["mean"], _interval(item["interval"])
        parts.append(f"trained on the {trained} subset: {verdict} ({difference:+.4f} {interval}), AUM {faster}")
    return f"step size {step} (each interval by itself, not corrected for their number): " + "; ".join(parts)


def _verdict(interval: tuple[float, float], *, above: str, below: str) -> str:
    low, high = interval
    return above if low > 0 else below if high < 0 else "undecided"


def _best_step(run: SeedRun) -> float:
    """Full batches: an epoch is one step."""
    assert run.result is not None
    return float(run.result["best_epoch"]) + 1


def _steps(done: Sequence[SeedRun]) -> list[str]:
    return sorted({step for _, step in map(method_of, done) if step}, key=float)


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"


def text(content: Mapping[str, Any]) -> str:
    """The table of all cells, the differences, and the finding."""
    header = ["tested on", "trained on", "method", "step size", "test AUC", "95 % interval", "steps to best"]
    rows = [
        [
            *(item["tested"], item["trained_on"], item["method"], item["step_size"]),
            f"{shown(item['test_auc'], 4)} (n {item['test_auc']['n']})",
            _interval(item["interval"]),
            f"{item['steps_to_best']['mean']:.0f}" if item["step_size"] else "",
        ]
        for item in content["cells"]
    ]
    header_of_differences = ["tested on", "trained on", "step size", "AUM rate minus", "AUC", "95 % interval", "steps"]
    differences = [
        [
            *(item["tested"], item["trained_on"], item["step_size"], METHODS[other]),
            f"{item[other]['test_auc']['mean']:+.4f}",
            _interval(item[other]["interval"]),
            f"{item[other]['steps_to_best']['mean']:+.0f}",
        ]
        for item in content["aum_minus_logistic"]
        for other in ("BCE", "W_LOGISTIC")
        if other in item
    ]
    parts = [markdown(header, rows), markdown(header_of_differences, differences), *content["finding"]]
    parts.append(protocol(content["differences"]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
