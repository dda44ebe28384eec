"""The files of an epoch, written at once or while the next one trains."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from runs import assert_same_run, run

from utils.errors import UserError
from utils.run import epoch_writer
from utils.run.epoch_writer import EpochWriter
from utils.system.devices import Machine


def writer_on(kind: str) -> EpochWriter:
    return EpochWriter(Machine(torch.device(kind), "fp32", 1))


def test_in_the_background_each_epoch_waits_for_the_one_before() -> None:
    go, order = threading.Event(), list[int]()

    def slow() -> None:
        go.wait(10)
        order.append(0)

    with writer_on("cuda") as writer:
        writer.put(slow)
        assert order == []  # training goes on meanwhile
        go.set()
        for number in (1, 2):
            writer.put(lambda number=number: order.append(number))  # type: ignore[misc]
    assert order == [0, 1, 2]  # the last one too when the context is left


def test_on_a_cpu_it_writes_at_once_and_copies_nothing() -> None:
    order: list[int] = []
    content = {"weights": torch.zeros(2)}
    with writer_on("cpu") as writer:
        assert writer.own(content) is content
        writer.put(lambda: order.append(0))
        assert order == [0]


def test_a_copy_does_not_change_with_the_training() -> None:
    weights = torch.zeros(2)
    content = {"weights": weights, "more": [weights, (1, "text")], "nothing": None}
    own = writer_on("cuda").own(content)
    weights.fill_(7)
    assert own["weights"].tolist() == [0, 0] == own["more"][0].tolist()
    assert own["more"][1] == (1, "text")
    assert own["nothing"] is None


def test_what_went_wrong_in_the_background_is_raised() -> None:
    def full() -> None:
        raise UserError("the disk is full")

    def use(*, again: bool) -> None:
        with writer_on("cuda") as writer:
            writer.put(full)
            if again:
                writer.put(lambda: None)

    for again in (True, False):
        with pytest.raises(UserError, match="the disk is full"):
            use(again=again)


@pytest.mark.usefixtures("one_thread", "blank_pictures")
def test_a_run_that_writes_in_the_background_leaves_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "--use_ALM 1 --mu 1e-2 --delta 1 --num_epochs 4"
    straight = run(tmp_path / "straight", command)
    init = EpochWriter.__init__

    def in_background(self: EpochWriter, machine: Machine) -> None:
        init(self, machine)
        self._in_background = True

    monkeypatch.setattr(epoch_writer.EpochWriter, "__init__", in_background)
    assert_same_run(run(tmp_path / "background", command), straight)
