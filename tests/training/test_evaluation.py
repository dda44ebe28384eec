"""From best.pt to scores, and from scores to results.json: repeated bit for bit, and against scikit-learn."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from runs import (
    NAMES,
    arguments,
    assert_same,
    assert_same_run,
    best,
    experiment_of,
    history,
    results,
    run,
    without_command,
)
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_score,
    roc_auc_score,
    roc_curve,
)

import main
from benchmarks.processes import last_of_each
from utils.data import load_raw
from utils.errors import UserError
from utils.metrics.scores import Scores, averaged
from utils.metrics.summary import EvaluationOptions
from utils.run.best_checkpoint import evaluation_options
from utils.run.initial_state import build_state
from utils.run.printed_table import report
from utils.run_files.best_pt import BEST
from utils.run_files.checkpoints import save
from utils.run_files.done import write_done
from utils.run_files.paths import RunPaths
from utils.run_files.results_json import seed_result
from utils.run_files.roc_png import roc_figure
from utils.run_files.scores_csv import COLUMNS, read_scores, write_scores
from utils.system.files import locked
from utils.training.evaluation import model_outputs

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)
TPRS = ("0.98", "0.95", "0.9")
FPRS = ("0.01", "0.05", "0.1")
TRAINING = (548, 27)  # negatives and positives
OPTIONS = "--resnet_type lenet5 --seeds 1-3 --num_epochs 3 --name_file_bs baseline_bce --name_file_alm ALM_12_beg"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Three seeds of three epochs, with the picture."""
    return run(tmp_path_factory.mktemp("trained"), OPTIONS)


