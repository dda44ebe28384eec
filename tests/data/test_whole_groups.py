"""Groups stay on one side in every split, and the shares of the classes are kept as well as whole groups allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.folds import Resampling, resampled_split
from utils.data.splits import fixed_calibration, fixed_validation
from utils.data.whole_groups import check_groups, draw_groups, folds_of_groups
from utils.errors import UserError

Array = np.ndarray[Any, Any]
FEW = settings(max_examples=60, deadline=None)


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@st.composite
def grouped(draw: st.DrawFn) -> tuple[Array, Array]:
    """Classes 0, 1, 2 and groups of 1 to 6 rows; every class in ten groups or more, half of them pure."""
    generator = stream(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(30, 60))
    own = np.arange(groups) % 3
    rows = np.repeat(np.arange(groups), generator.integers(1, 7, groups))
    mixed = (rows % 2 == 0) & (generator.random(len(rows)) < 0.3)
    classes = np.where(mixed, generator.integers(0, 3, len(rows)), own[rows])
    order = generator.permutation(len(rows))
    return classes[order], rows[order]


def is_divided(groups: Array, *sets: Array) -> bool:
    """Whether a group has rows in two of the sets, counted in the plainest way."""
    found = [{int(groups[row]) for row in rows} for rows in sets]
    return sum(map(len, found)) > len(set().union(*found))


def nearer_by_one_group(classes: Array, groups: Array, drawn: Array, wanted: list[int]) -> list[int]:
    """The groups that, taken or given back alone, bring the shares of the classes nearer to the wanted ones."""

    def distance(rows: set[int]) -> float:
        counts = [sum(int(classes[row]) == c for row in rows) for c in range(3)]
        totals = [int((classes == c).sum()) for c in range(3)]
        if any(count in (0, total) for count, total in zip(counts, totals, strict=True)):
            return float("inf")
        return sum(((n - w) / total) ** 2 for n, w, total in zip(counts, wanted, totals, strict=True))

    now = {int(row) for row in drawn}
    changed = {int(g): now ^ {int(row) for row in np.flatnonzero(groups == g)} for g in np.unique(groups)}
    return [g for g, rows in changed.items() if distance(rows) < distance(now) - 1e-9]


@given(grouped(), st.floats(0.05, 0.4))
@FEW
def test_holdout_divides_no_group_and_keeps_every_class(data: tuple[Array, Array], fraction: float) -> None:
    classes, groups = data
    validation = fixed_validation(classes, validation_fraction=fraction, groups=groups)
    calibration = fixed_calibration(classes, excluded=validation, calibration_fraction=0.1, groups=groups)
    rest = np.setdiff1d(np.arange(len(classes)), np.union1d(validation, calibration))
    assert not is_divided(groups, validation, calibration, rest)
    check_groups({"training": rest, "validation": validation, "calibration": calibration}, groups)
    for rows in (validation, calibration, rest):
        assert set(classes[rows].tolist()) == {0, 1, 2}
        assert rows.tolist() == sorted(set(rows.tolist()))
    wanted = [max(1, int((classes == c).sum() * fraction + 1e-9)) for c in range(3)]
    assert not nearer_by_one_group(classes, groups, validation, wanted)
    again = fixed_validation(classes, validation_fraction=fraction, groups=groups)
    assert np.array_equal(validation, again)


@given(grouped(), st.integers(2, 4), st.sampled_from([("natural",), (1,), (2.5, 4), (3, 5)]), st.booleans())
@FEW
def test_folds_and_subsets_divide_no_group(
    data: tuple[Array, Array], folds: int, ratios: tuple[Any, ...], downsample: bool
) -> None:
    classes, groups = data
    tested: list[int] = []
    for fold in range(1, folds + 1):
        for train_on in ("same", "other", "all") if len(ratios) > 1 else ("same",):
            resampling = Resampling(folds, fold, ratios, train_on=train_on, downsample=downsample)
            try:
                split = resampled_split(
                    classes,
                    negative_classes=(0, 2),
                    positive_classes=(1,),
                    resampling=resampling,
                    validation_fraction=0.2,
                    groups=groups,
                )
            except UserError:  # too few positives for these ratios and folds
                return
            assert not is_divided(groups, split.train, split.validation, split.test)
            check_groups({"training": split.train, "validation": split.validation, "test": split.test}, groups)
        tested += split.test.tolist()
    assert len(tested) == len(set(tested))
    if ratios == ("natural",):
        assert sorted(tested) == list(range(len(classes)))  # every image is tested once


@given(grouped(), st.integers(2, 5))
@FEW
def test_folds_of_groups_are_balanced(data: tuple[Array, Array], folds: int) -> None:
    classes, groups = data
    fold_of = folds_of_groups(classes, groups, folds=folds, stream=stream())
    assert not is_divided(groups, *(np.flatnonzero(fold_of == fold) for fold in range(folds)))
    for c in range(3):
        sizes = np.bincount(fold_of[classes == c], minlength=folds)
        assert sizes.max() - sizes.min() <= 12  # two groups


def test_without_groups_of_several_rows_a_draw_is_exact() -> None:
    classes = np.array([0] * 90 + [1] * 10)
    drawn = draw_groups(classes, np.arange(100), sizes={0: 18, 1: 2}, what="validation", stream=stream())
    assert np.bincount(classes[drawn]).tolist() == [18, 2]


def test_a_class_in_one_group_only_is_refused() -> None:
    classes, groups = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3])
    with pytest.raises(
        UserError, match=r"class 1 must have images in two groups or more, so that validation and .* got 1"
    ):
        draw_groups(classes, groups, sizes={0: 1, 1: 1}, what="validation", stream=stream())


def test_a_group_larger_than_what_is_wanted_is_taken_where_the_class_has_no_other() -> None:
    classes, groups = np.array([0] * 8 + [1] * 6), np.array([*range(8), 8, 8, 8, 9, 9, 9])
    drawn = draw_groups(classes, groups, sizes={0: 2, 1: 1}, what="validation", stream=stream())
    assert np.bincount(classes[drawn]).tolist() == [2, 3]


def test_a_group_on_two_sides_is_found() -> None:
    groups = np.array([1, 0, 1, 2])
    check_groups({"training": np.array([0, 2]), "test": np.array([1, 3])}, groups)
    check_groups({"training": np.array([0]), "test": np.array([2])}, None)
    with pytest.raises(AssertionError, match="group 1 is in the training and in the test set"):
        check_groups({"training": np.array([0]), "test": np.array([2])}, groups)
