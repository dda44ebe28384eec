"""main.py with K classes, from the command line to the files of the run."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import arguments, assert_same, assert_same_run, best, experiment_of, history, last, results, run, scripted
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

import main
from utils.metrics import SELECTIONS
from utils.run_files.class_scores_csv import read_class_scores, write_class_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

MANY = "--task classes --imbalance exp --imbalance_factor 0.2 --training_type LA --bsize 32"
FOUR = f"{MANY} --classes 3 1 7 9 --critical_classes 9 7"
PAIR = "--classes 1 9 --task classes"
SIDES = "--negative_classes 1 --positive_classes 9 --ratio_pos_train natural --train_fraction 1"
# what is asked of two classes by both paths; its scores are the same bits
SAME = {
    "BCE": "--training_type BCE",
    "BCE + pairwise": "--training_type BCE --use_ALM 1 --mu 0.01 --delta 1",
    "weighted": "--training_type WCE --sampler balanced",
    "focal": "--training_type SYM_FL --gamma 2 --sampler oversample",
    "class-balanced + rate": "--training_type cb_BCE --beta 0.99 --use_ALM 1 --mu 0.01 --constraint rate",
    "LDAM": "--training_type LDAM --resnet_type lenet5",
    "LDAM-DRW": "--training_type LDAM_DRW --drw_from 1 --beta 0.99 --resnet_type lenet5",
    "logit adjustment": "--training_type LA --resnet_type lenet5 --augment crop_flip",
    "vector scaling": "--training_type VS --ema 0.9",
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of four classes, two of them critical, with a calibration set."""
    return run(tmp_path_factory.mktemp("four"), f"{FOUR} --seeds 1-2 --num_epochs 3 --calibration_fraction 0.1")


# --- two classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", SAME.values(), ids=SAME)
def test_two_classes_are_the_binary_task_bit_for_bit(tmp_path: Path, more: str) -> None:
    binary = run(tmp_path, f"{SIDES} {more} --num_epochs 2 --model_name binary")
    many = run(tmp_path, f"{PAIR} {more} --num_epochs 2 --model_name many")
    for name in ("seed1/validation.csv", "seed1/test.csv", "ensemble/test.csv"):
        ours, theirs = table(many / name), table(binary / name)
        for key, other in (("index", "index"), ("label", "label"), ("score_9", "score")):
            assert [row[key] for row in ours] == [row[other] for row in theirs]
    assert_same(best(many / "seed1")["weights"], best(binary / "seed1")["weights"])
    for record, of_binary in zip(history(many / "seed1"), history(binary / "seed1"), strict=True):
        for key in (
            "train_loss",
            "val_loss",
            "val_auc",
            "train_auc",
            "constraint_violation",
            "mu",
            "one_class_batches",
        ):
            assert record[key] == of_binary[key]
    view, block = results(many)["ensemble"]["test"], results(binary)["ensemble"]["test"]
    assert view["critical"]["9"]["fpr_at_tpr"] == block["fpr_at_tpr"]
    assert view["auc"] == pytest.approx(block["auc"], abs=1e-12)


