"""Schedules of the learning rate against torch's own, against the published code, and in whole runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import arguments, assert_same_run, history, run, scripted, start_of
from torch.optim import lr_scheduler

import main
from utils.config.settings import resolve
from utils.training.optimizers import add_parameters, build_optimizer, build_scheduler
from utils.training.schedules import Schedule

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def optimizer_of(lr: float | torch.Tensor) -> torch.optim.Optimizer:
    return build_optimizer("sgd", torch.nn.Linear(2, 1).parameters(), lr=lr, weight_decay=0, momentum=0)


def rates(schedule: Schedule, epochs: int, *, lr: float = 0.1, first: int = 0) -> list[float]:
    """The learning rate that an optimizer has in each epoch."""
    optimizer = optimizer_of(lr)
    schedule = schedule.with_rates_of(optimizer)
    found = []
    for epoch in range(first, first + epochs):
        schedule.begin_epoch(optimizer, epoch)
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def ldam_rates(epochs: int, lr: float) -> list[float]:
    """``adjust_learning_rate`` of the published code of LDAM-DRW, by its own cases."""
    found = []
    for epoch in range(1, epochs + 1):
        if epoch <= 5:
            found.append(lr * epoch / 5)
        elif epoch > 180:
            found.append(lr * 0.0001)
        elif epoch > 160:
            found.append(lr * 0.01)
        else:
            found.append(lr)
    return found


def test_protocol_p_is_expressed_by_the_options(tmp_path: Path) -> None:
    command = "--schedule step --warm_up 5 --lr_steps 160 180 --lr_factor 0.01 --lr 0.1 --num_epochs 200"
    _, state, _ = start_of(tmp_path, command)
    assert rates(state.schedule, 200) == pytest.approx(ldam_rates(200, 0.1), rel=1e-15)


@pytest.mark.parametrize("warm_up", [0, 1, 4])
def test_the_cosine_is_that_of_torch(warm_up: int) -> None:
    optimizer = optimizer_of(0.1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=20 - warm_up)
    expected = [0.1 * (epoch + 1) / warm_up for epoch in range(warm_up)]
    for _ in range(20 - warm_up):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)  # in the epoch after the last
    assert rates(Schedule("cosine", warm_up=warm_up, epochs=20), 20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("warm_up", [0, 3])
def test_warm_up_and_steps_are_those_of_torch(warm_up: int) -> None:
    optimizer = optimizer_of(0.1)
    parts: list[Any] = [lr_scheduler.MultiStepLR(optimizer, milestones=[4, 7], gamma=0.1)]
    if warm_up:
        parts.append(lr_scheduler.LinearLR(optimizer, start_factor=1 / warm_up, total_iters=warm_up - 1))
    both = lr_scheduler.ChainedScheduler(parts)
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    assert rates(Schedule("step", warm_up=warm_up, steps=(4, 7), factor=0.1), 10) == pytest.approx(expected, rel=1e-12)


def test_a_run_that_continues_counts_its_own_epochs() -> None:
    schedule = Schedule("cosine", warm_up=2, epochs=6, first=31)
    assert rates(schedule, 6, first=31) == rates(Schedule("cosine", warm_up=2, epochs=6), 6)


def test_each_group_keeps_its_share_and_a_tensor_stays_that_tensor() -> None:
    """A captured step reads the rate of each group in the tensor."""
    optimizer = optimizer_of(torch.tensor(0.1))
    add_parameters(optimizer, torch.nn.Linear(1, 1).parameters())
    tensors = [group["lr"] for group in optimizer.param_groups]
    schedule = Schedule("step", steps=(1,), factor=0.5).with_rates_of(optimizer)
    schedule.begin_epoch(optimizer, 1)
    assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, tensors, strict=True))
    assert [float(rate) for rate in tensors] == pytest.approx([0.05, 0.05])
    optimizer = optimizer_of(0.1)
    optimizer.add_param_group({"params": torch.nn.Linear(1, 1).parameters(), "lr": 0.01})
    schedule = Schedule("step", steps=(1,), factor=0.5).with_rates_of(optimizer)
    for epoch, expected in ((0, [0.1, 0.01]), (1, [0.05, 0.005])):
        schedule.begin_epoch(optimizer, epoch)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected)


@pytest.mark.parametrize("rate", [0.08, torch.tensor(0.08)], ids=["number", "tensor"])
def test_a_plateau_lowers_the_rate_of_each_group_once(rate: float | torch.Tensor) -> None:
    """Of the body, of the last layer, and of an objective or constraint with parameters."""
    body, head, own = (torch.nn.Linear(1, 1).parameters() for _ in range(3))
    optimizer = build_optimizer("sgd", body, lr=rate, weight_decay=0, momentum=0, head=head)
    add_parameters(optimizer, own)
    scheduler = build_scheduler(optimizer, patience=0)
    for auc in (0.9, 0.8):
        scheduler.step(auc)
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.04] * 3)


def test_a_plateau_watches_from_the_end_of_the_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aucs = [0.9, 0.8, 0.5, 0.5, 0.6, 0.6]  # epoch 2 is the first to count; flat at 3 and at 5
    scripted(monkeypatch, aucs)
    command = "--schedule plateau --patience_lr 0 --warm_up 2 --lr_factor 0.25"
    folder = run(tmp_path, f"{command} --num_epochs {len(aucs)}")
    assert [record["lr"] for record in history(folder / "seed1")] == [0.005, 0.01, 0.01, 0.01, 0.0025, 0.0025]


def test_lr_decrease_is_the_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all that is computed, and one folder takes either name of it."""
    old, new = (resolve(arguments(tmp_path, more)) for more in ("--lr_decrease 1", "--schedule plateau"))
    assert old.config == new.config
    assert (old.config.schedule, old.config.lr_decrease, old.config.lr_factor) == ("plateau", 1, 0.5)
    assert (old.origins["schedule"], new.origins["lr_decrease"]) == ("lr_decrease 1", "schedule plateau")
    aucs = [0.6, 0.5, 0.4, 0.5]
    scripted(monkeypatch, aucs)
    one = run(tmp_path / "one", "--lr_decrease 1 --patience_lr 0 --num_epochs 2")
    run(tmp_path / "one", "--schedule plateau --patience_lr 0 --num_epochs 4 --resume 1")
    scripted(monkeypatch, aucs)
    assert_same_run(one, run(tmp_path / "two", "--schedule plateau --patience_lr 0 --num_epochs 4"))
    assert [record["lr"] for record in history(one / "seed1")] == [0.01, 0.01, 0.005, 0.0025]


