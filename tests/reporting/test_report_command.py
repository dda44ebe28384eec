"""report.py as a command: the files it writes, the input it rejects, and that it leaves the runs unchanged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_by_hand import STORED
from report_folders import COUNTS, make_run

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
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
    assert everything(tmp_path / "out") == FILES
    assert everything(STORED) == before


def test_the_default_folder_is_inside_the_folder_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, "run")
    for _ in range(2):  # a second report does not read the first as a run
        assert report.main([str(tmp_path)]) == 0
    assert everything(tmp_path / "report") == FILES
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "report" / "report.html")


def test_the_report_is_not_a_row_of_a_sweep(tmp_path: Path) -> None:
    make_run(tmp_path, "run")
    row = {"name": "run", "folder": "run", "seeds": [1], "options": {}}
    (tmp_path / "table.json").write_text(json.dumps({"title": "sweep", "rows": [row]}))
    texts = []
    for _ in range(2):
        assert report.main([str(tmp_path)]) == 0
        texts.append((tmp_path / "report" / "report.md").read_text())
    assert "left out" not in texts[1]
    assert texts[0] == texts[1]


def test_the_same_files_give_the_same_report(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a")
    make_run(tmp_path / "runs", "b", use_ALM=1)
    texts = []
    for _ in range(2):
        assert report.main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
        texts.append({name: (tmp_path / "out" / name).read_bytes() for name in FILES})
    assert texts[0] == texts[1]


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
        (["{runs}", "--out", "{runs}/run/config.yaml/x"], "cannot"),
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


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>|`*_[x](y)&\"'"


def test_every_name_is_escaped(tmp_path: Path) -> None:
    """Names from folders, options, messages, commands and sources, in the page, in Markdown and in CSV."""
    runs = tmp_path / "<b>runs&"
    make_run(runs, "=cmd()&<i>", command=f"python {HOSTILE}", training_type=HOSTILE)
    run = make_run(runs, "@b<u>", use_ALM=1, training_type=HOSTILE, dataset_name=HOSTILE, resnet_type=HOSTILE)
    (run / "seed2" / "done").unlink()
    (run / "seed2" / "failed").write_text(HOSTILE)
    make_run(runs, "c", counts={**COUNTS, "train": (9, 9)}, checksum=HOSTILE)
    assert report.main([str(runs), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<script") == 1  # our own
    for tag in ("<img", "<b>runs", "<i>", "<u>"):
        assert tag not in page
    assert "onerror" in page  # as text
    markdown = (tmp_path / "out" / "report.md").read_text()
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert not [line for line in tables if re.search(r"(?<!\\)<", line)]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert all(
        widths[number] == widths[number + 1] for number, line in enumerate(tables[:-1]) if "| :--" in tables[number + 1]
    )
    for name in ("rows.csv", "seeds.csv", "alm.csv", "operating_points.csv", "thresholds.csv"):
        assert not re.search(r"^[=@]", (tmp_path / "out" / name).read_text(), flags=re.MULTILINE)


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


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        report.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("folder", "--out", "--tpr"))
