"""report.py as a command: the files it writes, the input it rejects, and that it leaves the runs unchanged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report_by_hand import STORED
from report_folders import make_run

import report

ROOT = Path(report.__file__).parent
FILES = {"report.html", "report.md", "rows.csv", "seeds.csv", "alm.csv", "operating_points.csv", "thresholds.csv"}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_imports_no_torch_and_leaves_the_runs_alone(tmp_path: Path) -> None:
    before = everything(STORED)
    code = f"""
import sys
import report
code = report.main([{str(STORED)!r}, "--out", {str(tmp_path / "out")!r}])
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(code, sorted(loaded & {{"torch", "torchvision", "matplotlib", "models"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
    assert everything(tmp_path / "out") == FILES
    assert everything(STORED) == before


def test_a_second_report_is_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default it lies beside the runs, and is neither a run nor a row of the sweep's table."""
    make_run(tmp_path, "run")
    make_run(tmp_path, "alm", use_ALM=1)
    names = ("run", "alm")
    rows: list[dict[str, Any]] = [{"name": name, "folder": name, "seeds": [1], "options": {}} for name in names]
    (tmp_path / "table.json").write_text(json.dumps({"title": "sweep", "rows": rows}))
    texts = []
    for _ in range(2):
        assert report.main([str(tmp_path)]) == 0
        assert everything(tmp_path / "report") == FILES
        texts.append({name: (tmp_path / "report" / name).read_bytes() for name in FILES})
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "report" / "report.html")
    assert texts[0] == texts[1]
    assert b"left out" not in texts[1]["report.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: folder"),
        (["{runs}", "--tpr", "1.5"], "tpr must be true positive rates in (0, 1], got 1.5"),
        (["{runs}", "--tpr", "0.9", "0.9"], "tpr must be"),
        (["{runs}", "--tpr", "high"], "tpr must be"),
        (["{runs}", "--tpr"], "expected at least one argument"),
        (["{runs}", "--colour"], "unrecognized arguments: --colour"),
        (["{runs}/nothing"], "no folder"),
        (["{runs}/run"], "is a single run; expected the folder of the runs: python report.py"),
        (["{runs}", "--out", "{runs}/run"], "holds a run or is not a folder; choose another --out"),
        (["{runs}", "--out", "{runs}/run/config.yaml"], "holds a run or is not a folder"),
        (["{runs}", "--out", "{runs}/run/config.yaml/x"], "cannot create the folder"),
        (["{runs}/" + "x" * 300], ""),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    make_run(runs, "run")
    before = everything(tmp_path)
    assert report.main([argument.replace("{runs}", str(runs)) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.fullmatch(r"error: [^\n]+\n", shown.err)
    assert message in shown.err
    assert everything(tmp_path) == before


def test_no_name_adds_a_column_to_a_markdown_table(tmp_path: Path) -> None:
    """For HTML and formulas see tests/system/test_hostile.py."""
    name = "a|b`*_[x](y)&\\"
    run = make_run(tmp_path / "runs", "one", training_type=name, dataset_name=name, command=name)
    make_run(tmp_path / "runs", "two|", use_ALM=1, training_type=name, checksum=name)
    (run / "seed2" / "failed").write_text(name)
    assert report.main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    lines = (tmp_path / "out" / "report.md").read_text().splitlines()
    widths = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines]
    tables = [number for number, line in enumerate(lines) if line.startswith("|") and lines[number - 1].startswith("|")]
    assert len(tables) > 20
    assert all(widths[number] == widths[number - 1] for number in tables)


def test_a_single_run_with_a_single_seed(tmp_path: Path) -> None:
    make_run(tmp_path, "run", seeds=(1,))
    assert report.main([str(tmp_path)]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "With and without ALM" not in page
    assert "(best)" not in page
    assert "None: no seed failed, and every row has the same seeds." in page


def test_only_folds(tmp_path: Path) -> None:
    for fold in (1, 2):
        make_run(tmp_path, f"fold{fold}", folds=2, fold=fold, subset_ratios=(1, 9), test_subset=1, train_on="same")
    assert report.main([str(tmp_path)]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Cross-validation: trained on the same, the other or all subsets" in page
    assert 'id="results"' not in page
    assert (tmp_path / "report" / "rows.csv").read_text().count("\n") == 1
