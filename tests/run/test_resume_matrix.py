"""Resume of every combination: objectives, constraints, samplers, optimizers, schedules, averages, augmentations."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from combinations import CLASS_FACTORS, FACTORS, drawn
from runs import assert_same, scripted, start_of, timeless

from utils.run.initial_state import build_state
from utils.run_files.checkpoints import save
from utils.run_files.last_pt import LAST, restore_last
from utils.run_files.paths import SeedPaths
from utils.training.epoch import train_epoch
from utils.training.step import TrainingSteps

pytestmark = pytest.mark.usefixtures("one_thread")

AUCS = (0.7, 0.6, 0.65, 0.6)  # each fall lowers the learning rate and may raise mu
STOP = 2  # epochs before the stop
STEPS = 3  # an epoch ends within a pass over the samples
TINY = "--num_epochs 5 --resnet_type dense --hidden_widths 8 --bsize 64 --lr 0.003"
OBJECTIVES, CONSTRAINTS, SAMPLERS, OPTIMIZERS, SCHEDULERS, AVERAGES, AUGMENTATIONS = FACTORS.values()

Row = tuple[str, str, str, str, str, str, str]
ROWS: list[Row] = [
    (
        objective,
        CONSTRAINTS[(i + j) % len(CONSTRAINTS)],
        sampler,
        OPTIMIZERS[(i + 2 * j) % len(OPTIMIZERS)],
        SCHEDULERS[(i + j // 2) % len(SCHEDULERS)],
        AVERAGES[(i + j // 3) % len(AVERAGES)],
        AUGMENTATIONS[(i + 2 * j + j // 4) % len(AUGMENTATIONS)],
    )
    for (i, objective), (j, sampler) in itertools.product(enumerate(OBJECTIVES), enumerate(SAMPLERS))
]
# of K classes: each objective with each task, the others in turn
TASKS, MANY, CONSTRAINTS_OF_MANY, SAMPLERS_OF_MANY = list(CLASS_FACTORS.values())[:4]
CLASS_ROWS: list[Row] = [
    (
        f"{task} {objective}",
        CONSTRAINTS_OF_MANY[(i + 2 * j) % len(CONSTRAINTS_OF_MANY)],
        SAMPLERS_OF_MANY[(i + j) % len(SAMPLERS_OF_MANY)],
        OPTIMIZERS[(i + j) % len(OPTIMIZERS)],
        SCHEDULERS[(2 * i + j) % len(SCHEDULERS)],
        AVERAGES[(i + j) % len(AVERAGES)],
        AUGMENTATIONS[(i + 2 * j) % len(AUGMENTATIONS)],
    )
    for (i, task), (j, objective) in itertools.product(enumerate(TASKS), enumerate(MANY))
]
QUICK = 29  # every 29th row is of the quick suite


def test_every_pair_of_choices_is_among_the_rows() -> None:
    levels = list(FACTORS.values())
    for a, b in itertools.combinations(range(len(levels)), 2):
        assert {(row[a], row[b]) for row in ROWS} == set(itertools.product(levels[a], levels[b]))


def test_as_many_draws_as_a_factor_has_levels_bring_each_of_them() -> None:
    """The fault harness draws like this; 28 configurations and more hold every objective."""
    most = max(map(len, FACTORS.values()))
    rows = [f"{row} " for row in drawn(random.Random(3), most)]
    assert len(set(rows)) == most
    for levels in FACTORS.values():
        assert all(any(f"{level} " in row for row in rows) for level in levels)


def trained(root: Path, command: str, *, stops: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """State and records after all epochs; if it ``stops``, the rest is trained by what last.pt is restored into."""
    experiment, state, data = start_of(root, command)
    files = SeedPaths(root)
    records = []
    for epoch in range(len(AUCS)):
        if stops and epoch == STOP:
            save(files.last, LAST, state.state_dict())
            state, data = build_state(experiment, 1)
            assert restore_last(state, files) == ""
        if epoch in (0, STOP):
            runner = TrainingSteps(state, data, machine=experiment.machine)
        select = experiment.config.select if experiment.task.many else None
        records.append(train_epoch(runner, steps=STEPS, delta=1.0, select=select))
    return state.state_dict(), timeless(records)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=" ".join(filter(None, row)), marks=() if number % QUICK == 0 else pytest.mark.slow)
        for number, row in enumerate([*CLASS_ROWS, *ROWS])
    ],
)
def test_stopped_and_resumed_equals_undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    command = f"{TINY} {' '.join(row)}"
    scripted(monkeypatch, AUCS)
    resumed, its_records = trained(tmp_path, command, stops=True)
    scripted(monkeypatch, AUCS)
    straight, records = trained(tmp_path, command, stops=False)
    assert_same(its_records, records)
    assert_same(resumed, straight)
    assert (records[-1]["lr"] < records[0]["lr"]) == bool(row[4])
