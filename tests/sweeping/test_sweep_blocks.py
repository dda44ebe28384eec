"""Grids and searches: which rows come, what is chosen, and that no choice looks at a test set."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path

import pytest
from sweeps import ended, kill, release, run, start, starts, until, workers

import sweep
from utils.sweeping import plan
from utils.sweeping.blocks import block_of
from utils.sweeping.job_state import Look, State
from utils.sweeping.jobs import Job, JobMaker, Key
from utils.sweeping.table_file import read_table

COMMON = """
seeds: 1-2
common: {{dataset_name: digits, resnet_type: linear, num_epochs: 1, checkpoint_root: {root}/checkpoint}}
"""
GRID = """
grid:
  flags: {{training_type: [BCE, MSFE], lr: [0.1, 0.01, 1]}}
  for_each: [training_type]
  seeds: 1
  select: {rule}
rows:
  - {{name: chosen, set: {{weight_dec: 0}}}}
"""
SEARCH = """
search:
  flags: {{lr: {{low: 1.0e-4, high: 1, log: true}}, bsize: {{low: 32, high: 128, step: 32}}, optimizer: [sgd, adamw]}}
  trials: 8
  sampler: {sampler}
  seed: 5
  parallel: {parallel}
  seeds: 1
  select: validation AUC
rows:
  - {{name: found}}
"""


def grid(folder: Path, *, rule: str = "validation AUC") -> Path:
    path = folder / "t.yaml"
    path.write_text((COMMON + GRID).format(root=folder, rule=rule))
    return path


def search(folder: Path, *, sampler: str = "tpe", parallel: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "t.yaml"
    path.write_text((COMMON + SEARCH).format(root=folder, sampler=sampler, parallel=parallel))
    return path


def chosen_lr(folder: Path, row: str) -> str:
    rows = json.loads((folder / "checkpoint/t/table.json").read_text())["rows"]
    (options,) = (item["options"] for item in rows if item["name"] == row)
    return str(options["lr"])


@pytest.mark.slow
def test_options_come_with_a_value_of_a_flag(tmp_path: Path) -> None:
    """In the grid's runs and in the rows that follow; the other values go without."""
    path = tmp_path / "t.yaml"
    also = "  also: {training_type: {LDAM_DRW: {drw_from: 0, scale: 20}}}\n  for_each"
    text = (COMMON + GRID).format(root=tmp_path, rule="validation AUC").replace("  for_each", also)
    path.write_text(text.replace("[BCE, MSFE]", "[BCE, LDAM_DRW]").replace("[0.1, 0.01, 1]", "[0.1]"))
    assert sweep.main([str(path), "--jobs", "2"]) == 0
    written = json.loads((tmp_path / "checkpoint/t/table.json").read_text())["rows"]
    assert {item["name"].startswith("grid_"): item["trial"] for item in written} == {True: True, False: False}
    rows = {item["name"]: item["options"] for item in written}
    assert len(rows) == 4
    for options in rows.values():
        brought = {name: str(options.get(name)) for name in ("drw_from", "scale") if name in options}
        weighed = options["training_type"] == "LDAM_DRW"
        assert brought == ({"drw_from": "0", "scale": "20"} if weighed else {})


@pytest.mark.slow
def test_combinations_that_differ_in_nothing_that_is_read_are_one(tmp_path: Path) -> None:
    """Without a constraint the margins are one run; the row that follows has the margin of the choice."""
    path = tmp_path / "t.yaml"
    flags = "{alm: ['', ALM_12_beg, RATE_TPR98], delta: [0.25, 1], lr: [0.1]}"
    path.write_text(
        COMMON.format(root=tmp_path) + f"grid: {{flags: {flags}, for_each: [alm], select: validation AUC, seeds: 1}}\n"
        "rows:\n  - {name: chosen}\n"
    )
    table = read_table(path)
    rows = {row.name: row.options for row in block_of(table).examples()}
    assert {name: options.get("delta") for name, options in rows.items()} == {
        "grid_no_name_file_alm_lr=0.1": None,
        "grid_ALM_12_beg_delta=0.25_lr=0.1": 0.25,
        "grid_ALM_12_beg_delta=1_lr=0.1": 1.0,
        "grid_RATE_TPR98_lr=0.1": None,
        "chosen_no_name_file_alm": None,
    }
    output = run(path, "--jobs", "2")
    assert "10 of 10 done" in output  # 4 of the grid, and 3 choices with 2 seeds
    assert Counter(starts(tmp_path)) == Counter(
        [f"{name} 1" for name in list(rows)[:4]]
        + [f"chosen_{name} {seed}" for name in ("no_name_file_alm", "ALM_12_beg", "RATE_TPR98") for seed in (1, 2)]
    )


