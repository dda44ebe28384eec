"""Remedies as a user runs them: samplers, the rate constraint, fitted learners, and options that do not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import arguments, assert_same_run, best, history, results, run, start_of
from threadpoolctl import threadpool_info

import main
from utils.config.settings import resolve
from utils.learners import LEARNERS
from utils.run.initial_state import build_state
from utils.run.prepare_run import prepare
from utils.run_files.scores_csv import read_scores
from utils.samplers import SAMPLERS
from utils.training import fitting
from utils.training.evaluation import model_outputs

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
# two passes are enough to see both phases and the end of the cooling
OPTIONS_OF = {"two_phase": "--natural_from 1", "temperature": "--cool_down 1", "smote": "--neighbours 3"}


def without_epochs(words: list[str]) -> list[str]:
    """A command line for --continue_train 1, which has a number of epochs of its own."""
    at = words.index("--num_epochs")
    return words[:at] + words[at + 2 :]


# ---------------------------------------------------------------- samplers


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_sampler_trains_and_goes_on_where_it_stopped(tmp_path: Path, sampler: str) -> None:
    """Stopped after two of four epochs of half a pass, so that it goes on within one."""
    command = f"--sampler {sampler} {OPTIONS_OF.get(sampler, '')} --use_ALM 1 --evaluate_every_steps 3"
    run(tmp_path / "resumed", f"{command} --num_epochs 2")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 4 --resume 1")
    straight = run(tmp_path / "straight", f"{command} --num_epochs 4")
    assert_same_run(resumed, straight)


@pytest.mark.parametrize(
    "task",
    ["", "--task classes --classes 3 8 --critical_classes 8 --imbalance exp --imbalance_factor 0.1"],
    ids=["two sides", "two classes"],
)
def test_synthetic_positives_are_trained_on_and_never_scored(tmp_path: Path, task: str) -> None:
    command = f"--sampler smote --neighbours 3 {task}"
    experiment, state, data = start_of(tmp_path, command)
    negatives, positives = experiment.task.class_counts(experiment.task.split(1))["train"].values()
    labels = data.labels[data.train]
    assert int(labels.sum()) == negatives == len(labels) / 2
    made = data.train[data.train >= len(experiment.task.labels)]
    assert len(made) == negatives - positives > 0
    assert data.labels[made].all()
    assert data.validation.max() < len(experiment.task.labels)
    # each lies between two positives, so within what the training positives span
    real = data.train[(data.train < len(experiment.task.labels)) & (data.labels[data.train] == 1)]
    seen, new = data.batches.plain(real), data.batches.plain(made)
    assert (new >= seen.amin(0) - 0.01).all()
    assert (new <= seen.amax(0) + 0.01).all()
    again = start_of(tmp_path, command)[2]
    assert torch.equal(new, again.batches.plain(made))
    other = start_of(tmp_path, command, seed=2)[2]
    assert not torch.equal(new, other.batches.plain(made))
    assert len(state.train_scores) == len(data.labels)


# ---------------------------------------------------------------- the rate constraint


@pytest.mark.slow
def test_the_rate_constraint_places_the_score_at_its_operating_point(tmp_path: Path) -> None:
    """Scores are counted from the learned threshold, so 0 is the operating point; --train 0 finds the same."""
    command = "--use_ALM 1 --constraint rate --tpr_at_least 0.95 --mu 1 --num_epochs 30 --lr 0.05"
    folder = run(tmp_path, command)
    threshold = best(folder / "seed1")["threshold"]
    assert threshold.shape == ()
    assert threshold != 0
    found = results(folder)["seeds"]["1"]["test"]["at_default_threshold"]
    free = results(run(tmp_path, "--model_name free --num_epochs 30 --lr 0.05"))["seeds"]["1"]["test"]
    assert found["threshold"] == 0
    assert free["at_default_threshold"]["tpr"] < found["tpr"]
    assert found["fpr"] < 0.6
    experiment, state, data = start_of(tmp_path, command)  # what was asked was asked of the 27 training positives
    state.model.load_state_dict(best(folder / "seed1")["weights"])
    scores = model_outputs(state.model, data.batches, data.train, machine=experiment.machine)[:, 0]
    assert (scores[data.labels[data.train] == 1] >= threshold).float().mean() >= 0.85
    written = read_scores(folder / "seed1" / "test.csv").score
    run(tmp_path, "--train 0")
    np.testing.assert_array_equal(read_scores(folder / "seed1" / "test.csv").score, written)
    multipliers = history(folder / "seed1")[-1]["multiplier_quantiles"]
    assert multipliers["1"] >= multipliers["0"] >= 0


def test_the_rate_constraint_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = "--name_file_alm RATE_TPR95_FPR10 --resnet_type lenet5 --bsize 128"
    run(tmp_path / "resumed", f"{command} --num_epochs 2")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 4 --resume 1")
    assert_same_run(resumed, run(tmp_path / "straight", f"{command} --num_epochs 4"))


def test_the_rate_constraint_goes_on_from_a_baseline(tmp_path: Path) -> None:
    run(tmp_path, "--num_epochs 2 --model_name base")
    words = arguments(
        tmp_path,
        "--continue_train 1 --continue_train_epochs 2 --baseline_cont_train base --model_name more "
        "--name_file_alm RATE_TPR98",
    )
    assert main.main(without_epochs(words)) == 0
    records = history(tmp_path / "runs" / "more" / "seed1")
    assert len(records) == 2
    assert records[0]["epoch"] == best(tmp_path / "runs" / "base" / "seed1")["epoch"] + 1


# ---------------------------------------------------------------- learners that are fitted


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_learner_is_fitted_and_found_again(tmp_path: Path, name: str) -> None:
    folder = run(tmp_path, f"--resnet_type {name} --num_epochs 5 --seeds 1-2")
    content = results(folder)
    assert len(history(folder / "seed1")) == 1
    scores = read_scores(folder / "seed1" / "test.csv").score
    if name == "featureless":
        assert len(set(scores)) == 1
        assert content["seeds"]["1"]["test"]["auc"] == 0.5
    else:
        assert content["seeds"]["1"]["test"]["auc"] > 0.85
    run(tmp_path, f"--resnet_type {name} --train 0")
    np.testing.assert_array_equal(read_scores(folder / "seed1" / "test.csv").score, scores)
    before = (folder / "seed1" / "best.pt").read_bytes()
    run(tmp_path, f"--resnet_type {name} --num_epochs 9 --seeds 1-2 --resume 1")
    assert (folder / "seed1" / "best.pt").read_bytes() == before


def test_a_learner_takes_the_threads_of_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds at once would fight for the cores; and their number changes rounding."""
    seen: list[int] = []

    def fit(features: np.ndarray[Any, Any], labels: object, **_: object) -> tuple[Any, float]:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return np.ones(features.shape[1]), 0.0

    monkeypatch.setattr(fitting, "learner", lambda name: fit)
    run(tmp_path, "--resnet_type logistic_cv")
    assert set(seen) == {1}


