"""The real datasets, where they are: RARECALL_DATA names their folder (else ../shared/data is tried)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utils.data import DATASETS, defaults_for, load_raw
from utils.data.task import Task, build_task

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("RARECALL_DATA", ROOT.parent / "shared" / "data"))
# SHA-256 over the images and labels of the default classes, equal for torchvision's files and the .npz
CHECKSUMS = {"cifar10": "76950d82a31b", "cifar100": "7b65d2cb9d65", "mnist": "49a791928d0e"}

pytestmark = pytest.mark.data


def task_of(name: str, ratio: int) -> Task:
    inside = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python", "mnist": "MNIST"}
    if not any((FOLDER / entry).exists() for entry in (f"{name}.npz", name, inside[name])):
        pytest.skip(f"no {name} in {FOLDER} (set RARECALL_DATA to a folder with {name}.npz)")
    defaults = defaults_for(name)
    return build_task(
        load_raw(name, data_root=FOLDER),
        negative_classes=defaults.negative_classes,
        positive_classes=defaults.positive_classes,
        ratio_pos_train=ratio,
        validation_fraction=defaults.validation_fraction,
        validation_per_class=defaults.validation_per_class,
        train_fraction=defaults.train_fraction,
    )


@pytest.mark.parametrize(
    "name, ratio, train, validation, test",
    [
        ("cifar10", 100, (4410, 44), (100, 100), (1000, 1000)),
        ("cifar10", 200, (4410, 22), (100, 100), (1000, 1000)),
        ("cifar100", 100, (2025, 20), (250, 50), (500, 100)),
        ("cifar100", 200, (2025, 10), (250, 50), (500, 100)),
        ("mnist", 100, (24712, 247), (3049, 2947), (5074, 4926)),
    ],
)
def test_counts_and_disjointness_for_seeds_1_to_10(
    name: str, ratio: int, train: tuple[int, int], validation: tuple[int, int], test: tuple[int, int]
) -> None:
    task = task_of(name, ratio)
    expected = {
        split: {"negative": negative, "positive": positive}
        for split, (negative, positive) in (("train", train), ("validation", validation), ("test", test))
    }
    drawn = set()
    for seed in range(1, 11):
        split = task.split(seed)
        assert task.class_counts(split) == expected
        rows = [set(part.tolist()) for part in (split.train, split.validation, split.test)]
        assert len(rows[0] | rows[1] | rows[2]) == sum(map(len, rows))
        drawn.add(tuple(split.train.tolist()))
    assert len(drawn) == 10
    assert task.checksum.startswith(CHECKSUMS[name])


def test_every_dataset_with_known_files_is_covered() -> None:
    assert set(CHECKSUMS) == set(DATASETS) - {"digits", "fashion_mnist"}