@pytest.mark.slow
def test_a_search_goes_without_what_a_trial_does_not_read(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    path = tmp_path / "t.yaml"
    flags = "{training_type: [BCE, SYM_FL, LDAM], gamma: {low: 1, high: 2}}"
    path.write_text(
        COMMON.format(root=tmp_path) + f"search: {{flags: {flags}, trials: 6, sampler: random, seed: 2, seeds: 1, "
        "select: validation AUC}\nrows:\n  - {name: found}\n"
    )
    assert "8 of 8 done" in run(path)
    written = json.loads((tmp_path / "checkpoint/t/table.json").read_text())["rows"]
    kinds = {item["options"]["training_type"] for item in written}
    assert len(kinds) > 1
    for item in written:
        assert ("gamma" in item["options"]) == (item["options"]["training_type"] == "SYM_FL")


def test_a_grid_chooses_on_validation_and_runs_the_rows_that_follow(tmp_path: Path) -> None:
    path = grid(tmp_path)
    assert "6 rows, 0 of 6 done, 6 to do, 2 of 2 choices wait for the grid" in run(path, "--dry_run")
    output = run(path, "--jobs", "3")
    assert "training_type=BCE: grid_training_type=BCE_lr=0.01 has the best validation AUC, 1.0010, of 3" in output
    assert "10 of 10 done" in output
    for name in ("BCE", "MSFE"):
        assert chosen_lr(tmp_path, f"chosen_training_type={name}") == "0.01"
        assert starts(tmp_path)[f"chosen_training_type={name} 2"] == 1
    assert "10 of 10 done" in run(path)
    assert set(starts(tmp_path).values()) == {1}


def test_rows_that_follow_are_listed_as_soon_as_they_run(tmp_path: Path) -> None:
    """So that a report of half a sweep holds them."""
    process = start(grid(tmp_path), "--jobs", "3", hold="chosen:0")
    until(lambda: any(job.startswith("chosen_training_type=BCE") for job in starts(tmp_path)))
    assert chosen_lr(tmp_path, "chosen_training_type=BCE") == "0.01"
    kill(process)


def test_the_lowest_fpr_at_a_tpr_may_choose(tmp_path: Path) -> None:
    path = grid(tmp_path, rule="validation FPR at TPR 0.95")  # the stand-in's is best far from 0.01
    assert "lr=1 has the best validation FPR at TPR 0.95, 0.3000, of 3" in run(path, "--jobs", "3")
    assert chosen_lr(tmp_path, "chosen_training_type=BCE") == "1"


def test_a_choice_touches_no_test_file_and_no_test_number(tmp_path: Path) -> None:
    path = grid(tmp_path)
    run(path, "--jobs", "3", "--only", "grid*")
    for results in tmp_path.glob("checkpoint/t/*/results.json"):
        content = json.loads(results.read_text())
        for block in content["seeds"].values():
            block["test"] = "a choice that reads this ends in an error"
        results.write_text(json.dumps(content))
        for folder in (results.parent / "ensemble", *results.parent.glob("seed*")):
            (folder / "test.csv").mkdir(parents=True)  # to open it is an error, for root too
    output = run(path, "--status")
    assert "grid_training_type=MSFE_lr=0.01 has the best" in output
    (line,) = (line for line in output.splitlines() if line.startswith("chosen_training_type=MSFE "))
    assert "to do: 1 2" in line


def test_a_combination_that_fails_cannot_be_chosen(tmp_path: Path) -> None:
    path = grid(tmp_path)
    for name in ("lr=0.01", "lr=0.1", "lr=1"):
        failed = tmp_path / f"checkpoint/t/grid_training_type=BCE_{name}/seed1"
        failed.mkdir(parents=True)
        (failed / "failed").write_text("the loss is nan\n")
    (tmp_path / "checkpoint/t/grid_training_type=MSFE_lr=0.01/seed1").mkdir(parents=True)
    (tmp_path / "checkpoint/t/grid_training_type=MSFE_lr=0.01/seed1/failed").write_text("the loss is nan\n")
    output = run(path, "--jobs", "3", code=1)
    assert "training_type=BCE: nothing to choose from: all 3 failed" in output
    assert "MSFE_lr=0.1 has the best validation AUC, 0.9010, of 3, 1 failed and cannot be chosen" in output
    assert chosen_lr(tmp_path, "chosen_training_type=MSFE") == "0.1"
    assert not [name for name in starts(tmp_path) if name.startswith("chosen_training_type=BCE")]


def has_started(folder: Path, count: int) -> bool:
    return len(starts(folder)) >= count


def trials(folder: Path) -> list[str]:
    """What each trial was, in order."""
    rows = json.loads((folder / "checkpoint/t/table.json").read_text())["rows"]
    return [json.dumps(row["options"]) for row in rows if row["name"].startswith("trial_")]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_is_the_same_whether_or_not_it_is_killed(tmp_path: Path, sampler: str) -> None:
    pytest.importorskip("optuna")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    output = run(search(whole, sampler=sampler))
    assert "of 8\n" in output
    assert "10 of 10 done" in output
    assert len(set(trials(whole))) == 8
    path = search(cut, sampler=sampler)
    for count in (2, 5):
        process = start(path, hold=f"trial_{count - 1:04d}:0")
        until(functools.partial(has_started, cut, count))
        kill(process)
    assert "10 of 10 done" in run(path)
    assert [line.replace(str(cut), "") for line in trials(cut)] == [
        line.replace(str(whole), "") for line in trials(whole)
    ]
    assert chosen_lr(cut, "found") == chosen_lr(whole, "found")


def test_two_sweeps_share_a_search(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    path = search(tmp_path, parallel=4)
    both = [start(path, "--jobs", "2", hold=":0") for _ in range(2)]
    until(lambda: len(workers(tmp_path)) == 4)
    release(tmp_path)
    for process in both:
        assert "10 of 10 done" in ended(process)
    assert set(starts(tmp_path).values()) == {1}
    assert len(starts(tmp_path)) == 10


def test_a_trial_that_ends_while_the_sweep_looks_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    content = read_table(search(tmp_path, parallel=2))
    looks = Counter[Key]()

    def look(job: Job, **_: object) -> Look:
        """Running at the first look, done at the next."""
        looks[job.key] += 1
        return Look(State.RUNNING if looks[job.key] == 1 else State.DONE, 1)

    monkeypatch.setattr(plan, "look", look)
    board = plan.Sweep(JobMaker(content), block_of(content)).board(advance=True)
    assert board.later == "8 of 8 trials are to come"
    assert [found.state for _, found in board.entries] == [State.RUNNING] * 2


@pytest.mark.slow
def test_damaged_proposals_are_refused_and_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    path = search(tmp_path)
    run(path)
    file = tmp_path / "checkpoint/t/.sweep/search.json"
    for content in ("[]", '{"a": [3]}', '{"a": [], "a": []}', "{", file.read_text().replace("bsize", "momentum")):
        file.write_text(content)
        assert sweep.main([str(path), "--status"]) == 2
        assert f"cannot read {file}" in capsys.readouterr().err
    file.unlink()
    assert "10 of 10 done" in run(path)  # the same proposals again, whose runs are there
    path.write_text(path.read_text().replace("trials: 8", "trials: 2"))
    assert "10 of 10 done" in run(path)  # what was proposed before stays
    assert set(starts(tmp_path).values()) == {1}


BAD_FLAGS = {
    "{}": "must hold ranges",
    "{lr: {low: 1}}": "low, high and if need be",
    "{lr: {low: 1, high: 1}}": "needs low < high",
    "{lr: {low: 1, high: x}}": "lr must be a number",
    "{lr: {low: 1, high: 2, log: yes}}": "log of lr must be 0 or 1, got yes",
    "{delta: {low: 0, high: 1, log: true}}": "log without step above 0",
    "{bsize: {low: 1, high: 9, step: 0.5}}": "step of bsize must be an integer >= 1, got 0.5",
    "{optimizer: {low: 1, high: 9}}": "no range",
    "{optimizer: [sgd, rmsprop]}": "one of sgd",
    "{lr: [0.1, .1]}": "has a value twice",
    "{delta: [1], delta: [2]}": "it has delta twice",
    "{alm: [x], name_file_alm: [x]}": "an option twice, under two names",
}
BAD = {
    "sampler: tpe, seed: 1, select: validation AUC": "trials must be an integer >= 1, got None",
    "trials: 1:20, sampler: tpe, seed: 1, select: validation AUC": "trials must be an integer >= 1, got 1:20",
    "trials: 1, sampler: gp, seed: 1, select: validation AUC": "sampler must be one of tpe",
    "trials: 1, sampler: tpe, select: validation AUC": "seed must be an integer >= 0, got None",
    "trials: 1, sampler: tpe, seed: 1_0, select: validation AUC": "seed must be an integer >= 0, got 1_0",
    "trials: 1, sampler: tpe, seed: 1, select: best": "select must be",
}
SEARCHES = {f"flags: {{lr: [1, 2]}}, {rest}": match for rest, match in BAD.items()} | {
    f"flags: {flags}, trials: 1, sampler: tpe, seed: 1, select: validation AUC": match
    for flags, match in BAD_FLAGS.items()
}


@pytest.mark.parametrize("content", SEARCHES)
def test_a_bad_search_is_refused_in_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    path = tmp_path / "t.yaml"
    path.write_text(f"common: {{checkpoint_root: {tmp_path}/c}}\nsearch: {{{content}}}\n")
    assert sweep.main([str(path), "--dry_run"]) == 2
    error = capsys.readouterr().err
    assert SEARCHES[content] in error
    assert error.count("\n") == 1


def test_a_search_without_optuna_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert sweep.main([str(search(tmp_path)), "--dry_run"]) == 2
    assert "needs Optuna: pip install 'optuna>=5,<6'" in capsys.readouterr().err
