"""predict.py --name: frozen thresholds judged on other data, without touching the run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import results, run
from scipy.stats import beta, binom, ks_2samp
from sklearn.metrics import roc_auc_score

import predict
from utils.run_files.scores_csv import read_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

SITES = ("a", "b", "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds on made-up images, whose positives are brighter."""
    root = tmp_path_factory.mktemp("run")
    generator = np.random.Generator(np.random.PCG64(3))
    content: dict[str, np.ndarray] = {}
    for part, count in (("train", 400), ("test", 120)):
        labels = np.arange(count) % 2
        pixels = generator.integers(0, 200, (count, 32, 32)) + 4 * labels[:, None, None]
        content |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": labels}
    np.savez(root / "scans.npz", allow_pickle=False, **content)
    return run(root, f"--dataset_name scans --data_root {root} --ratio_pos_train 1 --seeds 1-2 --num_epochs 2")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other images, a little darker, with labels in words and as classes, and a site each."""
    root = tmp_path_factory.mktemp("other")
    generator = np.random.Generator(np.random.PCG64(4))
    rows = []
    for number in range(90):
        label = int(number % 3 == 0)
        pixels = generator.integers(0, 190, (32, 32)) + 4 * label
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number}.png")
        words = str(label) if number % 2 else ("negative", "positive")[label]
        rows.append((f"{number}.png", words, SITES[number // 30]))
    with (root / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "site"), *rows])
    return root


def command(folder: Path, other: Path, *more: str) -> list[str]:
    return [str(folder), "--images", str(other), "--labels", str(other / "labels.csv"), "--name", "hospital_b", *more]


def test_numbers_are_those_of_the_scores(folder: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert predict.main(command(folder, other, "--by", "site", "--rule", "plug-in", "0.9")) == 0
    assert {path: path.read_bytes() for path in before} == before  # not a byte of the run
    own = folder / "external" / "hospital_b"
    assert sorted(path.name for path in own.iterdir()) == ["card.txt", "results.json", "roc.png", "scores.csv"]
    with (own / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels, scores = (np.array([float(row[name]) for row in rows]) for name in ("label", "score"))
    assert labels.sum() == 30
    seeds = [[float(row[f"score_seed{seed}"]) for row in rows] for seed in (1, 2)]
    np.testing.assert_allclose(scores, np.mean(seeds, axis=0), rtol=1e-15)
    content = json.loads((own / "results.json").read_text())
    assert content["labels_read"] == {
        "negative": {"classes": ["0"], "images": {"0": 30, "negative": 30}},
        "positive": {"classes": ["1"], "images": {"1": 15, "positive": 15}},
    }
    read = "positive is 1: 15 labelled 1, 15 labelled positive; negative is 0: 30 labelled 0, 30 labelled negative"
    assert (own / "card.txt").read_text().splitlines()[1] == read
    test = content["test"]
    assert test["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    points = results(folder)["ensemble"]["test"]["operating_points"]
    frozen = next(point["threshold"] for point in points if point["target_tpr"] == 0.9)
    (point,) = [p for p in test["thresholds"] if (p["rule"], p["target"]) == ("plug-in", 0.9)]
    called = scores >= frozen
    assert point["threshold"] == frozen
    assert (point["tp"], point["fp"]) == (called[labels == 1].sum(), called[labels == 0].sum())
    low, high = point["fpr_interval"]
    assert binom.sf(point["fp"] - 1, 60, low) == pytest.approx(0.025)  # Clopper-Pearson, from its definition
    assert binom.cdf(point["fp"], 60, high) == pytest.approx(0.025)
    run_scores = read_scores(folder / "ensemble" / "test.csv")
    ks = ks_2samp(scores[labels == 0], run_scores.score[run_scores.label == 0])
    assert content["shift"]["negative"]["distance"] == pytest.approx(ks.statistic)
    assert content["shift"]["negative"]["mean"] == pytest.approx(scores[labels == 0].mean())
    sites = np.array([row["site"] for row in rows])
    found = {group["group"]: group for group in content["groups"]["site"]}
    for site in SITES:
        assert found[site]["tp"] == called[(sites == site) & (labels == 1)].sum()
        assert found[site]["fp"] == called[(sites == site) & (labels == 0)].sum()
    (worst,) = [group for group in found.values() if group["worst"]]
    assert worst["tpr"] == min(group["tpr"] for group in found.values())
    assert capsys.readouterr().out.startswith((own / "card.txt").read_text())


def at_patients(other: Path, root: Path, *, blank: str = "") -> Path:
    """The labels with a patient for every three images, of which one is positive; ``blank`` in place of one.

    Patients are numbers, some as they are written by tools for which they are floats.
    """
    lines = (other / "labels.csv").read_text().splitlines()
    patients = [f"{row // 3}.0" if row % 3 else f"{row // 3}" for row in range(90)]
    patients[7] = blank or patients[7]
    found = [f"{line},{patient}" for line, patient in zip(lines[1:], patients, strict=True)]
    (root / "patients.csv").write_text("\n".join([f"{lines[0]},patient", *found]) + "\n")
    return root / "patients.csv"


def test_intervals_count_the_groups_of_a_column(
    folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = at_patients(other, tmp_path)
    argv = [str(folder), "--images", str(other), "--labels", str(labels), "--name", "patients"]
    assert predict.main([*argv, "--group", "patient", "--by", "site", "--rule", "plug-in", "0.9"]) == 0
    said = capsys.readouterr().out
    assert "95 % intervals by the 30 groups of patient\n" in said
    assert said.count(", p -\n") == 2
    own = folder / "external" / "patients"
    with (own / "scores.csv").open(newline="") as stream:
        assert all(row["patient"] == str(int(row["path"][:-4]) // 3) for row in csv.DictReader(stream))
    content = json.loads((own / "results.json").read_text())
    assert (content["group"], content["n_groups"]) == ("patient", 30)
    assert (content["test"]["n_groups_positive"], content["test"]["n_groups_negative"]) == (30, 30)
    assert [content["shift"][side]["p"] for side in ("positive", "negative")] == [None, None]
    blocks = [content["test"]["thresholds"][0], *content["groups"]["site"]]
    for block, groups in zip(blocks, (30, 10, 10, 10), strict=True):
        low, high = block["fpr_interval"]  # Clopper-Pearson of as many patients as there are, from its definition
        count = block["fpr"] * groups
        assert 0 < count < groups
        assert beta.cdf(low, count, groups - count + 1) == pytest.approx(0.025)
        assert beta.sf(high, count + 1, groups - count) == pytest.approx(0.025)
    assert predict.main([*argv, "--overwrite", "--rule", "plug-in", "0.9"]) == 0
    alone = json.loads((own / "results.json").read_text())
    assert (alone["group"], alone["n_groups"]) == (None, None)
    assert alone["shift"]["negative"]["p"] is not None
    assert "95 % intervals\n" in capsys.readouterr().out  # the run has no groups, either


@pytest.mark.parametrize("blank", [" ", "NaN"])
def test_an_image_without_a_group_is_one_line(
    folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], blank: str
) -> None:
    labels = at_patients(other, tmp_path, blank=blank)
    argv = [str(folder), "--images", str(other), "--labels", str(labels), "--name", "bad", "--group", "patient"]
    assert predict.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{labels}: 7.png has no patient (got {blank.strip()!r}); fill it in or remove the row" in line
    assert not (folder / "external" / "bad").exists()


def test_a_second_evaluation_does_not_replace_the_first_unasked(
    folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(folder, copied)
    shutil.rmtree(copied / "external", ignore_errors=True)
    assert predict.main(command(copied, other)) == 0
    assert predict.main(command(copied, other)) == 2
    assert "choose another --name, or add --overwrite 1" in capsys.readouterr().err
    assert predict.main(command(copied, other, "--overwrite")) == 0


def test_other_training_data_beside_it_change_nothing(folder: Path, other: Path, tmp_path: Path) -> None:
    """The normalisation is the run's own: with darkened training images in its place, every score is the same."""
    copied = tmp_path / "runs" / "run"
    shutil.copytree(folder, copied)
    assert predict.main(command(copied, other, "--overwrite")) == 0
    first = (copied / "external" / "hospital_b" / "scores.csv").read_bytes()
    data = folder.parents[1] / "scans.npz"
    content = dict(np.load(data))
    kept = data.read_bytes()
    try:
        np.savez(data, allow_pickle=False, **{**content, "x_train": content["x_train"] // 10})
        assert predict.main(command(copied, other, "--overwrite")) == 0
    finally:
        data.write_bytes(kept)
    assert (copied / "external" / "hospital_b" / "scores.csv").read_bytes() == first


def each(label: int) -> str:
    """A table that gives every image this label."""
    return "path,label\n" + "".join(f"{number}.png,{label}\n" for number in range(90))


BAD = {
    "path,label\n0.png,1\n": "must have a label for each image, got none for 1.png and 88 more",
    "path,class\n0.png,1\n": "must have a column label, got path, class",
    "label\n1\n": "must begin with the names of its columns, one of them path",
    "path,label\n0.png,1\n0.png,0\n": "must name an image once, got 0.png twice",
    "path,label\n0.png\n": "must have 2 values, got 1",
    "": "must begin with the names of its columns",
    each(7): "must be positive, negative or a class of the run (0, 1), got '7'",
    each(1): "must have positives and negatives, got 90 positives of 90",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_bad_labels_are_one_line_and_write_nothing(
    content: str, folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(content)
    argv = [str(folder), "--images", str(other), "--labels", str(labels), "--name", "bad"]
    assert predict.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert BAD[content] in line
    assert not (folder / "external" / "bad").exists()


def test_images_of_which_none_can_be_scored_are_told_of(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "large").mkdir()
    for name in ("a", "b"):
        Image.new("L", (50, 40)).save(tmp_path / "large" / f"{name}.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\na.png,1\nb.png,0\n")
    argv = [str(folder), "--images", str(tmp_path / "large"), "--labels", str(labels), "--name", "bad"]
    assert predict.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"none of the 2 images of {tmp_path / 'large'} could be scored; a.png: " in line
    assert "--fit" in line
    assert not (folder / "external" / "bad").exists()
