"""Stratified K-fold of any number of classes: sizes, groups, and two classes as the binary path has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.folds import Resampling, class_folds_split, resampled_split
from utils.data.raw import Int64Array
from utils.data.splits import Split
from utils.errors import UserError


def labels(*counts: int) -> Int64Array:
    return np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts)), counts))


def all_folds(original: Int64Array, folds: int, **options: Any) -> list[Split]:
    chosen = {"classes": sorted(set(original.tolist())), "validation_fraction": 0.1, **options}
    return [class_folds_split(original, folds=folds, fold=fold, **chosen) for fold in range(1, folds + 1)]


def count(original: Int64Array, rows: Int64Array, own: int) -> int:
    return int((original[rows] == own).sum())


def test_sizes_by_hand() -> None:
    """23 rows of each class in 5 folds: 4 or 5; of the other 18 or 19 a tenth is 1."""
    original = labels(*(23,) * 10)
    found = all_folds(original, 5)
    for split in found:
        for own in range(10):
            tested = count(original, split.test, own)
            assert tested in (4, 5)
            assert count(original, split.validation, own) == 1
            assert count(original, split.train, own) == 22 - tested
    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(230))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(12, 40), min_size=2, max_size=12),
    folds=st.integers(2, 6),
    fraction=st.floats(0.05, 0.5),
)
def test_every_row_is_tested_once_and_each_class_is_spread_evenly(
    counts: list[int], folds: int, fraction: float
) -> None:
    original = labels(*counts)
    found = all_folds(original, folds, validation_fraction=fraction)
    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(len(original)))
    for split in found:
        every = np.concatenate(list(split.parts().values()))
        assert len(set(every.tolist())) == len(every) == len(original)
        for rows in split.parts().values():
            assert rows.tolist() == sorted(rows.tolist())
        for own in range(len(counts)):
            pool = counts[own] - count(original, split.test, own)
            assert count(original, split.validation, own) == max(1, int(pool * fraction + 1e-9))
    for own in range(len(counts)):
        sizes = [count(original, split.test, own) for split in found]
        assert max(sizes) - min(sizes) <= 1
    sizes = [len(split.test) for split in found]
    assert max(sizes) - min(sizes) <= 2


def test_classes_that_are_not_in_use_are_in_no_set_and_the_order_does_not_matter() -> None:
    original = labels(20, 20, 20, 20)
    one = class_folds_split(original, classes=(3, 0, 2), folds=4, fold=2, validation_fraction=0.2)
    other = class_folds_split(original, classes=(0, 2, 3), folds=4, fold=2, validation_fraction=0.2)
    for name, rows in one.parts().items():
        assert np.array_equal(rows, other.parts()[name])
        assert set(original[rows].tolist()) == {0, 2, 3}
    assert len(np.concatenate(list(one.parts().values()))) == 60


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("sides", [((0,), (1,)), ((2,), (0,))])
def test_two_classes_have_the_rows_of_the_binary_path(sides: tuple[tuple[int], tuple[int]], grouped: bool) -> None:
    original = labels(60, 37, 50)
    groups = np.random.default_rng(5).integers(0, 50, len(original)) if grouped else None
    for fold in (1, 2, 5):
        for fraction in (0.1, 0.3):
            binary = resampled_split(
                original,
                negative_classes=sides[0],
                positive_classes=sides[1],
                resampling=Resampling(folds=5, fold=fold, subset_ratios=("natural",)),
                validation_fraction=fraction,
                groups=groups,
            )
            split = class_folds_split(
                original, classes=sides[0] + sides[1], folds=5, fold=fold, validation_fraction=fraction, groups=groups
            )
            for name, rows in binary.parts().items():
                assert np.array_equal(rows, split.parts()[name])


def test_no_group_is_divided_and_every_fold_has_about_its_share_of_each_class() -> None:
    generator = np.random.default_rng(11)
    groups = np.repeat(np.arange(120), generator.integers(1, 5, 120))
    original = (groups + (generator.random(len(groups)) < 0.2)) % 4
    found = all_folds(original, 4, validation_fraction=0.2, groups=groups)
    for split in found:
        sets = [set(groups[rows].tolist()) for rows in split.parts().values()]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 120
    for own in range(4):
        sizes = [count(original, split.test, own) for split in found]
        assert sum(sizes) == int((original == own).sum())
        assert max(sizes) - min(sizes) <= 4  # the largest group


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ((20, 20, 3), {"folds": 5, "fold": 5}, "fold 5 leaves no image of class 2 in the test set; .* fewer --folds"),
        ((20, 20, 2), {"folds": 2, "fold": 1}, r"leaves no image of class 2 in the training set; .* \(--classes\)"),
        ((20, 20, 20), {"folds": 1, "fold": 1}, "folds must be an integer >= 2, got 1"),
        ((20, 20, 20), {"folds": 5, "fold": 6}, r"fold must lie in 1\.\.5, got 6"),
        ((20, 20, 20), {"folds": 5, "fold": 1, "validation_fraction": 0.0}, "validation_fraction must lie between"),
    ],
)
def test_bad_values_are_refused(counts: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_folds_split(labels(*counts), **{"classes": (0, 1, 2), "validation_fraction": 0.1, **options})


def test_a_class_in_one_group_is_refused() -> None:
    """All of class 2 is one patient's: it cannot be validated and trained on."""
    original = labels(30, 30, 30)
    groups = np.where(original == 2, 1000, np.arange(90))
    with pytest.raises(UserError, match=r"class 2 must have images in two groups .* leave the class out \(--classes\)"):
        class_folds_split(original, classes=(0, 1, 2), folds=3, fold=3, validation_fraction=0.2, groups=groups)
