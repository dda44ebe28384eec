"""Tables that name images, as spreadsheets and other programs write them; predict.py reads them."""

from __future__ import annotations

import gzip
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
