"""The training step, the epoch and the loop over epochs: against a plain loop, by hand-worked tables, whole runs."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import references
import torch
from runs import arguments, assert_same, assert_same_run, best, history, last, results, run, start_of, timeless
from torch import Tensor, nn

import main
from utils import train_run, training
from utils.config import CONFIGS
from utils.constraints.augmented_lagrangian import mean_violation
from utils.evaluation import model_outputs
from utils.losses import BCE, LOSSES
from utils.losses.base import Loss
from utils.training import Best, NonFiniteLossError, TrainingData, TrainState, train_epoch

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

FIELDS = [
    *("epoch", "train_loss", "train_penalty", "constraint_violation", "mu", "multiplier_quantiles", "train_auc"),
    *("val_auc", "val_loss", "lr", "seconds", "one_class_batches", "steps"),
]
OPTIONS_OF = {
    **dict.fromkeys(("SYM_LM", "ASYM_LM"), "--m 0.5"),
    **dict.fromkeys(("SYM_FL", "ASYM_FL"), "--gamma 2"),
    "WBCE": "--c 1",
    "cb_BCE": "--beta 0.99",
}


def epochs_of(state: TrainState, data: TrainingData, machine: Any, *, number: int, steps: int) -> list[dict[str, Any]]:
    return [train_epoch(state, data, steps=steps, delta=1.0, machine=machine) for _ in range(number)]


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
    facts = {
        "WBCE": {"c": 1.0, "ratio_pos_train": 20},
        "LDAM": {"class_counts": (counts["negative"], counts["positive"])},
    }
    objective = references.REFERENCES[training_type]
    plain = PlainTraining(
        state, data, lambda outputs, targets: objective(outputs, targets, **facts.get(training_type, {})),
        experiment.task,
    )  # fmt: skip
    for number in range(2):
        record = train_epoch(state, data, steps=24, delta=1.0, machine=experiment.machine)
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
        train_epoch(state, data, steps=9, delta=1.0, machine=experiment.machine)
    train_epoch(before, data_before, steps=4, delta=1.0, machine=experiment.machine)
    assert_same(state.model.state_dict(), before.model.state_dict())
    assert_same(state.optimizer.state_dict()["state"], before.optimizer.state_dict()["state"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_fused_optimizers_skip_where_they_are_told(optimizer: str) -> None:
    """What the step relies on, and the plain forms of these optimizers do not do."""
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    options: dict[str, Any] = {"momentum": 0.9} if optimizer == "sgd" else {}
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    update: Any = kind([weight], lr=0.1, weight_decay=0.1, fused=True, **options)
    for found_inf, gradient in ((0.0, 1.0), (1.0, math.nan), (1.0, math.inf), (1.0, 5.0)):
        old, old_state = weight.detach().clone(), copy.deepcopy(update.state_dict()["state"])
        weight.grad = torch.full((3,), gradient)
        update.found_inf = torch.tensor(found_inf)
        update.step()
        assert torch.equal(weight.detach(), old) == bool(found_inf)
        if found_inf:
            assert_same(update.state_dict()["state"], old_state)


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
    build = train_run.build_state

    def build_bad(experiment: Any, seed: int, **options: Any) -> tuple[TrainState, TrainingData]:
        state, data = build(experiment, seed, **options)
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


def scripted(monkeypatch: pytest.MonkeyPatch, aucs: Sequence[float]) -> None:
    """Let the validation AUCs be these; all else is as it is."""
    course = iter(aucs)
    monkeypatch.setattr(training, "_validate", lambda *_: (1.0, next(course)))


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


@pytest.fixture(scope="module", params=["", "--name_file_alm ALM_12_beg"], ids=["without", "with"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_thread: None, blank_pictures: None
) -> tuple[Path, str]:
    """A run of three epochs, and its options."""
    command = f"--resnet_type lenet5 --bsize 16 --num_epochs 3 --delta 1 {request.param}"
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


def test_values_of_the_training_set(recorded: tuple[Path, str], tmp_path: Path) -> None:
    folder, command = recorded
    _, _, data = start_of(tmp_path, command)
    scores = last(folder)["train_scores"]
    assert not scores[data.train].isnan().any()
    assert int((~scores.isnan()).sum()) == len(data.train)  # no other sample was trained on
    scores, targets = scores[data.train], data.labels[data.train]
    record = history(folder)[-1]
    slow = references.mean_violation(scores, targets, 1.0)
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
    one, other = (history(run(tmp_path, f"--delta {delta} --model_name d{delta}") / "seed1")[0] for delta in ("0", "1"))
    assert one["train_auc"] == other["train_auc"]  # delta changes nothing else
    assert 0 < one["constraint_violation"] < other["constraint_violation"]


# ---------------------------------------------------------------- the constraint acts


def test_the_constraint_at_least_halves_the_violation(tmp_path: Path) -> None:
    """15 epochs, seeds 1-3, measured with the final model over the whole training set."""
    command = "--resnet_type lenet5 --seeds 1-3 --num_epochs 15 --delta 1"
    without = run(tmp_path, f"--name_file_bs baseline_bce {command} --model_name without")
    constrained = run(tmp_path, f"--name_file_bs baseline_bce --name_file_alm ALM_12_beg {command} --model_name alm")
    for seed in (1, 2, 3):
        violations = []
        for folder in (without, constrained):
            experiment, state, data = start_of(tmp_path, f"{command} --seeds {seed}", seed=seed)
            state.model.load_state_dict(last(folder / f"seed{seed}")["model"])
            outputs = model_outputs(state.model, data.batches, data.train, machine=experiment.machine)
            violations.append(mean_violation(state.loss.score(outputs), data.labels[data.train], delta=1.0))
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


def continued(root: Path, more: str, **options: Any) -> Path:
    """A small run without --num_epochs, which --continue_train_epochs replaces."""
    argv = arguments(root, f"{CONTINUE} {more}")
    at = argv.index("--num_epochs")
    assert main.main(argv[:at] + argv[at + 2 :]) == options.get("code", 0)
    return root / "runs" / "run"


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


def _continued_state(baseline: Path, more: str) -> tuple[Any, TrainState, TrainingData]:
    from runs import experiment_of

    from utils.experiment import build_state

    experiment = experiment_of(baseline.parent.parent, f"--lr_decrease 1 --use_ALM 1 {more}")
    return (experiment, *build_state(experiment, 1, baseline=baseline / "seed1" / "best.pt"))


def test_what_the_command_asks_for_wins_over_the_baselines_optimizer(baseline: Path) -> None:
    _, state, _ = _continued_state(baseline, "--lr 0.5 --weight_dec 0.25 --momentum 0.125 --patience_lr 7")
    group = state.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.5, 0.25, 0.125)
    assert state.scheduler is not None
    assert state.scheduler.patience == 7
    _, kept, _ = _continued_state(baseline, "")
    group = kept.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.01, 2e-4, 0.9)


def test_continued_training_numbers_its_epochs_on(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aucs = [0.80, 0.79, 0.70, 0.60, 0.59, 0.50]
    scripted(monkeypatch, aucs * 2)
    folder = continued(baseline.parent.parent, "--seeds 1-2 --continue_train_epochs 6")
    for seed in (1, 2):
        records = history(folder / f"seed{seed}")
        assert [record["epoch"] for record in records] == [4, 5, 6, 7, 8, 9]
        # mu in force during each epoch: epoch 4 remembers, 5 falls by .01, 6 by .09 -> x2, 7 by .10 -> x2, ...
        course = references.mu_course(
            [math.nan] * 4 + aucs, mu=0.01, rho=2.0, introd_ALM_from=3, unconditional_step=False
        )
        assert [record["mu"] for record in records] == [0.01, *course[4:-1]]
        assert [record["mu"] for record in records] == [0.01, 0.01, 0.01, 0.02, 0.04, 0.04]
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


def test_a_missing_baseline_is_refused(baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = baseline.parent.parent
    continued(root, "--seeds 1-3 --model_name other", code=2)  # seed 3 was never trained
    assert "continue_train needs a trained baseline" in capsys.readouterr().err
    assert not (root / "runs" / "other").exists()


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


# ---------------------------------------------------------------- every official base file

BASE_FILES = sorted(path.stem for path in (CONFIGS / "baseline").glob("*.yaml"))


def test_there_are_23_official_base_files() -> None:
    assert len(BASE_FILES) == 23


@pytest.mark.parametrize("alm", ["", "--name_file_alm ALM_12_beg --delta 1"], ids=["without", "with"])
@pytest.mark.parametrize("base_file", BASE_FILES)
def test_every_base_file_trains(tmp_path: Path, base_file: str, alm: str) -> None:
    """One epoch of a whole run: finite numbers, weights that moved, a seed that is done and scored."""
    command = f"--resnet_type lenet5 --bsize 128 --name_file_bs {base_file} {alm}"
    folder = run(tmp_path, command)
    (record,) = history(folder / "seed1")
    assert all(math.isfinite(record[name]) for name in ("train_loss", "val_loss", "val_auc", "constraint_violation"))
    assert (record["mu"] == 0.01) if alm else (record["mu"] is None)
    _, start, _ = start_of(tmp_path, command)
    weights = best(folder / "seed1")["weights"]
    for name, value in start.model.state_dict().items():
        assert not torch.equal(weights[name], value), name
        assert weights[name].isfinite().all(), name
    assert (folder / "seed1" / "done").exists()
    assert 0 <= results(folder)["ensemble"]["test"]["auc"] <= 1
    assert timeless([record])[0]["steps"] == 5
