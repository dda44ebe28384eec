"""Table files: the paper's four against a copy of its choices typed here, and all that can be wrong in a file."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from utils.config.options import OPTIONS, Config
from utils.config.settings import resolve
from utils.errors import UserError
from utils.sweeping.blocks import block_of
from utils.sweeping.table_file import arguments, read_table

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "configs" / "table"

# The official README's choices: objective; number of the ALM file, delta. MBAUC has no ALM row.
PAPER = """
        | cifar10 100               | cifar10 200                | cifar100 100              | cifar100 200
BCE     | baseline_bce; 17, .25     | baseline_bce; 15, .5       | baseline_bce; 13, .1      | baseline_bce; 13, .1
S-LM    | s_LM_m05; 16, .1          | s_LM_m05; 19, 0            | s_LM_m05; 13, 1           | s_LM_m2; 14, .5
S-FL    | s_FL_g05; 16, .5          | s_FL_g05; 17, 0            | s_FL_g2; 15, .25          | s_FL_g2; 13, .1
A-LM    | a_LM_m05; 17, .25         | a_LM_m05; 19, 0            | a_LM_m2; 13, .5           | a_LM_m4; 13, .5
A-FL    | a_FL_g1; 15, .25          | a_FL_g05; 17, 1            | a_FL_g2; 14, .1           | a_FL_g2; 13, .25
CB-BCE  | cb_BCE_99; 14, .5         | cb_BCE_99; 14, .1          | cb_BCE_99; 12, .25        | cb_BCE_99; 13, 1
W-BCE   | WBCE_1_3; 17, 1           | WBCE_1_3; 17, .1           | WBCE_1; 17, 1             | WBCE_1; 16, 1
LDAM    | LDAM; 16, 1               | LDAM; 18, .25              | LDAM; 17, .5              | LDAM; 13, .25
MBAUC   | MBAUC                     | MBAUC                      | MBAUC                     | MBAUC
"""
# what each of these base files stands for: objective and its option
OBJECTIVES: dict[str, dict[str, Any]] = {
    "baseline_bce": {"training_type": "BCE"},
    "s_LM_m05": {"training_type": "SYM_LM", "m": 0.5},
    "s_LM_m2": {"training_type": "SYM_LM", "m": 2},
    "s_FL_g05": {"training_type": "SYM_FL", "gamma": 0.5},
    "s_FL_g2": {"training_type": "SYM_FL", "gamma": 2},
    "a_LM_m05": {"training_type": "ASYM_LM", "m": 0.5},
    "a_LM_m2": {"training_type": "ASYM_LM", "m": 2},
    "a_LM_m4": {"training_type": "ASYM_LM", "m": 4},
    "a_FL_g05": {"training_type": "ASYM_FL", "gamma": 0.5},
    "a_FL_g1": {"training_type": "ASYM_FL", "gamma": 1},
    "a_FL_g2": {"training_type": "ASYM_FL", "gamma": 2},
    "cb_BCE_99": {"training_type": "cb_BCE", "beta": 0.99},
    "WBCE_1": {"training_type": "WBCE", "c": 1},
    "WBCE_1_3": {"training_type": "WBCE", "c": 0.333},
    "LDAM": {"training_type": "LDAM"},
    "MBAUC": {"training_type": "MBAUC"},
}
NO_OPTIONS = dict.fromkeys(("gamma", "m", "c", "beta", "eps", "max_margin", "scale"))
PROTOCOL = {
    "resnet_type": "resnet10",
    "bsize": 64,
    "num_epochs": 100,
    "lr_decrease": 0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_dec": 2e-4,
    "patience_early_stopping": 30,
    "augment": "crop_flip",
    "train_fraction": 0.9,
    "validation_fraction": None,
    "continue_train": 0,
    "precision": "fp32",
}
SPLITS: dict[str, dict[str, Any]] = {
    "cifar10": {"lr": 0.01, "negative_classes": (1,), "positive_classes": (9,), "validation_per_class": 100},
    "cifar100": {
        "lr": 0.001,
        "negative_classes": (72, 4, 95, 30, 55),
        "positive_classes": (73,),
        "validation_per_class": 50,
    },
}
CONSTRAINT = {"rho": 2, "p2_norm": 1, "mu_limit": None, "cap_mu": 1, "introd_ALM_from": 0}


def paper_rows(column: int) -> dict[str, dict[str, Any]]:
    """What each row of one of the paper's tables must resolve to."""
    head, *lines = PAPER.strip("\n").splitlines()
    dataset, ratio = head.split("|")[column].split()
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        name, *cells = (cell.strip() for cell in line.split("|"))
        objective, _, choice = cells[column - 1].partition(";")
        plain = {"dataset_name": dataset, "ratio_pos_train": int(ratio), **PROTOCOL, **NO_OPTIONS}
        plain |= SPLITS[dataset]
        plain |= OBJECTIVES[objective]
        rows[name] = {**plain, "use_ALM": 0}
        if choice:
            number, delta = choice.split(",")
            mu = 10.0 ** (10 - int(number))  # ALM_12_beg 1e-2, ALM_13_beg 1e-3, ...
            rows[f"{name}+ALM"] = {**plain, **CONSTRAINT, "use_ALM": 1, "delta": float(delta), "mu": pytest.approx(mu)}
    return rows


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, dict[int, Config]]:
    """The jobs that --dry_run lists: row -> seed -> what main.py would make of the command."""
    assert sweep.main([*argv, "--dry_run"]) == 0
    rows: dict[str, dict[int, Config]] = defaultdict(dict)
    for line in capsys.readouterr().out.splitlines()[:-1]:
        state, command = line[:7].strip(), shlex.split(line[9:])
        assert state == "to do"
        assert command[:2] == ["python", "main.py"]
        config = resolve(command[2:]).config
        (seed,) = config.seeds
        assert config.model_name is not None
        rows[config.model_name][seed] = config
    return rows


