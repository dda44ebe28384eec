"""The classes of a task: labels, profiles and the samples of each seed."""

from __future__ import annotations

import numpy as np
import pytest

from utils.data.classes_in_use import ClassChoice
from utils.data.imbalance import imbalance_profile
from utils.data.raw import RawData
from utils.data.targets import ManyClasses, TwoClasses
from utils.data.task import build_task
from utils.errors import UserError

SIZES = {3: 40, 0: 25, 7: 60, 5: 33}
ORIGINAL = np.random.default_rng(0).permutation(np.repeat(list(SIZES), list(SIZES.values())))


def raw(sizes: dict[int, int] = SIZES, *, name: str = "made") -> RawData:
    labels = np.repeat(list(sizes), list(sizes.values()))
    stream = np.random.default_rng(1)
    images = stream.integers(0, 256, (len(labels), 32, 32, 1)).astype(np.uint8)
    tests = np.repeat(list(sizes), 5)
    return RawData(
        name=name,
        source="nowhere",
        train_images=images,
        train_labels=labels,
        test_images=stream.integers(0, 256, (len(tests), 32, 32, 1)).astype(np.uint8),
        test_labels=tests,
    )


def many(*in_use: int, imbalance: str = "natural", factor: float = 1.0, fraction: float = 1.0) -> ManyClasses:
    return ManyClasses(in_use, (len(in_use) - 1,), imbalance, factor, fraction)


def test_a_label_is_the_place_of_its_class() -> None:
    found = many(7, 0, 3).labels(np.array([0, 3, 7, 7, 0]))
    assert found.tolist() == [1, 2, 0, 0, 1]
    assert TwoClasses((7, 3), (0,), 1, 1.0).labels(np.array([0, 3, 7])).tolist() == [1, 0, 0]


def test_natural_keeps_a_part_of_each_class() -> None:
    targets, excluded = many(3, 0, 7, 5, fraction=0.5), np.flatnonzero(ORIGINAL == 7)[:20]
    rows = targets.training_rows(ORIGINAL, excluded=excluded, seed=3)
    found = {c: int((ORIGINAL[rows] == c).sum()) for c in SIZES}
    assert found == {3: 20, 0: 12, 7: 20, 5: 16}
    assert not np.isin(rows, excluded).any()
    assert np.array_equal(rows, np.sort(rows))


@pytest.mark.parametrize("kind", ["exp", "step"])
@pytest.mark.parametrize("order", [(7, 3, 5, 0), (0, 5, 3, 7)])
@pytest.mark.parametrize("factor", [0.1, 0.37, 1.0])
def test_a_profile_is_the_largest_that_all_classes_allow(kind: str, order: tuple[int, ...], factor: float) -> None:
    sizes = many(*order, imbalance=kind, factor=factor).sizes(SIZES)
    assert list(sizes) == list(order)
    largest = sizes[order[0]]
    assert tuple(sizes.values()) == imbalance_profile(kind, largest=largest, classes=4, factor=factor)
    assert all(sizes[c] <= SIZES[c] for c in order)
    more = imbalance_profile(kind, largest=largest + 1, classes=4, factor=factor)
    assert any(size > SIZES[c] for size, c in zip(more, order, strict=True))


def test_fewer_samples_of_a_class_are_a_part_of_more() -> None:
    several = [
        set(many(7, 3, imbalance="exp", factor=f).training_rows(ORIGINAL, excluded=np.zeros(0, int), seed=2).tolist())
        for f in (0.1, 0.5)
    ]
    assert several[0] < several[1]
    other = many(7, 3, imbalance="exp", factor=0.1).training_rows(ORIGINAL, excluded=np.zeros(0, int), seed=1)
    assert set(other.tolist()) != several[0]


def test_a_class_without_samples_is_refused() -> None:
    with pytest.raises(UserError, match="no image of class 0 is left to train on"):
        many(3, 0, fraction=0.03).sizes(SIZES)
    with pytest.raises(UserError, match="the smallest class must keep at least 1"):
        many(3, 0, imbalance="exp", factor=0.001).sizes(SIZES)


def test_a_task_of_classes_has_disjoint_sets_of_each_class() -> None:
    choice = ClassChoice(classes=(7, 0, 3), critical=(3, 0), imbalance="exp", factor=0.5)
    task = build_task(raw(), many=choice, validation_fraction=0.1, calibration_fraction=0.1, train_fraction=1.0)
    split = task.split(1)
    rows = np.concatenate(list(split.parts().values()))
    assert len(np.unique(rows)) == len(rows)
    counts = task.class_counts(split)
    assert counts["validation"] == {"7": 6, "0": 2, "3": 4}
    assert counts["calibration"] == {"7": 6, "0": 2, "3": 4}
    assert counts["test"] == {"7": 5, "0": 5, "3": 5}
    assert tuple(counts["train"].values()) == imbalance_profile(
        "exp", largest=counts["train"]["7"], classes=3, factor=0.5
    )
    assert task.many
    assert task.many.critical == (2, 1)
    assert task.labels[split.validation].bincount().tolist() == [6, 2, 4]


def test_validation_does_not_depend_on_the_profile_or_the_other_classes() -> None:
    """So that the numbers of several profiles are of the same images."""
    chosen = []
    for choice in (ClassChoice((7, 0)), ClassChoice((0, 3, 7), None, "step", 0.2)):
        task = build_task(raw(), many=choice, train_fraction=1.0)
        rows = task.split(1).validation
        own = task.original_class[rows] == 7
        chosen.append(set(task.original_index[rows][own].tolist()))
    assert chosen[0] == chosen[1] != set()


def test_two_classes_draw_what_the_two_sides_draw() -> None:
    one = build_task(raw(), many=ClassChoice((7, 3)), train_fraction=0.8)
    two = build_task(raw(), negative_classes=[7], positive_classes=[3], ratio_pos_train="natural", train_fraction=0.8)
    for seed in (1, 2):
        for part, rows in one.split(seed).parts().items():
            assert np.array_equal(rows, two.split(seed).parts()[part])
    assert one.labels.tolist() == two.labels.tolist()
    assert (one.checksum, one.mean) == (two.checksum, two.mean)


def test_the_rarest_class_is_the_critical_one() -> None:
    assert build_task(raw(), many=ClassChoice()).many.critical == (0,)  # type: ignore[union-attr]
    equal = build_task(raw(dict.fromkeys((0, 1, 2), 30)), many=ClassChoice())
    assert equal.many
    assert equal.many.critical == (2,)


@pytest.mark.parametrize("sizes, expected", [({0: 40, 1: 9}, (0, 1)), ({0: 9, 1: 40}, (1, 0)), ({0: 9, 1: 9}, (0, 1))])
def test_of_two_classes_the_second_is_critical_and_by_default_the_rarer(
    sizes: dict[int, int], expected: tuple[int, int]
) -> None:
    task = build_task(raw(sizes), many=ClassChoice())
    assert task.many
    assert (task.many.in_use, task.many.critical) == (expected, (1,))
    given = build_task(raw(sizes), many=ClassChoice(classes=(1, 0)))
    assert given.many
    assert (given.many.in_use, given.many.critical) == ((1, 0), (1,))