# ---------------------------------------------------------------- what does not go together


@pytest.mark.parametrize(
    "more, said",
    [
        ("--sampler balance", "unknown sampler 'balance'"),
        ("--positive_share 0.3", "positive_share (from the command line) has no use in natural, which takes no"),
        ("--sampler stratified --least_positives 60", "least_positives"),
        ("--tau 1", "tau (from the command line) has no use in BCE, which takes no options"),
        ("--tpr_at_least 0.9", "cannot act with use_ALM 0"),
        ("--use_ALM 1 --tpr_at_least 0.9", "has no use in pairwise, which takes introd_ALM_from, p2_norm, mu, "),
        ("--use_ALM 1 --constraint rate --p2_norm 2", "mu, mu_limit, rho; it belongs to pairwise"),
        ("--resnet_type featureless --training_type LDAM", "cannot act with featureless, which is fitted, not trained"),
        ("--resnet_type logistic_cv --sampler balanced", "cannot act with logistic_cv, which is fitted, not trained"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, said: str) -> None:
    assert main.main(arguments(tmp_path, more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_objective_with_variables_goes_on_from_a_baseline(tmp_path: Path) -> None:
    base = run(tmp_path, "--num_epochs 2 --training_type AUCM --model_name base") / "seed1" / "best.pt"
    more = "--continue_train 1 --baseline_cont_train base --training_type AUCM --model_name more"
    state, _ = build_state(prepare(resolve(without_epochs(arguments(tmp_path, more)))), 1, baseline=base)
    saved = best(base.parent)["loss"]
    assert state.loss.state_dict() == saved
    assert saved["alpha"] > 0
