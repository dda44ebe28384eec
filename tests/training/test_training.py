"""The training step, the epoch and the loop over epochs: against a plain loop, by hand-worked tables, whole runs."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import references
import torch
from runs import (
    OPTIONS_OF,
    arguments,
    assert_same,
    assert_same_run,
    best,
    history,
    last,
    results,
    run,
    scripted,
    start_of,
)
from torch import Tensor, nn

from utils.config.settings import resolve
from utils.losses import BCE, LOSSES
from utils.losses.base import Loss
from utils.run import train as train_run
from utils.run.command import run as run_command
from utils.run.initial_state import build_state
from utils.training.epoch import NonFiniteLossError, train_epoch
from utils.training.evaluation import model_outputs
from utils.training.state import Best, TrainingData, TrainState
from utils.training.step import TrainingSteps

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

FIELDS = [
    *("epoch", "train_loss", "train_penalty", "constraint_violation", "mu", "multiplier_quantiles", "train_auc"),
    *("val_auc", "val_loss", "lr", "seconds", "one_class_batches", "steps"),
]


def epochs_of(state: TrainState, data: TrainingData, machine: Any, *, number: int, steps: int) -> list[dict[str, Any]]:
    runner = TrainingSteps(state, data, machine=machine)
    return [train_epoch(runner, steps=steps, delta=1.0) for _ in range(number)]


# ---------------------------------------------------------------- one step


class PlainTraining:
    """The same training written down step by step: boolean indexing, loops, the optimizer in its plain form."""

    def __init__(self, state: TrainState, data: TrainingData, objective: Callable[..., Tensor], task: Any) -> None:
        self.model, self.order = copy.deepcopy(state.model), copy.deepcopy(state.sampler)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, fused=False, foreach=False
        )
        self.objective, self.labels = objective, data.labels
        pixels = task.images.double() / 255
        self.images = ((pixels - task.mean[0]) / task.std[0]).float()
        self.multipliers: dict[int, float] = {}
        self.scores: dict[int, float] = {}

    def epoch(self, steps: int, *, mu: float | None, delta: float) -> dict[str, float]:
        self.model.train()
        objectives, penalties, one_class, samples = 0.0, 0.0, 0, 0
        for _ in range(steps):
            indices = next(self.order)
            targets = self.labels[indices]
            outputs = self.model(self.images[indices])
            scores = outputs[:, -1]  # the logit, or the output of class 1
            objective = self.objective(outputs, targets)
            penalty = torch.zeros(())
            if mu is not None:
                penalty = self.penalty(scores, targets, indices, mu=mu, delta=delta)
            self.optimizer.zero_grad()
            (objective + penalty).backward()
            self.optimizer.step()
            objectives += objective.item() * len(indices)
            penalties += penalty.item()
            one_class += len(targets.unique()) == 1
            samples += len(indices)
            self.scores.update(zip(indices.tolist(), scores.tolist(), strict=True))
        return {
            "train_loss": objectives / samples,
            "train_penalty": penalties / steps,
            "one_class_batches": one_class,
        }

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor, *, mu: float, delta: float) -> Tensor:
        negatives = scores[targets == 0]
        total = torch.zeros(())
        if len(negatives) in (0, len(scores)):
            return total
        for score, index in zip(scores[targets == 1], indices[targets == 1].tolist(), strict=True):
            shortfalls = delta - (score - negatives)
            q = shortfalls[shortfalls > 0].sum()
            old = self.multipliers.get(index, 0.0)
            total = total + mu / 2 * q**2 + old * q
            self.multipliers[index] = old + mu * q.item()
        return total / ((len(scores) - len(negatives)) * len(negatives))


@pytest.mark.parametrize("alm", [False, True], ids=["without", "with"])
@pytest.mark.parametrize("training_type", ["BCE", "WBCE", "LDAM", "LOG_PW"])
def test_the_step_does_what_a_plain_loop_does(tmp_path: Path, training_type: str, alm: bool) -> None:
    extra = "--use_ALM 1 --mu 0.01 --delta 1" if alm else ""
    command = f"--resnet_type lenet5 --bsize 24 --training_type {training_type} {OPTIONS_OF.get(training_type, '')}"
    experiment, state, data = start_of(tmp_path, f"{command} {extra}")
    counts = experiment.task.class_counts(experiment.task.split(1))["train"]
    facts: dict[str, dict[str, Any]] = {
        "WBCE": {"c": 1.0, "ratio_pos_train": 20},
        "LDAM": {"class_counts": (counts["negative"], counts["positive"])},
    }
    objective = references.REFERENCES[training_type]
    plain = PlainTraining(
        state, data, lambda outputs, targets: objective(outputs, targets, **facts.get(training_type, {})),
        experiment.task,
    )  # fmt: skip
    for number in range(2):
        record = train_epoch(TrainingSteps(state, data, machine=experiment.machine), steps=24, delta=1.0)
        expected = plain.epoch(24, mu=0.01 if alm else None, delta=1.0)
        assert {name: record[name] for name in expected} == pytest.approx(expected, rel=2e-4, abs=1e-7), number
        for ours, theirs in zip(state.model.parameters(), plain.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-5)
        seen = sorted(plain.scores)
        expected_scores = torch.tensor([plain.scores[index] for index in seen])
        torch.testing.assert_close(state.train_scores[seen], expected_scores, rtol=2e-3, atol=2e-5)
        assert seen == sorted(data.train.tolist())
    if alm:
        assert state.constraint is not None
        multipliers = torch.zeros(len(data.labels))
        for index, value in plain.multipliers.items():
            multipliers[index] = value
        torch.testing.assert_close(state.constraint.multipliers, multipliers, rtol=1e-3, atol=1e-5)
        assert multipliers.count_nonzero() > 0


# ---------------------------------------------------------------- a loss that is not finite


class BadAt(Loss):
    """BCE that is NaN or infinite at the ``number``-th training batch (from 1)."""

    def __init__(self, number: int, value: float) -> None:
        super().__init__()
        self.number, self.value, self.calls, self.bce = number, value, 0, BCE()

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        self.calls += torch.is_grad_enabled()
        loss: Tensor = self.bce(outputs, targets, indices)
        return loss * self.value if self.calls == self.number and torch.is_grad_enabled() else loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_bad_loss_stops_before_the_update(tmp_path: Path, optimizer: str, value: float) -> None:
    command = f"--resnet_type lenet5 --optimizer {optimizer} --lr 0.01 --use_ALM 1 --delta 1"
    experiment, state, data = start_of(tmp_path, command)
    _, before, data_before = start_of(tmp_path, command)
    state.loss = BadAt(5, value)
    with pytest.raises(NonFiniteLossError, match=r"not finite in epoch 0, batch 5 of 9.*--lr \(now 0.01\), --mu or"):
        train_epoch(TrainingSteps(state, data, machine=experiment.machine), steps=9, delta=1.0)
    train_epoch(TrainingSteps(before, data_before, machine=experiment.machine), steps=4, delta=1.0)
    assert_same(state.model.state_dict(), before.model.state_dict())
    assert_same(state.optimizer.state_dict()["state"], before.optimizer.state_dict()["state"])


@pytest.mark.parametrize("training_type", sorted(LOSSES))
def test_a_huge_learning_rate_ends_in_one_clear_line(tmp_path: Path, training_type: str) -> None:
    """Bounded objectives may survive it, with finite numbers; none may go on with others."""
    command = f"--training_type {training_type} {OPTIONS_OF.get(training_type, '')} --use_ALM 1 --delta 1 --lr 1e30"
    for steps in (9, 1):  # one step an epoch: the update is followed by validation, not by another batch
        experiment, state, data = start_of(tmp_path, f"--resnet_type lenet5 {command}")
        try:
            records = epochs_of(state, data, experiment.machine, number=3, steps=steps)
        except NonFiniteLossError as error:
            assert "not finite" in str(error)  # noqa: PT017 (whether it fails depends on the objective)
        else:
            assert all(math.isfinite(record[name]) for record in records for name in ("train_loss", "val_auc"))
            assert torch.cat([value.flatten() for value in state.model.parameters()]).isfinite().all()


def test_a_bad_seed_is_marked_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build_bad(experiment: Any, seed: int, **options: Any) -> tuple[TrainState, TrainingData]:
        state, data = build_state(experiment, seed, **options)
        if seed == 2:
            state.loss = BadAt(9 + 4, math.nan)
        return state, data

    with monkeypatch.context() as patch:
        patch.setattr(train_run, "build_state", build_bad)
        folder = run(tmp_path, "--seeds 1-3 --num_epochs 2", code=1)
    message = (folder / "seed2" / "failed").read_text()
    assert "epoch 1, batch 4 of 9" in message
    assert "Try a lower --lr (now 0.01)" in message
    assert f"seed 2 stopped: {message.strip()}" in capsys.readouterr().out
    assert not (folder / "seed2" / "done").exists()
    assert all((folder / f"seed{seed}" / "done").exists() for seed in (1, 3))
    assert list(results(folder)["seeds"]) == ["1", "3"]
    assert best(folder / "seed2")["epoch"] == 0
    assert last(folder / "seed2")["epoch"] == 1

    resumed = run(tmp_path, "--seeds 1-3 --num_epochs 2 --resume 1")  # the cause is gone: it goes on from epoch 1
    straight = run(tmp_path, "--seeds 1-3 --num_epochs 2 --model_name straight")
    assert not (folder / "seed2" / "failed").exists()
    assert_same_run(resumed, straight, seeds=(1, 2, 3))


def test_a_seed_that_fails_in_its_first_epoch_leaves_no_weights(tmp_path: Path) -> None:
    folder = run(tmp_path, "--lr 1e30", code=1)
    assert re.search("epoch 0, batch [2-9] of 9", (folder / "seed1" / "failed").read_text())
    assert not any((folder / "seed1" / name).exists() for name in ("best.pt", "last.pt", "done"))
    assert history(folder / "seed1") == []
    assert not (folder / "results.json").exists()


# ---------------------------------------------------------------- which epoch is the best, when to stop


def bare_state(**options: Any) -> TrainState:
    """A state with nothing but what the end of an epoch looks at."""
    weight = nn.Linear(1, 1)
    settings: dict[str, Any] = {
        "model": weight,
        "loss": BCE(),
        "constraint": None,
        "optimizer": torch.optim.SGD(weight.parameters(), lr=0.1),
        "scheduler": None,
        "sampler": None,
        "augmentation": torch.Generator(),
        "train_scores": torch.zeros(1),
    }
    return TrainState(**{**settings, **options})


def test_the_best_epoch_by_a_table_worked_by_hand() -> None:
    table = [  # val_auc, val_loss, train_auc -> is this epoch the best so far?
        (0.60, 0.70, 0.60, True),  # the first one always
        (0.55, 0.10, 0.99, False),  # a lower AUC never, whatever the losses
        (0.70, 0.90, 0.80, True),  # a higher AUC, though the loss is worse
        (0.70, 0.90, 0.99, False),  # tie: the loss is not lower
        (0.70, 0.80, 0.74, False),  # tie: 0.74 is below 0.80 - 0.05
        (0.70, 0.80, 0.76, True),  # tie: lower loss and 0.76 is above 0.75
        (0.70, 0.79, 0.71, False),  # 0.71 is not above 0.76 - 0.05: the train AUC that counts is now the new best's
        (0.70, 0.79, 0.72, True),
        (0.70, 0.81, 0.99, False),  # lower than the first, but not than the best
        (0.70, 0.78, math.nan, False),  # no train AUC (one class seen): a tie cannot be won
        (0.71, 0.99, 0.10, True),  # a higher AUC needs no train AUC
        (1.00, 0.99, 0.10, True),
        (1.00, 0.98, 0.051, True),  # just above 0.10 - 0.05
        (1.00, 0.98, 0.99, False),
    ]
    state = bare_state()
    expected: Best | None = None
    for epoch, (val_auc, val_loss, train_auc, is_best) in enumerate(table):
        if is_best:
            expected = Best(epoch, val_auc, val_loss, train_auc)
        assert state.finish_epoch(val_auc, val_loss, train_auc) == is_best, epoch
        assert state.best == expected
        assert state.epoch == epoch + 1


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_stop_when_more_epochs_than_the_patience_lie_behind_the_best(patience: int) -> None:
    state = bare_state()
    assert not state.should_stop(patience)  # nothing trained yet
    state.finish_epoch(0.5, 1.0, 0.5)
    state.finish_epoch(0.8, 1.0, 0.5)  # epoch 1 is the best
    for epoch in range(1, 1 + patience):
        assert not state.should_stop(patience), epoch
        state.finish_epoch(0.7, 1.0, 0.5)
    assert not state.should_stop(patience)  # exactly ``patience`` past the best: go on
    state.finish_epoch(0.7, 1.0, 0.5)
    assert state.should_stop(patience)


def test_early_stopping_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.6, 0.7, 0.65, 0.69, 0.66])  # a sixth epoch would be an error
    folder = run(tmp_path, "--num_epochs 30 --patience_early_stopping 2")
    assert [record["val_auc"] for record in history(folder / "seed1")] == [0.6, 0.7, 0.65, 0.69, 0.66]
    done = json.loads((folder / "seed1" / "done").read_text())
    assert (done["best_epoch"], done["epochs"], done["stopped_early"]) == (1, 5, True)
    assert results(folder)["seeds"]["1"]["best_epoch"] == 1
    scripted(monkeypatch, [0.6, 0.7])
    two = run(tmp_path, "--num_epochs 2 --patience_early_stopping 2 --model_name two")
    assert_same(best(folder / "seed1")["weights"], last(two / "seed1")["model"])  # the weights of epoch 1, not of 4


def test_the_learning_rate_is_halved_on_a_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aucs = [0.6, 0.7, 0.7, 0.7, 0.65, 0.7, 0.8, 0.7]  # flat at epochs 2, 3: more than patience_lr 1; then 4, 5
    scripted(monkeypatch, aucs)
    folder = run(tmp_path, f"--lr_decrease 1 --patience_lr 1 --num_epochs {len(aucs)}")
    rates = [record["lr"] for record in history(folder / "seed1")]
    assert rates == [0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    scripted(monkeypatch, aucs)
    constant = run(tmp_path, f"--num_epochs {len(aucs)} --model_name constant")
    assert {record["lr"] for record in history(constant / "seed1")} == {0.01}


# ---------------------------------------------------------------- history.jsonl


@pytest.fixture(scope="module", params=["", "--name_file_alm ALM_12_beg --delta 1"], ids=["without", "with"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_thread: None, blank_pictures: None
) -> tuple[Path, str]:
    """A run of three epochs, and its options."""
    command = f"--resnet_type lenet5 --bsize 16 --num_epochs 3 {request.param}"
    return run(tmp_path_factory.mktemp("recorded"), command) / "seed1", command


def test_a_record_has_these_fields(recorded: tuple[Path, str]) -> None:
    folder, command = recorded
    records = history(folder)
    assert [list(record) for record in records] == [FIELDS] * 3
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert {record["lr"] for record in records} == {0.01}
    assert {record["steps"] for record in records} == {36}
    assert all(record["seconds"] > 0 for record in records)
    with_alm = "ALM" in command
    assert {record["mu"] for record in records} == ({0.01} if with_alm else {None})
    assert all((record["train_penalty"] > 0) == with_alm for record in records)


def test_one_class_batches_are_counted(recorded: tuple[Path, str], tmp_path: Path) -> None:
    folder, command = recorded
    _, state, data = start_of(tmp_path, command)
    counts = [
        sum(len(data.labels[next(state.sampler)].unique()) == 1 for _ in range(state.sampler.steps_per_epoch))
        for _ in range(3)
    ]
    assert [record["one_class_batches"] for record in history(folder)] == counts
    assert 0 < min(counts) < 36


def test_batches_of_positives_alone_are_counted_too(tmp_path: Path) -> None:
    _, state, data = start_of(tmp_path, "--ratio_pos_train 2 --bsize 2 --evaluate_every_steps 20")
    positives = [int(data.labels[next(state.sampler)].sum()) for _ in range(20)]
    folder = run(tmp_path, "--ratio_pos_train 2 --bsize 2 --evaluate_every_steps 20")
    assert history(folder / "seed1")[0]["one_class_batches"] == positives.count(0) + positives.count(2)
    assert min(positives.count(0), positives.count(2)) > 0


def test_values_of_the_training_set(recorded: tuple[Path, str], tmp_path: Path) -> None:
    folder, command = recorded
    _, _, data = start_of(tmp_path, command)
    scores = last(folder)["train_scores"]
    assert not scores[data.train].isnan().any()
    assert int((~scores.isnan()).sum()) == len(data.train)  # no other sample was trained on
    scores, targets = scores[data.train], data.labels[data.train]
    record = history(folder)[-1]
    slow = references.mean_violation(scores, targets, 1.0 if "ALM" in command else 0.0)
    assert record["constraint_violation"] == pytest.approx(slow, rel=1e-9)
    assert record["constraint_violation"] > 0
    assert record["train_auc"] == pytest.approx(references.auc(targets.tolist(), scores.tolist()), abs=1e-12)


def test_values_of_the_validation_set(recorded: tuple[Path, str], tmp_path: Path) -> None:
    folder, command = recorded
    experiment, state, data = start_of(tmp_path, command)
    state.model.load_state_dict(last(folder)["model"])
    outputs = model_outputs(state.model, data.batches, data.validation, machine=experiment.machine)
    targets = data.labels[data.validation]
    record = history(folder)[-1]
    assert record["val_loss"] == pytest.approx(float(references.bce(outputs, targets)), rel=1e-5)
    expected = references.auc(targets.tolist(), outputs[:, 0].tolist())
    assert record["val_auc"] == pytest.approx(expected, abs=1e-12)


def test_multipliers_are_those_of_the_training_positives(recorded: tuple[Path, str], tmp_path: Path) -> None:
    folder, command = recorded
    _, _, data = start_of(tmp_path, command)
    saved = last(folder)["constraint"]
    quantiles = history(folder)[-1]["multiplier_quantiles"]
    if "ALM" not in command:
        assert saved is None
        assert quantiles is None
        return
    multipliers = saved["multipliers"]
    positives = data.train[data.labels[data.train] == 1]
    assert len(multipliers) == len(data.labels)  # addressed by dataset index
    assert multipliers.nonzero().flatten().tolist() == sorted(positives.tolist())
    values = multipliers[positives].sort().values
    assert list(quantiles) == ["0", "0.25", "0.5", "0.75", "1"]
    assert quantiles["0"] == pytest.approx(values[0].item())
    assert quantiles["0.5"] == pytest.approx(values[len(values) // 2].item())  # 27 positives: the 14th
    assert quantiles["1"] == pytest.approx(values[-1].item())


def test_the_violation_is_that_at_delta_with_the_constraint_off_too(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    records = []
    for delta in (0, 1):  # in a file: on the command line it is refused without the constraint
        (tmp_path / "baseline" / f"d{delta}.yaml").write_text(f"training_type: BCE\ndelta: {delta}\n")
        settings = resolve(arguments(tmp_path, f"--name_file_bs d{delta} --model_name d{delta}"), configs=tmp_path)
        assert run_command(settings) == 0
        records.append(history(tmp_path / "runs" / f"d{delta}" / "seed1")[0])
    one, other = records
    assert one["train_auc"] == other["train_auc"]  # delta changes nothing else
    assert 0 < one["constraint_violation"] < other["constraint_violation"]
