"""main.py on a prepared data set, from the command line to the files of the run."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from prepared_sets import made, write_set
from runs import arguments, assert_same_run, best, experiment_of, history, results, run, start_of

import main
import predict
import report
from utils.config.settings import resolve
from utils.data import check_raw, load_raw
from utils.errors import UserError
from utils.learners import learner
from utils.losses.weighted_bce import WeightedBCE
from utils.run.experiment import plain_batches
from utils.run.prepare_run import prepare
from utils.run.trained_model import TrainedModel, load
from utils.run_files.scores_csv import read_scores, write_scores
from utils.sweeping.jobs import differences
from utils.sweeping.table_file import arguments as arguments_of
from utils.sweeping.table_file import options_of
from utils.training import fitting, memory_needs

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

COUNTS = {"train": (60, 12), "validation": (12, 6), "test": (14, 7)}
GIVEN = "--ratio_pos_train natural --bsize 16"


def with_data(tmp_path: Path, more: str = "") -> str:
    """The command of a run on tmp_path/scans."""
    return f"--dataset_name scans --data_root {tmp_path} {GIVEN} {more}"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def patients(labels: list[int], splits: list[str], each: int = 3) -> list[str]:
    """A patient for every ``each`` images of one split, in mixed order of the classes."""
    numbers = dict.fromkeys(splits, 0)
    found = []
    for split in splits:
        found.append(f"{split} {numbers[split] // each}")
        numbers[split] += 1
    return found


# --- the same as without ---------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["--resnet_type lenet5", "--resnet_type lenet5 --augment crop_flip --seeds 1-2"])
def test_a_prepared_set_gives_the_bits_of_an_npz(tmp_path: Path, more: str) -> None:
    images, labels, splits = made(COUNTS)
    write_set(tmp_path, images, labels, splits)
    keys = {"train": "train", "validation": "val", "test": "test"}
    parts = {name: np.array(splits) == name for name in keys}
    arrays: dict[str, Any] = {f"x_{key}": images[parts[name]] for name, key in keys.items()}
    arrays |= {f"y_{key}": np.array(labels)[parts[name]] for name, key in keys.items()}
    np.savez(tmp_path / "array.npz", **arrays)
    own = run(tmp_path / "own", with_data(tmp_path, f"{more} --num_epochs 2"))
    array = run(tmp_path / "array", with_data(tmp_path, f"{more} --num_epochs 2 --dataset_name array"))
    for file in ("seed1/validation.csv", "seed1/test.csv", "ensemble/test.csv"):
        ours, theirs = table(own / file), table(array / file)
        assert [row["score"] for row in ours] == [row["score"] for row in theirs]
        assert [row["label"] for row in ours] == [row["label"] for row in theirs]
    assert results(own)["ensemble"] == results(array)["ensemble"]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_images_on_the_disk_train_to_the_same_bits_and_resume(tmp_path: Path, dtype: str) -> None:
    write_set(tmp_path, *made(COUNTS, dtype=dtype))
    command = with_data(tmp_path, "--resnet_type lenet5 --augment crop_flip --evaluate_every_steps 3 --seeds 1-2")
    in_memory = run(tmp_path / "memory", f"{command} --images device --num_epochs 4")
    mapped = run(tmp_path / "mapped", f"{command} --images mapped --num_epochs 4 --parallel_seeds 2")
    assert_same_run(in_memory, mapped, seeds=(1, 2))
    run(tmp_path / "resumed", f"{command} --images mapped --num_epochs 1")
    resumed = run(tmp_path / "resumed", f"{command} --images device --num_epochs 4 --resume 1")  # it may change between
    assert_same_run(in_memory, resumed, seeds=(1, 2))


def test_learners_and_evaluation_read_from_the_disk(tmp_path: Path) -> None:
    write_set(tmp_path, *made(COUNTS, dtype="f4", shape=(1, 1, 3)))
    command = with_data(tmp_path, "--images mapped").replace("--bsize 16", "")
    folder = run(tmp_path / "one", f"{command} --resnet_type logistic_cv")
    before = (folder / "seed1/test.csv").read_bytes()
    run(tmp_path / "one", f"{command} --resnet_type logistic_cv --images device --train 0")
    assert (folder / "seed1/test.csv").read_bytes() == before


def test_small_sets_are_kept_on_the_device_and_large_ones_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, *made(COUNTS))
    command = with_data(tmp_path, "--resnet_type linear --bsize 4")
    size = sum(map(sum, COUNTS.values())) * 28 * 28
    for spare, reads_ahead in ((2.1 * size, False), (1.9 * size, True)):
        monkeypatch.setattr("utils.run.load_task.memory_to_spare", lambda spare=spare: int(spare))
        assert plain_batches(experiment_of(tmp_path, command)).reads_ahead is reads_ahead


# --- classes ---------------------------------------------------------------------------------------------


def three_classes(tmp_path: Path, **options: Any) -> Path:
    images, _, splits = made({"train": (60, 30), "validation": (12, 6), "test": (12, 6)})
    labels = np.arange(len(splits)) % 3
    return write_set(tmp_path, images, labels, splits, classes=("benign nevus", "normal", "tumour"), **options)


def test_classes_are_named_and_the_names_are_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_classes(tmp_path)
    command = with_data(tmp_path, "--resnet_type linear --positive_classes tumour")
    folder = run(tmp_path / "one", command)
    said = capsys.readouterr().out
    assert "negative benign nevus (30), normal (30) : positive tumour (30)" in said
    content = yaml.safe_load((folder / "config.yaml").read_text())
    assert content["options"]["negative_classes"] == {
        "value": ["benign nevus", "normal"],
        "origin": "the other classes",
    }
    assert content["options"]["positive_classes"]["value"] == ["tumour"]
    assert content["data"]["classes"] == ["benign nevus", "normal", "tumour"]
    assert content["data"]["negatives_per_positive"] == 2.0
    names = ["benign nevus", "normal", "tumour"]
    assert best(folder / "seed1")["classes"] == {"negative": [0, 1], "positive": [2], "names": names}
    model = load(folder)
    assert isinstance(model, TrainedModel)
    assert (model.content.class_names, model.content.positive_classes) == (tuple(names), (2,))
    # the same classes in another spelling are the same run, evaluated and resumed
    run(tmp_path / "one", with_data(tmp_path, "--resnet_type linear --positive_classes 2"))
    assert "done before and kept" in capsys.readouterr().out
    run(tmp_path / "one", f"{command} --train 0")


def test_class_names_stand_in_a_config_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_classes(tmp_path)
    (tmp_path / "configs/baseline").mkdir(parents=True)
    (tmp_path / "configs/baseline/own.yaml").write_text(
        "training_type: BCE\nnegative_classes: [benign nevus, normal]\npositive_classes: tumour\n"
    )
    monkeypatch.chdir(tmp_path)
    argv = f"--dataset_name scans --data_root . --name_file_bs own --resnet_type linear --checkpoint_root {tmp_path}"
    experiment = prepare(resolve(argv.split()))
    assert (experiment.task.sides.negative, experiment.task.sides.positive) == ((0, 1), (2,))


@pytest.mark.parametrize(
    "more, expected",
    [
        ("--positive_classes tumor", "unknown positive_classes 'tumor' (from the command line); did you mean tumour?"),
        (
            "--positive_classes 7",
            "unknown positive_classes '7' (from the command line). Known: benign nevus, normal, tu",
        ),
        ("--positive_classes tumour --negative_classes tumour", "must not overlap, both name tumour"),
        (
            "",
            "scans has no default classes: give --positive_classes, and --negative_classes unless they are all others",
        ),
        ("--positive_classes tumour --sampler smote --images mapped", "synthetic positives need all images in memory"),
        (
            "--positive_classes tumour --validation_fraction 0.2",
            "validation_fraction (from the command line) cannot act",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, expected: str
) -> None:
    three_classes(tmp_path)
    run(tmp_path / "one", with_data(tmp_path, f"--resnet_type linear {more}"), code=2)
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert not (tmp_path / "one").exists()


def test_other_data_have_no_class_names_and_stay_on_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "one", "--positive_classes tumour", code=2)
    assert "must be class numbers, as digits has no class names, got 'tumour'" in capsys.readouterr().err
    run(tmp_path / "one", "--images mapped", code=2)
    assert "images mapped (from the command line) cannot act: " in capsys.readouterr().err


@pytest.mark.parametrize("marked", [None, "healthy"])
def test_of_two_classes_the_marked_or_the_rarer_one_is_positive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], marked: str | None
) -> None:
    write_set(tmp_path, *made(COUNTS), positive=marked)
    run(tmp_path / "one", with_data(tmp_path, "--resnet_type linear"))
    said = capsys.readouterr().out
    if marked:
        assert "positive class  healthy: the data say so; --positive_classes chooses" in said
    else:
        assert "positive class  tumour: the rarer one in training; --positive_classes chooses" in said


def test_a_class_whose_name_is_a_number_is_found_by_its_name(tmp_path: Path) -> None:
    images, labels, splits = made(COUNTS)
    write_set(tmp_path, images, labels, splits, classes=("1", "0"))
    experiment = experiment_of(tmp_path, with_data(tmp_path, "--resnet_type linear --positive_classes 0"))
    assert experiment.task.sides.positive == (1,)
    assert (experiment.config.positive_classes, experiment.config.negative_classes) == ((0,), (1,))


@pytest.mark.parametrize("more", ["--positive_classes 0", "--task classes --critical_classes 0"])
def test_a_number_is_no_place_where_names_are_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    """0 was read as the first class, which is 1."""
    images, labels, splits = made(COUNTS)
    write_set(tmp_path, images, labels, splits, classes=("1", "2"))
    command = with_data(tmp_path, f"--resnet_type linear {more}")
    run(tmp_path / "one", command.replace("--ratio_pos_train natural", "") if "--task" in more else command, code=2)
    assert f"unknown {more.split()[-2][2:]} '0' (from the command line). Known: 1, 2" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["--positive_classes {}", "--task classes --critical_classes {}"])
@pytest.mark.parametrize(
    "classes, named",
    [
        (("0-1", "2", "3-4"), ["0-1"]),  # 0-1 was classes 0 and 1, the places of 0-1 and 2
        (("a, b", "a", "b"), ["a, b"]),  # a and b
        (("3", "2", "1 2", "02"), ["1 2", "02"]),
        (("4-2", "tumour, malignant", "normal"), ["tumour, malignant", "4-2"]),
    ],
)
def test_the_whole_text_is_a_name_before_it_is_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, classes: tuple[str, ...], named: list[str]
) -> None:
    images, labels, splits = made(COUNTS)
    labels = [row % len(classes) for row in range(len(labels))]
    write_set(tmp_path, images, labels, splits, classes=classes)
    command = with_data(tmp_path, f"--resnet_type linear {task.format('NAMES')}")
    argv = arguments(tmp_path, command.replace("--ratio_pos_train natural", "") if "--task" in task else command)
    place = argv.index("NAMES")
    argv[place : place + 1] = named
    flag = argv[place - 1].removeprefix("--")
    experiment = prepare(resolve(argv))
    chosen = getattr(experiment.config, flag)
    assert chosen == tuple(named)
    flags = ("classes",) if "--task" in task else ("negative_classes", "positive_classes")
    used = [str(each) for flag in flags for each in getattr(experiment.config, flag)]
    assert sorted(used) == sorted(classes)  # names throughout, and no places
    assert main.main(argv) == 0
    scores = table(tmp_path / "runs/run/seed1/test.csv")
    if "--task" not in task:
        assert {int(row["original_class"]) for row in scores if row["label"] == "1"} == set(map(classes.index, named))
    before = (tmp_path / "runs/run/results.json").read_bytes()
    for more in (["--train", "0"], ["--resume", "1"]):  # the names of best.pt and config.yaml are read back
        capsys.readouterr()
        assert main.main([*argv, *more]) == 0, capsys.readouterr().err
    assert (tmp_path / "runs/run/results.json").read_bytes() == before


def test_a_range_of_numbers_is_recorded_as_numbers_and_may_be_typed_again(tmp_path: Path) -> None:
    """As of digits, which have no names; in whichever way the same classes are written."""
    folder = run(tmp_path, "--negative_classes 0-3 --positive_classes 8,9")
    options = yaml.safe_load((folder / "config.yaml").read_text())["options"]
    assert [options[f"{side}_classes"]["value"] for side in ("negative", "positive")] == [[0, 1, 2, 3], [8, 9]]
    assert list(best(folder / "seed1")["config"]["negative_classes"]) == [0, 1, 2, 3]
    run(tmp_path, "--negative_classes 0-3 --positive_classes 8,9 --train 0")
    run(tmp_path, "--negative_classes 0,1-3 --positive_classes 8-9 --resume 1")
    run(tmp_path, "--negative_classes 0-4 --positive_classes 8,9 --train 0", code=2)


def test_a_sweep_hands_names_on_as_they_are(tmp_path: Path) -> None:
    """In the command of a job, and a finished run whose classes were typed as a range is that of the row."""
    content = {"positive_classes": ["0-1", "a, b"], "negative_classes": "2-3"}
    found = arguments_of(options_of(content, "a table"))
    assert found == ["--positive_classes", "0-1", "a, b", "--negative_classes", "2-3"]
    settings = resolve(["--positive_classes", "0-1", "--negative_classes", "2", "3"])
    recorded = {name: dict(item) for name, item in settings.as_yaml_ready().items()}
    recorded["positive_classes"]["value"] = [0, 1]
    assert differences(recorded, settings) == []
    recorded["positive_classes"]["value"] = [0, 3]
    assert differences(recorded, settings) == ["positive_classes"]


# --- other data ------------------------------------------------------------------------------------------


def judge(folder: Path, table: dict[str, str], *more: str) -> int:
    """Judge a run on the images of ``table``, which has the label of each."""
    path = folder.parents[1] / "other.csv"
    path.write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label in table.items()))
    return predict.main([str(folder), "--images", str(path), "--labels", str(path), "--name", "other", *more])


def pictures(root: Path, classes: tuple[str, ...]) -> dict[str, str]:
    """Images in ``root``, the brighter the later the class, and the class of each."""
    found = {}
    for number in range(30):
        pixels = np.full((28, 28), 90 * (number % len(classes)) + number, dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
        found[f"{number}.png"] = classes[number % len(classes)]
    return found


@pytest.mark.parametrize("task", ["", "--task classes --classes healthy tumour"])
def test_patients_of_other_data_give_the_intervals_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    """The run's own test images as other data: with their patients all but the drawn intervals are the same."""
    images, labels, splits = made({"train": (90, 30), "validation": (30, 12), "test": (30, 15)})
    groups = patients(labels, splits)
    write_set(tmp_path, images, labels, splits, groups=groups)
    command = with_data(tmp_path, f"--resnet_type linear {task}")
    folder = run(tmp_path, command.replace("--ratio_pos_train natural", "") if task else command)
    rows = [row for row, split in enumerate(splits) if split == "test"]
    for row in rows:
        Image.fromarray(images[row, :, :, 0]).save(tmp_path / f"{row}.png")
    lines = [f"{row}.png,{('healthy', 'tumour')[labels[row]]},{groups[row]}" for row in rows]
    (tmp_path / "other.csv").write_text("\n".join(["path,label,who", *lines]) + "\n")
    argv = [str(folder), "--images", str(tmp_path / "other.csv"), "--labels", str(tmp_path / "other.csv")]
    found = {}
    for name, more in (("patients", ["--group", "who"]), ("images", [])):
        capsys.readouterr()
        assert predict.main([*argv, "--name", name, "--threads", "1", *more]) == 0
        warned = "95 % intervals, which count images, as those of the run count groups: name theirs with --group COLUMN"
        assert (warned in capsys.readouterr().out) is not bool(more)
        found[name] = json.loads((folder / "external" / name / "results.json").read_text())
    own, other = results(folder)["ensemble"]["test"], found["patients"]["test"]
    compared = ["fpr_at_tpr_interval", "n_groups_positive", "n_groups_negative"]
    if task:
        assert other["accuracy_interval"] == own["accuracy_interval"]
        assert other["recall_interval"] == own["recall_interval"]
        assert other["decisions"][0]["recall_interval"] == own["decisions"][0]["recall_interval"]
        own, other, alone = own["critical"]["tumour"], *(each["test"]["critical"]["tumour"] for each in found.values())
    else:
        alone = found["images"]["test"]
    assert {name: other[name] for name in compared} == {name: own[name] for name in compared}
    for ours, theirs in zip(own["operating_points"], other["operating_points"], strict=True):
        assert [theirs[name] for name in ("tpr_interval", "fpr_interval")] == [
            ours[name] for name in ("tpr_interval", "fpr_interval")
        ]
    (low, high), (closer, nearer) = other["auc_interval"], alone["auc_interval"]
    assert high - low > nearer - closer
    shift = found["images"]["shift"]  # patients of the run's own test set are enough to leave the p out
    assert all(each["p"] is None for each in (shift["tumour"] if task else shift).values())


