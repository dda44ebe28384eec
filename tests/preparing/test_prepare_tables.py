"""prepare.py on numbers: rows of pixels, of features, and .npz files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import by_split, prepared, table

import prepare
from utils.data.prepared_files import read_prepared


def rows_of_pixels(count: int = 8) -> list[list[Any]]:
    """Label 3 or 5, then 2 x 2 pixels: row k holds 10 k, 10 k + 1, ..."""
    return [[3 if k % 2 else 5, *(10 * k + place for place in range(4))] for k in range(count)]


@pytest.mark.parametrize("form", ["header", "plain", "spaces", "gzip", "numbered header"])
def test_rows_of_pixels(tmp_path: Path, form: str) -> None:
    path, label = tmp_path / "t.csv", "1"
    rows = rows_of_pixels()
    if form == "header":
        table(path, ("label", "1x1", "1x2", "2x1", "2x2"), rows)
        label = "label"
    elif form == "numbered header":
        table(path, ("digit", "0", "1", "2", "3"), rows)
        label = "digit"
    elif form == "plain":
        table(path, rows[0], rows[1:])
    else:
        text = "".join(
            " ".join(f"{cell:.4f}" if place else f"{cell}" for place, cell in enumerate(row)) + " \n" for row in rows
        )
        path = tmp_path / "zip.train"
        path.write_bytes(gzip.compress(text.encode()) if form == "gzip" else text.encode())
    found = prepared("--csv", path, "--pixels", "2x2x1", "--label", label, "--out", tmp_path / "s")
    assert found.form.classes == ("3", "5")
    assert (found.form.size, found.form.channels, found.form.bits) == ((2, 2), 1, 8)
    assert found.images[3, :, :, 0].tolist() == [[30, 31], [32, 33]]
    assert found.labels.tolist() == [1, 0] * 4
    assert list(found.paths) == [f"{path.name}#{k}" for k in range(1, 9)]


def test_colour_rows_and_another_size(tmp_path: Path) -> None:
    rows = [["a" if k % 2 else "b", *[255, 0, 0, 0, 0, 255]] for k in range(8)]
    path = table(tmp_path / "t.csv", ("label", *range(6)), rows)
    found = prepared("--csv", path, "--pixels", "1x2x3", "--out", tmp_path / "s")
    assert found.images[0].tolist() == [[[255, 0, 0], [0, 0, 255]]]
    found = prepared("--csv", path, "--pixels", "1x2x3", "--colour", "grey", "--size", "3x2", "--out", tmp_path / "t")
    # luma of red 76, of blue 29; letterbox puts black above and below
    assert found.images[0, :, :, 0].tolist() == [[0, 0], [76, 29], [0, 0]]


def test_a_range_of_values_becomes_black_to_white(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["a" if k % 2 else "b", -1, 1, 0, -0.5] for k in range(8)]
    path = table(tmp_path / "t.csv", ("label", *"wxyz"), rows)
    argv = ["--csv", str(path), "--pixels", "2x2", "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert "must be whole numbers from 0 to 255 or 65535, got -1 to 1; --range -1 1 would" in capsys.readouterr().err
    found = prepared(*argv, "--range", -1, 1)
    assert found.images[0, :, :, 0].tolist() == [[0, 255], [128, 64]]  # 127.5 to even, 63.75
    found = prepared(*argv, "--range", -1, 1, "--bits", 16, "--overwrite")
    assert found.images[0, :, :, 0].tolist() == [[0, 65535], [32768, 16384]]


def test_sixteen_bits_of_a_table(tmp_path: Path) -> None:
    rows = [["a" if k % 2 else "b", 0, 300, 65535, k] for k in range(8)]
    found = prepared(
        "--csv", table(tmp_path / "t.csv", ("label", *"wxyz"), rows), "--pixels", "2x2", "--out", tmp_path / "s"
    )
    assert found.images.dtype == np.uint16
    assert found.images[7, :, :, 0].tolist() == [[0, 300], [65535, 7]]


def test_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[k, 0.25 * k, "yes" if k % 3 == 0 else "no", f"p{k // 2}", -1e10, "x"] for k in range(24)]
    path = table(tmp_path / "t.csv", ("id", "age", "ill", "who", "marker", "note"), rows)
    argv = ["--csv", str(path), "--features", "--label", "ill", "--group", "who", "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert "'x' in column note: each value must be a number; --drop note would leave" in capsys.readouterr().err
    found = prepared(*argv, "--drop", "id", "note")
    assert (found.form.kind, found.form.bits, found.form.shape) == ("features", 32, (1, 1, 2))
    assert found.images.dtype == np.float32
    assert found.images[5].ravel().tolist() == [1.25, np.float32(-1e10)]
    assert found.form.classes == ("no", "yes")
    assert found.form.features == ("age", "marker")
    assert found.groups is not None
    assert found.statistics[4].tolist() == [[1.0, 1.0], [float(np.float32(-1e10)), float(np.float32(-1e10)) ** 2]]
    sides = {group: set(found.splits[found.groups == group]) for group in found.groups}
    assert all(len(splits) == 1 for splits in sides.values())
    assert "--resnet_type linear" in capsys.readouterr().out


@pytest.mark.parametrize("first", [0, 1])
def test_a_first_row_that_counts_the_columns_is_a_header_if_the_user_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: int
) -> None:
    """As pandas writes for columns without names; the row would be a sample of the class 0 or 1."""
    header = [str(place + first) for place in range(3)]
    path = table(tmp_path / "t.csv", header, [[k % 2, 7 * k, -k] for k in range(12)])
    argv = ["--csv", str(path), "--features", "--out", str(tmp_path / "s"), "--label"]
    assert prepare.main([*argv, "1"]) == 2
    assert f"begins with {' '.join(header)}: add --header 1 if these are the names" in capsys.readouterr().err
    named = prepared(*argv, header[0], "--header", 1)
    assert (len(named.labels), named.form.features) == (12, tuple(header[1:]))
    table(path, header, [[k % 2 + first, 7 * k, -k] for k in range(12)])
    assert len(prepared(*argv, 1, "--header", 0, "--overwrite").labels) == 13


def test_features_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", ("label", "a", "b", "a"), [[k % 2, k, k, k] for k in range(12)])
    assert prepare.main(["--csv", str(path), "--features", "--out", str(tmp_path / "s")]) == 2
    assert "has two features with the name 'a'; rename one, or --drop it" in capsys.readouterr().err


def test_the_index_of_pandas_is_dropped(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", ("", "label", "a"), [[k, k % 2, 7 * k] for k in range(12)])
    found = prepared("--csv", path, "--features", "--drop", "", "--out", tmp_path / "s")
    assert found.images.ravel().tolist() == [7 * k for k in range(12)]


def test_rows_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["a" if k % 2 else "b", k, 1.5] for k in range(12)]
    rows[3][2], rows[4][1], rows[5][2] = "nan", "", "inf"
    path = table(tmp_path / "t.csv", ("label", "first", "second"), rows)
    argv = ["--csv", str(path), "--features", "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    error = capsys.readouterr().err
    assert "3 of 12 cannot be read (t.csv#4: nan in column second: values must be finite; t.csv#5: " in error
    found = prepared(*argv, "--skip_broken")
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 6, 7, 8, 9, 10, 11]


def test_an_npz_keeps_its_splits(tmp_path: Path) -> None:
    images = np.arange(8 * 2 * 2, dtype=np.uint8).reshape(8, 2, 2)
    labels = np.array([1, 7] * 4)
    np.savez(
        tmp_path / "old.npz",
        x_train=images[:4], x_val=images[4:6], x_test=images[6:],
        y_train=labels[:4], y_val=labels[4:6], y_test=labels[6:],
    )  # fmt: skip
    found = prepared(tmp_path / "old.npz", "--out", tmp_path / "s")
    np.testing.assert_array_equal(found.images[..., 0], images)  # not enlarged
    assert found.form.classes == ("1", "7")
    assert by_split(found) == {
        "train": {"1": 2, "7": 2},
        "validation": {"1": 1, "7": 1},
        "test": {"1": 1, "7": 1},
    }
    assert found.paths[5] == "old.npz#validation/1"
    found = prepared(tmp_path / "old.npz", "--out", tmp_path / "t", "--bits", 16)
    np.testing.assert_array_equal(found.images[..., 0], images.astype(np.uint16) * 257)


def test_images_of_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """A real set: 1,797 digits of 8 x 8 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = np.column_stack([digits.target, digits.data]).astype(int).tolist()
    table(tmp_path / "digits.csv", ("label", *range(64)), rows)
    prepare.main(
        ["--csv", str(tmp_path / "digits.csv"), "--pixels", "8x8x1", "--range", "0", "16", "--out", str(tmp_path / "s")]
    )
    found = read_prepared(tmp_path / "s")
    np.testing.assert_array_equal(found.images[..., 0], np.rint(digits.images * 255 / 16))
    np.testing.assert_array_equal(found.labels, digits.target)