def test_a_later_place_chooses_the_schedule(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "b.yaml").write_text("lr_decrease: 1\n")
    argv = ["--name_file_bs", "b", "--schedule", "cosine"]
    found = resolve(argv, configs=tmp_path)
    assert (found.config.schedule, found.config.lr_decrease) == ("cosine", 0)
    assert found.notes == ("schedule = cosine (command line) wins over lr_decrease = 1 (configs/baseline/b.yaml)",)
    (tmp_path / "baseline" / "b.yaml").write_text("schedule: cosine\n")
    assert resolve(["--name_file_bs", "b", "--lr_decrease", "0"], configs=tmp_path).config.schedule == "cosine"
    found = resolve(["--name_file_bs", "b", "--lr_decrease", "1"], configs=tmp_path)
    assert (found.config.schedule, found.config.lr_decrease) == ("plateau", 1)


STEPS = "--schedule step --lr_steps 1 3 --lr_factor 0.5 --warm_up 2 --lr 0.08"


def test_a_resumed_run_goes_on_in_its_schedule(tmp_path: Path) -> None:
    run(tmp_path / "resumed", f"{STEPS} --num_epochs 2")
    resumed = run(tmp_path / "resumed", f"{STEPS} --num_epochs 5 --resume 1")
    assert_same_run(resumed, run(tmp_path / "straight", f"{STEPS} --num_epochs 5"))
    assert [record["lr"] for record in history(resumed / "seed1")] == pytest.approx([0.04, 0.08, 0.04, 0.02, 0.02])


def test_an_epoch_of_steps_is_an_epoch_of_the_schedule(tmp_path: Path) -> None:
    folder = run(tmp_path, f"{STEPS} --num_epochs 4 --evaluate_every_steps 2")
    assert [record["lr"] for record in history(folder / "seed1")] == pytest.approx([0.04, 0.08, 0.04, 0.02])


def test_a_cosine_cannot_be_made_longer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "--schedule cosine --num_epochs 3")
    expected = [0.01 * (1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in range(3)]
    assert [record["lr"] for record in history(folder / "seed1")] == pytest.approx(expected)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    run(tmp_path, "--schedule cosine --num_epochs 4 --resume 1", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "was trained for 3 epochs with schedule cosine, whose learning rates depend on num_epochs, 4 now" in line
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "of_baseline, command, expected",
    [
        ("--schedule cosine", "", [0.01, 0.01]),  # not the last rate of the baseline's cosine
        ("--warm_up 9", "", [0.01, 0.01]),  # its best epoch lies within its warm-up
        ("", "--schedule step --lr_steps 1 --lr_factor 0.5", [0.01, 0.005]),  # counted from the first epoch of its own
        ("", "--schedule cosine", [0.01, 0.005]),
        ("", "--warm_up 2", [0.005, 0.01]),
        ("--lr 0.04", "--warm_up 2", [0.02, 0.04]),  # a constant rate is the baseline's
        ("--lr 0.04", "--schedule cosine", [0.01, 0.005]),
        ("--schedule cosine", "--lr 0.3", [0.3, 0.3]),
    ],
)
def test_the_schedule_after_a_baseline(tmp_path: Path, of_baseline: str, command: str, expected: list[float]) -> None:
    run(tmp_path, f"{of_baseline} --num_epochs 2 --model_name base")
    argv = arguments(tmp_path, f"{command} --continue_train 1 --baseline_cont_train base --continue_train_epochs 2")
    at = argv.index("--num_epochs")
    assert main.main([*argv[:at], *argv[at + 2 :]]) == 0
    assert [record["lr"] for record in history(tmp_path / "runs" / "run" / "seed1")] == pytest.approx(expected)
