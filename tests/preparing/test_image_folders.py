"""One walk finds the images of a folder for prepare.py and predict.py; what it leaves out is told or refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import class_folders, grey, prepared

import prepare
from utils.data.image_files import find_images
from utils.data.image_folders import FoundFiles
from utils.data.image_format import ImageFormat
from utils.errors import UserError

FORM = ImageFormat(channels=1, height=2, width=3, mean=(0.0,), std=(1.0,))


def scans(root: Path) -> Path:
    """Eight images of each class; 12 files of another ending, two without one, and hidden ones."""
    class_folders(root, {"a": 8, "b": 8})
    for number in range(12):
        (root / "a" / f"{number}.jfif").write_bytes(b"x")
    hidden = ("__MACOSX/a/._000.png", "__MACOSX/a/000.png", ".git/x.png", "a/.x.png")
    for path in ("README", "b/deep/NOTES", "labels.csv", "a/notes.TXT", *hidden):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def test_what_is_no_image_by_its_ending_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scans(tmp_path / "src")
    note = "14 files are no images by their ending: .jfif 12, none 2"
    assert prepared(source, "--out", tmp_path / "s").labels.tolist() == [0] * 8 + [1] * 8
    assert f"\nnote: {note}\n" in capsys.readouterr().out
    found = find_images(source, FORM, fit=None)
    assert list(found.names) == [f"{name}/{number:03d}.png" for name in "ab" for number in range(8)]
    assert found.note == note


def test_dicom_without_an_ending_is_found_by_both(tmp_path: Path) -> None:
    for path in ("a/IM0001", "a/1.2.840.10008", "a/x.dcm"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")  # lists the others, and holds no pixels
    assert list(find_images(tmp_path, FORM, fit=None).names) == ["a/1.2.840.10008", "a/IM0001", "a/x.dcm"]


def test_a_link_to_a_folder_is_refused_by_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "src", {"a": 8, "b": 8})
    (source / "b" / "more").symlink_to(class_folders(tmp_path / "elsewhere", {"c": 3}))
    message = f"{source}/b/more is a link to a folder, which is not followed; copy it here"
    assert prepare.main([str(source), "--out", str(tmp_path / "s")]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(UserError, match=message):
        find_images(source, FORM, fit=None)


def test_a_folder_that_cannot_be_read_is_refused_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = class_folders(tmp_path / "src", {"a": 8, "b": 8})
    grey(source / "b" / "locked" / "x.png", 1)
    real = os.scandir

    def scandir(path: Any) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    message = f"cannot read {source}/b/locked: Permission denied"
    assert prepare.main([str(source), "--out", str(tmp_path / "s")]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(UserError, match=message):
        find_images(source, FORM, fit=None)


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.jfif").touch()
    with pytest.raises(UserError, match=r"got none \(1 file is no image by its ending: \.jfif 1\)"):
        find_images(tmp_path, FORM, fit=None)


def test_a_note_names_the_most_frequent_endings() -> None:
    found = FoundFiles()
    found.others.update({".a": 1, ".b": 2000, ".c": 1, ".d": 1, ".e": 3, ".f": 1})
    assert found.note() == "2,007 files are no images by their ending: .b 2,000, .e 3, .a 1, .c 1, .d 1, ..."