@pytest.mark.parametrize("name", ["cifar10_1_100", "cifar10_1_200", "cifar100_1_100", "cifar100_1_200"])
def test_the_papers_tables(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = ["cifar10_1_100", "cifar10_1_200", "cifar100_1_100", "cifar100_1_200"].index(name) + 1
    expected = paper_rows(column)
    assert len(expected) == 17
    rows = listed(capsys, f"configs/table/{name}.yaml", "--set", f"checkpoint_root={tmp_path}")
    assert list(rows) == list(expected)
    for row, seeds in rows.items():
        assert list(seeds) == list(range(1, 11))
        for config in seeds.values():
            assert {key: getattr(config, key) for key in expected[row]} == expected[row], row
            assert (config.subfolder_name, config.train, config.resume) == (name, 1, 1)


def test_the_quick_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(capsys, "configs/table/quick.yaml", "--set", f"checkpoint_root={tmp_path}")
    assert len(rows) == 16
    assert {tuple(seeds) for seeds in rows.values()} == {(1, 2, 3)}
    kinds = {(c.dataset_name, c.training_type, c.use_ALM) for seeds in rows.values() for c in seeds.values()}
    assert len(kinds) == 16
    assert {kind[0] for kind in kinds} == {"mnist", "digits"}
    assert {c.threads for seeds in rows.values() for c in seeds.values()} == {1}


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_table_file_is_legal_and_says_command_time_and_date(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = path.read_text().partition("title:")[0]
    assert f"python sweep.py configs/table/{path.name}" in head
    assert "Expected time" in head
    assert "2026-" in head
    assert sweep.main([str(path), "--dry_run", "--set", f"checkpoint_root={tmp_path}"]) == 0
    assert "nothing was started" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_only_seeds_set_and_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = f"checkpoint_root={tmp_path}"
    table = "configs/table/cifar10_1_100.yaml"
    rows = listed(
        capsys, table, "--only", "*+ALM", "--seeds", "2,4-5", "--set", root, "num_epochs=3", "--set", "threads=4"
    )
    assert len(rows) == 8
    for seeds in rows.values():
        assert list(seeds) == [2, 4, 5]
        assert {(config.num_epochs, config.threads) for config in seeds.values()} == {(3, 4)}
    assert sweep.main([table, "--launcher", "print", "--seeds", "1", "--set", root]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 17
    assert all(line.startswith("python main.py --name_file_bs baseline_") for line in printed)


GOOD = "common: {dataset_name: digits}\nrows:\n  - {name: a, objective: baseline_bce}\n"
BAD = {
    "": "must hold title",
    "[1, 2]": "must hold title.*got list",
    "rows: [": "cannot read",
    "title: x": "needs rows: a list",
    "rows: {a: 1}": "rows of .* must be a list, got dict",
    "rows: [3]": "row 1 of .* must hold name: BCE, .*got str",
    "rows: [{objective: baseline_bce}]": "row 1 of .* needs a name",
    "rows: [{name: a, objektive: x}]": "unknown key 'objektive'.*did you mean objective",
    "rows: [{name: a/b}]": "model_name must be a plain name.*got a/b",
    "rows: [{name: a}, {name: a}]": "two rows named a",
    "rows: [{name: a, objective: baseline_nothing}]": "row 'a': unknown name_file_bs 'baseline_nothing'",
    "rows: [{name: a, alm: ALM_99}]": "row 'a': unknown name_file_alm 'ALM_99'",
    "rows: [{name: a, delta: -1}]": "delta must be a number >= 0, got -1 .from row 'a' of",
    "rows: [{name: a, delta: 1, set: {delta: 2}}]": "delta stands twice in row 'a' of .*, in set and beside it",
    "rows: [{name: a, objective: x, set: {name_file_bs: y}}]": "name_file_bs stands twice in row 'a'",
    "rows: [{name: a, set: {gama: 1}}]": "unknown key 'gama'.*did you mean gamma",
    "rows: [{name: a, set: {seeds: 3}}]": "seeds cannot be set .from row 'a' of",
    "rows: [{name: a, set: {delta: 1, num_epochs: x}}]": "num_epochs must be an integer >= 1, got x",
    "rows: [{name: a, set: {checkpoint_root: x}}]": "checkpoint_root cannot stand in row 'a'.*belongs into common",
    "rows: [{name: a, set: {momentum: 0.5, optimizer: adam}}]": "row 'a': momentum.*cannot act with optimizer adam",
    "rows: [{name: a, set: {training_type: LDAN}}]": "row 'a': unknown training_type 'LDAN'",
    "rows: [{name: a, set: {continue_train: 1}}]": "continue_train needs baseline_cont_train",
    "rows: [{name: a, seeds: 3-1}]": "seeds must be seeds such as",
    "seeds: none\nrows: [{name: a}]": "seeds must be seeds such as",
    "name: ../x\nrows: [{name: a}]": "subfolder_name must be a plain name",
    "common: {model_name: x}\nrows: [{name: a}]": "model_name cannot be set .from common of",
    "common: {objective: a, name_file_bs: b}\nrows: [{name: a}]": "stands twice in common",
    "common: [1]\nrows: [{name: a}]": "common of .* must hold options",
    "runs: 3\nrows: [{name: a}]": "unknown key 'runs'",
    "grid: {flags: {lr: [1]}, select: validation AUC}\nsearch: {}\n": "has both grid and search",
    "grid: 3": "grid of .* must hold keys",
    "grid: {flags: {lr: [1]}}": "select must be 'validation AUC' or",
    "grid: {flags: {lr: [1]}, select: test AUC}": "select must be 'validation AUC' or .*got 'test AUC'",
    "grid: {flags: {lr: [1]}, select: validation FPR at TPR 2}": "select must be",
    "grid: {flags: {lr: [1]}, select: validation FPR at TPR 0.5}": "add it to the runs, in common: tpr",
    "grid: {flags: {}, select: validation AUC}": "flags of the grid of .* must hold lists",
    "grid: {flags: {lr: 1}, select: validation AUC}": "lr of the grid of .* must be a list",
    "grid: {flags: {lr: [1, 1.0]}, select: validation AUC}": "has a value twice",
    "grid: {flags: {lr: [1:20]}, select: validation AUC}": "lr must be a number > 0, got 1:20",
    "grid: {flags: {bsize: [64, 064]}, select: validation AUC}": "bsize of the grid of .* has a value twice",
    "grid: {flags: {lr: [1], lr: [2]}, select: validation AUC}": "it has lr twice",
    "grid: {flags: {alm: [x], name_file_alm: [x]}, select: validation AUC}": "have name_file_alm twice",
    "grid: {flags: {lr: [1]}, also: {lr: {1: {}, 1.0: {}}}, select: validation AUC}": "has lr 1.0 twice",
    "grid: {flags: {lr: [1]}, select: validation FPR at TPR 0_9}": "select must be",
    "grid: {flags: {lr: [0]}, select: validation AUC}": "lr must be a number > 0, got 0",
    "grid: {flags: {lr: [1]}, for_each: [m], select: validation AUC}": "unknown flag in for_each 'm'",
    "grid: {flags: {lr: [1]}, for_each: lr, select: validation AUC}": "for_each of the grid of .* must be a list",
    "grid: {flags: {lr: [1]}, for_each: [[lr]], select: validation AUC}": r"unknown key \"\['lr'\]\"",
    "grid: {flags: {lr: [1]}, select: validation AUC, extra: 1}": "unknown key 'extra'",
    "rows: [{name: a, delta: 1}]": "row 'a': delta .* cannot act with use_ALM 0; add --use_ALM 1 or an ALM file",
    "rows: [{name: a, set: {gamma: 2}}]": "row 'a': gamma .* has no use in BCE, which takes no options; it belongs to",
    "common: {delta: 1}\nrows: [{name: a}, {name: b}]": "delta is read by no row; in 'a' it cannot act with use_ALM 0",
    "common: {delta: 1}\nrows: [{name: a, alm: ALM_12_beg, delta: 2}, {name: b}]": "delta is read by no row; in 'b' it",
    "common: {positive_share: 0.5}\nrows: [{name: a}]": "positive_share is read by no row; in 'a' it has no use in",
    "grid: {flags: {delta: [0, 1]}, select: validation AUC}": "delta of the grid of .* is read by none of its runs: it",
    "grid: {flags: {lr: [1]}, set: {delta: 1}, select: validation AUC}": "delta is read by no row; in 'grid_lr=1' it",
    "epochs: 3\nrows: [{name: a}]": "unknown key 'epochs' .from .*; did you mean common: {epochs: ...}",
    "seed: 3\nrows: [{name: a}]": "unknown key 'seed' .from .*; did you mean seeds",
    "common: {max_epochs: 3}\nrows: [{name: a}]": "unknown key 'max_epochs' .from common of .*did you mean num_epochs",
    "rows: [{name: a, set: {batchsize: 3}}]": "unknown key 'batchsize' .from row 'a' .*did you mean bsize",
    "rows: [{name: a, set: {batch_size: 3, bsize: 3}}]": "bsize stands twice in row 'a'",
    "rows: [{name: a, set: {batch_size: 0}}]": "batch_size must be an integer >= 1, got 0 .from row 'a'",
    "rows: [{name: a, criterion: x}]": "unknown key 'criterion' .from row 'a' .*set: {training_type: ...} or set: {",
    "rows: [{name: a, lr: 1}]": "unknown key 'lr' .from row 'a' .*; did you mean set: {lr: ...}",
    "grid: {flags: {learning_rate: [1]}, select: validation AUC}": "unknown key 'learning_rate'.*did you mean lr",
    "common: {num_workers: 3}\nrows: [{name: a}]": "unknown key 'num_workers' .from common.*no worker loads them",
    "grid: {flags: {lr: [1]}, also: 3, select: validation AUC}": "also of the grid of .* must hold lines such as",
    "grid: {flags: {lr: [1]}, also: {lr: 3}, select: validation AUC}": "also of the grid of .* must hold lines such as",
    "grid: {flags: {lr: [1]}, also: {m: {1: {}}}, select: validation AUC}": "unknown flag in also 'm'",
    "grid: {flags: {lr: [1]}, also: {lr: {2: {}}}, select: validation AUC}": "names lr 2, which is not among its",
    "grid: {flags: {lr: [1]}, also: {lr: {1: {lr: 2}}}, select: validation AUC}": "sets lr, which is a flag of the",
    f"grid: {{flags: {{lr: {list(range(1, 102))}, bsize: {list(range(1, 102))}}}, select: validation AUC}}": (
        "10201 combinations"
    ),
}


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that bad input ends with."""
    assert sweep.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_in_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(content)
    error = refused([str(path), "--dry_run", "--set", f"checkpoint_root={tmp_path}/c"], capsys)
    assert re.search(BAD[content], error), error
    assert [file.name for file in tmp_path.iterdir()] == ["t.yaml"]


@pytest.mark.parametrize(
    "argv, match",
    [
        (["--jobs", "0"], "must be an integer >= 1, got '0'"),
        (["--launcher", "pbs"], "invalid choice: 'pbs'"),
        (["--only", "zzz"], "--only 'zzz' matches no row of .*; rows: a"),
        (["--jobs", "１"], "must be an integer >= 1"),
        (["--set", "lr=1", "lr=2"], "--set has lr twice; remove one"),
        (["--set", "delta=1", "--set", "delta=1"], "--set has delta twice; remove one"),
        (["--set", "name_file_bs=x", "objective=x"], "objective stands twice in --set"),
        (["--set", "threads=3", "--threads", "2"], "threads stands twice, as --threads and in --set"),
        (["--set", "ratio_pos_train=1:20"], " must be natural or a number >= 1 .*, got 1:20 .from --set."),
        (["--threads", "1_0"], r"threads must be an integer in 0..1024, got 1_0 \(from --threads\)"),
        (["--device", "gpu"], "row 'a': device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        (["--device", "cuda:77"], "row 'a': device cuda:77 is not there"),
        (["--data_root", "a\nb"], "data_root must be a path in printable text"),
        (["--max_epochs", "3"], "unrecognized arguments: --max_epochs 3; did you mean --set num_epochs=VALUE"),
        (["--epochs", "3"], "--epochs is an option of main.py; give it as --set epochs=VALUE"),
        (["--gpu", "0"], "unrecognized arguments: --gpu 0; did you mean --device"),
        (["--set", "batchsize=3"], "unknown key 'batchsize' .from --set.; did you mean bsize"),
        (["--num_epochs", "3"], "--num_epochs is an option of main.py; give it as --set num_epochs=VALUE"),
        (["--committed=~/nowhere"], "--committed must be a folder .*, got /.*/nowhere"),
        (["--launcher", "slurm", "--slurm", "account=a", "account=b"], "--slurm has account twice"),
        (["--set", "num_epochs"], "--set must be name=value"),
        (["--set", "max_epochs=3"], "unknown key 'max_epochs' .from --set."),
        (["--set", "model_name=x"], "model_name cannot be set"),
        (["--seeds", "x"], "seeds must be seeds such as"),
        (["--retry", "all"], "invalid choice"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_a_bad_command_is_refused_in_one_line(
    argv: list[str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(GOOD)
    assert re.search(match, refused([str(path), *argv, "--set", f"checkpoint_root={tmp_path}/c"], capsys))
    assert [file.name for file in tmp_path.iterdir()] == ["t.yaml"]


@pytest.mark.parametrize(
    "options, match",
    [
        ("dataset_name: scans", "row 'b': dataset_name must be one of .* neither .*/scans.npz nor .* exists"),
        ("dataset_name: mnist, download: 0", "row 'b': mnist: neither torchvision's MNIST/raw nor mnist.npz exists"),
        ("dataset_name: cifar10, download: 0", "row 'b': cifar10: torchvision refuses the folder"),
        ("dataset_name: torn", "row 'b': .*/torn.npz: expected an .npz file .*, but it is not a zip"),
    ],
)
def test_missing_data_fail_once_and_before_any_job(
    options: str, match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, data = tmp_path / "t.yaml", tmp_path / "data"
    (data / "cifar-10-batches-py").mkdir(parents=True)
    (data / "cifar-10-batches-py" / "test_batch").touch()
    (data / "torn.npz").write_text("no")
    rows = f"[{{name: a, set: {{dataset_name: digits}}}}, {{name: b, set: {{{options}}}}}]"
    path.write_text(f"common: {{checkpoint_root: {tmp_path}/c}}\nrows: {rows}\n")
    argv = [str(path), "--data_root", str(data)]
    error = refused(argv, capsys)
    assert re.search(match, error), error
    assert not (tmp_path / "c").exists()
    assert sweep.main([*argv, "--dry_run"]) == 0
    assert sweep.main([*argv, "--only", "a", "--seeds", "1", "--jobs", "1"], command=("true",)) == 1
    assert "ended without finishing the seed" in capsys.readouterr().out  # it was started


def test_the_machine_is_chosen_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wins over the table, and is no other run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "t.yaml"
    path.write_text("common: {dataset_name: digits, threads: 5, data_root: x}\nrows: [{name: a, set: {device: cuda}}]")
    (config,) = listed(
        capsys, "~/t.yaml", "--seeds", "1", "--data_root", "~/data", "--device", "cpu", "--threads", "3"
    )["a"].values()
    assert (config.data_root, config.device, config.threads) == (f"{tmp_path}/data", "cpu", 3)


def test_a_table_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"there is no table file nowhere.yaml; {TABLES} has some" in refused(["nowhere.yaml"], capsys)


def test_a_table_below_configs_is_the_working_folder_s_or_the_program_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep.main(["configs/table/quick.yaml", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "of 48 done" in printed
    assert printed.count(shlex.join(["python", str(ROOT / "main.py")])) == 48  # to be typed in this folder
    assert "did you mean configs/table/quick.yaml?" in refused(["configs/table/quick"], capsys)
    assert "there is no table file table/quick.yaml" in refused(["table/quick.yaml"], capsys)
    assert "there is no table file configs/table;" in refused(["configs/table"], capsys)
    (tmp_path / "configs" / "table").mkdir(parents=True)
    (tmp_path / "configs" / "table" / "quick.yaml").write_text("rows: [{name: mine, objective: baseline_bce}]")
    assert sweep.main(["configs/table/quick.yaml", "--seeds", "1", "--dry_run"]) == 0
    assert "--model_name mine" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_sees_no_traceback() -> None:
    command = f"{sys.executable} sweep.py configs/table/cifar10_1_100.yaml --dry_run | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.startswith("to do")
    assert done.stderr == ""


def test_slurm_without_its_parts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(GOOD)
    argv = [str(path), "--launcher", "slurm", "--set", f"checkpoint_root={tmp_path}/c"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs sbatch, which is not on this machine; see --launcher print" in refused(argv, capsys)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "needs submitit: pip install" in refused(argv, capsys)


NAMES = st.text("abcXYZ019_", min_size=1, max_size=8).filter(lambda name: name[0] not in "+-")
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "alpha": st.floats(0.01, 1),
        "lr": st.floats(1e-9, 1e3),
        "bsize": st.integers(1, 10_000),
        "tpr": st.lists(st.floats(0.01, 1), min_size=1, max_size=4, unique=True),
        "negative_classes": st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True),
        "dataset_name": NAMES,
        "lr_decrease": st.integers(0, 1),
        "data_root": st.sampled_from(["datasets", "/data/with space", "a'b"]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), common=VALUES)
def test_what_a_file_says_is_what_main_gets(
    rows: dict[str, dict[str, Any]], common: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "t.yaml"
    lines = [{"name": name, "set": options} for name, options in rows.items()]
    path.write_text(yaml.safe_dump({"common": common, "rows": lines}))
    for row in read_table(path).rows():
        config = resolve(shlex.split(shlex.join(arguments(row.options)))).config
        for key, value in {**common, **rows[row.name]}.items():
            assert getattr(config, key) == (tuple(value) if isinstance(value, list) else value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(sorted(OPTIONS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "rows", "common", "set", "grid", "flags", "select", "seeds", "lr", "delta", 3]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ANYTHING | st.binary(max_size=40))
def test_any_other_file_is_refused_and_nothing_worse(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    with contextlib.suppress(UserError):
        table = read_table(path)
        block_of(table).examples()


def test_committed_seeds_count_as_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results of CIFAR-100 1:100, BCE, seed 2, as another machine has committed them."""
    seed = tmp_path / "paper" / "cifar100_1_100" / "BCE" / "seed2"
    seed.mkdir(parents=True)
    (seed / "done").write_text(json.dumps({"epochs": 46, "best_epoch": 14, "stopped_early": True}))
    given = ["configs/table/cifar100_1_100.yaml", "--launcher", "print", "--only", "BCE", "--seeds", "1-3"]
    given += ["--set", f"checkpoint_root={tmp_path}", "--committed"]
    assert sweep.main([*given, str(tmp_path / "paper")]) == 0
    commands = capsys.readouterr().out.splitlines()
    assert [line.rpartition("--seeds ")[2] for line in commands] == ["1", "3"]
    (seed / "done").write_text("{}")
    assert "done" in refused([*given, str(tmp_path / "paper")], capsys)
    assert "--committed must be a folder" in refused([*given, str(tmp_path / "nowhere")], capsys)
    grid = ["configs/table/quick_grid.yaml", "--dry_run", "--committed", str(tmp_path)]
    assert "--committed needs a plain table" in refused(grid, capsys)


def test_a_shared_option_is_left_out_of_the_rows_that_do_not_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From common and from --set; each row's own command has only what its run reads, and main.py takes it."""
    path = tmp_path / "t.yaml"
    path.write_text(
        f"""
common: {{dataset_name: digits, checkpoint_root: {tmp_path}/c, delta: 0.5, gamma: 2, positive_share: 0.3, lr: 0.1}}
rows:
  - {{name: BCE}}
  - {{name: BCE+ALM, alm: ALM_12_beg}}
  - {{name: BCE+rate, alm: RATE_TPR98}}
  - {{name: S-FL, objective: baseline_s_FL_g1, set: {{gamma: 1}}}}
  - {{name: A-FL, set: {{training_type: ASYM_FL, sampler: balanced}}}}
  - {{name: featureless, set: {{resnet_type: featureless}}}}
"""
    )
    names = ("delta", "gamma", "positive_share", "lr", "momentum")
    expected = {
        "BCE": {"lr": "0.1", "momentum": "0.8"},
        "BCE+ALM": {"delta": "0.5", "lr": "0.1", "momentum": "0.8"},
        "BCE+rate": {"lr": "0.1", "momentum": "0.8"},  # its margin is a TPR
        "S-FL": {"gamma": "1", "lr": "0.1", "momentum": "0.8"},
        "A-FL": {"gamma": "2", "positive_share": "0.3", "lr": "0.1", "momentum": "0.8"},
        "featureless": {},
    }
    assert sweep.main([str(path), "--dry_run", "--seeds", "1", "--set", "momentum=0.8"]) == 0
    for line in capsys.readouterr().out.splitlines()[:-1]:
        words = shlex.split(line)
        given = {words[i][2:]: words[i + 1] for i in range(len(words) - 1) if words[i].startswith("--")}
        assert {name: given[name] for name in names if name in given} == expected.pop(given["model_name"])
    assert not expected
    assert sweep.main([str(path), "--dry_run", "--set", "delta=1", "--only", "BCE"]) == 0  # BCE+ALM reads it


def test_what_is_left_out_of_a_row_is_known(tmp_path: Path) -> None:
    row = "{name: b, set: {optimizer: adam}}"
    path = tmp_path / "t.yaml"
    path.write_text(f"common: {{momentum: 0.5, patience_lr: 3}}\nrows: [{{name: a, set: {{lr_decrease: 1}}}}, {row}]\n")
    first, second = read_table(path).rows()
    assert first.shared == {"momentum", "patience_lr"}
    assert second.options == {"optimizer": "adam"}
    assert second.left_out == {"momentum": 0.5, "patience_lr": 3}