@pytest.mark.parametrize("task", ["--positive_classes cancer", "--task classes --classes healthy cancer"])
def test_labels_of_other_data_are_names_and_no_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    """A hospital that writes 1 for cancer, which comes first in the alphabet, was judged upside down."""
    images, labels, splits = made(COUNTS)
    classes = ("cancer", "healthy")
    write_set(tmp_path, images, labels, splits, classes=classes)
    command = with_data(tmp_path, f"--resnet_type linear {task}")
    folder = run(tmp_path, command.replace("--ratio_pos_train natural", "") if "--task" in task else command)
    named = pictures(tmp_path, classes)
    capsys.readouterr()
    assert judge(folder, {name: str(int(label == "cancer")) for name, label in named.items()}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a class of the run (" in line
    assert "got '1, 0'; write names, as numbers do not tell which class is meant" in line
    assert judge(folder, {**named, "0.png": "canser"}) == 2
    assert capsys.readouterr().err.endswith("got 'canser'\n")
    assert not (folder / "external").exists()
    assert judge(folder, named) == 0
    said = capsys.readouterr().out
    assert ("images: healthy 15, cancer 15" if "--task" in task else "positive is cancer: 15 labelled cancer;") in said


# --- groups and sets -------------------------------------------------------------------------------------


def test_no_patient_is_on_two_sides_and_the_scores_name_path_and_patient(tmp_path: Path) -> None:
    images, labels, splits = made({"train": (90, 30), "test": (20, 10)})
    write_set(tmp_path, images, labels, splits, groups=patients(labels, splits))
    command = with_data(tmp_path, "--resnet_type linear --calibration_fraction 0.1 --validation_fraction 0.2")
    folder = run(tmp_path / "one", f"{command} --seeds 1-2")
    experiment = experiment_of(tmp_path, command)
    task, split = experiment.task, experiment.task.split(1)
    assert task.group_names is not None
    seen = {part: set(task.group_names[rows].tolist()) for part, rows in split.parts().items()}
    assert list(seen) == ["train", "validation", "calibration", "test"]
    assert sum(map(len, seen.values())) == len(set().union(*seen.values())) == 50
    for part in ("validation", "calibration", "test"):
        for file in (folder / f"seed1/{part}.csv", folder / f"ensemble/{part}.csv"):
            rows = table(file)
            assert list(rows[0]) == ["index", "label", "score", "split", "original_class", "path", "group"]
            assert {row["group"] for row in rows} == seen[part]
            for row in rows:
                assert row["path"] == f"{('healthy', 'tumour')[int(row['label'])]}/{row['index']}.png"
            scores = read_scores(file)
            assert scores.groups is not None
            assert [sorted(seen[part])[number] for number in scores.groups] == scores.group


def test_a_learner_is_told_the_patients_of_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own folds, which choose the penalty, must not cut them."""
    images, labels, splits = made({"train": (90, 30), "test": (20, 10)})
    write_set(tmp_path, images, labels, splits, groups=patients(labels, splits))
    told: list[Any] = []

    def recorded(name: str) -> Any:
        def fit(features: Any, labels: Any, *, generator: Any, groups: Any) -> Any:
            told.append(groups)
            return learner(name)(features, labels, generator=generator, groups=groups)

        return fit

    monkeypatch.setattr(fitting, "learner", recorded)
    command = with_data(tmp_path, "--validation_fraction 0.2").replace("--bsize 16", "")
    run(tmp_path / "one", f"{command} --resnet_type logistic_cv")
    task = experiment_of(tmp_path, command).task
    assert task.groups is not None
    assert told[0].tolist() == task.groups[task.split(1).train].tolist()


def test_no_patient_is_on_two_sides_of_a_fold(tmp_path: Path) -> None:
    images, labels, splits = made({"train": (60, 20), "validation": (20, 10), "test": (20, 10)})
    names = [f"patient {row // 4}" for row in range(len(labels))]  # the folds pool all sets
    splits = ["train"] * 80 + ["validation"] * 30 + ["test"] * 30
    names = [f"{split} {name}" for split, name in zip(splits, names, strict=True)]
    write_set(tmp_path, images, labels, splits, groups=names)
    tested: list[int] = []
    for fold in range(1, 4):
        command = f"--dataset_name scans --data_root {tmp_path} --folds 3 --fold {fold} --resnet_type linear"
        argv = [*command.split(), "--checkpoint_root", str(tmp_path), "--device", "cpu"]
        task = prepare(resolve(argv)).task
        split = task.split(1)
        assert task.group_names is not None
        seen = [set(task.group_names[rows].tolist()) for rows in split.parts().values()]
        assert sum(map(len, seen)) == len(set().union(*seen)) == len(set(names))
        tested += split.test.tolist()
    assert sorted(tested) == list(range(140))  # all positives and negatives are used: the default of own data


def test_paths_with_quotes_commas_and_line_breaks_are_read_back(tmp_path: Path) -> None:
    images, labels, splits = made(COUNTS)
    write_set(tmp_path, images, labels, splits)
    folder = run(tmp_path / "one", with_data(tmp_path, "--resnet_type linear"))
    scores = read_scores(folder / "seed1/test.csv")
    odd = ['a,"b".png', "ü\n.png", *(scores.path or [])[2:]]
    write_scores(tmp_path / "odd.csv", replace(scores, path=odd))
    again = read_scores(tmp_path / "odd.csv")
    assert again.path == odd
    assert again.score.tolist() == scores.score.tolist()
    assert again.groups is None  # the data have none


def test_own_validation_and_calibration_sets_are_used(tmp_path: Path) -> None:
    counts = {"train": (60, 12), "validation": (12, 6), "calibration": (10, 5), "test": (14, 7)}
    write_set(tmp_path, *made(counts))
    folder = run(tmp_path / "one", with_data(tmp_path, "--resnet_type linear"))
    for part, (negatives, positives) in list(counts.items())[1:]:
        scores = read_scores(folder / f"seed1/{part}.csv")
        assert (int((scores.label == 0).sum()), int(scores.label.sum())) == (negatives, positives)
        assert set(scores.split) == {part}


# --- the ratio -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more, counts, note",
    [
        ("", (60, 12), ""),
        ("--ratio_pos_train natural", (60, 12), ""),
        ("--ratio_pos_train 2.5 --train_fraction 0.4", (24, 9), None),
        (
            "--ratio_pos_train 15",
            (60, 4),
            "4 of 12 positives of the training file are used; --ratio_pos_train natural use",
        ),
        (
            "--train_fraction 0.5",
            (30, 6),
            "6 of 12 positives of the training file are used; --train_fraction 1 uses all",
        ),
    ],
)
def test_own_data_use_every_positive_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, counts: tuple[int, int], note: str | None
) -> None:
    if more.startswith("--ratio_pos_train 2.5"):  # floor(24 / 2.5) = 9; of 12 positives 12 * 0.4 = 4 are at hand
        write_set(tmp_path, *made({**COUNTS, "train": (60, 30)}))
    else:
        write_set(tmp_path, *made(COUNTS))
    command = f"--dataset_name scans --data_root {tmp_path} --resnet_type linear --checkpoint_root {tmp_path} --seeds 1"
    assert main.main([*command.split(), *more.split(), "--num_epochs", "1", "--model_name", "run"]) == 0
    said = capsys.readouterr().out
    assert f"train {counts[0]} : {counts[1]}," in said
    if note is not None:
        assert note in said
    if note == "":
        assert "positives of the training file are used" not in said


def test_a_loss_gets_the_ratio_that_results(tmp_path: Path) -> None:
    write_set(tmp_path, *made(COUNTS))
    for more, ratio in (("", 60 / 12), ("--ratio_pos_train 15", 15)):  # the obtained one, or as requested
        command = with_data(tmp_path, f"--resnet_type linear --training_type WBCE --c 1 {more}")
        _, state, _ = start_of(tmp_path, command)
        assert isinstance(state.loss, WeightedBCE)
        assert state.loss.positive_weight == ratio


# --- report ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_the_report_shows_the_worst_images_with_their_paths(tmp_path: Path, dtype: str) -> None:
    images, labels, splits = made(COUNTS, dtype=dtype)
    write_set(tmp_path, images[::-1].copy(), labels, splits)  # nothing to learn, so that some are missed
    folder = run(tmp_path / "one", with_data(tmp_path, "--resnet_type linear"))
    for name, shown in (("before", True), ("after", False)):
        assert report.main([str(folder.parent), "--out", str(tmp_path / name)]) == 0
        page = (tmp_path / name / "report.html").read_text()
        assert ("data:image/png" in page) is shown
        assert ("are not those that were scored" in page) is not shown
        assert bool(re.search(r"test \d+, (tumour|healthy)/\d+\.png", page)) is shown
        shutil.rmtree(tmp_path / "scans", ignore_errors=True)
        write_set(tmp_path, images, labels, splits)  # other data from now on


# --- 16 bits and features --------------------------------------------------------------------------------


def test_a_model_of_16_bits_scores_files_of_16_bits_as_in_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels, splits = made(COUNTS, dtype="u2")
    write_set(tmp_path, images, labels, splits)
    folder = run(tmp_path / "one", with_data(tmp_path, "--resnet_type lenet5"))
    scores = read_scores(folder / "seed1/test.csv")
    (tmp_path / "new").mkdir()
    for number, row in enumerate(scores.index.tolist()):
        Image.fromarray(images[row, :, :, 0]).save(tmp_path / f"new/{number:03}.png")
    argv = [str(folder), "--images", str(tmp_path / "new"), "--out", str(tmp_path / "out.csv"), "--threads", "1"]
    assert predict.main(argv) == 0
    assert [float(row["score"]) for row in table(tmp_path / "out.csv")] == pytest.approx(
        scores.score.tolist(), abs=1e-6
    )
    assert load(folder).score(images[scores.index]) == pytest.approx(scores.score, abs=1e-6)
    Image.fromarray((images[0, :, :, 0] >> 8).astype(np.uint8)).save(tmp_path / "new/000.png")
    assert predict.main([*argv, "--overwrite", "1"]) == 1
    assert table(tmp_path / "out.csv")[0]["error"] == "L pixels, but the model was trained on 16 bits a channel"
    capsys.readouterr()
    with pytest.raises(UserError, match="images must hold integers of 16 bits, as the model was trained on, got uint8"):
        load(folder).score(np.zeros((2, 28, 28), dtype=np.uint8))
    assert predict.main([str(folder), "--export", "torchscript"]) == 2
    assert "--export writes models of 8-bit images" in capsys.readouterr().err


def test_16_bits_are_not_trained_as_8(tmp_path: Path) -> None:
    images, labels, splits = made(COUNTS, dtype="u2")
    write_set(tmp_path, images, labels, splits, name="deep")
    write_set(tmp_path, (images >> 8).astype(np.uint8), labels, splits, name="flat")
    losses = [
        history(run(tmp_path / name, with_data(tmp_path, f"--resnet_type linear --dataset_name {name}")) / "seed1")
        for name in ("deep", "flat")
    ]
    assert losses[0][0]["train_loss"] != losses[1][0]["train_loss"]
    assert losses[0][0]["train_loss"] == pytest.approx(losses[1][0]["train_loss"], rel=0.01)


def test_features_train_flat_models_and_are_scored_from_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels, splits = made(COUNTS, dtype="f4", shape=(1, 1, 6))
    write_set(tmp_path, images, labels, splits)
    for model in ("linear", "dense"):
        folder = run(tmp_path / model, with_data(tmp_path, f"--resnet_type {model}"))
    scores = read_scores(folder / "seed1/test.csv")
    rows = [
        ["path", *"abcdef"],
        *([f"r{row}", *map(repr, images[row, 0, 0].tolist())] for row in scores.index.tolist()),
    ]
    with (tmp_path / "new.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    argv = [str(folder), "--images", str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv"), "--threads", "1"]
    assert predict.main(argv) == 0
    found = table(tmp_path / "out.csv")
    assert [row["path"] for row in found] == [row[0] for row in rows[1:]]
    assert [float(row["score"]) for row in found] == pytest.approx(scores.score.tolist(), abs=1e-6)
    with (tmp_path / "labels.csv").open("w", newline="") as stream:
        named = [
            (f"r{row}", ("healthy", "tumour")[label]) for row, label in zip(scores.index, scores.label, strict=True)
        ]
        csv.writer(stream).writerows([("path", "label"), *named])
    judged = ["--labels", str(tmp_path / "labels.csv"), "--name", "again", "--threads", "1"]
    assert predict.main([*argv[:3], *judged]) == 0
    again = json.loads((folder / "external/again/results.json").read_text())["test"]
    assert again["auc"] == pytest.approx(results(folder)["ensemble"]["test"]["auc"], abs=1e-9)
    capsys.readouterr()
    for content, expected in (
        (
            "a,b\n1,2\n",
            "must have 6 columns of features, in the order of the training data, and perhaps path, got 2",
        ),
        ("a,b,c,d,e,f\n1,2,3,4,5,x\n", "row 1 of .* must have 6 values, finite numbers as features"),
        ("a,b,c,d,e,f\n1,2,3,4,5,nan\n", "row 1 of .* must have 6 values, finite numbers as features"),
    ):
        (tmp_path / "new.csv").write_text(content)
        assert predict.main([*argv, "--overwrite", "1"]) == 2
        assert re.search(expected, capsys.readouterr().err)


@pytest.mark.parametrize(
    "more, expected",
    [
        (
            "--resnet_type resnet10",
            "resnet10 needs images, but .* has features; use one of dense, linear, featureless, ",
        ),
        ("--resnet_type linear --augment crop", r"augment crop \(from the command line\) cannot act: .* has features"),
        ("--resnet_type linear --image_size 32", "image_size 32 cannot act: .* has features, not images"),
        ("--resnet_type linear --normalisation half", "normalisation half cannot act: .* has features, not images"),
    ],
)
def test_what_features_cannot_do_is_one_line(tmp_path: Path, more: str, expected: str) -> None:
    write_set(tmp_path, *made(COUNTS, dtype="f4", shape=(1, 1, 6)))
    with pytest.raises(UserError, match=expected):
        experiment_of(tmp_path, with_data(tmp_path, more))


# --- before training -------------------------------------------------------------------------------------


def test_a_batch_that_would_not_fit_is_refused_with_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, *made({**COUNTS, "train": (200, 40)}))
    monkeypatch.setattr(memory_needs, "memory_to_spare", lambda: 3_000_000)
    command = with_data(tmp_path, "--resnet_type lenet5").replace("--bsize 16", "")
    with pytest.raises(
        UserError, match=r"batches of 64 images need about .* of memory are free; use --bsize \d+"
    ) as caught:
        experiment_of(tmp_path, command)
    fits = int(str(caught.value).rpartition(" ")[2])
    assert 1 <= fits < 64
    experiment_of(tmp_path, f"{command} --bsize {fits}")
    with pytest.raises(UserError, match=r"batches of .* images need"):
        experiment_of(tmp_path, f"{command} --bsize {fits * 2}")


def test_a_sweep_finds_prepared_data_before_it_starts(tmp_path: Path) -> None:
    folder = write_set(tmp_path, *made(COUNTS))
    check_raw("scans", data_root=tmp_path, download=False)
    (folder / "images.npy").unlink()
    with pytest.raises(UserError, match=r"must hold images\.npy, which is not there"):
        check_raw("scans", data_root=tmp_path, download=False)
    (folder / "manifest.yaml").unlink()
    with pytest.raises(UserError, match=r"neither .*scans\.npz nor"):
        load_raw("scans", data_root=tmp_path)
