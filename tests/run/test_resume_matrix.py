"""Resume of every combination: objectives x constraints x samplers x optimizers x lr_decrease, pairwise."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from runs import OPTIONS_OF, assert_same, scripted, start_of, timeless

from utils.constraints import CONSTRAINTS
from utils.losses import LOSSES
from utils.run.experiment import build_state
from utils.run_files.checkpoints import save
from utils.run_files.last_pt import LAST, restore_last
from utils.run_files.paths import SeedPaths
from utils.samplers import SAMPLERS
from utils.training.epoch import train_epoch
from utils.training.step import TrainingSteps

pytestmark = pytest.mark.usefixtures("one_thread")

AUCS = (0.7, 0.6, 0.65, 0.6)  # each fall lowers the learning rate and may raise mu
STOP = 2  # epochs before the stop
STEPS = 3  # an epoch ends within a pass over the samples
TINY = "--resnet_type dense --hidden_widths 8 --bsize 64 --lr 0.003 --augment crop_flip"
UNDER = ["", *(f"--use_ALM 1 --mu 0.01 --constraint {name}" for name in CONSTRAINTS)]
UNDER.append(f"{UNDER[-1]} --fpr_at_most 0.1")
OPTIMIZERS = ("sgd", "adam", "adamw")

Row = tuple[str, str, str, str, int]
ROWS: list[Row] = [
    (loss, UNDER[(i + j) % len(UNDER)], sampler, OPTIMIZERS[(i + 2 * j) % 3], (i + j // 2) % 2)
    for (i, loss), (j, sampler) in itertools.product(enumerate(LOSSES), enumerate(SAMPLERS))
]
QUICK = 29  # every 29th row is of the quick suite


def test_every_pair_of_choices_is_among_the_rows() -> None:
    choices: list[list[Any]] = [list(LOSSES), UNDER, list(SAMPLERS), list(OPTIMIZERS), [0, 1]]
    for a, b in itertools.combinations(range(len(choices)), 2):
        assert {(row[a], row[b]) for row in ROWS} == set(itertools.product(choices[a], choices[b]))


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
        records.append(train_epoch(runner, steps=STEPS, delta=1.0))
    return state.state_dict(), timeless(records)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=" ".join(map(str, row)), marks=() if number % QUICK == 0 else pytest.mark.slow)
        for number, row in enumerate(ROWS)
    ],
)
def test_stopped_and_resumed_equals_undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    loss, constraint, sampler, optimizer, lr_decrease = row
    command = f"{TINY} --training_type {loss} {OPTIONS_OF.get(loss, '')} {constraint} --sampler {sampler}"
    command += f" --optimizer {optimizer}{' --lr_decrease 1 --patience_lr 0' if lr_decrease else ''}"
    scripted(monkeypatch, AUCS)
    resumed, its_records = trained(tmp_path, command, stops=True)
    scripted(monkeypatch, AUCS)
    straight, records = trained(tmp_path, command, stops=False)
    assert_same(its_records, records)
    assert_same(resumed, straight)
    assert (records[-1]["lr"] < records[0]["lr"]) == bool(lr_decrease)
