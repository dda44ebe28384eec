"""The resampling block of a table: which jobs it stands for, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.config.settings import resolve
from utils.errors import UserError
from utils.sweeping.blocks import block_of
from utils.sweeping.table_file import Row, arguments, read_table

ROWS = "rows: [{name: a, objective: baseline_bce}, {name: b, objective: baseline_LDAM, set: {lr: 0.1}}]"


def rows_of(folder: Path, block: str, *, rows: str = ROWS) -> tuple[Row, ...]:
    path = folder / "t.yaml"
    path.write_text(f"seeds: 1-2\ncommon: {{dataset_name: digits}}\nresampling: {block}\n{rows}\n", encoding="utf-8")
    return block_of(read_table(path)).examples()


def test_every_row_stands_once_for_each_fold_subset_and_way(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "{folds: 3, subset_ratios: [1, 9]}")
    assert len(rows) == 2 * 2 * 3 * 3  # rows, subsets, ways, folds
    assert len({row.name for row in rows}) == len(rows)
    (one,) = [row for row in rows if row.name == "b_subset2_on_other_fold3"]
    config = resolve(arguments(one.options)).config
    assert (config.folds, config.fold, config.subset_ratios) == (3, 3, (1, 9))
    assert (config.test_subset, config.train_on, config.downsample) == (2, "other", 0)
    assert (config.training_type, config.lr, config.dataset_name) == ("LDAM", 0.1, "digits")
    assert one.seeds == (1, 2)


def test_one_subset_is_plain_k_fold(tmp_path: Path) -> None:
    assert [row.name for row in rows_of(tmp_path, "{folds: 2}")] == [
        *("a_subset1_on_same_fold1", "a_subset1_on_same_fold2"),
        *("b_subset1_on_same_fold1", "b_subset1_on_same_fold2"),
    ]


def test_downsampled_sizes_are_jobs_of_their_own(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "{folds: 2, subset_ratios: [1, 9], train_on: [all], downsample: [0, 1]}")
    assert len(rows) == 2 * 2 * 2 * 2
    assert {row.options["downsample"] for row in rows if "_cut_" in row.name} == {1}
    assert {row.options["downsample"] for row in rows if "_cut_" not in row.name} == {0}


@pytest.mark.parametrize(
    ("block", "rows", "message"),
    [
        ("{}", ROWS, "needs folds: an integer >= 2, got none"),
        ("{folds: 1}", ROWS, "needs folds: an integer >= 2, got 1"),
        ("{folds: 3, fold: 1}", ROWS, "unknown key 'fold'"),
        ("{folds: 3, train_on: [both]}", ROWS, "train_on must be one of"),
        ("{folds: 3, train_on: other}", ROWS, "needs two subset_ratios or more, got one"),
        ("{folds: 3, subset_ratios: [0]}", ROWS, "subset_ratios must be"),
        ("{folds: 3}", "", "needs rows: what is to be cross-validated"),
    ],
)
def test_what_is_refused(tmp_path: Path, block: str, rows: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows_of(tmp_path, block, rows=rows)
