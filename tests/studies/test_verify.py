"""Committed results: the table of results/paper holds, and a changed digit is found."""

from __future__ import annotations

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from studies import collect, scores_only, verify
from studies.scores_only import Sample, auc, fpr_at_tpr, over_seeds

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "results" / "paper"
FIRST = verify.rows_of(PAPER)[0]


@pytest.fixture
def row(tmp_path: Path) -> Path:
    """A copy of the first committed row."""
    folder = tmp_path / "paper" / FIRST.parent.name / FIRST.name
    shutil.copytree(FIRST, folder)
    return folder


def test_committed_numbers_follow_from_the_scores_and_no_torch_is_needed() -> None:
    code = "import sys; from studies.verify import main; code = main(sys.argv[1:]); print('torch' in sys.modules, code)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(PAPER)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.endswith("all numbers hold\nFalse 0\n"), done.stdout + done.stderr


def test_a_changed_digit_of_a_score_is_found(row: Path) -> None:
    """By its checksum; and by the numbers, where the checksum was changed with it."""
    assert not list(verify.problems(row))
    path = next(row.glob("seed*/test.csv"))
    lines = path.read_text().splitlines()
    fields = lines[1].split(",")
    fields[2] = str(float(fields[2]) + 100)
    path.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
    assert any("SHA-256" in line for line in verify.problems(row))
    content = json.loads((row / "row.json").read_text())
    content["files"][str(path.relative_to(row))] = verify.sha256(path)
    (row / "row.json").write_text(json.dumps(content))
    assert any("the scores give" in line for line in verify.problems(row))
    assert any("with which the seed was finished" in line for line in verify.problems(row))


@pytest.mark.parametrize("name", ["mean", "sd"])
def test_a_changed_number_of_a_row_is_found(row: Path, name: str) -> None:
    content = json.loads((row / "row.json").read_text())
    content["over_seeds"]["test"]["auc"][name] = 0.5
    (row / "row.json").write_text(json.dumps(content))
    (line,) = verify.problems(row)
    assert f"over_seeds.test.auc.{name} is 0.5" in line


def test_a_missing_and_an_unlisted_file_are_found(row: Path) -> None:
    (row / "config.yaml").rename(row / "other.yaml")
    found = list(verify.problems(row))
    assert len(found) == 2
    assert all(word in line for word, line in zip(("missing", "not listed"), found, strict=True))


def test_an_old_table_is_found(row: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper = row.parents[1]
    assert verify.main([str(paper), "--write"]) == 0
    assert verify.main([str(paper)]) == 0
    (paper / "README.md").write_text("0.999")
    assert verify.main([str(paper)]) == 1
    assert "not the table of these rows" in capsys.readouterr().out


def test_numbers_equal_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        label = (np.arange(60) < 20).astype(np.int64)
        score = generator.integers(0, 12, 60) / 4 + label  # many ties
        sample = Sample(np.arange(60), label, score)
        assert auc(sample) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
        for target in (0.98, 0.95, 0.9, 0.5):
            assert fpr_at_tpr(sample, target) == fpr[np.argmax(tpr >= target)]


def test_interval_over_seeds_by_hand() -> None:
    """Seeds 1 and 3: mean 2, SD sqrt(2); t of 1 degree of freedom is 12.706."""
    low, high = over_seeds([1.0, 3.0])["interval"]  # type: ignore[misc]
    assert (low, high) == (pytest.approx(2 - 12.706, abs=1e-3), pytest.approx(2 + 12.706, abs=1e-3))
    assert over_seeds([1.0])["interval"] is None


def test_a_command_is_kept_without_the_paths_of_a_machine() -> None:
    command = "python main.py --bsize 64 --data_root /somewhere/data --seeds 1 2 --resume 1 --model_name BCE"
    assert collect._without_paths(command) == "python main.py --bsize 64 --model_name BCE"


def test_doctests() -> None:
    result = doctest.testmod(scores_only)
    assert result.attempted
    assert not result.failed
