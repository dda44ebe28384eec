"""history.jsonl: resumed, cut short by a kill, and numbers that are not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from utils.run_files.history_jsonl import History, read_history


def test_history_is_cut_back(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("".join(f'{{"epoch": {epoch}, "val_auc": 0.5}}\n' for epoch in range(4)))
    kept = History(file, keep=2)
    assert [record["epoch"] for record in read_history(file)] == [0, 1]
    kept.append({"epoch": 2, "val_auc": 0.75})
    assert [record["val_auc"] for record in read_history(file)] == [0.5, 0.5, 0.75]
    History(file, keep=0)
    assert file.read_text() == ""


@pytest.mark.parametrize("rest", ['{"epoch": 2, "val', "{", "\n", '{"epoch": 2, "val_auc": NaN'])
def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path, rest: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text('{"epoch": 0}\n{"epoch": 1}\n' + rest)
    assert [record["epoch"] for record in read_history(file)] == [0, 1]
    History(file, keep=9).append({"epoch": 2})
    assert [json.loads(line)["epoch"] for line in file.read_text().splitlines()] == [0, 1, 2]


def test_what_is_not_finite_is_null_in_the_history(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    History(file, keep=0).append({"epoch": 0, "train_auc": math.nan, "val_loss": math.inf, "mu": None, "lr": 0.1})
    assert file.read_text() == '{"epoch": 0, "train_auc": null, "val_loss": null, "mu": null, "lr": 0.1}\n'
