"""predict.py with K classes: model.pt alone gives the scores of test.csv, and rows say class, scores and thresholds."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import results, run
from sklearn.datasets import load_digits

import predict
from utils.data.digits import _stratified_quarter
from utils.errors import UserError
from utils.run import predictions as predicting
from utils.run.class_model import ClassModel
from utils.run.trained_model import load
from utils.run_files.class_scores_csv import read_class_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
CLASSES = (1, 3, 7)
COMMON = "--task classes --training_type LA --num_epochs 1 --bsize 32"
THREE = f"{COMMON} --classes 1 3 7 --critical_classes 7 3 --seeds 1-2 --calibration_fraction 0.3 --promise 0.9 0.1"
ONE = f"{COMMON} --classes 1 3 7 --critical_classes 3 --calibration_fraction 0.3 --promise 0.9 0.1"
PAIR = f"{COMMON} --classes 7 1 --critical_classes 1 --seeds 1-2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of three classes, of which 7 and 3 are critical, with enough positives for a promise."""
    return run(tmp_path_factory.mktemp("three"), THREE)


@pytest.fixture(scope="module")
def one_critical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one critical class."""
    return run(tmp_path_factory.mktemp("one"), ONE)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes."""
    return run(tmp_path_factory.mktemp("pair"), PAIR)


def pixels(classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The test images of classes, (n, 8, 8) as in the files, in the order of test.csv, and their classes."""
    bunch = load_digits()
    rows = np.flatnonzero(_stratified_quarter(bunch.target.astype(np.int64)))
    rows = rows[np.isin(bunch.target[rows], classes)]
    return np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8), bunch.target[rows]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("new")
    for number, image in enumerate(pixels(CLASSES)[0]):
        Image.fromarray(image).save(root / f"{number:04d}.png")
    return root


def opened(path: Path) -> ClassModel:
    model = load(path, device="cpu")
    assert isinstance(model, ClassModel)
    return model


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def decided_by_hand(outputs: np.ndarray, scores: np.ndarray, critical: list[int], thresholds: list[float]) -> list[int]:
    """In plain loops: the critical class with the largest excess that is not negative, else the best of the others."""
    found = []
    for row in range(len(outputs)):
        excess = [scores[row, place] - threshold for place, threshold in enumerate(thresholds)]
        if max(excess) >= 0:
            found.append(critical[excess.index(max(excess))])
            continue
        others = [label for label in range(outputs.shape[1]) if label not in critical]
        found.append(max(others, key=lambda label: outputs[row, label]))
    return found


# --- the model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["folder", "pair"])
def test_scores_and_outputs_are_those_of_test_csv(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """model.pt alone, in another folder; of the ensemble and of each seed, bit for bit."""
    run_folder: Path = request.getfixturevalue(name)
    shutil.copy(run_folder / "model.pt", tmp_path / "model.pt")
    model = opened(tmp_path / "model.pt")
    images, _ = pixels(CLASSES if name == "folder" else (1, 7))
    expected = read_class_scores(run_folder / "ensemble" / "test.csv")
    assert (model.names, model.critical) == (expected.names, expected.critical)
    np.testing.assert_array_equal(model.score(images), expected.scores)
    np.testing.assert_array_equal(model.outputs(images), expected.outputs)
    for place, seed in enumerate((1, 2)):
        own = read_class_scores(run_folder / f"seed{seed}" / "test.csv")
        np.testing.assert_array_equal(model.score_seeds(images)[place], own.scores)
        np.testing.assert_array_equal(model.output_seeds(images)[place], own.outputs)
    assert model.score([]).shape == (0, len(model.critical))


def test_best_pt_of_a_finished_seed_is_enough_too(folder: Path) -> None:
    model = opened(folder / "seed2" / "best.pt")
    np.testing.assert_array_equal(
        model.score(pixels(CLASSES)[0]), read_class_scores(folder / "seed2" / "test.csv").scores
    )
    for name, decisions in model.decisions.items():
        own = results(folder)["seeds"]["2"]["test"]["critical"][name]["promises"]
        kept = {(item.rule, item.target): item.value for item in decisions.thresholds if item.rule in ("NP", "CRC")}
        assert kept == {(point["rule"], point["tpr"]): point["threshold"] for point in own}


def test_decisions_are_those_of_results_json(folder: Path) -> None:
    """On the run's own test set each rule gives the confusion matrix that the run has printed."""
    model, (images, classes) = opened(folder), pixels(CLASSES)
    points = results(folder)["ensemble"]["test"]["decisions"]
    assert {point["rule"] for point in points} == {"plug-in", "NP"}
    for point in points:
        decided = model.decide(images, rule=point["rule"], promise=point["tpr"])
        assert {name: item.value for name, item in decided.thresholds.items()} == point["thresholds"]
        matrix = [[int(((classes == own) & (decided.label == other)).sum()) for other in range(3)] for own in CLASSES]
        assert matrix == point["confusion"]
        assert decided.name == [("1", "3", "7")[label] for label in decided.label]


def test_an_object_has_probabilities_and_shares(folder: Path) -> None:
    model, (images, _) = opened(folder), pixels(CLASSES)
    decided = model.decide(images)
    assert [(name, item.rule, item.target) for name, item in decided.thresholds.items()] == [
        ("7", "NP", 0.9),
        ("3", "NP", 0.9),
    ]
    values = [item.value for item in decided.thresholds.values()]
    assert decided.label.tolist() == decided_by_hand(decided.outputs, decided.score, [2, 1], values)  # type: ignore[arg-type]
    exponentials = np.exp(decided.outputs)
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(decided.share, shares[np.arange(len(shares)), decided.label], rtol=1e-12)
    for place, name in enumerate(("7", "3")):
        fitted = results(folder)["ensemble"]["test"]["critical"][name]["calibration"]
        assert not fitted["at_bound"]
        probability = decided.probability[name]
        assert probability is not None
        logits = decided.score[:, place] / fitted["temperature"]
        np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), rtol=1e-12)
    assert decided.referral is None  # two critical classes


