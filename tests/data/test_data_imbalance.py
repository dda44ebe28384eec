"""The choice of rows: exact counts, disjointness for any data, and every refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from utils.data.classes_in_use import check_classes
from utils.data.raw import Int64Array
from utils.data.splits import even_shares, fixed_validation, flags_needed, training_indices
from utils.errors import UserError

CIFAR10 = {"sizes": {1: 5000, 9: 5000}, "negative": (1,), "positive": (9,), "per_class": 100}
CIFAR100 = {
    "sizes": dict.fromkeys((72, 4, 95, 30, 55, 73), 500),
    "negative": (72, 4, 95, 30, 55),
    "positive": (73,),
    "per_class": 50,
}
# setting, ratio, and the counts of the official code: training negatives and positives, validation
PAPER = [
    (CIFAR10, 100, 4410, 44, 200),
    (CIFAR10, 200, 4410, 22, 200),
    (CIFAR100, 100, 2025, 20, 300),
    (CIFAR100, 200, 2025, 10, 300),
]


def labels_of(sizes: Mapping[int, int]) -> Int64Array:
    """Shuffled labels, ``sizes[c]`` of class c."""
    labels = np.repeat(np.array(list(sizes), dtype=np.int64), list(sizes.values()))
    shuffled: Int64Array = np.random.Generator(np.random.PCG64(0)).permutation(labels)
    return shuffled


def drawn(labels: Int64Array, seed: int = 1, **changes: Any) -> Int64Array:
    options: dict[str, Any] = {
        "negative_classes": (0,),
        "positive_classes": (1,),
        "excluded": np.empty(0, dtype=np.int64),
        "ratio_pos_train": 10,
        "train_fraction": 1.0,
    }
    return training_indices(labels, **(options | changes), seed=seed)


@pytest.mark.parametrize("setting, ratio, negatives, positives, validation_size", PAPER)
def test_the_four_settings_have_the_papers_counts_and_are_disjoint(
    setting: dict[str, Any], ratio: int, negatives: int, positives: int, validation_size: int
) -> None:
    labels = labels_of(setting["sizes"])
    validation = fixed_validation(labels, validation_fraction=0.1, validation_per_class=setting["per_class"])
    assert len(validation) == validation_size
    assert set(np.bincount(labels[validation]).tolist()) == {0, setting["per_class"]}
    chosen = []
    for seed in range(1, 11):
        train = drawn(
            labels,
            seed,
            negative_classes=setting["negative"],
            positive_classes=setting["positive"],
            excluded=validation,
            ratio_pos_train=ratio,
            train_fraction=0.9,
        )
        assert np.isin(labels[train], setting["negative"]).sum() == negatives
        assert np.isin(labels[train], setting["positive"]).sum() == positives
        assert not set(train.tolist()) & set(validation.tolist())
        chosen.append(tuple(train.tolist()))
    assert len(set(chosen)) == 10, "every seed draws other rows"


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    positives=st.integers(1, 5),
    fraction=st.floats(0.01, 0.6),
    train_fraction=st.floats(0.05, 1),
    ratio=st.integers(1, 40),
    seed=st.integers(0, 2**40),
)
def test_any_split_is_disjoint_and_as_asked_or_refused(
    sizes: list[int], positives: int, fraction: float, train_fraction: float, ratio: int, seed: int
) -> None:
    labels = labels_of(dict(enumerate(sizes)))
    classes = range(len(sizes))
    cut = max(1, len(sizes) - positives)
    negative, positive = tuple(classes[:cut]), tuple(classes[cut:])
    validation = fixed_validation(labels, validation_fraction=fraction)
    taken = np.bincount(labels[validation], minlength=len(sizes))
    assert taken.tolist() == [max(1, int(n * fraction + 1e-9)) for n in sizes]
    most = [int((n - v) * train_fraction + 1e-9) for n, v in zip(sizes, taken, strict=True)]
    wanted = sum(most[:cut]) // ratio
    options = {
        "negative_classes": negative,
        "positive_classes": positive,
        "excluded": validation,
        "ratio_pos_train": ratio,
        "train_fraction": train_fraction,
    }
    if not 0 < wanted <= sum(most[cut:]):
        with pytest.raises(UserError):
            drawn(labels, seed, **options)
        return
    train = drawn(labels, seed, **options)
    for rows in (train, validation):
        assert np.all(np.diff(rows) > 0), "sorted, no repeats"
    assert not set(train.tolist()) & set(validation.tolist())
    counts = np.bincount(labels[train], minlength=len(sizes)).tolist()
    assert counts[:cut] == most[:cut]
    assert sum(counts[cut:]) == wanted
    # even: a class may lie more than 1 below the largest share only where it has no more to give
    assert all(n >= max(counts[cut:]) - 1 or n == m for n, m in zip(counts[cut:], most[cut:], strict=True))


@settings(deadline=None, max_examples=60)
@given(capacities=st.lists(st.integers(0, 20), min_size=1, max_size=6), data=st.data())
def test_shares_equal_dealing_one_by_one(capacities: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(capacities)))
    order = data.draw(st.permutations(range(len(capacities))))
    dealt = dict.fromkeys(range(len(capacities)), 0)
    turns = cycle(order)
    while sum(dealt.values()) < total:
        c = next(turns)
        dealt[c] += dealt[c] < capacities[c]
    assert even_shares(total, capacities=dict(enumerate(capacities)), order=order) == dealt


def test_validation_depends_on_nothing_but_the_class() -> None:
    labels = labels_of({0: 40, 1: 30, 2: 50})
    only_two = np.flatnonzero(labels != 2)
    all_rows = fixed_validation(labels, validation_fraction=0.2)
    some_rows = only_two[fixed_validation(labels[only_two], validation_fraction=0.2)]
    assert some_rows.tolist() == all_rows[labels[all_rows] != 2].tolist()


def test_positives_of_a_rarer_setting_are_among_those_of_a_less_rare_one() -> None:
    labels = labels_of({0: 1000, 1: 100, 2: 100})
    many = drawn(labels, positive_classes=(1, 2), ratio_pos_train=10)
    few = drawn(labels, positive_classes=(1, 2), ratio_pos_train=30)
    assert set(few.tolist()) < set(many.tolist())


def test_the_remainder_goes_to_other_classes_in_other_seeds() -> None:
    labels = labels_of({0: 10, 1: 50, 2: 50, 3: 50})
    receivers = {int(labels[drawn(labels, seed, positive_classes=(1, 2, 3))].max()) for seed in range(1, 30)}
    assert receivers == {1, 2, 3}


def test_same_seed_same_rows_and_no_use_of_the_global_state() -> None:
    labels = labels_of({0: 100, 1: 100})
    before: Any = np.random.get_state()  # noqa: NPY002
    first, again = drawn(labels, 5), drawn(labels, 5)
    assert first.tolist() == again.tolist() != drawn(labels, 6, train_fraction=0.9).tolist()
    after: Any = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(before[1], after[1])


def test_fractions_are_not_bitten_by_rounding() -> None:
    labels = labels_of({0: 100, 1: 100})  # 100 * 0.29 is 28.999999999999996
    assert len(fixed_validation(labels, validation_fraction=0.29)) == 58


RATIO_REFUSALS: list[tuple[dict[int, int], int, str]] = [
    (
        {0: 4410, 1: 500},
        5000,
        "ratio_pos_train must be at most 4410, the number of negatives, got 5000",
    ),
    (
        {0: 2025, 1: 405},
        1,
        "ratio_pos_train must be at least 5, got 1, which needs 2025 positives where the data have 405 ",
    ),
]


@pytest.mark.parametrize("sizes, ratio, message", RATIO_REFUSALS)
def test_a_ratio_that_the_data_cannot_give(sizes: dict[int, int], ratio: int, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        drawn(labels_of(sizes), ratio_pos_train=ratio)


@pytest.mark.parametrize("sizes", [{0: 2025, 1: 405}, {0: 100, 1: 100}, {0: 7, 1: 3}, {0: 9, 1: 1}])
def test_the_ratios_named_as_possible_are_the_extreme_ones(sizes: dict[int, int]) -> None:
    labels = labels_of(sizes)
    possible = []
    for ratio in range(1, sizes[0] + 2):
        try:
            drawn(labels, ratio_pos_train=ratio)
        except UserError as error:
            said = re.search(r"must be at least (\d+)|must be at most (\d+)", str(error))
            assert said is not None
            assert said.group(1) is None or int(said.group(1)) == sizes[0] // (sizes[1] + 1) + 1
        else:
            possible.append(ratio)
    assert possible == list(range(sizes[0] // (sizes[1] + 1) + 1, sizes[0] + 1))


@pytest.mark.parametrize("fraction, negatives, positives", [(1.0, 95, 19), (0.5, 47, 9)])
def test_a_natural_ratio_draws_the_same_part_of_both_classes(fraction: float, negatives: int, positives: int) -> None:
    labels = labels_of({0: 100, 1: 20})
    excluded = np.concatenate([np.flatnonzero(labels == 0)[:5], np.flatnonzero(labels == 1)[:1]])
    rows = drawn(labels, ratio_pos_train="natural", train_fraction=fraction, excluded=excluded)
    assert np.bincount(labels[rows]).tolist() == [negatives, positives]
    assert not set(rows.tolist()) & set(excluded.tolist())
    assert set(drawn(labels, ratio_pos_train="natural", train_fraction=0.3, excluded=excluded)) < set(rows.tolist())


@pytest.mark.parametrize(
    "ratio, positives",
    # floor(negatives / ratio) by hand; in floats 33 / 1.1 is 29.99...
    [(2.5, 13), (1.1, 30), (33.0, 1), (1.5, 22), (8.25, 4)],
)
def test_a_ratio_may_be_a_fraction(ratio: float, positives: int) -> None:
    labels = labels_of({0: 33, 1: 40})
    assert np.bincount(labels[drawn(labels, ratio_pos_train=ratio)]).tolist() == [33, positives]
    assert np.array_equal(drawn(labels, ratio_pos_train=33.0), drawn(labels, ratio_pos_train=33))


@pytest.mark.parametrize("ratio", [0, -3, 0.5, True, "100"])
def test_ratio_must_be_a_number_from_one_on(ratio: object) -> None:
    with pytest.raises(UserError, match=r"ratio_pos_train must be natural or a number >= 1 \(negatives per positive\)"):
        drawn(labels_of({0: 10, 1: 10}), ratio_pos_train=ratio)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_train_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match="train_fraction must lie in"):
        drawn(labels_of({0: 10, 1: 10}), train_fraction=fraction)


@pytest.mark.parametrize("sizes, kind", [({0: 1, 1: 10}, "negative"), ({0: 100, 1: 1}, "positive")])
def test_nothing_left_of_a_class(sizes: dict[int, int], kind: str) -> None:
    with pytest.raises(UserError, match=f"no {kind} image is left to train on at train_fraction 0.5; use --train_fr"):
        drawn(labels_of(sizes), train_fraction=0.5)


def followed(message: str) -> list[dict[str, Any]]:
    """What the flags of each piece of advice in a message set."""
    pieces = [re.findall(r"--(\w+) ([0-9.]+)", piece) for piece in message.split("; ")[-1].split(", or ")]
    return [{name: float(n) if "fraction" in name else int(n) for name, n in piece} for piece in pieces]


@settings(deadline=None, max_examples=200)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    train_fraction=st.sampled_from([0.01, 0.3, 0.9, 1.0]),
    ratio=st.integers(1, 30),
    per_class=st.integers(1, 12) | st.none(),
)
@example(sizes=[200, 1], train_fraction=0.9, ratio=5, per_class=None)
@example(sizes=[3, 3, 1], train_fraction=0.9, ratio=1, per_class=12)
def test_the_advice_works_when_it_is_followed(
    sizes: list[int], train_fraction: float, ratio: int, per_class: int | None
) -> None:
    """Of a split that cannot be drawn, each flag and each remedy that the message names gives one that can."""

    def split(sizes: dict[int, int], *, own_validation: bool = False, **changes: Any) -> None:
        options: dict[str, Any] = {"train_fraction": train_fraction, "ratio_pos_train": ratio} | changes
        size = options.pop("validation_per_class", per_class)
        options |= {"negative_classes": (0,), "positive_classes": tuple(c for c in sizes if c)}
        labels = labels_of(sizes)
        taken = np.empty(0, dtype=np.int64)
        if not own_validation:
            needed = partial(flags_needed, **options)
            taken = fixed_validation(labels, validation_fraction=0.1, validation_per_class=size, needed=needed)
        drawn(labels, excluded=taken, **options)

    images = dict(enumerate(sizes))
    try:
        split(images)
    except UserError as error:
        message = str(error)
    else:
        return
    if "ratio_pos_train must be" in message:  # tested above
        return
    for piece, flags in zip(message.split("; ")[-1].split(", or "), followed(message), strict=True):
        if piece == "add images":
            continue
        left = {c: n for c, n in images.items() if n > 1 or "leave class" not in piece}
        if per_class is not None and "leave class" in piece and per_class >= min(left.values()):
            continue  # what the validation set of the others needs is told next
        split(left, own_validation="x_val" in piece, **flags)


def test_one_image_of_the_only_positive_class_cannot_be_left_out() -> None:
    sides: dict[str, Any] = {"negative_classes": (0,), "positive_classes": (1,)}
    needed = partial(flags_needed, **sides, ratio_pos_train=5, train_fraction=0.9)
    with pytest.raises(UserError, match=r"class 1 must have two training images .* got one; add images, or") as caught:
        fixed_validation(labels_of({0: 200, 1: 1}), validation_fraction=0.1, needed=needed)
    assert "leave class" not in str(caught.value)
    # 200 negatives at most 1 positive: 101 is the least ratio, and 0.9 of one image is none
    assert "(x_val, y_val, with --train_fraction 1 --ratio_pos_train 101)" in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation_fraction": 0.0}, "validation_fraction must lie between 0 and 1, got 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1, got 1.0"),
        ({"validation_fraction": float("nan")}, "validation_fraction must lie between 0 and 1, got nan"),
        ({"validation_per_class": 0}, "validation_per_class must be an integer >= 1"),
        ({"validation_per_class": 2.5}, "validation_per_class must be an integer >= 1"),
        ({"validation_per_class": 10}, "10 of the 10 training images of class 1 and leave none to train on; use --val"),
    ],
)
def test_validation_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        fixed_validation(labels_of({0: 20, 1: 10}), **({"validation_fraction": 0.1} | options))


@pytest.mark.parametrize(
    "negative, positive, message",
    [
        ((), (1,), "negative_classes must name at least one class"),
        ((0,), (), "positive_classes must name at least one class"),
        ((0, 0), (1,), "negative_classes must name each class once, got 0, 0"),
        ((0, 1), (2, 1), "must not overlap, both name 1"),
        ((0,), (7, 8), "no training image has class 7, 8; the classes in the data are 0, 1, 2 "),
    ],
)
def test_class_refusals(negative: Sequence[int], positive: Sequence[int], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check_classes(negative, positive, existing=(0, 1, 2))
    check_classes((0,), (2, 1), existing=(0, 1, 2))


def test_a_long_list_of_classes_is_cut() -> None:
    with pytest.raises(UserError, match=r"27, 28, 29, \.\.\. \(100 in all\)"):
        check_classes((0,), (100,), existing=range(100))