# --- numbers --------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_scikit_learn(trained: Path) -> None:
    for folder, block in ((trained / "seed1", "seeds"), (trained / "ensemble", "ensemble")):
        rows, test = table(folder / "test.csv"), results(trained)[block]
        test = (test["1"] if block == "seeds" else test)["test"]
        names = ["3", "1", "7", "9"]
        labels = np.array([int(row["label"]) for row in rows])
        outputs = np.array([[float(row[f"output_{name}"]) for name in names] for row in rows])
        assert [names[label] for label in labels] == [row["original_class"] for row in rows]
        predicted = outputs.argmax(axis=1)
        assert test["accuracy"] == (predicted == labels).mean()
        assert test["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
        assert test["confusion"] == confusion_matrix(labels, predicted).tolist()
        shares = torch.from_numpy(outputs).softmax(dim=1).numpy()
        assert test["auc"] == pytest.approx(roc_auc_score(labels, shares, multi_class="ovr"), abs=1e-12)
        for name, label in (("9", 3), ("7", 2)):
            odds = np.array([float(row[f"score_{name}"]) for row in rows])
            if block == "seeds":
                assert np.allclose(odds, np.log(shares[:, label] / (1 - shares[:, label])), atol=1e-5)
            assert test["critical"][name]["auc"] == pytest.approx(roc_auc_score(labels == label, odds), abs=1e-12)
        decided = test["decisions"][0]
        odds = np.array(
            [[float(row[f"score_{name}"]) - decided["thresholds"][name] for name in ("9", "7")] for row in rows]
        )
        by_rule = np.where(odds.max(axis=1) >= 0, np.array([3, 2])[odds.argmax(axis=1)], outputs[:, :2].argmax(axis=1))
        assert decided["confusion"] == confusion_matrix(labels, by_rule, labels=range(4)).tolist()
        is_other = labels < 2
        assert decided["error_of_others"] == pytest.approx((by_rule != labels)[is_other].mean())


def test_thresholds_of_decisions_reach_their_recall_on_validation(trained: Path) -> None:
    result = results(trained)["seeds"]["1"]
    rows = table(trained / "seed1" / "validation.csv")
    for point in result["test"]["decisions"]:
        for name, threshold in point["thresholds"].items():
            own = [float(row[f"score_{name}"]) for row in rows if row["original_class"] == name]
            assert point["rule"] != "plug-in" or np.mean(np.array(own) >= threshold) >= point["tpr"]


def test_mean_and_deviation_are_over_the_seeds(trained: Path) -> None:
    result = results(trained)
    for *path, key in (("accuracy",), ("recall", "9"), ("critical", "7", "auc")):
        values = []
        for seed in ("1", "2"):
            block: Any = result["seeds"][seed]["test"]
            for step in path:
                block = block[step]
            values.append(block[key])
        mean, std = result["mean"]["test"], result["std"]["test"]
        for step in path:
            mean, std = mean[step], std[step]
        assert mean[key] == pytest.approx(np.mean(values))
        assert std[key] == pytest.approx(np.std(values, ddof=1))


def test_the_last_epoch_stands_beside_the_best(trained: Path) -> None:
    """The weights in last.pt, scored again."""
    seed = trained / "seed1"
    assert_same(sorted(last(seed)), sorted(last(trained / "seed2")))
    rows = table(seed / "last_test.csv")
    outputs = np.array([[float(row[f"output_{name}"]) for name in ("3", "1", "7", "9")] for row in rows])
    labels = np.array([int(row["label"]) for row in rows])
    found = results(trained)["seeds"]["1"]["last_epoch"]
    assert found["accuracy"] == (outputs.argmax(axis=1) == labels).mean()
    if best(seed)["epoch"] == 2:
        assert rows == table(seed / "test.csv")


def test_scores_are_read_as_they_were_written(trained: Path, tmp_path: Path) -> None:
    path = trained / "seed1" / "test.csv"
    scores = read_class_scores(path)
    write_class_scores(tmp_path / "again.csv", scores)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    assert (scores.names, scores.critical) == (("3", "1", "7", "9"), (3, 2))


def test_what_a_run_says_of_its_classes(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = results(trained)
    assert (content["task"], content["classes"], content["critical"]) == ("classes", ["3", "1", "7", "9"], ["9", "7"])
    counts = content["class_counts"]["train"]
    assert list(counts) == ["3", "1", "7", "9"]
    sizes = list(counts.values())
    assert sizes == [int(sizes[0] * 0.2 ** (i / 3) + 1e-9) for i in range(4)]


# --- an evaluation, a resumed run ------------------------------------------------------------------------


def test_an_evaluation_gives_the_same_numbers(trained: Path) -> None:
    before = results(trained)
    assert run(trained.parents[1], f"{FOUR} --seeds 1-2 --num_epochs 3 --calibration_fraction 0.1 --train 0") == trained
    after = results(trained)
    assert after["ensemble"] == before["ensemble"]
    assert after["seeds"]["1"]["last_epoch"] == before["seeds"]["1"]["last_epoch"]


CONSTRAINED = {
    "rest": "--use_ALM 1 --mu 0.01 --delta 1",
    "classes": "--use_ALM 1 --mu 0.01 --delta 1 --against classes",
    "rate": "--use_ALM 1 --mu 0.01 --constraint rate",
    "none": "--sampler balanced",
}


@pytest.mark.parametrize("more", CONSTRAINED.values(), ids=CONSTRAINED)
def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path, more: str) -> None:
    one = run(tmp_path, f"{FOUR} {more} --num_epochs 4 --model_name one")
    run(tmp_path, f"{FOUR} {more} --num_epochs 2 --model_name two")
    two = run(tmp_path, f"{FOUR} {more} --num_epochs 4 --model_name two --resume 1")
    assert_same_run(one, two)
    assert results(one)["ensemble"] == results(two)["ensemble"]
    assert results(one)["seeds"]["1"]["last_epoch"] == results(two)["seeds"]["1"]["last_epoch"]


@pytest.mark.parametrize("select", SELECTIONS)
def test_the_named_number_chooses_the_epoch(tmp_path: Path, select: str) -> None:
    seed = run(tmp_path, f"{FOUR} --num_epochs 6 --select {select}") / "seed1"
    values = [record[f"val_{select}"] for record in history(seed)]
    chosen = best(seed)["epoch"]
    assert values[chosen] == max(values)
    assert best(seed)["selected"] == values[chosen]
    assert last(seed)["best"]["selected"] == values[chosen]  # what a resumed run compares with


def test_patience_counts_by_the_named_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, (0.5, 0.9, 0.8, 0.7, 0.6, 0.5))
    seed = run(tmp_path, f"{FOUR} --num_epochs 6 --select accuracy --patience_early_stopping 1") / "seed1"
    assert len(history(seed)) == 4
    assert best(seed)["epoch"] == 1


