"""Subsets and folds: sizes by hand, disjoint, stratified, and what each way of training sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import main
from utils.data.folds import Resampling, resampled_split
from utils.data.raw import Int64Array
from utils.errors import UserError

ODD, EVEN = (1, 3, 5, 7, 9), (0, 2, 4, 6, 8)


def labels(each: int) -> Int64Array:
    return np.random.default_rng(3).permutation(np.repeat(np.arange(10), each))


def split_of(classes: Int64Array, *, validation_fraction: float = 0.1, **options: Any) -> Any:
    chosen = {"folds": 5, "fold": 1, "subset_ratios": (1, 99), **options}
    return resampled_split(
        classes,
        negative_classes=ODD,
        positive_classes=EVEN,
        resampling=Resampling(**chosen),
        validation_fraction=validation_fraction,
    )


def positives(classes: Int64Array, rows: Int64Array) -> int:
    return int(np.isin(classes[rows], EVEN).sum())


def test_sizes_by_hand() -> None:
    """2 x 1980 odd; balanced 1980 + 1980, unbalanced 1980 + 20; a fifth of each is tested."""
    classes = labels(792)
    balanced = split_of(classes, test_subset=1, train_on="same")
    assert (len(balanced.test), positives(classes, balanced.test)) == (792, 396)
    assert len(balanced.train) + len(balanced.validation) == 4 * 792
    rare = split_of(classes, test_subset=2, train_on="same")
    assert (len(rare.test), positives(classes, rare.test)) == (400, 4)
    assert positives(classes, rare.train) + positives(classes, rare.validation) == 16
    other = split_of(classes, test_subset=2, train_on="other")
    assert set(other.train) | set(other.validation) == set(balanced.train) | set(balanced.validation)
    everything = split_of(classes, test_subset=2, train_on="all")
    assert len(everything.train) + len(everything.validation) == 4 * 792 + 1600


def test_the_folds_of_a_subset_are_disjoint_stratified_and_cover_it() -> None:
    classes = labels(792)
    tests = [split_of(classes, fold=fold, test_subset=1).test for fold in range(1, 6)]
    rows = np.concatenate(tests)
    assert len(set(rows.tolist())) == len(rows) == 3960
    for digit in range(10):
        counts = [int((classes[part] == digit).sum()) for part in tests]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("train_on", ["same", "other", "all"])
def test_no_way_of_training_sees_the_tested_fold(train_on: str) -> None:
    classes = labels(200)
    for fold in (1, 3):
        for subset in (1, 2):
            split = split_of(classes, fold=fold, test_subset=subset, train_on=train_on, subset_ratios=(1, 20))
            others = split_of(classes, fold=fold, test_subset=3 - subset, subset_ratios=(1, 20)).test
            seen = set(split.train) | set(split.validation)
            assert not seen & set(split.test)
            assert not seen & set(others)  # the other subset's rows of that fold are left out too


def test_downsampling_cuts_to_the_smallest_in_class_proportion() -> None:
    classes = labels(792)
    whole = split_of(classes, test_subset=2, train_on="all")
    cut = split_of(classes, test_subset=2, train_on="all", downsample=True)
    assert len(cut.train) + len(cut.validation) == 1600
    before = positives(classes, np.concatenate([whole.train, whole.validation])) / (4 * 792 + 1600)
    after = positives(classes, np.concatenate([cut.train, cut.validation])) / 1600
    assert after == pytest.approx(before, abs=5 / 1600)


def test_one_subset_is_plain_k_fold() -> None:
    classes = labels(50)
    split = split_of(classes, subset_ratios=(1,), folds=10, fold=10)
    assert len(split.test) == 50
    assert len(split.train) + len(split.validation) + len(split.test) == 500


@settings(max_examples=40, deadline=None)
@given(
    each=st.integers(30, 90),
    folds=st.integers(2, 6),
    ratios=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    data=st.data(),
)
def test_always_disjoint(each: int, folds: int, ratios: list[int], data: st.DataObject) -> None:
    classes = labels(each)
    options: dict[str, Any] = {
        "folds": folds,
        "fold": data.draw(st.integers(1, folds)),
        "subset_ratios": tuple(ratios),
        "test_subset": data.draw(st.integers(1, len(ratios))),
        "train_on": data.draw(st.sampled_from(["same", "other", "all"] if len(ratios) > 1 else ["same", "all"])),
        "downsample": data.draw(st.booleans()),
    }
    try:
        split = split_of(classes, **options)
    except UserError:
        assume(False)  # more positives asked for than there are
    train, validation, test = (set(rows.tolist()) for rows in (split.train, split.validation, split.test))
    assert not train & validation
    assert not (train | validation) & test
    assert train
    assert validation
    assert test


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds must be"),
        ({"fold": 6}, r"fold must lie in 1\.\.5"),
        ({"fold": 0}, r"fold must lie in 1\.\.5"),
        ({"subset_ratios": ()}, "subset_ratios must be"),
        ({"subset_ratios": (0, 1)}, "subset_ratios must be"),
        ({"test_subset": 3}, r"test_subset must lie in 1\.\.2"),
        ({"train_on": "both"}, "train_on must be one of"),
        ({"subset_ratios": (1,), "train_on": "other"}, "needs two subsets"),
        ({"subset_ratios": (1, 1, 1, 100000)}, r"need 75 \+ 75 \+ 75 \+ 0 positives, .* --subset_ratios 1 1 1 75$"),
        ({"subset_ratios": (1,) * 100}, "need 0 .* fewer --subset_ratios"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie"),
    ],
)
def test_bad_values_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_of(labels(60), **options)


@pytest.mark.parametrize(
    ("negatives", "positives", "ratios", "named"),
    [
        (400, 120, (1,), "4"),  # 400 // 3 = 133 positives are too many, 100 are not
        (400, 120, (1, 9), "3 9"),  # 200 negatives in each: 100 + 22 at 2 and 9 are too many, 66 + 22 are not
        (300, 300, (1, 1, 2), None),
        (400, 3, (1, 1), "101 101"),  # 200 // 100 = 2 in each are too many
        (10, 9, (1,), "2"),
    ],
)
def test_the_ratios_that_are_named_are_the_nearest_that_fit(
    negatives: int, positives: int, ratios: tuple[int, ...], named: str | None
) -> None:
    sides: dict[str, Any] = {"negative_classes": (0,), "positive_classes": (1,), "validation_fraction": 0.1}
    classes = np.repeat(np.array([0, 1]), (negatives, positives))
    plan = Resampling(folds=2, fold=1, subset_ratios=ratios)
    if named is None:
        assert len(resampled_split(classes, **sides, resampling=plan).test) == 50 + 50
        return
    with pytest.raises(UserError, match=rf"use --subset_ratios {named}$"):
        resampled_split(classes, **sides, resampling=plan)


def test_too_few_positives_for_the_folds_is_refused() -> None:
    """2 positives, of two classes, in 5 folds: most folds have none to test, or none beside those of validation."""
    with pytest.raises(UserError, match="leaves no positive image"):
        split_of(labels(40), fold=5, subset_ratios=(1, 50), test_subset=2)


def test_a_run_of_one_fold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tested on what no training of that fold sees; the ratio is what the subsets give."""
    argv = "--dataset_name digits --resnet_type linear --num_epochs 1 --seeds 1 --threads 1 --folds 3 --fold 2"
    argv += f" --subset_ratios 1 20 --test_subset 2 --train_on other --checkpoint_root {tmp_path}"
    assert main.main(argv.split()) == 0
    assert "digits 1:1 " in capsys.readouterr().out
    (folder,) = tmp_path.glob("runs/*")
    assert folder.name == "digits_BCE_subset2_on_other_fold2of3"
    results = json.loads((folder / "results.json").read_text())
    counts = results["class_counts"]
    assert results["seeds"]["1"]["test"]["n_positive"] == counts["test"]["positive"]
    # 906 odd digits in all: 453 and 22 positives in the subset at 1:20, a third of which is tested
    assert counts["test"]["negative"] == pytest.approx(151, abs=5)
    assert counts["test"]["positive"] == pytest.approx(7, abs=1)
    before = (folder / "results.json").read_bytes()
    assert main.main(["--train", "0", *argv.split()]) == 0
    assert (folder / "results.json").read_bytes() == before