def number_files(folder: Path) -> dict[str, bytes]:
    """Everything that holds a number of the evaluation."""
    files = [folder / "results.json", folder / "roc.png", *folder.glob("seed*/*.csv"), *folder.glob("ensemble/*.csv")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def copied(folder: Path, root: Path, *, only_best: bool) -> Path:
    """The run in another place, without what the evaluation writes."""
    target = root / "runs" / "run"
    if only_best:
        for file in folder.glob("seed*/best.pt"):
            (target / file.parent.name).mkdir(parents=True)
            shutil.copy(file, target / file.parent.name / "best.pt")
        return target
    shutil.copytree(folder, target)
    for name in number_files(folder):
        (target / name).unlink()
    return target


# ---------------------------------------------------------------- --train 0


def test_evaluation_repeats_the_numbers_of_training(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path, only_best=False)
    run(tmp_path, f"{OPTIONS} --train 0")
    expected = number_files(trained)
    assert set(expected) == {
        *("results.json", "roc.png", "ensemble/test.csv", "ensemble/validation.csv"),
        *(f"seed{seed}/{name}" for seed in SEEDS for name in NAMES),
    }
    assert number_files(folder) == expected
    run(tmp_path, f"{OPTIONS} --train 0")  # over files that are there
    assert number_files(folder) == expected


def test_evaluation_needs_nothing_but_best(trained: Path, tmp_path: Path) -> None:
    """Only the names of the run and of the data are given; the model, the options and the seeds follow."""
    folder = copied(trained, tmp_path, only_best=True)
    argv = f"--train 0 --model_name run --dataset_name digits --checkpoint_root {tmp_path}".split()
    assert main.main(argv) == 0
    assert number_files(folder) == number_files(trained)
    assert not (folder / "seed1" / "last.pt").exists()
    assert not (folder / "seed1" / "done").exists()  # nothing was trained here
    shown = (folder / "config.yaml").read_text()
    assert "resnet_type:\n    value: lenet5\n    origin: best.pt" in shown


def test_evaluation_with_the_command_that_trained(trained: Path, tmp_path: Path) -> None:
    """As the README has it: the training's own command with --train 0, of which not all seeds need be there."""
    folder = copied(trained, tmp_path, only_best=True)
    more = "--ratio_pos_train 20 --bsize 64 --weight_dec 2e-4 --train 0"
    command = f"{OPTIONS} {more}".replace("--seeds 1-3", "").split()
    base = arguments(tmp_path)
    at = base.index("--seeds")
    assert main.main(last_of_each([*base[:at], *base[at + 2 :], *command])) == 0
    assert number_files(folder) == number_files(trained)


def test_evaluation_of_some_seeds_counts_only_them(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path, only_best=True)
    run(tmp_path, f"{OPTIONS} --train 0 --seeds 2,3")
    ours, whole = results(folder), results(trained)
    assert ours["seeds"] == {seed: whole["seeds"][seed] for seed in ("2", "3")}
    assert ours["n_seeds"] == 2


@pytest.mark.slow
def test_the_epochs_of_each_seed_are_in_the_results(trained: Path, tmp_path: Path) -> None:
    """As many as it has records; of a seed that goes on later, of a learner, and of best.pt alone too."""
    for seed in SEEDS:
        assert results(trained)["seeds"][str(seed)]["epochs"] == len(history(trained / f"seed{seed}")) == 3
    folder = run(tmp_path, "--num_epochs 2")
    run(tmp_path, "--num_epochs 4 --seeds 1-2 --resume 1")
    assert [block["epochs"] for block in results(folder)["seeds"].values()] == [4, 4]
    assert best(folder / "seed1")["epochs"] == 4
    (folder / "seed2" / "done").unlink()  # not finished: its history says how far it came
    run(tmp_path, "--seeds 2 --train 0 --num_epochs 4")
    assert results(folder)["seeds"]["2"]["epochs"] == 4
    content = best(folder / "seed1")
    for wrong in (None, -1, True, "4", 2.0, 2**60):  # of an earlier version, or not what a run writes
        alone = copied(folder, tmp_path / f"alone {wrong}", only_best=True)
        save(alone / "seed1" / "best.pt", BEST, {**content, "epochs": wrong})
        run(tmp_path / f"alone {wrong}", "--train 0 --seeds 1")
        assert results(alone)["seeds"]["1"]["epochs"] is None


@pytest.mark.parametrize("more, said", [
    ("--precision bf16", "seed1/best.pt was trained with precision fp32, the command asks for bf16"),
    ("--threads 2", "config.yaml records 1 threads for each seed, the command asks for 2: --train 0 repeats the num"),
])  # fmt: skip
def test_what_would_change_the_numbers_of_a_run_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, said: str
) -> None:
    folder = tmp_path / "runs" / "run"
    shutil.copytree(trained, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    run(tmp_path, f"{OPTIONS} --train 0 {more}", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "command",
    [
        "--training_type LDAM --resnet_type lenet5 --seeds 2",  # two outputs, a normalised head
        "--resnet_type resnet20 --evaluate_every_steps 1 --bsize 8 --precision bf16",  # batch normalisation
        "--resnet_type dense --hidden_widths 7 5 --ratio_pos_train 9 --positive_classes 3 8 --negative_classes 0 1 6",
    ],
)
def test_other_models_repeat_their_numbers_too(tmp_path: Path, command: str) -> None:
    folder = run(tmp_path / "trained", command)
    alone = copied(folder, tmp_path / "alone", only_best=True)
    assert (
        main.main(f"--train 0 --model_name run --dataset_name digits --checkpoint_root {tmp_path}/alone".split()) == 0
    )
    assert number_files(alone) == number_files(folder)


def test_the_scores_are_those_of_the_best_epoch(trained: Path, tmp_path: Path) -> None:
    """The validation AUC of the CSV is that of the history at the best epoch, for every seed."""
    for seed in SEEDS:
        folder = trained / f"seed{seed}"
        records = history(folder)
        epoch = max(range(3), key=lambda number: records[number]["val_auc"])
        assert best(folder)["epoch"] == results(trained)["seeds"][str(seed)]["best_epoch"] == epoch
        values = read_scores(folder / "validation.csv")
        val_auc = records[epoch]["val_auc"]
        assert roc_auc_score(values.label, values.score) == pytest.approx(val_auc, abs=1e-15)
        assert val_auc == best(folder)["validation_auc"]


# ---------------------------------------------------------------- the score files


@pytest.mark.parametrize("part", ["validation", "test"])
def test_rows_are_samples_of_the_original_files(trained: Path, tmp_path: Path, part: str) -> None:
    with open(trained / "seed2" / f"{part}.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == COLUMNS == ["index", "label", "score", "split", "original_class"]
    raw = load_raw("digits", data_root=tmp_path)
    labels = raw.train_labels if part == "validation" else raw.test_labels
    assert {row["split"] for row in rows} == {"train" if part == "validation" else "test"}
    for row in rows:
        assert int(row["original_class"]) == labels[int(row["index"])]
        assert int(row["label"]) == (int(row["original_class"]) % 2 == 0)
    assert len({row["index"] for row in rows}) == len(rows) == (130 if part == "validation" else 450)


def test_scores_are_the_models_outputs_with_all_their_digits(trained: Path, tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, OPTIONS)
    state, data = build_state(experiment, 3)
    state.model.load_state_dict(best(trained / "seed3")["weights"])
    rows = torch.from_numpy(experiment.task.split(3).test)
    outputs = model_outputs(state.model, data.batches, rows, machine=experiment.machine)
    with open(trained / "seed3" / "test.csv", encoding="utf-8", newline="") as stream:
        read = [float(row["score"]) for row in csv.DictReader(stream)]
    assert read == outputs[:, 0].tolist()


def test_score_files_round_trip(tmp_path: Path) -> None:
    score = np.array([0.1, 1 / 3, -1e-300, 1e300, 5e-324, float(np.float32(0.1)), -0.0])
    index = np.arange(len(score), dtype=np.int64)
    scores = Scores(index, index % 2, score, ["test"] * len(score), index + 3)
    write_scores(tmp_path / "test.csv", scores)
    again = read_scores(tmp_path / "test.csv")
    assert again.score.tobytes() == score.tobytes()
    for name in ("index", "label", "split", "original_class"):
        assert list(getattr(again, name)) == list(getattr(scores, name))


# ---------------------------------------------------------------- results.json

COMMON = {
    *("auc", "auprc", "prior", "fpr_at_tpr", "balanced_accuracy", "weighted_rate", "at_default_threshold"),
    *("tpr_at_fpr", "error_at_fpr", "cost_ratio", "n_positive", "n_negative"),
}
PROMISED = ("promises", "two_thresholds", "interval_methods")
TEST_ONLY = {"auc_interval", "fpr_at_tpr_interval", "operating_points", "thresholds", "calibration", *PROMISED}
POINT = {"target_tpr", "rule", "threshold", "tpr", "fpr", "tp", "fp", "tn", "fn", "tpr_interval", "fpr_interval"}
OF_CALLS = ("precision", "f1", "mcc", "expected_cost")
OTHER_POINT = {"rule", "target", "threshold", "tpr", "fpr", "tp", "fp", "tn", "fn", *OF_CALLS, "balanced_accuracy"}


def blocks(folder: Path) -> Iterator[tuple[str, dict[str, Any], Scores, Scores]]:
    """Each seed's and the ensemble's block, with the scores of validation and test that it is about."""
    content = results(folder)
    for name, block in [
        *((f"seed{seed}", content["seeds"][str(seed)]) for seed in SEEDS),
        ("ensemble", content["ensemble"]),
    ]:
        yield name, block, *(read_scores(folder / name / file) for file in NAMES)


def test_results_hold_what_they_must(trained: Path) -> None:
    content = results(trained)
    assert set(content) == {
        *("seeds", "mean", "std", "ensemble", "n_seeds", "warnings"),
        *("command", "data_checksum", "class_counts"),
    }
    assert list(content["seeds"]) == ["1", "2", "3"]
    assert content["n_seeds"] == 3
    for name, block, *_ in blocks(trained):
        own = {"best_epoch", "epochs", "checksums"} if name != "ensemble" else set()
        assert set(block) == {"validation", "test"} | own
        assert set(block["validation"]) == COMMON
        assert set(block["test"]) == COMMON | TEST_ONLY
        for part in ("validation", "test"):
            assert tuple(block[part]["fpr_at_tpr"]) == TPRS
            assert tuple(block[part]["tpr_at_fpr"]) == tuple(block[part]["error_at_fpr"]) == FPRS
            assert set(block[part]["weighted_rate"]) == {"alpha", "value"}
            assert set(block[part]["at_default_threshold"]) == {"threshold", "tpr", "fpr", "error", *OF_CALLS}
        assert tuple(block["test"]["fpr_at_tpr_interval"]) == TPRS
        assert [point["target_tpr"] for point in block["test"]["operating_points"]] == [0.98, 0.95, 0.9]
        assert all(set(point) == POINT for point in block["test"]["operating_points"])
        assert all(set(point) == OTHER_POINT for point in block["test"]["thresholds"])
        assert set(block["test"]["calibration"]) == {"temperature", "at_bound", "error", "error_scaled", "bins"}
    experiment = experiment_of(trained.parent.parent, OPTIONS)
    assert content["data_checksum"] == experiment.task.checksum
    assert content["class_counts"] == {
        "train": {"negative": 548, "positive": 27},
        "validation": {"negative": 65, "positive": 65},
        "test": {"negative": 228, "positive": 222},
    }
    assert content["command"].startswith("python main.py --dataset_name digits")


def test_results_against_scikit_learn(trained: Path) -> None:
    for name, block, *parts in blocks(trained):
        for key, scores in zip(("validation", "test"), parts, strict=True):
            values, labels, score = block[key], scores.label, scores.score
            called = score >= 0
            assert values["auc"] == pytest.approx(roc_auc_score(labels, score), abs=1e-12), name
            assert values["auprc"] == pytest.approx(average_precision_score(labels, score), abs=1e-12)
            assert (values["n_positive"], values["n_negative"]) == (labels.sum(), (1 - labels).sum())
            assert values["prior"] == pytest.approx(labels.mean())
            fpr, tpr, _ = roc_curve(labels, score, drop_intermediate=False)
            for target in TPRS:
                assert values["fpr_at_tpr"][target] == min(fpr[tpr >= float(target)])
            assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, called))
            default = values["at_default_threshold"]
            assert default["tpr"] == pytest.approx(called[labels == 1].mean())
            assert default["fpr"] == pytest.approx(called[labels == 0].mean())
            assert default["error"] == pytest.approx((called != labels).mean())
            assert values["weighted_rate"]["value"] == pytest.approx(0.5 * (default["tpr"] + 1 - default["fpr"]))
            assert_calls(default, labels, called)
            for target in FPRS:
                last = np.flatnonzero(fpr <= float(target))[-1]
                assert values["tpr_at_fpr"][target] == tpr[last]
                wrong = (1 - tpr[last]) * labels.sum() + fpr[last] * (1 - labels).sum()
                assert values["error_at_fpr"][target] == pytest.approx(wrong / len(labels))


