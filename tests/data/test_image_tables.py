"""Tables that name images, as spreadsheets and other programs write them; predict.py reads them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from utils.data.image_files import find_images, read_table
from utils.data.image_format import ImageFormat
from utils.errors import UserError

FORM = ImageFormat(channels=1, height=2, width=3, mean=(0.0,), std=(1.0,))
TEXT = "path,label\na/Größe 1.png,trüb\nb.png,klar\n"
EXPECTED = {"path": ["a/Größe 1.png", "b.png"], "label": ["trüb", "klar"]}
TABLES = {
    "commas": TEXT.encode(),
    "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode(),
    "mark of UTF-8": TEXT.encode("utf-8-sig"),
    "cp1252": TEXT.replace(",", ";").encode("cp1252"),
    "UTF-16": TEXT.replace(",", "\t").encode("utf-16"),
    "gzip": gzip.compress(TEXT.encode()),
    "lines of Windows": TEXT.replace("\n", "\r\n").encode("cp1252"),
    "spaces": TEXT.replace(",", " , ").encode(),
    "capitals": TEXT.replace("path", "Path", 1).encode(),
    "empty lines": TEXT.replace("\nb", "\n\n,\nb").encode(),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_other_programs(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TABLES[name])
    assert read_table(tmp_path / "t.csv") == EXPECTED
    assert list(find_images(tmp_path / "t.csv", FORM, fit=None).names) == EXPECTED["path"]


def test_one_column_may_hold_spaces(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path\nmy image.png\n")
    assert read_table(tmp_path / "t.csv") == {"path": ["my image.png"]}


def test_a_list_of_windows(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("Größe.png\r\n\r\nb.png\r\n".encode("cp1252"))
    assert list(find_images(tmp_path / "t.txt", FORM, fit=None).names) == ["Größe.png", "b.png"]


def test_two_spellings_of_a_path_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.png,1\n.//a.png,0\n")
    with pytest.raises(UserError, match=r"must name an image once, got a\.png twice"):
        read_table(tmp_path / "t.csv")


def test_bytes_of_no_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path\n\x81\xff\n")
    with pytest.raises(UserError, match=r"t\.csv is neither utf-8 nor cp1252 text; save it as UTF-8"):
        read_table(tmp_path / "t.csv")


def test_a_cut_utf_8_character_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path\nü".encode()[:-1])  # 0xc3 alone, in cp1252 Ã
    assert read_table(tmp_path / "t.csv") == {"path": ["Ã"]}


def test_features_separated_by_semicolons(tmp_path: Path) -> None:
    form = ImageFormat(channels=2, height=1, width=1, mean=(0.0,) * 2, std=(1.0,) * 2, bits=32)
    (tmp_path / "t.csv").write_text("Path;age;weight\nx;1;2.5\ny;3;4\n")
    found = find_images(tmp_path / "t.csv", form, fit=None)
    assert list(found.names) == ["x", "y"]
    assert np.asarray(found.read(1)).ravel().tolist() == [3, 4]


NAMED = ImageFormat(channels=2, height=1, width=1, mean=(0.0,) * 2, std=(1.0,) * 2, bits=32, features=("age", "weight"))
UNNAMED = replace(NAMED, features=())


@pytest.mark.parametrize(
    "form, text, names, first, note",
    [
        (NAMED, "weight,Age,path\n2.5,1,x\n4,3,y\n", ["x", "y"], [1, 2.5], ""),
        (NAMED, "ill,weight,age\nyes,2.5,1\nno,4,3\n", ["t.csv#1", "t.csv#2"], [1, 2.5], "does not take: ill"),
        (UNNAMED, "1,2.5\n3,4\n", ["t.csv#1", "t.csv#2"], [1, 2.5], ""),
        (UNNAMED, "b,a\n1,2.5\n3,4\n", ["t.csv#1", "t.csv#2"], [1, 2.5], ""),
    ],
    ids=["other order", "a column more", "no header", "names unknown to the model"],
)
def test_features_are_found_by_their_names(
    tmp_path: Path, form: ImageFormat, text: str, names: list[str], first: list[float], note: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = find_images(tmp_path / "t.csv", form, fit=None)
    assert list(found.names) == names
    assert np.asarray(found.read(0)).ravel().tolist() == first
    assert found.note.endswith(note)
    assert bool(found.note) == bool(note)


@pytest.mark.parametrize(
    "form, text, expected",
    [
        (NAMED, "1,2.5\n3,4\n", "each feature of the model among them once, got none or two of: age, weight"),
        (NAMED, "age,size\n1,2\n", "got none or two of: weight"),
        (NAMED, "AGE,Age,weight\n1,2,3\n", "got none or two of: age"),
        (UNNAMED, "0,1\n3,4\n", "begins with 0 1: name the columns if these are no values"),
        (UNNAMED, "1,2,3.5\n", "must have 2 columns of features, in the order of the training data"),
        (NAMED, "age,weight,path\n1,2,x\n3,4,\n", "row 2 of .* names no path"),
    ],
    ids=["no header", "another name", "two of one name", "numbers of columns", "too many", "no path"],
)
def test_tables_of_other_features_are_one_line(tmp_path: Path, form: ImageFormat, text: str, expected: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=expected):
        find_images(tmp_path / "t.csv", form, fit=None)


def test_a_row_without_a_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.png,1\n,0\n")
    with pytest.raises(UserError, match=r"row 2 of .*t\.csv names no path; fill it in or remove the row"):
        find_images(tmp_path / "t.csv", FORM, fit=None)
