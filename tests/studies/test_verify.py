"""Committed results: the table of results/paper holds, and a changed digit is found."""

from __future__ import annotations

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from report_folders import CLASSES, SIZES, class_scores, make_class_run
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from studies import class_scores_only, collect, scores_only, verify
from studies.scores_only import Sample, auc, fpr_at_tpr, over_seeds
from utils.metrics.class_summary import ClassEvaluation, class_summary
from utils.metrics.summary import EvaluationOptions

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
        [sys.executable, "-c", code, str(PAPER)], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.stdout.endswith("all numbers hold\nFalse 0\n"), done.stdout + done.stderr


@pytest.fixture
def of_classes(tmp_path: Path) -> Path:
    """A run of K classes whose best epoch has the highest accuracy."""
    tprs = (0.98, 0.95, 0.9)
    options = EvaluationOptions(tprs, 0.5, 0.0, (0.1,), 10.0, (10, 10))
    evaluation = ClassEvaluation(CLASSES, SIZES["train"], {"eel": options, "fox": options})
    run, seeds = make_class_run(tmp_path, "run", select="accuracy"), {}
    for seed in (1, 2):
        folder = run / f"seed{seed}"
        parts = {part: class_scores(part, seed) for part in ("validation", "test")}
        seeds[str(seed)] = {part: class_summary(scores, options=evaluation) for part, scores in parts.items()}
        best = {f"val_{name}": seeds[str(seed)]["validation"][name] for name in ("auc", "accuracy")}
        later = {"val_auc": 0.99, "val_accuracy": best["val_accuracy"] - 0.1}
        history = [{"epoch": 0, "seconds": 1, **best}, {"epoch": 1, "seconds": 1, **later}]
        (folder / "history.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in history))
        sums = {f"{part}.csv": verify.sha256(folder / f"{part}.csv") for part in parts}
        done = {"epochs": 2, "stopped_early": False, "best_epoch": 0, "checksums": sums}
        (folder / "done").write_text(json.dumps(done))
    (run / "results.json").write_text(json.dumps({"seeds": seeds}))
    return run


def test_a_row_of_classes(of_classes: Path, tmp_path: Path) -> None:
    row = tmp_path / "paper" / "table" / "row"
    assert collect.collect(of_classes, row, name="row", commit="0") == 2
    found = json.loads((row / "row.json").read_text())["ensemble"]["test"]
    scores = [class_scores("test", seed) for seed in (1, 2)]
    labels, outputs = scores[0].label, np.mean([each.outputs for each in scores], axis=0)
    assert found["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels, outputs.argmax(axis=1)), abs=1e-12
    )
    of_fox = np.mean([each.scores[:, 1] for each in scores], axis=0)
    assert found["auc of fox"] == pytest.approx(roc_auc_score(labels == 3, of_fox), abs=1e-12)
    odds = [outputs[:, k] - np.log(np.exp(np.delete(outputs, k, axis=1)).sum(axis=1)) for k in range(4)]
    assert found["auc"] == pytest.approx(np.mean([roc_auc_score(labels == k, odds[k]) for k in range(4)]), abs=1e-12)
    assert not list(verify.problems(row))
    assert verify.main([str(tmp_path / "paper"), "--write"]) == 0
    header = "| row | reported | seeds | AUC | accuracy | balanced accuracy | AUC of eel | FPR at TPR 98 % of eel |"
    assert header in (tmp_path / "paper" / "README.md").read_text()


def test_another_epoch_or_number_of_classes_is_found(of_classes: Path, tmp_path: Path) -> None:
    row = tmp_path / "paper" / "table" / "row"
    assert collect.collect(of_classes, row, name="row", commit="0") == 2
    done = json.loads((row / "seed1" / "done").read_text())
    (row / "seed1" / "done").write_text(json.dumps({**done, "best_epoch": 1}))
    assert any("epoch 1 has not the highest validation accuracy" in line for line in verify.problems(row))
    path = row / "seed2" / "test.csv"
    path.write_text(path.read_text().replace("\n0,0,-", "\n0,0,9", 1))
    content = json.loads((row / "row.json").read_text())
    content["files"]["seed2/test.csv"] = verify.sha256(path)
    (row / "row.json").write_text(json.dumps(content))
    assert any("of eel is" in line and "the scores give" in line for line in verify.problems(row))
    results = json.loads((of_classes / "results.json").read_text())
    results["seeds"]["1"]["test"]["critical"]["fox"]["auc"] = 0.5
    (of_classes / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"seed 1, test\.auc of fox is 0\.5"):
        collect.collect(of_classes, tmp_path / "other", name="row", commit="0")


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


@pytest.mark.parametrize("module", [scores_only, class_scores_only, verify])
def test_doctests(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