def test_operating_points_are_chosen_on_validation_and_counted_on_test(trained: Path) -> None:
    for _, block, validation, test in blocks(trained):
        for point in block["test"]["operating_points"]:
            positives = validation.score[validation.label == 1]
            reached = [s for s in positives if (positives >= s).mean() >= point["target_tpr"]]
            assert point["threshold"] == max(reached)
            called = test.score >= point["threshold"]
            counts = {
                name: int((called[test.label == label] == is_called).sum())
                for name, label, is_called in (("tp", 1, True), ("fn", 1, False), ("fp", 0, True), ("tn", 0, False))
            }
            assert {name: point[name] for name in counts} == counts
            assert point["tpr"] == counts["tp"] / (counts["tp"] + counts["fn"])
            assert point["fpr"] == counts["fp"] / (counts["fp"] + counts["tn"])


def assert_calls(found: dict[str, Any], labels: Any, called: Any) -> None:
    """What ``found`` says of samples that are called positive or not, at the default cost ratio of 10."""
    assert found["precision"] == pytest.approx(precision_score(labels, called, zero_division=0))
    assert found["f1"] == pytest.approx(f1_score(labels, called, zero_division=0))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, called))
    costs = 10 * ((labels == 1) & ~called) + ((labels == 0) & called)
    assert found["expected_cost"] == pytest.approx(costs.mean())


