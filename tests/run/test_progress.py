"""What the terminal shows while a seed trains."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import arguments, run

import main
from utils.run.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


def records(number: int) -> list[dict[str, Any]]:
    return [{"epoch": e, "val_auc": 0.5 + e / 1000, "constraint_violation": 2.0 / (e + 1)} for e in range(number)]


def show(progress: Progress, shown: list[dict[str, Any]]) -> None:
    for record in shown:
        progress.epoch(record, 0.9)
    progress.close()


@pytest.mark.parametrize("total, lines", [(1, 1), (3, 3), (10, 10), (100, 11), (105, 12)])
def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], total: int, lines: int) -> None:
    show(Progress(seed=4, first=0, total=total), records(total))
    captured = capsys.readouterr()
    assert captured.err == ""
    printed = captured.out.splitlines()
    assert len(printed) == lines
    assert printed[0].startswith(f"seed 4  epoch 1/{total}  val AUC 0.5000 (best 0.9000)  violation 2.0000  ")
    assert printed[-1].startswith(f"seed 4  epoch {total}/{total} ")
    assert printed[-1].endswith("0:00 left")


def test_plain_lines_of_a_resumed_training(capsys: pytest.CaptureFixture[str]) -> None:
    show(Progress(seed=1, first=7, total=9), records(9)[7:])
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == ["8/9", "9/9"]


class Clock:
    """A second passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_steps_and_time_left_of_the_first_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(seed=3, first=2, total=4, shares_terminal=True, clock=Clock())
    for epoch in (2, 3):
        for number in range(1, 101):
            progress.step(number, steps=100)
        progress.epoch(records(4)[epoch], 0.9)
    lines = capsys.readouterr().out.splitlines()
    # a second a step: at step 1 of 2 x 100 there are 199 s left; the next lines 5, 10, 20 and 40 steps later
    assert [line.split("  ", 2)[2] for line in lines[:5]] == [
        "step 1/100  3:19 left",
        "step 6/100  3:14 left",
        "step 16/100  3:04 left",
        "step 36/100  2:44 left",
        "step 76/100  2:04 left",
    ]
    assert lines[0].startswith("seed 3  epoch 3/4  step")
    assert [line.split("  ")[1] for line in lines[5:]] == ["epoch 3/4", "epoch 4/4"]
    assert not any("step" in line for line in lines[5:])


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_each_seed_shows_its_first_steps_and_that_it_is_evaluated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], at_once: int
) -> None:
    run(tmp_path, f"--seeds 1-2 --parallel_seeds {at_once} --num_epochs 2")
    lines = capfd.readouterr().out.splitlines()
    for seed in (1, 2):
        own = [line for line in lines if line.startswith(f"seed {seed}  ")]
        assert own[0].startswith(f"seed {seed}  epoch 1/2  step 1/")
        assert own[0].endswith(" left")
        assert own[1].startswith(f"seed {seed}  epoch 1/2  val AUC") or "step" in own[1]
        (at,) = (number for number, line in enumerate(own) if line == f"seed {seed}  evaluating the best epoch")
        assert own[at - 1].startswith(f"seed {seed}  epoch 2/2  val AUC")


def test_the_bar_shows_steps_of_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        progress = Progress(seed=2, first=0, total=3, clock=Clock())
        progress.step(1, steps=10)
        progress.step(2, steps=10)
        show(progress, records(3))

    shown = on_a_terminal(act, monkeypatch)
    assert "step 1/10  0:29 left" in shown
    assert "step 2/10  0:28 left" in shown
    assert shown.index("step 2/10") < shown.index("epoch 3/3")


def on_a_terminal(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``act`` writes to a pseudo-terminal that stands in for stderr."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 140))
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        act()
    written = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # an error is the end: hung up
        while part := screen.read(100_000):  # what was written may come in several parts
            written += part
    return written.decode()


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        progress = Progress(seed=2, first=0, total=3)
        assert progress.bar is not None
        progress.bar.mininterval = 0
        show(progress, records(3))

    shown = on_a_terminal(act, monkeypatch)
    assert "seed 2" in shown
    assert "epoch 3/3" in shown
    assert "val AUC 0.5020 (best 0.9000)  violation 0.6667" in shown
    assert shown.endswith("\n")
    assert capsys.readouterr().out == ""  # nothing twice


def test_the_bar_is_closed_before_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = on_a_terminal(lambda: check(main.main(arguments(tmp_path, "--lr 1e30")), 1), monkeypatch)
    assert shown.endswith("\n")
    assert "seed 1 stopped: the loss was not finite" in capsys.readouterr().out


def check(value: object, expected: object) -> None:
    assert value == expected


def test_nothing_is_shown_of_a_finished_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    capsys.readouterr()
    run(tmp_path)
    assert "epoch 1/1" not in capsys.readouterr().out
