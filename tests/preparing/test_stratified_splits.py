"""Splits: exact without groups; near the shares, and never through a group, with them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from utils.errors import UserError
from utils.preparing.collection import class_names, known_labels
from utils.preparing.stratified_splits import check_given, deal

CLASSES = ("ill", "well")


def dealt(labels: list[int], groups: list[str] | None = None, **more: object) -> list[str]:
    options = {"classes": CLASSES, "percentages": (60, 15, 25), "seed": 1, **more}
    return list(map(str, deal(np.array(labels), groups, **options)))  # type: ignore[arg-type]


def test_each_class_is_cut_to_the_nearest_sample() -> None:
    labels = [0] * 11 + [1] * 101
    found = Counter(zip(labels, dealt(labels), strict=True))
    # 11: 6.6, 1.65, 2.75 -> 6, 1, 2 and the largest remainders .75, .65; 101: 60.6, 15.15, 25.25
    assert found == {
        (0, "train"): 6, (0, "validation"): 2, (0, "test"): 3,
        (1, "train"): 61, (1, "validation"): 15, (1, "test"): 25,
    }  # fmt: skip


def test_the_rarest_class_is_in_each_split() -> None:
    labels = [0] * 4 + [1] * 40
    four = dealt(labels, percentages=(85, 5, 5, 5))[:4]
    assert sorted(four) == ["calibration", "test", "train", "validation"]


def test_a_seed_gives_its_split() -> None:
    labels = [0] * 20 + [1] * 80
    groups = [f"p{k // 2}" for k in range(100)]
    for given in (None, groups):
        assert dealt(labels, given) == dealt(labels, given)
        assert dealt(labels, given) != dealt(labels, given, seed=2)


@pytest.mark.parametrize("percentages", [(60, 15, 25), (60, 10, 10, 20)])
@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_shares_are_near(percentages: tuple[float, ...], seed: int) -> None:
    """300 groups of 1 to 20 samples, some of them of both classes."""
    generator = np.random.Generator(np.random.PCG64(seed))
    sizes = generator.integers(1, 21, 300)
    groups = np.repeat([f"g{k}" for k in range(300)], sizes).tolist()
    chance = np.repeat(np.where(generator.random(300) < 0.2, 0.5, 0.02), sizes)
    labels = (generator.random(len(groups)) >= chance).astype(int).tolist()
    found = dealt(labels, groups, percentages=percentages, seed=seed)
    sides: dict[str, set[str]] = {}
    for group, split in zip(groups, found, strict=True):
        sides.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    names = ("train", "validation", "test") if len(percentages) == 3 else ("train", "validation", "calibration", "test")
    for name, share in zip(names, percentages, strict=True):
        for label in (0, 1):
            of_class = [split for split, own in zip(found, labels, strict=True) if own == label]
            assert of_class.count(name) / len(of_class) == pytest.approx(share / 100, abs=0.01)


def test_one_huge_group_goes_where_it_fits() -> None:
    labels = [1] * 50 + [0] * 10 + [1] * 40
    groups = ["huge"] * 50 + [f"i{k}" for k in range(10)] + [f"w{k}" for k in range(40)]
    found = dealt(labels, groups)
    assert set(found[:50]) == {"train"}
    assert Counter(found[50:60]) == {"train": 6, "validation": 2, "test": 2} or Counter(found[50:60])["train"] >= 5


@pytest.mark.parametrize(
    "labels, groups, message",
    [
        ([0, 0, 1, 1, 1], None, "class ill has 2 samples, fewer than the 3 splits train, validation, test"),
        ([0, 0, 0, 0, 1, 1, 1], list("aabbcde"), "class ill has 2 groups of group, fewer than the 3 splits"),
    ],
)
def test_too_few_are_refused(labels: list[int], groups: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dealt(labels, groups)


def test_given_splits_are_checked() -> None:
    check_given(["train", "test", "train"], ["a", "b", "a"], column="patient")
    with pytest.raises(UserError, match="patient a lies in two splits, train and test; it must be on one side"):
        check_given(["train", "test"], ["a", "a"], column="patient")
    with pytest.raises(UserError, match="must hold train and test, got train, validation"):
        check_given(["train", "validation"], None, column="patient")


def test_names_of_classes() -> None:
    assert class_names(["b", "a", "10", "b"])[0] == ("10", "a", "b")
    names, labels = class_names(["2", "10", "010", "2", "-3"])
    assert (names, labels.tolist()) == (("-3", "2", "010", "10"), [1, 3, 2, 1, 0])
    assert class_names(["0.5", "10", "9"])[0] == ("0.5", "10", "9")
    assert class_names(["u\N{COMBINING DIAERESIS}", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "in  situ"])[0] == (
        "in situ",
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    )


def test_decimal_points_of_a_table_are_left_out_where_all_labels_are_whole() -> None:
    files = ["a", "b", "c"]
    assert known_labels(["2", "1.0", "1"], files, what="t.csv") == ["2", "1", "1"]
    assert known_labels(["2.0", "1.5", "01"], files, what="t.csv") == ["2.0", "1.5", "01"]
