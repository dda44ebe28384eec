"""Which runs, seeds and pairs the report takes, what it flags, and what it makes of damage."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_folders import COUNTS, make_run, make_seed

from utils.errors import UserError
from utils.reporting.analysis import Report, analyse, best, default_tprs
from utils.reporting.comparison import compare, pairs
from utils.reporting.contents import results_table, rules_of, seeds_table
from utils.reporting.csv_files import csv_files
from utils.reporting.provenance import problems_table, summary_facts, warnings
from utils.reporting.runs import read_folder

ALM: dict[str, Any] = {"use_ALM": 1, "mu": 0.01, "delta": 0.5}


def report_of(folder: Path) -> Report:
    return analyse(read_folder(folder), tprs=(0.9,))


def problems(folder: Path) -> set[tuple[str, int | None, str]]:
    return {(problem.run, problem.seed, problem.state) for problem in read_folder(folder).problems}


def test_a_row_names_the_options_that_it_has(tmp_path: Path) -> None:
    make_run(tmp_path, "plain", sampler="natural", least_positives=None)
    make_run(tmp_path, "even", sampler="stratified", least_positives=2)
    names = [row.settings for row in report_of(tmp_path).rows]
    assert sorted(names) == ["BCE, sampler=natural", "BCE, sampler=stratified, least_positives=2"]


def test_a_row_names_its_weights_without_their_folder(tmp_path: Path) -> None:
    make_run(tmp_path, "drawn", weights=None)
    make_run(tmp_path, "pretrained", weights="some/where/lite0.pth")
    assert "weights=lite0.pth" in [row.settings for row in report_of(tmp_path).rows][1]


@pytest.mark.parametrize("stopped_early", [False, True])
def test_seeds_of_different_lengths_are_told(tmp_path: Path, stopped_early: bool) -> None:
    """Unless the shorter one had stopped early."""
    run = make_run(tmp_path, "run")
    make_run(tmp_path, "other", training_type="LDAM")
    done = json.loads((run / "seed1" / "done").read_text())
    (run / "seed1" / "done").write_text(json.dumps({**done, "stopped_early": stopped_early}))
    (run / "seed2" / "done").write_text(json.dumps({**done, "epochs": 7}))
    report = report_of(tmp_path)
    told = [line for line in warnings(report) if "numbers of epochs" in line]
    assert [line.endswith(": run (seed 1: 3, seed 2: 7).") for line in told] == [True] * (not stopped_early)
    assert [row[3].text for row in seeds_table(report).rows] == ["3", "7", "3", "3"]
    assert dict(summary_facts(report))["epochs a seed"] == "3–7"


def test_rows_are_named_as_they_were_given(tmp_path: Path) -> None:
    """By --model_name, also where YAML or a spreadsheet would read a number or a truth value."""
    names = ["010", "1.10", "1:20", "1_3", "no"]
    for name in names:
        make_run(tmp_path, name, seeds=(1,), lr=0.12345678)
    report = report_of(tmp_path)
    assert [row[1].text for row in seeds_table(report).rows] == names
    assert [row.name for row in report.rows] == names
    assert [row[0].text for row in results_table(report).rows] == names
    make_run(tmp_path, "other", seeds=(1,), lr=0.1234567)
    assert "BCE, lr=0.12345678, no" in {row.settings for row in report_of(tmp_path).rows}


def test_rows_of_a_sweep_have_the_names_of_its_table(tmp_path: Path) -> None:
    """With their settings in a second line; two rows of one name are told apart by their folders."""
    for name in ("one", "two", "three"):
        make_run(tmp_path, name, seeds=(1,))
    rows = [
        {"name": name, "folder": folder, "seeds": [1]}
        for name, folder in (("BCE, 10 %", "one"), ("again", "two"), ("again", "three"))
    ]
    (tmp_path / "table.json").write_text(json.dumps({"title": "A table", "rows": rows}))
    cells = [row[0] for row in results_table(report_of(tmp_path)).rows]
    assert [cell.text for cell in cells] == ["BCE, 10 %", "two", "three"]
    assert [cell.under for cell in cells] == ["BCE, one", "BCE, two", "BCE, three"]


def test_of_many_rows_with_fewer_seeds_some_are_named(tmp_path: Path) -> None:
    make_run(tmp_path, "all", seeds=(1, 2))
    for number in range(1, 6):
        make_run(tmp_path, f"grid{number}", seeds=(1,), training_type="LDAM", lr=number / 10)
    (found,) = (line for line in warnings(report_of(tmp_path)) if line.startswith("Fewer"))
    assert found.count("grid") == 3
    assert found.endswith("; and 2 more.")


# --- states of a seed --------------------------------------------------------------------------------------


def test_failed_unfinished_running_and_missing_seeds(tmp_path: Path) -> None:
    make_run(tmp_path, "all", seeds=(1, 2, 3, 4))
    run = make_run(tmp_path, "some", seeds=(1, 2, 3), training_type="LDAM")
    (run / "seed2" / "done").unlink()
    (run / "seed2" / "failed").write_text("the loss is\nnot finite\n")
    (run / "seed3" / "done").unlink()
    assert problems(tmp_path) == {("some", 2, "failed"), ("some", 3, "unfinished"), ("some", None, "missing")}
    found = {problem.state: problem.message for problem in read_folder(tmp_path).problems}
    assert found["failed"] == "the loss is not finite"
    assert found["unfinished"] == "3 of at most 100 epochs; --resume 1 goes on with it"
    assert found["missing"] == "seeds 4: not started; other rows have them"
    with open(run / "seed3" / ".lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert ("some", 3, "running") in problems(tmp_path)
    report = report_of(tmp_path)
    assert [list(row.run.seeds) for row in report.rows] == [[1, 2, 3, 4], [1]]
    assert "Fewer seeds than the 4 of other rows: some (1)." in warnings(report)
    assert [row[2].text for row in problems_table(report).rows] == ["failed"]
    assert {row[2].text for row in problems_table(report, unfinished=True).rows} == {"unfinished", "missing"}


def test_a_seed_that_failed_before_the_run_was_recorded(tmp_path: Path) -> None:
    make_run(tmp_path, "good", seeds=(1,))
    run = make_run(tmp_path, "bad", seeds=(1,))
    (run / "config.yaml").unlink()
    (run / "seed1" / "failed").write_text("no GPU\n")
    assert [(p.run, p.seed, p.state, p.message) for p in read_folder(tmp_path).problems] == [
        ("bad", 1, "failed", "no GPU")
    ]


def test_a_failed_seed_comes_with_its_own_command(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", command="python main.py --seeds 1-2")
    record = yaml.safe_load((run / "config.yaml").read_text())
    record["commands"] += ["python main.py --resume 1 --seeds 2", "python main.py --resume 1 --seeds 21"]
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    make_run(tmp_path, "other", training_type="LDAM")
    (run / "seed2" / "failed").write_text("it broke\n")
    ((*_, command),) = problems_table(report_of(tmp_path)).rows
    assert command.text == "python main.py --resume 1 --seeds 2"


def test_a_seed_that_trains_further_keeps_its_old_numbers(tmp_path: Path) -> None:
    """On resume `done` goes first; results.json still lists the seed."""
    run = make_run(tmp_path, "run")
    (run / "results.json").write_text(json.dumps({"seeds": {"1": {"best_epoch": 1}, "2": {"best_epoch": 2}}}))
    (run / "seed2" / "done").unlink()
    (run / "seed2" / "last.pt").write_bytes(b"")
    folder = read_folder(tmp_path)
    assert list(folder.runs[0].seeds) == [1, 2]
    assert [problem.message for problem in folder.problems] == [
        "3 of at most 100 epochs; --resume 1 goes on with it; the numbers are those of the earlier evaluation"
    ]


def test_a_seed_evaluated_from_best_pt_alone_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", seeds=(1,))
    (run / "seed1" / "done").unlink()
    (run / "seed1" / "history.jsonl").unlink()
    for epochs in (None, 9):  # None: not recorded
        (run / "results.json").write_text(json.dumps({"seeds": {"1": {"best_epoch": 7, "epochs": epochs}}}))
        (seed,) = read_folder(tmp_path).runs[0].seeds.values()
        assert (seed.best_epoch, seed.epochs) == (7, epochs)
    assert not problems(tmp_path)


def test_whether_seeds_of_best_pt_alone_stopped_early_is_not_guessed(tmp_path: Path) -> None:
    """They may differ in their epochs because each stopped by itself."""
    run = make_run(tmp_path, "run", seeds=(1, 2))
    make_run(tmp_path, "other", training_type="LDAM")
    for seed in (1, 2):
        (run / f"seed{seed}" / "done").unlink()
    blocks = {str(seed): {"best_epoch": 2, "epochs": 3 * seed} for seed in (1, 2)}
    (run / "results.json").write_text(json.dumps({"seeds": blocks}))
    assert not [line for line in warnings(report_of(tmp_path)) if "numbers of epochs" in line]


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "index,label\n1,0\n",
        "index,label,score,split,original_class\n",
        "index,label,score,split,original_class\n0,0,nan,test,1\n1,1,0.5,test,2\n",
        "index,label,score,split,original_class\n0,0,0.1,test,1\n1,0,0.5,test,2\n",  # no positive
        "index,label,score,split,original_class\n0,0,0.1,test,1\n1,3,0.5,test,2\n",  # a third label
        "index,label,score,split,original_class\n0,0,0.1,test\n",
    ],
)
def test_a_damaged_score_file_leaves_out_its_seed(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path, "run")
    (run / "seed1" / "test.csv").write_text(text)
    assert list(read_folder(tmp_path).runs[0].seeds) == [2]
    assert problems(tmp_path) == {("run", 1, "damaged")}


def test_seeds_on_other_samples_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    make_seed(run, 3, counts={**COUNTS, "test": (39, 31)})
    assert list(read_folder(tmp_path).runs[0].seeds) == [1, 2]
    assert problems(tmp_path) == {("run", 3, "damaged")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: [",
        "commands: []\noptions: {}\n",
        "!!python/object/apply:os.system [echo]",
        "a: &a [x]\nb: &b [*a, *a]\noptions: {mu: {value: *b}}\n",
        "commands: 3\noptions: {mu: {value: {deep: 1}}}\n",
    ],
)
def test_a_damaged_config_leaves_out_its_run(tmp_path: Path, text: str) -> None:
    make_run(tmp_path, "good")
    run = make_run(tmp_path, "bad")
    (run / "config.yaml").write_text(text)
    assert [run.name for run in read_folder(tmp_path).runs] == ["good"]
    assert problems(tmp_path) == {("bad", None, "damaged")}


def test_damaged_json_and_history_are_told_and_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    (run / "results.json").write_text("{")
    (run / "seed1" / "done").write_text("[1]")
    history = run / "seed2" / "history.jsonl"
    history.write_text(history.read_text() + '{"epoch": 3, "train_a')
    folder = read_folder(tmp_path)
    assert list(folder.runs[0].seeds) == [1, 2]
    assert len(folder.runs[0].curves[2]["val_auc"]) == 3
    assert {problem.message for problem in folder.problems} == {
        f"cannot read {name}" for name in ("run/results.json", "seed1/done")
    }


def test_nan_in_history_is_a_gap(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", seeds=(1,))
    (run / "seed1" / "history.jsonl").write_text(
        '{"epoch": 0, "train_auc": null, "val_auc": 0.5}\n{"epoch": 1, "train_auc": 1, "val_auc": NaN}\n'
    )
    assert read_folder(tmp_path).runs[0].curves[1] == {"train_auc": [None, 1.0], "val_auc": [0.5, None]}


@pytest.mark.parametrize("kind", ["nothing", "empty", "file", "unfinished", "one level up"])
def test_nothing_to_report(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "runs"
    if kind == "file":
        folder.write_text("")
    elif kind != "nothing":
        folder.mkdir()
    if kind == "unfinished":
        (make_run(folder, "run", seeds=(1,)) / "seed1" / "done").unlink()
    if kind == "one level up":
        make_run(folder / "sub", "run")
    expected = {
        "nothing": "no folder .*runs; expected checkpoint/<subfolder_name>",
        "empty": "no finished seed in .*runs; expected",
        "file": "no folder",
        "unfinished": r"no finished seed in .*runs \(run: 3 of at most 100 epochs; --resume 1 goes on with it\)",
        "one level up": "give one level more",
    }[kind]
    with pytest.raises(UserError, match=expected):
        read_folder(folder)


# --- what may be compared ----------------------------------------------------------------------------------


def test_other_data_or_counts_are_not_comparable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(tmp_path, name, training_type={"a": "BCE", "b": "LDAM"}[name])
    make_run(tmp_path, "checksum", checksum="dead" * 16, training_type="MBAUC")
    make_run(tmp_path, "counts", counts={**COUNTS, "train": (200, 20)}, training_type="MSFE")
    report = report_of(tmp_path)
    assert {row.run.name: row.group for row in report.rows} == {"a": 0, "b": 0, "checksum": 1, "counts": 2}
    assert report.differences == (
        "",
        "data checksum deaddeaddead, not c0ffeec0ffee",
        "train set 200 : 20, not 200 : 10",
    )
    assert "Data C (counts): not comparable with the other rows: train set 200 : 20, not 200 : 10." in warnings(report)


def test_alm_is_compared_with_the_same_run_without(tmp_path: Path) -> None:
    make_run(tmp_path, "bce")
    make_run(tmp_path, "bce_alm", name_file_alm="ALM_12_beg", **ALM)
    make_run(tmp_path, "bce_alm_1", **{**ALM, "delta": 1.0})
    make_run(tmp_path, "bce_alm_goes_on", **ALM, continue_train=1, baseline_cont_train="bce")
    make_run(tmp_path, "ldam", training_type="LDAM", threads=2)
    make_run(tmp_path, "ldam_alm", training_type="LDAM", threads=1, **ALM)
    make_run(tmp_path, "ldam_alm_lr", training_type="LDAM", lr=0.5, **ALM)  # another step size: no partner
    make_run(tmp_path, "focal_alm", training_type="SYM_FL", gamma=2.0, **ALM)  # no partner
    found = {(base.run.name, alm.run.name) for base, alm in pairs(report_of(tmp_path).rows)}
    assert found == {("bce", "bce_alm"), ("bce", "bce_alm_1"), ("bce", "bce_alm_goes_on"), ("ldam", "ldam_alm")}


def test_comparison_uses_the_common_seeds(tmp_path: Path) -> None:
    make_run(tmp_path, "bce", seeds=(1, 2, 3))
    make_run(tmp_path, "alm", seeds=(2, 3, 4), **ALM)
    make_run(tmp_path, "ldam", seeds=(1,), training_type="LDAM")
    make_run(tmp_path, "ldam_alm", seeds=(2,), training_type="LDAM", **ALM)
    (only,) = compare(report_of(tmp_path))
    assert only.seeds == (2, 3)
    # the same scores on both sides: nothing changes, and nothing is clear
    change = only.changes["auc"]
    assert (change.difference, change.low, change.high, change.p) == (0, 0, 0, 1)


def test_names_say_what_tells_rows_apart(tmp_path: Path) -> None:
    make_run(tmp_path, "a", ratio_pos_train=100)
    make_run(tmp_path, "b", ratio_pos_train=100, **ALM)
    make_run(tmp_path, "c", ratio_pos_train=200, training_type="SYM_LM", m=0.5)
    make_run(tmp_path, "d", ratio_pos_train=200, training_type="SYM_LM", m=0.5)
    names = {row.run.name: row.settings for row in report_of(tmp_path).rows}
    assert names == {
        "a": "BCE, 1:100",
        "b": "BCE + ALM, 1:100 (mu=0.01 delta=0.5)",
        "c": "S-LM m=0.5, 1:200, c",
        "d": "S-LM m=0.5, 1:200, d",
    }


def test_rates_come_from_the_runs_where_they_agree(tmp_path: Path) -> None:
    make_run(tmp_path, "a", tpr=(0.8,))
    assert default_tprs(read_folder(tmp_path)) == (0.8,)
    make_run(tmp_path, "b", tpr=(0.7,))
    assert default_tprs(read_folder(tmp_path)) == (0.98, 0.95, 0.90)


def test_the_default_threshold_is_that_of_the_results(tmp_path: Path) -> None:
    """It belongs to the objective; without results of the run it is 0."""
    block = {"test": {"at_default_threshold": {"threshold": 0.5}}}
    for name, results in (("a", {"seeds": {}, "ensemble": block}), ("b", {"seeds": {}})):
        (make_run(tmp_path, name) / "results.json").write_text(json.dumps(results))
    make_run(tmp_path, "c")
    found = {row.run.name: rules_of(row)[0] for row in report_of(tmp_path).rows}
    assert {name: (rule.name, rule.threshold) for name, rule in found.items()} == {
        "a": ("default", 0.5),
        "b": ("default", 0.0),
        "c": ("default", 0.0),
    }


# --- a sweep's table ---------------------------------------------------------------------------------------


def test_a_table_gives_title_order_and_what_is_missing(tmp_path: Path) -> None:
    make_run(tmp_path, "bce", seeds=(1, 2))
    make_run(tmp_path, "ldam", seeds=(1,), training_type="LDAM")
    make_run(tmp_path, "old", seeds=(1,), training_type="MBAUC")
    rows = [{"name": name, "folder": name, "seeds": [1, 2]} for name in ("ldam", "bce", "focal")]
    (tmp_path / "table.json").write_text(json.dumps({"title": "A table", "rows": rows}))
    report = report_of(tmp_path)
    assert report.folder.plan.title == "A table"
    assert [row.run.name for row in report.rows] == ["ldam", "bce"]
    assert {(p.run, p.state, p.message) for p in report.folder.problems} == {
        ("old", "left out", "no row of table.json: the table was changed, or this run was made by hand"),
        ("focal", "missing", "not started"),
        ("ldam", "missing", "seeds 2: planned, not started"),
    }


def test_trials_stand_apart_from_the_rows_that_follow(tmp_path: Path) -> None:
    """They are not compared, not starred, and in the way of no name; without a row that follows they are the rows."""
    for name in ("grid_a", "grid_b"):
        make_run(tmp_path, name, seeds=(1, 2), gain=3.0, **(ALM if name == "grid_b" else {}))
    plan = {
        "title": "A grid",
        "rows": [{"name": name, "folder": name, "seeds": [1, 2], "trial": True} for name in ("grid_a", "grid_b")],
    }
    (tmp_path / "table.json").write_text(json.dumps(plan))
    assert [row.name for row in report_of(tmp_path).rows] == ["grid_a", "grid_b"]
    assert len(compare(report_of(tmp_path))) == 1
    make_run(tmp_path, "chosen", seeds=(1, 2))
    plan["rows"] = [*plan["rows"], {"name": "chosen", "folder": "chosen", "seeds": [1, 2], "trial": False}]
    (tmp_path / "table.json").write_text(json.dumps(plan))
    report = report_of(tmp_path)
    assert [row.name for row in report.rows] == ["chosen"]
    assert [row.name for row in report.trials] == ["grid_a", "grid_b"]
    assert compare(report) == ()
    assert not best(report)
    assert [row[0].text for row in results_table(report, trials=True).rows] == ["grid_a", "grid_b"]
    assert any(line.startswith("3 runs were scored on the same test set") for line in warnings(report))
    files = csv_files(report, ())
    assert [line.split(",")[0] for line in files["trials.csv"].splitlines()[1:]] == ["grid_a"] * 2 + ["grid_b"] * 2
    assert "grid_a" not in files["rows.csv"]


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 3}', '{"rows": [{}]}', '{"rows": [{"folder": "a", "seeds": 1}]}'])
def test_a_damaged_table_is_an_error(tmp_path: Path, text: str) -> None:
    make_run(tmp_path, "run")
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(UserError, match=r"cannot read .*table.json \(.*\); fix or remove it"):
        read_folder(tmp_path)
