"""predict.py --name with K classes: frozen thresholds judged on other data, without touching the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import results, run
from scipy.stats import binom, ks_2samp
from sklearn.metrics import confusion_matrix, roc_auc_score

import predict
from utils.run_files.class_scores_csv import read_class_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
SITES = ("a", "b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds on made-up images of classes 2, 5 and 6, the brighter the higher; 6 and 5 are critical."""
    root = tmp_path_factory.mktemp("run")
    generator = np.random.Generator(np.random.PCG64(3))
    content: dict[str, np.ndarray] = {}
    for part, count in (("train", 360), ("test", 120)):
        kinds = np.arange(count) % 3
        pixels = generator.integers(0, 200, (count, 32, 32)) + 4 * kinds[:, None, None]
        content |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": np.array([2, 5, 6])[kinds]}
    np.savez(root / "scans.npz", allow_pickle=False, **content)
    more = f"--dataset_name scans --data_root {root} --task classes --critical_classes 6 5 --seeds 1-2 --num_epochs 2"
    return run(root, more)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other images, a little darker, with labels and a site each."""
    root = tmp_path_factory.mktemp("other")
    generator = np.random.Generator(np.random.PCG64(4))
    rows = []
    for number in range(90):
        kind = number % 3
        pixels = generator.integers(0, 190, (32, 32)) + 4 * kind
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number}.png")
        rows.append((f"{number}.png", (2, 5, 6)[kind], SITES[number // 45]))
    with (root / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "site"), *rows])
    return root


def command(folder: Path, other: Path, *more: str, labels: str = "labels.csv", name: str = "b") -> list[str]:
    return [str(folder), "--images", str(other), "--labels", str(other / labels), "--name", name, *more]


def read(folder: Path, name: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    own = folder / "external" / name
    with (own / "scores.csv").open(newline="") as stream:
        return json.loads((own / "results.json").read_text()), list(csv.DictReader(stream))


def test_numbers_are_those_of_the_scores(folder: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert predict.main(command(folder, other, "--by", "site", "--rule", "plug-in", "0.9")) == 0
    assert {path: path.read_bytes() for path in before} == before  # not a byte of the run
    own = folder / "external" / "b"
    names = ["card.txt", "confusion.png", "results.json", "roc.png", "scores.csv"]
    assert sorted(path.name for path in own.iterdir()) == names
    content, rows = read(folder, "b")
    labels = np.array([["2", "5", "6"].index(row["label"]) for row in rows])
    outputs = np.array([[float(row[f"output_{name}"]) for name in ("2", "5", "6")] for row in rows])
    scores = np.array([[float(row[f"score_{name}"]) for name in ("6", "5")] for row in rows])
    seeds = [[float(row[f"score_5_seed{seed}"]) for row in rows] for seed in (1, 2)]
    np.testing.assert_allclose(scores[:, 1], np.mean(seeds, axis=0), rtol=1e-15)
    test = content["test"]
    assert test["n_of_class"] == {"2": 30, "5": 30, "6": 30}
    assert test["confusion"] == confusion_matrix(labels, outputs.argmax(axis=1)).tolist()
    right = int((labels == outputs.argmax(axis=1)).sum())
    assert test["accuracy"] == pytest.approx(right / 90)
    low, high = test["accuracy_interval"]
    assert binom.sf(right - 1, 90, low) == pytest.approx(0.025)  # Clopper-Pearson, from its definition
    assert binom.cdf(right, 90, high) == pytest.approx(0.025)
    for place, (name, label) in enumerate((("6", 2), ("5", 1))):
        block = test["critical"][name]
        assert block["auc"] == pytest.approx(roc_auc_score(labels == label, scores[:, place]), abs=1e-12)
        run_scores = read_class_scores(folder / "ensemble" / "test.csv")
        ks = ks_2samp(scores[labels != label, place], run_scores.scores[run_scores.label != label, place])
        assert content["shift"][name]["negative"]["distance"] == pytest.approx(ks.statistic)
    (frozen,) = [
        point
        for point in results(folder)["ensemble"]["test"]["decisions"]
        if (point["rule"], point["tpr"]) == ("plug-in", 0.9)
    ]
    (point,) = [point for point in test["decisions"] if (point["rule"], point["tpr"]) == ("plug-in", 0.9)]
    assert point["thresholds"] == frozen["thresholds"]
    excess = scores - [frozen["thresholds"][name] for name in ("6", "5")]
    decided = np.where(excess.max(axis=1) >= 0, np.array([2, 1])[excess.argmax(axis=1)], 0)  # one other class
    assert point["confusion"] == confusion_matrix(labels, decided).tolist()
    for label, name in enumerate(("2", "5", "6")):
        assert point["recall"][name] == pytest.approx((decided[labels == label] == label).mean())
    assert point["error_of_others"] == pytest.approx((decided[labels == 0] != 0).mean())
    sites = np.array([row["site"] for row in rows])
    for place, (name, label) in enumerate((("6", 2), ("5", 1))):
        groups = {group["group"]: group for group in content["groups"]["site"][name]}
        for site in SITES:
            called = excess[sites == site, place] >= 0
            assert groups[site]["tp"] == called[labels[sites == site] == label].sum()
            assert groups[site]["fp"] == called[labels[sites == site] != label].sum()
    assert capsys.readouterr().out.startswith((own / "card.txt").read_text())


def test_another_class_may_be_missing(folder: Path, other: Path) -> None:
    """Of the classes that are not critical; then there is no mean AUC."""
    lines = (other / "labels.csv").read_text().splitlines()
    kept = [lines[0], *(line for line in lines[1:] if ",2," not in line)]
    (other / "two.csv").write_text("\n".join(kept) + "\n")
    (other / "two.txt").write_text("\n".join(line.partition(",")[0] for line in kept[1:]) + "\n")
    argv = command(folder, other, labels="two.csv", name="two")
    argv[argv.index("--images") + 1] = str(other / "two.txt")
    assert predict.main(argv) == 0
    test = read(folder, "two")[0]["test"]
    assert test["auc"] is None
    assert test["recall"]["2"] is None
    assert test["recall_interval"]["2"] is None
    assert test["n_of_class"] == {"2": 0, "5": 30, "6": 30}
    assert "error_of_others" not in test["decisions"][0]
    assert "mean AUC" not in (folder / "external" / "two" / "card.txt").read_text()


def each(label: str, first: str = "") -> str:
    """A table that gives every image this label, and perhaps the first another one."""
    labels = [first or label, *[label] * 89]
    return "path,label\n" + "".join(f"{number}.png,{text}\n" for number, text in enumerate(labels))


BAD = {
    each("7"): "must be a class of the run (2, 5, 6), got '7'",
    each("positive"): "must be a class of the run (2, 5, 6), got 'positive'",
    each("2", first="5"): "must have images of class 6 and of others, got 0 of 90",
    each("6"): "must have images of class 6 and of others, got 90 of 90",
    "path,label\n0.png,6\n": "must have a label for each image, got none for 1.png and 88 more",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_bad_labels_are_one_line_and_write_nothing(
    content: str, folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(content)
    assert predict.main([str(folder), "--images", str(other), "--labels", str(labels), "--name", "bad"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert BAD[content] in line
    assert not (folder / "external" / "bad").exists()
