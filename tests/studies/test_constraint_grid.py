"""The study of the constraint: its choice, what counts as whole, and its verdict on lines made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import constraint_verdict
from studies.constraint_grid import FRESH, GRID, GRID_SEED, Setting, choice, judged_file, lines_file, scores_file
from studies.constraint_grid import main as train
from utils.errors import UserError

LABELS = np.repeat([0, 1], [100, 50])


@pytest.fixture
def one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of two data sets with one row each."""
    monkeypatch.setattr(constraint_verdict, "DATA", {"cifar10": [], "mnist": []})
    monkeypatch.setattr(constraint_verdict, "ROWS", {"BCE_natural": []})
    monkeypatch.setattr(constraint_verdict, "PICTURE_ROWS", ("BCE_natural",))


def line(setting: Setting, seed: int = GRID_SEED, **values: Any) -> dict[str, Any]:
    """As ``train`` writes it."""
    return {"seed": seed, **vars(setting), "failed": None, "auc": 0.8, "fpr": 0.5} | values


def test_choice_by_both_readings_and_ties() -> None:
    first, second, third = GRID["with"][:3]
    lines = [line(third, auc=0.9, fpr=0.4), line(first, auc=0.7, fpr=0.2), line(second, auc=0.8, fpr=0.2)]
    lines += [line(GRID["with"][3], auc=0.99, fpr=0.0, failed="the loss was not finite")]
    lines += [line(first, seed=11, auc=1.0, fpr=0.0), line(GRID["without"][0], auc=1.0)]
    assert choice(lines, "with", "auc") == third
    assert choice(lines, "with", "fpr") == second  # of equal FPR the higher AUC


def written(folder: Path, *, lower: float, missing: int = 0) -> Path:
    """A whole row, its positives ``lower`` with the constraint; its results folder."""
    with_alm = GRID["with"][7]
    lines = [line(setting) for setting in (*GRID["without"], *GRID["with"])]
    lines[0]["auc"], lines[0]["fpr"] = 0.9, 0.1
    lines[2 + 7]["auc"], lines[2 + 7]["fpr"] = 0.9, 0.1
    for seed in FRESH:
        noise = np.random.default_rng(seed).normal(size=len(LABELS))
        for setting in (GRID["without"][0], with_alm):
            scores = noise + LABELS * (2 - (lower if setting == with_alm else 0.0))
            file = scores_file(folder, "cifar10", "BCE_natural", setting, seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, label=LABELS, score=scores)
            positives, negatives = scores[LABELS == 1], scores[LABELS == 0]
            area = float((positives[:, None] > negatives).mean())
            fpr = float((negatives >= np.sort(positives)[1]).mean())
            epochs = [[0.1, area, fpr, None if setting.mu is None else 1.0]] * 2
            lines.append(line(setting, seed, test_auc=area, test_fpr=fpr, epochs=epochs))
    path = lines_file(folder, "cifar10", "BCE_natural")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines[: len(lines) - missing]))
    return folder


@pytest.mark.usefixtures("one_row")
@pytest.mark.parametrize(("lower", "word"), [(3.0, "harms"), (-3.0, "helps"), (0.0, "open")])
def test_verdict(tmp_path: Path, lower: float, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = written(tmp_path, lower=lower)
    assert constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(out)]) == 0
    content = json.loads((out / "constraint_verdict.json").read_text())
    assert [constraint_verdict.verdict("FPR", row["FPR"]) for row in content["rows"]] == [word, word]
    assert [constraint_verdict.verdict("AUC", row["AUC"]) for row in content["rows"]] == [word, word]
    assert content["rows"][0]["with"] == {"lr": 0.01, "mu": 0.001, "delta": 0.25}
    assert content["open"] == ["mnist BCE_natural"]
    assert content["rows"][0]["seeds"] == len(FRESH)
    assert content["not_finite"]["cifar10"]["without"] == [0, 2]
    assert (out / "constraint_over_training_cifar10.png").stat().st_size > 10_000
    said = "2 are open" if word == "open" else f"{word} in 2"
    printed = capsys.readouterr().out
    assert printed.count(said) == 2  # of FPR and of AUC
    lower = 2 if word == "helps" else 0
    assert content["lower_by_epoch"] == {"cifar10": [[lower, 2]] * 2}
    assert f"cifar10, by epoch from 0: {lower} of 2, {lower} of 2." in printed
    assert "In 1 rows both ways to choose took the same settings" in printed
    assert f"cifar10, all: {lower} of 2 (mu chosen: 2 x 0.001); natural: {lower} of 2" in printed


@pytest.mark.usefixtures("one_row")
def test_a_judged_row_needs_no_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, empty = written(tmp_path / "a", lower=1.0), tmp_path / "empty"
    assert constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(out)]) == 0
    before = json.loads((out / "constraint_verdict.json").read_text())["rows"]
    assert constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(empty)]) == 0
    assert json.loads((out / "constraint_verdict.json").read_text())["rows"] == before
    monkeypatch.setattr("studies.constraint_grid.train", None)  # nothing is trained
    train(["--data", "cifar10", "--rows", "BCE_natural", "--out", str(out), "--checkpoint_root", str(empty)])


def test_a_data_set_without_all_fresh_seeds_of_a_row_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one row that is whole is kept for later, and not judged without the others of its data set."""
    out = written(tmp_path, lower=0.0)
    with pytest.raises(UserError, match="no data set has all fresh seeds of all rows"):
        constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(out)])
    assert judged_file(out, "cifar10", "BCE_natural").is_file()
    monkeypatch.setattr(constraint_verdict, "ROWS", {"BCE_natural": []})
    out = written(tmp_path / "other", lower=0.0, missing=1)
    with pytest.raises(UserError, match="no data set has all fresh seeds of all rows"):
        constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(out)])
    assert not judged_file(out, "cifar10", "BCE_natural").is_file()


@pytest.mark.usefixtures("one_row")
def test_a_seed_that_failed_on_one_side_is_left_out_on_both_and_counted(tmp_path: Path) -> None:
    out = written(tmp_path, lower=0.0)
    path = lines_file(out, "cifar10", "BCE_natural")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[-1] |= {"failed": "the loss was not finite"}
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert constraint_verdict.main(["--out", str(out), "--checkpoint_root", str(out)]) == 0
    content = json.loads((out / "constraint_verdict.json").read_text())
    assert {row["seeds"] for row in content["rows"]} == {len(FRESH) - 1}
    assert f"| {len(FRESH) - 1} |" in (out / "constraint_verdict.md").read_text()


def test_part_takes_every_nth_row_and_what_is_there_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    monkeypatch.setattr("studies.constraint_grid.train_row", lambda data, row, options: taken.append(row))
    train(["--data", "cifar10", "--rows", "BCE_natural", "S-FL_natural", "LDAM_balanced", "--part", "2/2"])
    assert taken == ["S-FL_natural"]
    monkeypatch.undo()
    monkeypatch.setattr("studies.constraint_grid.train", None)  # whole: nothing is trained
    out = written(tmp_path, lower=0.0)
    train(["--data", "cifar10", "--rows", "BCE_natural", "--out", str(out), "--checkpoint_root", str(out)])
