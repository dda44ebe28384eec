"""From raw data to a task: rows, labels, statistics, checksum, splits."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from main import main
from utils.data.raw import RawData
from utils.data.task import Task, build_task
from utils.errors import UserError


def raw_data(classes: int = 10, per_class: int = 40, channels: int = 1, validation: bool = False) -> RawData:
    generator = np.random.Generator(np.random.PCG64(3))

    def part(each: int) -> tuple[Any, Any]:
        labels = generator.permutation(np.repeat(np.arange(classes), each))
        return generator.integers(0, 256, (len(labels), 6, 5, channels), dtype=np.uint8), labels

    (train, test, own) = (part(each) for each in (per_class, 12, 8))
    return RawData("scans", "scans.npz", *train, *test, *(own if validation else (None, None)))


def task_of(raw: RawData, **changes: Any) -> Task:
    options: dict[str, Any] = {"negative_classes": (3, 1), "positive_classes": (0, 4), "ratio_pos_train": 5}
    return build_task(raw, **(options | changes))


@pytest.mark.parametrize("validation", [False, True])
def test_rows_are_the_originals_of_the_classes_in_use(validation: bool) -> None:
    raw = raw_data(channels=3, validation=validation)
    task = task_of(raw)
    parts = {split: (images, labels) for split, images, labels in raw.parts()}
    assert list(dict.fromkeys(task.original_split.tolist())) == list(parts)
    for row in range(len(task.images)):
        images, labels = parts[str(task.original_split[row])]
        index = task.original_index[row]
        assert np.array_equal(task.images[row].permute(1, 2, 0).numpy(), images[index])
        assert labels[index] == task.original_class[row]
        assert task.labels[row].item() == (task.original_class[row] in (0, 4))
    assert len(task.images) == 4 * (40 + 12 + (8 if validation else 0))
    assert (task.channels, task.height, task.width) == (3, 6, 5)
    assert (task.sides.negative, task.sides.positive) == ((3, 1), (0, 4))
    assert task.images.dtype == torch.uint8
    assert task.labels.dtype == torch.int64


@pytest.mark.parametrize("validation", [False, True])
def test_splits_are_disjoint_and_only_train_depends_on_the_seed(validation: bool) -> None:
    task = task_of(raw_data(validation=validation))
    splits = [task.split(seed) for seed in range(1, 6)]
    for split in splits:
        rows = [set(part.tolist()) for part in (split.train, split.validation, split.test)]
        assert not rows[0] & rows[1]
        assert not rows[0] & rows[2]
        assert not rows[1] & rows[2]
        assert set(task.original_split[split.train]) == {"train"}
        assert set(task.original_split[split.validation]) == {"validation" if validation else "train"}
        assert set(task.original_split[split.test]) == {"test"}
        assert split.validation.tolist() == splits[0].validation.tolist()
        assert all(part.dtype == np.int64 for part in (split.train, split.validation, split.test))
    assert len({tuple(split.train.tolist()) for split in splits}) == 5
    assert task.split(2).train.tolist() == splits[1].train.tolist()


def test_class_counts_say_what_was_got() -> None:
    task = task_of(raw_data())
    assert task.class_counts(task.split(1)) == {
        "train": {"negative": 2 * 32, "positive": 64 // 5},  # int((40 - 4) * 0.9) = 32
        "validation": {"negative": 8, "positive": 8},
        "test": {"negative": 24, "positive": 24},
    }
    own = task_of(raw_data(validation=True))
    assert own.class_counts(own.split(1))["train"] == {"negative": 2 * 36, "positive": 72 // 5}
    assert own.class_counts(own.split(1))["validation"] == {"negative": 16, "positive": 16}


def test_mean_and_std_use_the_training_file_without_validation_and_other_classes() -> None:
    raw = raw_data(channels=3)
    task = task_of(raw)
    used = (task.original_split == "train") & ~np.isin(np.arange(len(task.images)), task.split(1).validation)
    pixels = task.images[torch.from_numpy(used)].double() / 255
    assert np.allclose(task.mean, pixels.mean((0, 2, 3)).numpy(), rtol=1e-12)
    assert np.allclose(task.std, pixels.std((0, 2, 3), correction=0).numpy(), rtol=1e-12)
    elsewhere = raw.train_images.copy()
    elsewhere[np.isin(raw.train_labels, (2, 5, 6, 7, 8, 9))] = 0
    elsewhere[task.original_index[task.split(1).validation]] = 0
    same = task_of(replace(raw, train_images=elsewhere, test_images=raw.test_images * 0))
    assert (same.mean, same.std) == (task.mean, task.std)


def test_given_constants_are_kept_and_a_constant_channel_gives_no_nan() -> None:
    raw = raw_data()
    assert task_of(replace(raw, mean=(0.5,), std=(0.25,))).std == (0.25,)
    flat = task_of(replace(raw, train_images=np.full_like(raw.train_images, 51)))
    assert flat.mean == (0.2,)
    assert flat.std == (1.0,)


def test_checksum_depends_on_the_used_data_alone() -> None:
    raw = raw_data()
    task = task_of(raw)
    keep = np.isin(raw.train_labels, (0, 1, 3, 4))
    # a file with these classes only, read by another route
    subset = replace(raw, source="elsewhere", train_images=raw.train_images[keep], train_labels=raw.train_labels[keep])
    assert task_of(subset).checksum == task.checksum
    assert re.fullmatch("[0-9a-f]{64}", task.checksum)
    assert task_of(subset).split(4).train.tolist() == task.split(4).train.tolist()
    brighter = raw.test_images.copy()
    brighter[np.flatnonzero(raw.test_labels == 0)[0], 0, 0, 0] ^= 1
    swapped = np.where(raw.test_labels == 0, 1, np.where(raw.test_labels == 1, 0, raw.test_labels))
    changes: list[dict[str, Any]] = [{"test_images": brighter}, {"test_labels": swapped}]
    changed = [task_of(replace(raw, **change)).checksum for change in changes]
    assert len({task.checksum, *changed}) == 3


@pytest.mark.parametrize(
    "classes, negative, positive, expected",
    [
        (2, None, None, ((0,), (1,))),
        (2, None, (0,), ((1,), (0,))),
        (3, None, (2,), ((0, 1), (2,))),
        (4, (2,), None, ((2,), (0, 1, 3))),
        (10, None, (4, 9), ((0, 1, 2, 3, 5, 6, 7, 8), (4, 9))),
        (10, (1, 3, 5, 7, 9), None, ((1, 3, 5, 7, 9), (0, 2, 4, 6, 8))),
    ],
)
def test_the_side_that_is_not_given_is_the_rest(classes: int, negative: Any, positive: Any, expected: Any) -> None:
    task = task_of(raw_data(classes), negative_classes=negative, positive_classes=positive)
    assert (task.sides.negative, task.sides.positive) == expected


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_classes_that_do_not_follow_from_the_file(classes: int) -> None:
    shown = ", ".join(map(str, range(classes)))
    with pytest.raises(UserError, match=rf"give --positive_classes, and --negative_classes unless .*classes {shown}$"):
        task_of(raw_data(classes), negative_classes=None, positive_classes=None)


def test_the_first_lines_of_a_run_name_the_classes_and_their_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 images of each class, 4 for validation; all other 36 are used, and 3 * 36 // 10 = 10 positives."""
    raw = raw_data(4)
    arrays: dict[str, Any] = {"x_train": raw.train_images, "y_train": raw.train_labels - 1}
    np.savez(tmp_path / "scans.npz", allow_pickle=False, **arrays, x_test=raw.test_images, y_test=raw.test_labels - 1)
    argv = "--dataset_name scans --positive_classes 1 --ratio_pos_train 10 --resnet_type linear --num_epochs 1"
    assert main([*argv.split(), "--seeds", "1", "--data_root", str(tmp_path), "--checkpoint_root", str(tmp_path)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "scans 1:10  negatives : positives  train 108 : 10, validation 12 : 4, test 36 : 12"
    assert second == "training images of each class  negative -1 (36), 0 (36), 2 (36) : positive 1 (10)"


def test_no_class_is_left_for_the_other_side() -> None:
    with pytest.raises(UserError, match=r"negative_classes must name at least one class, got none; .* data are 0, 1 "):
        task_of(raw_data(2), negative_classes=None, positive_classes=(0, 1))


def test_classes_are_checked() -> None:
    with pytest.raises(UserError, match="no training image has class 11"):
        task_of(raw_data(), negative_classes=(11,))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_set_needs_every_class(split: str) -> None:
    raw = raw_data(validation=True)
    labels: Any = getattr(raw, f"{split}_labels")
    change: dict[str, Any] = {f"{split}_labels": np.where(labels == 4, 5, labels)}
    lacking = replace(raw, **change)
    with pytest.raises(UserError, match=f"got none of class 4 in the {split} set") as caught:
        task_of(lacking)
    remedy = "a file without x_val, y_val (val_images, val_labels) gets a validation set drawn from its training images"
    assert str(caught.value).endswith(f"; {remedy}") == (split == "validation")
    if split == "validation":  # and the remedy is one
        assert task_of(replace(lacking, validation_images=None, validation_labels=None)).split(1).validation.size == 16


def test_an_impossible_ratio_is_told_when_the_task_is_built() -> None:
    with pytest.raises(UserError, match="ratio_pos_train must be at most 64, the number of negatives, got 65"):
        task_of(raw_data(), ratio_pos_train=65)