def test_other_thresholds_are_chosen_without_the_test_set_and_counted_on_it(trained: Path) -> None:
    for _, block, validation, test in blocks(trained):
        prior, cost, *at_fpr = block["test"]["thresholds"]
        assert (prior["rule"], prior["target"]) == ("prior", 27 / 575)
        assert prior["threshold"] == pytest.approx(math.log(27 / 548))
        assert (cost["rule"], cost["target"]) == ("cost", block["test"]["cost_ratio"]) == ("cost", 10)
        assert [(point["rule"], point["target"]) for point in at_fpr] == [("fpr", float(fpr)) for fpr in FPRS]
        negatives = validation.score[validation.label == 0]
        for point in at_fpr:
            kept = [s for s in validation.score if (negatives >= s).mean() <= point["target"]]
            highest = validation.score.max()
            assert point["threshold"] == min(kept) if kept else highest < point["threshold"] < highest + 1e-6
        for point in (prior, cost, *at_fpr):
            called = test.score >= point["threshold"]
            ((tn, fp), (fn, tp)) = confusion_matrix(test.label, called)
            assert [point[key] for key in ("tp", "fp", "tn", "fn")] == [tp, fp, tn, fn]
            assert (point["tpr"], point["fpr"]) == (tp / (tp + fn), fp / (fp + tn))
            assert point["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(test.label, called))
            assert_calls(point, test.label, called)


def test_fpr_and_cost_ratio_can_be_asked_for_afterwards(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path, only_best=True)
    run(tmp_path, f"{OPTIONS} --train 0 --fpr 0.2 --cost_ratio 0.01")
    block, before = results(folder)["ensemble"], results(trained)["ensemble"]
    assert list(block["test"]["tpr_at_fpr"]) == ["0.2"]
    assert [point["target"] for point in block["test"]["thresholds"]] == [27 / 575, 0.01, 0.2]
    assert block["test"]["thresholds"][1]["threshold"] > before["test"]["thresholds"][1]["threshold"]
    assert block["test"]["cost_ratio"] == block["validation"]["cost_ratio"] == 0.01
    for key in ("auc", "auc_interval", "fpr_at_tpr_interval", "operating_points", "calibration"):
        assert block["test"][key] == before["test"][key]


def test_intervals_contain_what_they_are_about(trained: Path) -> None:
    for _, block, *_ in blocks(trained):
        test = block["test"]
        pairs = [(test["auc"], test["auc_interval"])]
        pairs += [(test["fpr_at_tpr"][key], test["fpr_at_tpr_interval"][key]) for key in TPRS]
        pairs += [(p[key], p[f"{key}_interval"]) for p in test["operating_points"] for key in ("tpr", "fpr")]
        for value, (low, high) in pairs:
            assert 0 <= low <= value <= high <= 1
            assert low < high or value in (0, 1)


def test_mean_and_deviation_over_the_seeds(trained: Path) -> None:
    content = results(trained)
    for part in ("validation", "test"):
        seeds = [content["seeds"][str(seed)][part] for seed in SEEDS]
        pairs: list[tuple[list[float], str, str | None]] = []
        pairs += [([s[key] for s in seeds], key, None) for key in ("auc", "auprc", "balanced_accuracy")]
        pairs += [([s["fpr_at_tpr"][tpr] for s in seeds], "fpr_at_tpr", tpr) for tpr in TPRS]
        for name in ("tpr_at_fpr", "error_at_fpr"):
            pairs += [([s[name][fpr] for s in seeds], name, fpr) for fpr in FPRS]
        pairs += [([s["weighted_rate"]["value"] for s in seeds], "weighted_rate", "value")]
        pairs += [
            ([s["at_default_threshold"][k] for s in seeds], "at_default_threshold", k)
            for k in ("tpr", "fpr", "error", *OF_CALLS)
        ]
        if part == "test":
            pairs += [([s["calibration"][k] for s in seeds], "calibration", k) for k in ("error", "error_scaled")]
        for values, key, inner in pairs:
            for block, expected in (("mean", sum(values) / 3), ("std", statistics.stdev(values))):
                found = content[block][part][key]
                assert (found[inner] if inner else found) == pytest.approx(expected, abs=1e-12), (block, part, key)
        first, second, third = (s["auc"] for s in seeds)
        mean = (first + second + third) / 3
        variance = ((first - mean) ** 2 + (second - mean) ** 2 + (third - mean) ** 2) / 2  # n - 1
        assert content["std"][part]["auc"] == pytest.approx(variance**0.5)
    for number in range(5):
        points = [content["seeds"][str(seed)]["test"]["thresholds"][number] for seed in SEEDS]
        for block, combine in (("mean", statistics.fmean), ("std", statistics.stdev)):
            found = content[block]["test"]["thresholds"][number]
            assert (found["rule"], found["target"]) == (points[0]["rule"], points[0]["target"])
            assert set(found) == {"rule", "target", "tpr", "fpr", *OF_CALLS, "balanced_accuracy"}
            for key in set(found) - {"rule", "target"}:
                assert found[key] == pytest.approx(combine([point[key] for point in points]), abs=1e-12)


def test_the_ensemble_averages_the_scores(trained: Path) -> None:
    for name in NAMES:
        seeds = [read_scores(trained / f"seed{seed}" / name) for seed in SEEDS]
        ensemble = read_scores(trained / "ensemble" / name)
        for row in range(len(ensemble.score)):
            assert ensemble.score[row] == pytest.approx(sum(s.score[row] for s in seeds) / 3, abs=1e-12)
        for column in ("index", "label", "split", "original_class"):
            assert list(getattr(ensemble, column)) == list(getattr(seeds[0], column))


def test_scores_of_other_samples_are_not_averaged(trained: Path) -> None:
    with pytest.raises(UserError, match="scored on different samples"):
        averaged([read_scores(trained / "seed1" / name) for name in NAMES])


def some_scores(seed: int, *, size: int = 300) -> Scores:
    generator = np.random.default_rng(seed)
    label = (np.arange(size) % 3 == 0).astype(np.int64)
    index = np.arange(size, dtype=np.int64)
    return Scores(index, label, generator.normal(size=size) + label, ["test"] * size, label)


def test_thresholds_do_not_look_at_the_test_set() -> None:
    options = EvaluationOptions((0.98, 0.9), 0.5, 0.0, fprs=(0.05,), cost_ratio=10.0, class_counts=(200, 100))
    validation = some_scores(1)
    tests = [
        seed_result(validation, some_scores(seed), options=options, stream="bootstrap", seed=1)["test"]
        for seed in (2, 3, 4)
    ]
    for name in ("operating_points", "thresholds"):
        for one, *others in zip(*(test[name] for test in tests), strict=True):
            assert len({point["threshold"] for point in (one, *others)}) == 1
            assert len({point["fpr"] for point in (one, *others)}) > 1
    assert len({test["calibration"]["temperature"] for test in tests}) == 1
    assert len({test["calibration"]["error"] for test in tests}) == 3
    moved = seed_result(some_scores(5), some_scores(2), options=options, stream="bootstrap", seed=1)["test"]
    assert moved["operating_points"][0]["threshold"] != tests[0]["operating_points"][0]["threshold"]
    pairs = zip(moved["thresholds"], tests[0]["thresholds"], strict=True)
    changed = [new["threshold"] != old["threshold"] for new, old in pairs]
    assert changed == [False, True, True]  # the first rule looks at the class counts alone
    assert moved["calibration"]["temperature"] != tests[0]["calibration"]["temperature"]


def test_intervals_are_reproducible_and_follow_the_seed() -> None:
    options = EvaluationOptions((0.98, 0.9), 0.5, 0.0, fprs=(0.05,), cost_ratio=10.0, class_counts=TRAINING)
    one, same, other = (
        seed_result(some_scores(1), some_scores(2), options=options, stream="bootstrap", seed=seed)["test"]
        for seed in (1, 1, 2)
    )
    assert_same(one, same)
    assert one["auc"] == other["auc"]
    assert one["auc_interval"] != other["auc_interval"]


def test_a_rate_that_the_positives_cannot_resolve_is_warned_of(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(trained)["warnings"] == []
    folder = copied(trained, tmp_path, only_best=True)
    run(tmp_path, f"{OPTIONS} --train 0 --tpr 0.999 0.99 0.9 1")
    content = results(folder)
    assert len(content["warnings"]) == 3  # 0.999: 65 and 222 positives; 0.99: 65 alone; 1 is meant as it is
    assert [line.split()[1] for line in content["warnings"]] == ["0.999", "0.99", "0.999"]
    printed = capsys.readouterr().out.splitlines()
    assert all(f"note: {line}" in printed for line in content["warnings"])
    assert tuple(content["ensemble"]["test"]["fpr_at_tpr"]) == ("0.999", "0.99", "0.9", "1.0")
    assert (folder / "seed1" / "test.csv").read_bytes() == (trained / "seed1" / "test.csv").read_bytes()


def test_alpha_weighs_the_two_rates(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path, only_best=True)
    run(tmp_path, f"{OPTIONS} --train 0 --alpha 0.8")
    test = results(folder)["ensemble"]["test"]
    default = test["at_default_threshold"]
    assert test["weighted_rate"]["alpha"] == 0.8
    assert test["weighted_rate"]["value"] == pytest.approx(0.8 * default["tpr"] + 0.2 * (1 - default["fpr"]))


# ---------------------------------------------------------------- the other files


def test_the_picture_is_a_png(trained: Path) -> None:
    content = (trained / "roc.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert width > height > 400


def normal_scores(shift: float, *, negatives: int, positives: int) -> Scores:
    generator = np.random.Generator(np.random.PCG64(2))
    label = np.repeat([0, 1], [negatives, positives])
    score = generator.normal(size=len(label)) + shift * (label - 0.5)
    return Scores(np.arange(len(label)), label, score, ["test"] * len(label), label)


@pytest.mark.parametrize("tprs", [(0.98, 0.95, 0.9), (0.995, 0.99, 0.98, 0.95, 0.9, 0.8), (1.0,)])
@pytest.mark.parametrize(
    "shift", [-3.0, 0.1, 2.5, 7.0, 50.0], ids=["inverted", "poor", "good", "nearly perfect", "perfect"]
)
def test_points_and_labels_of_the_picture(shift: float, tprs: tuple[float, ...]) -> None:
    """In the right panel all points lie whole within the picture, and no label covers a label or a point."""
    scores = normal_scores(shift, negatives=900, positives=100)
    options = EvaluationOptions(
        tprs=tprs, alpha=0.5, default_threshold=0.0, fprs=(0.1,), cost_ratio=1.0, class_counts=(9, 1)
    )
    result = seed_result(scores, scores, options=options, stream="picture", seed=0)
    figure = roc_figure({1: scores}, scores, result, title="run")
    figure.savefig(io.BytesIO(), format="png")
    corner = figure.axes[1]
    panel = corner.get_window_extent()
    (marks,) = (line for line in corner.lines if line.get_marker() == "o")  # the chosen thresholds
    assert not marks.get_clip_on()
    at = corner.transData.transform(np.column_stack(marks.get_data()))
    points = result["test"]["operating_points"]
    assert len(at) == len(points) == len(tprs)
    assert all(panel.contains(x, y) for x, y in at)
    labels = [Text.get_window_extent(text) for text in corner.texts]  # without the lines to the points
    assert len(labels) == len(tprs)
    for one, other in itertools.combinations(labels, 2):
        assert not one.overlaps(other)
    for label in labels:
        assert panel.contains(label.x0, label.y0)
        assert panel.contains(label.x1, label.y1)
    # the panel is not wider than what it shows needs: the curve from 80% to the highest TPR, and the points
    left, right = corner.get_xlim()
    fpr, tpr, _ = roc_curve(scores.label, scores.score, drop_intermediate=False)
    lowest = min([0.8, *(point["tpr"] for point in points)])
    ends = [fpr[(tpr >= lowest).argmax()], fpr[(tpr >= max(tprs)).argmax()], *(point["fpr"] for point in points)]
    assert right - left <= max(1.1 * (max(ends) - min(ends)), 14 / 900)


def test_done_says_what_was_done(trained: Path) -> None:
    for seed in SEEDS:
        done = json.loads((trained / f"seed{seed}" / "done").read_text())
        assert set(done) == {"finished", "epochs", "stopped_early", "best_epoch", "checksums"}
        assert (done["epochs"], done["stopped_early"]) == (3, False)
        assert not (trained / f"seed{seed}" / "failed").exists()


def test_the_table_is_printed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied(trained, tmp_path, only_best=False)
    capsys.readouterr()
    run(tmp_path, f"{OPTIONS} --train 0")
    printed = capsys.readouterr().out
    content = results(trained)
    for seed in SEEDS:
        test = content["seeds"][str(seed)]["test"]
        (line,) = (line for line in printed.splitlines() if line.startswith(f"seed {seed} "))
        assert f"{test['auc']:.4f}" in line
        assert f"{100 * test['fpr_at_tpr']['0.98']:.1f}" in line
    for name in ("mean", "SD", "ensemble"):
        assert any(line.startswith(f"{name} ") for line in printed.splitlines())
    assert "222 positives, 228 negatives" in printed
    assert str(tmp_path / "runs" / "run" / "roc.png") in printed
    assert f"tensorboard --logdir {tmp_path}" in printed


# ---------------------------------------------------------------- seeds as separate jobs


@pytest.mark.slow
def test_seeds_as_separate_commands_give_the_same_results(trained: Path, tmp_path: Path) -> None:
    for seed in (2, 1, 3):
        folder = run(tmp_path, OPTIONS.replace("--seeds 1-3", f"--seeds {seed}"))
    assert_same_run(folder, trained, seeds=SEEDS)
    assert (folder / "roc.png").read_bytes() == (trained / "roc.png").read_bytes()
    assert "--seeds 1 " in results(folder)["command"]  # the first seed's
    commands = [line for line in (folder / "config.yaml").read_text().splitlines() if "python main.py" in line]
    assert len(commands) == 3


@pytest.mark.slow
def test_two_seeds_in_two_processes_at_once(trained: Path, tmp_path: Path) -> None:
    jobs = [
        subprocess.Popen(
            [sys.executable, "main.py", *arguments(tmp_path, f"{OPTIONS} --seeds {seed}")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in (1, 2)
    ]
    for job in jobs:
        output, _ = job.communicate(timeout=200)
        assert job.returncode == 0, output
    content = without_command(results(tmp_path / "runs" / "run"))
    assert content["seeds"] == {seed: without_command(results(trained))["seeds"][seed] for seed in ("1", "2")}
    for seed in (1, 2):
        for name in NAMES:
            ours = tmp_path / "runs" / "run" / f"seed{seed}" / name
            assert ours.read_bytes() == (trained / f"seed{seed}" / name).read_bytes()


def test_a_seed_that_another_process_finished_meanwhile_counts(tmp_path: Path) -> None:
    """This process waits for the lock of the results while the other writes its mark and its results."""
    folder = run(tmp_path, "--seeds 1-2")
    expected = results(folder)
    paths = RunPaths(tmp_path, "runs", "run")
    other = paths.seed(2)
    other.done.unlink()
    run(tmp_path, "--seeds 1")
    assert list(results(folder)["seeds"]) == ["1"]
    facts = {key: expected[key] for key in ("command", "data_checksum", "class_counts")}
    options = evaluation_options(experiment_of(tmp_path, "--seeds 1-2"))
    waiting = threading.Thread(target=lambda: report(paths, options=options, facts=lambda seed: facts))
    with locked(paths.lock, what="the results"):
        waiting.start()
        time.sleep(0.2)
        write_done(other, best_epoch=expected["seeds"]["2"]["best_epoch"], epochs=1, stopped_early=False)
    waiting.join()
    assert_same(results(folder), expected)
