"""Which of the ranks of torchrun says why the run ends, before they have met."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import pytest

from utils.system.torchrun import says_why_it_ends


def as_rank(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "run", "WORLD_SIZE": "2", "RANK": str(rank)}.items():
        monkeypatch.setenv(name, value)


def test_a_process_without_torchrun_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert says_why_it_ends()


@pytest.mark.parametrize("rank, lines", [(0, 2), (1, 0)])
def test_an_interruption_before_the_ranks_meet_is_said_by_the_first(
    rank: int, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are ended by torchrun when the first one has refused its input, which it says."""

    def interrupted(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    as_rank(rank, monkeypatch)
    command = importlib.import_module("utils.commands.main")
    monkeypatch.setattr(command, "train_or_evaluate", interrupted)
    assert command.main(["--seeds", "1"]) == 130
    assert capsys.readouterr().err.count("\n") == lines


def test_a_rank_that_has_met_the_others_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed as dist

    as_rank(1, monkeypatch)
    assert not says_why_it_ends()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    assert says_why_it_ends()