@pytest.mark.slow
def test_seeds_at_once_are_as_one_after_the_other(tmp_path: Path, trained: Path) -> None:
    both = run(tmp_path, f"{FOUR} --seeds 1-2 --num_epochs 3 --calibration_fraction 0.1 --parallel_seeds 2")
    assert_same_run(both, trained, seeds=(1, 2))


# --- which classes ---------------------------------------------------------------------------------------


def test_the_rarest_class_is_critical_unless_told_otherwise(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, "--task classes --imbalance step --imbalance_factor 0.1")
    assert experiment.task.many
    assert experiment.task.many.critical == (9,)
    assert experiment.config.critical_classes == (9,)
    assert experiment.settings.origins["critical_classes"] == "the rarest in training"
    order = experiment_of(tmp_path, "--task classes --classes 4 2 0 --imbalance exp --imbalance_factor 0.5")
    assert (order.task.names, order.config.critical_classes) == (("4", "2", "0"), (0,))


@pytest.mark.parametrize(
    "more, words",
    [
        ("--task classes --classes 1", "classes must name at least two classes"),
        ("--task classes --classes 1 2 77", "no training image has class 77"),
        ("--task classes --classes 1 2 --critical_classes 3", "critical_classes must be some of the classes 1, 2"),
        ("--task classes --classes 1 2 --critical_classes 1", "give --classes 2 1 --critical_classes 1"),
        ("--task classes --training_type AUM_RATE", "training_type AUM_RATE knows two sides only"),
        ("--task classes --sampler smote", "smote knows two classes only"),
        ("--task classes --sampler balanced --positive_share 0.3", "positive_share is of two classes"),
        ("--task classes --imbalance_factor 0.1", "imbalance_factor .* cannot act with imbalance natural"),
        ("--task classes --imbalance exp --imbalance_factor 0.0001", "the smallest class must keep at least 1"),
        ("--task classes --positive_classes 1", "positive_classes .* cannot act with task classes"),
        ("--classes 1 2", "classes .* cannot act with task binary; add --task classes"),
        ("--select accuracy", "select .* cannot act with task binary"),
        ("--against classes --use_ALM 1", "against .* cannot act with task binary"),
        ("--task classes --use_ALM 1 --constraint rate --against classes", "against .* has no use in rate"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, words: str
) -> None:
    given = "--dataset_name digits --resnet_type linear --seeds 1 --num_epochs 1 --threads 1"
    assert main.main([*given.split(), "--checkpoint_root", str(tmp_path / "none"), *more.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert re.search(words, line), line
    assert not (tmp_path / "none").exists()


def test_another_choice_of_classes_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, f"{FOUR} --num_epochs 1")
    run(tmp_path, f"{MANY} --classes 3 1 7 9 --critical_classes 9 --num_epochs 1", code=2)
    assert "critical_classes 9 7 there, 9 now" in capsys.readouterr().err


def test_events_show_the_numbers_of_classes(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "seed1"))
    events.Reload()
    tags = events.Tags()
    assert {"classes/validation_accuracy", "final/9_FPR_at_TPR_0.98", "final/test_accuracy"} <= set(tags["scalars"])
    assert {"ROC/test", "confusion/test"} <= set(tags["images"])


def test_a_baseline_continues_under_a_constraint(tmp_path: Path) -> None:
    run(tmp_path, f"{FOUR} --num_epochs 2 --model_name base")
    more = f"{FOUR} --use_ALM 1 --mu 0.01 --delta 1 --continue_train 1 --continue_train_epochs 2"
    argv = arguments(tmp_path, f"{more} --baseline_cont_train base --model_name more")
    epochs = argv.index("--num_epochs")
    assert main.main([*argv[:epochs], *argv[epochs + 2 :]]) == 0
    first = best(tmp_path / "runs" / "base" / "seed1")["epoch"] + 1
    seed = tmp_path / "runs" / "more" / "seed1"
    assert [record["epoch"] for record in history(seed)] == [first, first + 1]
    assert results(seed.parent)["task"] == "classes"
