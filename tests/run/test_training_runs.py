"""What a whole training leads to: the constraint acts, epochs of k steps, continue_train, every official base file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import references
import torch
from runs import (
    arguments,
    assert_same,
    assert_same_run,
    best,
    experiment_of,
    history,
    last,
    results,
    run,
    scripted,
    start_of,
)

import main
from utils.pairwise.ranking import auc_and_mean_violation
from utils.run.experiment import Experiment
from utils.run.initial_state import build_state
from utils.training.evaluation import model_outputs
from utils.training.state import TrainingData, TrainState

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


# ---------------------------------------------------------------- the constraint acts


@pytest.mark.slow
def test_the_constraint_at_least_halves_the_violation(tmp_path: Path) -> None:
    """15 epochs, seeds 1-3, measured with the final model over the whole training set."""
    command = "--resnet_type lenet5 --seeds 1-3 --num_epochs 15"
    alm = "--name_file_alm ALM_12_beg --delta 1 --model_name alm"
    without = run(tmp_path, f"--name_file_bs baseline_bce {command} --model_name without")
    constrained = run(tmp_path, f"--name_file_bs baseline_bce {command} {alm}")
    for seed in (1, 2, 3):
        violations = []
        for folder in (without, constrained):
            experiment, state, data = start_of(tmp_path, f"{command} --seeds {seed}", seed=seed)
            state.model.load_state_dict(last(folder / f"seed{seed}")["model"])
            outputs = model_outputs(state.model, data.batches, data.train, machine=experiment.machine)
            both = auc_and_mean_violation(state.loss.score(outputs), data.labels[data.train], delta=1.0)
            violations.append(both[1].item())
        before, after = violations
        assert after <= before / 2, (seed, violations)  # measured: at most 3 % of it
        assert before > 0.05, (seed, violations)  # else there would be nothing to halve


# ---------------------------------------------------------------- epochs of k steps


def test_an_epoch_of_k_steps(tmp_path: Path) -> None:
    """9 epochs of 4 steps are 4 passes of 9: the same 36 steps, recorded elsewhere."""
    short = run(tmp_path, "--evaluate_every_steps 4 --num_epochs 9 --model_name short --patience_early_stopping 99")
    passes = run(tmp_path, "--num_epochs 4 --model_name passes")
    assert_same(last(short / "seed1")["model"], last(passes / "seed1")["model"])
    assert_same(last(short / "seed1")["optimizer"], last(passes / "seed1")["optimizer"])
    assert_same(last(short / "seed1")["train_scores"], last(passes / "seed1")["train_scores"])
    records = history(short / "seed1")
    assert [record["epoch"] for record in records] == list(range(9))
    assert {record["steps"] for record in records} == {4}
    assert records[-1]["constraint_violation"] == history(passes / "seed1")[-1]["constraint_violation"]
    assert records[0]["train_auc"] is not None  # of the samples that have been trained on so far


def test_an_epoch_that_has_seen_one_class_only(tmp_path: Path) -> None:
    """One step of two samples, both negative with seed 1: there is neither a train AUC nor a violation yet."""
    folder = run(tmp_path, "--evaluate_every_steps 1 --bsize 2")
    (record,) = history(folder / "seed1")
    assert record["one_class_batches"] == 1
    assert record["train_auc"] is record["constraint_violation"] is None


def test_an_epoch_longer_than_a_pass(tmp_path: Path) -> None:
    folder = run(tmp_path, "--evaluate_every_steps 12 --num_epochs 3 --model_name long")
    passes = run(tmp_path, "--num_epochs 4 --model_name passes")
    assert_same(last(folder / "seed1")["model"], last(passes / "seed1")["model"])


# ---------------------------------------------------------------- continue_train


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, one_thread: None, blank_pictures: None) -> Path:
    """Six epochs of a baseline, seeds 1 and 2, of which the fourth is the best (by a script)."""
    root = tmp_path_factory.mktemp("continued")
    with pytest.MonkeyPatch.context() as patch:
        scripted(patch, [0.5, 0.6, 0.7, 0.8, 0.7, 0.7] * 2)
        return run(root, "--seeds 1-2 --num_epochs 6 --model_name base --lr_decrease 1 --patience_lr 0")


CONTINUE = "--lr_decrease 1 --continue_train 1 --baseline_cont_train base --name_file_alm ALM_12_beg --delta 1"


def continued(root: Path, more: str, *, code: int = 0) -> Path:
    """A small run without --num_epochs, which --continue_train_epochs replaces."""
    argv = arguments(root, f"{CONTINUE} {more}")
    at = argv.index("--num_epochs")
    assert main.main(argv[:at] + argv[at + 2 :]) == code
    return root / "runs" / argv[-1]


def test_continued_training_starts_from_the_best_epoch_with_its_optimizer(baseline: Path, tmp_path: Path) -> None:
    base = baseline / "seed1"
    assert best(base)["epoch"] == 3
    assert history(base)[5]["lr"] == 0.005  # halved after the best epoch, so not in best.pt
    _, state, _ = start_of(baseline.parent.parent, "--lr_decrease 1")
    state.model.load_state_dict(best(base)["weights"])
    state.optimizer.load_state_dict(best(base)["optimizer"])
    _, continued_state, _ = _continued_state(baseline, "")
    assert_same(continued_state.model.state_dict(), state.model.state_dict())
    assert_same(continued_state.optimizer.state_dict(), state.optimizer.state_dict())
    assert continued_state.scheduler is not None
    assert continued_state.scheduler.best == 0.8
    assert continued_state.epoch == 4


def _continued_state(
    baseline: Path, more: str, *, captures: bool = False
) -> tuple[Experiment, TrainState, TrainingData]:
    experiment = experiment_of(baseline.parent.parent, f"--lr_decrease 1 --use_ALM 1 {more}")
    experiment = replace(experiment, machine=replace(experiment.machine, captures=captures))
    return (experiment, *build_state(experiment, 1, baseline=baseline / "seed1" / "best.pt"))


def test_a_baseline_of_a_cpu_is_captured_on_a_gpu(tmp_path: Path) -> None:
    """Adam refuses a capture unless it was told of it, which a baseline of a CPU was not."""
    base = run(tmp_path, "--model_name base --optimizer adam") / "seed1" / "best.pt"
    experiment = experiment_of(tmp_path, "--use_ALM 1 --optimizer adam")
    experiment = replace(experiment, machine=replace(experiment.machine, captures=True))
    state, _ = build_state(experiment, 1, baseline=base)
    assert [group["capturable"] for group in state.optimizer.param_groups] == [True]
    assert state.optimizer.state


@pytest.mark.parametrize("captures", [False, True], ids=["on a CPU", "as on a GPU"])
def test_what_the_command_asks_for_wins_over_the_baselines_optimizer(baseline: Path, captures: bool) -> None:
    asked = "--lr 0.5 --weight_dec 0.25 --momentum 0.125 --patience_lr 7"
    _, state, _ = _continued_state(baseline, asked, captures=captures)
    assert state.schedule.rates == (0.5,)
    group = state.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.5, 0.25, 0.125)
    assert state.scheduler is not None
    assert state.scheduler.patience == 7
    _, kept, _ = _continued_state(baseline, "", captures=captures)
    group = kept.optimizer.param_groups[0]
    assert float(group["lr"]) == pytest.approx(0.01)
    assert (group["weight_decay"], group["momentum"]) == (2e-4, 0.9)


@pytest.mark.parametrize(
    "aucs, mus",  # mu in force during each epoch; it doubles after one that fell by more than 0.05
    [
        ([0.80, 0.79, 0.70, 0.60, 0.59, 0.50], [0.01, 0.01, 0.01, 0.02, 0.04, 0.04]),  # epoch 5: no step for nothing
        ([0.80, 0.70, 0.69, 0.60, 0.59, 0.50], [0.01, 0.01, 0.02, 0.02, 0.04, 0.04]),  # but one for the fall since 4
    ],
)
def test_continued_training_numbers_its_epochs_on(
    baseline: Path, monkeypatch: pytest.MonkeyPatch, aucs: list[float], mus: list[float]
) -> None:
    scripted(monkeypatch, aucs * 2)
    folder = continued(baseline.parent.parent, f"--seeds 1-2 --continue_train_epochs 6 --model_name fall{aucs[1]}")
    for seed in (1, 2):
        records = history(folder / f"seed{seed}")
        assert [record["epoch"] for record in records] == [4, 5, 6, 7, 8, 9]
        assert [record["mu"] for record in records] == mus
    course = references.mu_course([math.nan] * 4 + aucs, mu=0.01, rho=2.0, introd_ALM_from=3, unconditional_step=False)
    assert [0.01, *course[4:-1]] == mus
    assert results(folder)["seeds"]["1"]["best_epoch"] == 4
    assert json.loads((folder / "seed1" / "done").read_text())["epochs"] == 10
    assert best(folder / "seed1")["epoch"] == 4


def test_without_a_baseline_mu_takes_its_first_step_unconditionally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs = [0.5, 0.6, 0.7, 0.8, 0.7, 0.8]
    scripted(monkeypatch, aucs)
    folder = run(tmp_path, "--name_file_alm ALM_12_beg --num_epochs 6")
    mus = [record["mu"] for record in history(folder / "seed1")]
    assert mus == [0.01, *references.mu_course(aucs, mu=0.01, rho=2.0)[:-1]] == [0.01, 0.01, 0.01, 0.02, 0.02, 0.04]


# ---------------------------------------------------------------- the same command, the same bytes


@pytest.mark.parametrize("more", ["", "--use_ALM 1 --delta 1 --augment crop_flip --optimizer adam"])
def test_the_same_command_gives_the_same_bytes(tmp_path: Path, more: str) -> None:
    command = f"--resnet_type lenet5 --seeds 1-2 --num_epochs 2 {more}"
    one = run(tmp_path / "one", command)
    torch.rand(7)  # the global state plays no part
    torch.manual_seed(0)
    other = run(tmp_path / "other", command)
    assert_same_run(one, other, seeds=(1, 2))
    first, second = (torch.cat([v.flatten() for v in best(one / f"seed{seed}")["weights"].values()]) for seed in (1, 2))
    assert not torch.isclose(first, second).all()  # and another seed others


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ("--training_type LDAM_DRW", "drw_from 80 is beyond the 2 epochs of this run: the classes are not re-weighted"),
        ("--sampler two_phase", "natural_from 80 is beyond the 2 epochs of this run"),
        ("--sampler temperature", "cool_down 80 is beyond the 2 epochs of this run"),
        ("--schedule step --lr_steps 1 2", "lr_steps 2 is beyond the 2 epochs of this run"),
        ("--warm_up 3", "warm_up 3 is beyond the 2 epochs of this run"),
        ("--training_type LDAM_DRW --drw_from 1 --warm_up 2 --schedule step --lr_steps 1", None),
    ],
)
def test_what_waits_for_an_epoch_that_does_not_come_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, note: str | None
) -> None:
    run(tmp_path, f"{options} --seeds 1 --num_epochs 2")
    found = [line for line in capsys.readouterr().out.splitlines() if "is beyond the" in line]
    assert [line.startswith(f"note: {note}") for line in found] == ([] if note is None else [True])