def test_outputs_that_are_not_numbers_end_the_command(folder: Path) -> None:
    model = opened(folder)
    with torch.no_grad():
        next(model.members[0][0].parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"gives scores that are not finite numbers"):
        model.outputs(pixels(CLASSES)[0])


# --- the rows -------------------------------------------------------------------------------------------


def test_rows_say_class_scores_and_thresholds(
    folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, before = tmp_path / "pred.csv", (folder / "model.pt").read_bytes()
    argv = [str(folder), "--images", str(pictures), "--threads", "1", "--rule", "plug-in", "0.95", "--out", str(out)]
    assert predict.main(argv) == 0
    rows, scores = rows_of(out), read_class_scores(folder / "ensemble" / "test.csv")
    critical = [kind + name for name in ("7", "3") for kind in ("score_", "probability_", "threshold_", "rule_")]
    seeds = ["score_7_seed1", "score_7_seed2", "score_3_seed1", "score_3_seed2"]
    outputs = ["output_1", "output_3", "output_7"]
    assert list(rows[0]) == ["path", "decision", "share", *critical, *outputs, *seeds, "referral", "error"]
    assert [row["path"] for row in rows] == [f"{number:04d}.png" for number in range(len(scores.label))]
    for place, name in enumerate(("7", "3")):
        np.testing.assert_array_equal(column(rows, f"score_{name}"), scores.scores[:, place])
        for seed in (1, 2):
            own = read_class_scores(folder / f"seed{seed}" / "test.csv")
            np.testing.assert_array_equal(column(rows, f"score_{name}_seed{seed}"), own.scores[:, place])
        assert {row[f"rule_{name}"].partition(",")[0] for row in rows} == {"plug-in: TPR 0.95 on the validation set"}
    for place, name in enumerate(("1", "3", "7")):
        np.testing.assert_array_equal(column(rows, f"output_{name}"), scores.outputs[:, place])
    (point,) = [
        point
        for point in results(folder)["ensemble"]["test"]["decisions"]
        if (point["rule"], point["tpr"]) == ("plug-in", 0.95)
    ]
    thresholds = [point["thresholds"][name] for name in ("7", "3")]
    assert [{float(row[f"threshold_{name}"]) for row in rows} for name in ("7", "3")] == [{t} for t in thresholds]
    labels = decided_by_hand(scores.outputs, scores.scores, [2, 1], thresholds)
    words = [("1", "3", "7")[label] for label in labels]
    assert [row["decision"] for row in rows] == words
    said = capsys.readouterr().out
    counts = ", ".join(f"{name}: {words.count(name)}" for name in ("7", "3", "1"))
    assert f"{len(rows)} images scored, 0 could not be read\ndecided    {counts}\n" in said
    assert (folder / "model.pt").read_bytes() == before


def test_a_class_without_a_promise_is_named(
    folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(folder), "--images", str(pictures), "--out", str(tmp_path / "x.csv")]
    for more, line in (
        ("--promise 0.98", "class 7: no threshold by NP for 0.98; there are NP 0.9"),
        ("--rule cost 3", "class 7: no threshold by cost for 3"),
        ("--two_thresholds 0.9 0.1", "rules one critical class in or out, but the run has 2 (7, 3); leave it out"),
    ):
        assert predict.main([*argv, *more.split()]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert line in said
    assert list(tmp_path.iterdir()) == []


def test_one_critical_class_is_referred(one_critical: Path, pictures: Path, tmp_path: Path) -> None:
    """As with two sides, of the class against the rest."""
    out = tmp_path / "pred.csv"
    (found,) = results(one_critical)["ensemble"]["test"]["critical"]["3"]["two_thresholds"][:1]
    asked = [str(found["tpr"]), str(found["fpr"])]
    argv = [str(one_critical), "--images", str(pictures), "--threads", "1", "--out", str(out)]
    assert predict.main([*argv, "--two_thresholds", *asked]) == 0
    scores = column(rows_of(out), "score_3")
    words = np.where(scores >= found["high"], "rule in", np.where(scores < found["low"], "rule out", "refer"))
    assert [row["referral"] for row in rows_of(out)] == words.tolist()
    assert opened(one_critical).decide(pixels(CLASSES)[0]).referral == words.tolist()


def test_broken_images_get_a_row_and_exit_code_1(folder: Path, pictures: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(pictures / "0003.png", images / "good.png")
    (images / "empty.png").touch()
    out = tmp_path / "pred.csv"
    assert predict.main([str(folder), "--images", str(images), "--out", str(out)]) == 1
    found = {row["path"]: row for row in rows_of(out)}
    assert found["good.png"]["error"] == ""
    assert "not an image" in found["empty.png"]["error"]
    assert not any(value for name, value in found["empty.png"].items() if name not in ("path", "error"))


def test_a_killed_prediction_goes_on_to_the_same_file(
    folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of 40, killed after one of four; in another run of decisions it would start anew."""
    monkeypatch.setattr("utils.run.seed_models.batch_size", lambda height, width: 40)
    argv = [str(folder), "--images", str(pictures), "--threads", "1"]
    whole, out = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert predict.main([*argv, "--out", str(whole)]) == 0

    class Killed(BaseException):
        pass

    batches: list[int] = []
    batch_scores = predicting.batch_scores

    def killed(model: Any, read: Any) -> Any:
        if batches:
            raise Killed
        batches.append(len(read))
        return batch_scores(model, read)

    with monkeypatch.context() as patch:
        patch.setattr(predicting, "batch_scores", killed)
        with pytest.raises(Killed):
            predict.main([*argv, "--out", str(out)])
    scored: list[int] = []

    def counted(model: Any, read: Any) -> Any:
        scored.append(len(read))
        return batch_scores(model, read)

    monkeypatch.setattr(predicting, "batch_scores", counted)
    assert predict.main([*argv, "--out", str(out), "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sum(scored) == len(rows_of(whole)) - 40
