"""DICOM: files written with pydicom, whose values are known by hand."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import prepared

import prepare
from utils.data.image_files import read_image
from utils.data.image_format import ImageFormat
from utils.data.image_pixels import BrokenImageError, read_header, read_pixels

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

STORED = np.array([[0, 1, 4095], [1000, 2000, 24]], dtype=np.uint16)


def dicom(path: Path, stored: np.ndarray[Any, Any] = STORED, **tags: Any) -> Path:
    """A file with the pixels ``stored``; ``tags`` replace the plain ones, None removes one."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    colour = stored.ndim == 3 and stored.dtype == np.uint8
    plain = {
        "Modality": "MR",
        "Rows": stored.shape[-3 if colour else -2],
        "Columns": stored.shape[-2 if colour else -1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": 12 if stored.dtype.itemsize == 2 else 8,
        "HighBit": 11 if stored.dtype.itemsize == 2 else 7,
        "PixelRepresentation": 0,
        "PixelData": stored.tobytes(),
    }
    if colour:
        plain["PlanarConfiguration"] = 0
    for name, value in {**plain, **tags}.items():
        if value is not None:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def values(path: Path, *, channels: int = 1) -> Any:
    header = read_header(path)
    return read_pixels(path, size=(header.height, header.width), channels=channels, bits=header.bits)


def test_stored_values_are_kept(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm")
    assert (read_header(path).bits, read_header(path).grey) == (16, True)
    found = values(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[:, :, 0], STORED)


def test_slope_and_intercept(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RescaleSlope=2.5, RescaleIntercept=10)
    # 2.5 * 1 + 10 = 12.5, to even
    assert values(path)[:, :, 0].tolist() == [[10, 12, 10248], [2510, 5010, 70]]


def test_a_slope_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    """3,600 grey values would become three; a slope of .37 keeps as many as one sees."""
    stored = np.arange(3600, dtype=np.uint16).reshape(60, 60)
    with pytest.raises(BrokenImageError, match=r"a rescale slope of 0\.0005 leaves 3 of 3,600 grey values"):
        values(dicom(tmp_path / "map.dcm", stored, RescaleSlope=0.0005, RescaleIntercept=0))
    kept = values(dicom(tmp_path / "pet.dcm", stored, RescaleSlope=0.37, RescaleIntercept=0))
    assert len(np.unique(kept)) == 1333
    dark = values(dicom(tmp_path / "dark.dcm", stored[:1], RescaleSlope=0.0005, RescaleIntercept=0))
    assert np.unique(dark).tolist() == [0]  # 60 values of noise, as in an empty slice


def test_the_window_is_not_applied(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", WindowCenter=100, WindowWidth=50)
    np.testing.assert_array_equal(values(path)[:, :, 0], STORED)


def test_white_is_bright(tmp_path: Path) -> None:
    """MONOCHROME1 of 12 bits: 4095 - v."""
    path = dicom(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(values(path)[:, :, 0], 4095 - STORED)


def test_hounsfield_units_begin_at_minus_1024(tmp_path: Path) -> None:
    stored = np.array([[-2000, -1000, 0], [1, 40, 3000]], dtype=np.int16)
    path = dicom(tmp_path / "a.dcm", stored, Modality="CT", PixelRepresentation=1, BitsStored=16, HighBit=15)
    assert values(path)[:, :, 0].tolist() == [[0, 24, 1024], [1025, 1064, 4024]]
    path = dicom(tmp_path / "b.dcm", stored, PixelRepresentation=1, BitsStored=16, HighBit=15)
    with pytest.raises(BrokenImageError, match="values from -2000 to 3000; 16 bits hold 0 to 65535"):
        values(path)


def test_eight_bits_and_colour(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.array([[0, 7, 255]], dtype=np.uint8))
    assert (values(path).dtype, values(path).ravel().tolist()) == (np.uint8, [0, 7, 255])
    colours = np.array([[[255, 0, 0], [1, 2, 3]]], dtype=np.uint8)
    path = dicom(tmp_path / "b.dcm", colours)
    assert not read_header(path).grey
    np.testing.assert_array_equal(values(path, channels=3), colours)


def test_frames_missing_pixels_and_other_files(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.stack([STORED, STORED + 1]), NumberOfFrames=2)
    for read in (read_header, lambda path: read_pixels(path, size=(2, 3), channels=1, bits=16)):
        with pytest.raises(BrokenImageError, match="2 images in one file; save them apart"):
            read(path)
    found = read_pixels(path, size=(2, 3), channels=1, bits=16, first_frame=True)
    np.testing.assert_array_equal(found[:, :, 0], STORED)
    path = dicom(tmp_path / "b.dcm", PixelData=None, Rows=None, Columns=None)
    with pytest.raises(BrokenImageError, match="a DICOM file without pixels"):
        read_header(path)
    (tmp_path / "c.dcm").write_text("no DICOM")
    with pytest.raises(BrokenImageError, match="DICOM"):
        read_header(tmp_path / "c.dcm")


def test_a_folder_of_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names without endings, as archives write them; the same pixels for predict.py."""
    for number in range(12):
        name = ["IM0001", "1.2.840.10008", "x.dcm"][number % 3]
        folder = tmp_path / "x" / ("ill" if number < 4 else "well") / f"study{number}"
        dicom(folder / name, STORED // 2 + number)
        (folder / "notes.txt").write_text("no image")
        (folder / "README").write_text("no image")
    found = prepared(tmp_path / "x", "--out", tmp_path / "s", "--size", "4", "--bits", 8)
    assert (len(found.paths), found.form.bits) == (12, 8)
    assert "12 of them: DICOM, rescaled; the window is not applied" in capsys.readouterr().out
    found = prepared(tmp_path / "x", "--out", tmp_path / "t", "--size", "2x3")
    assert (found.form.bits, found.form.fit) == (16, "exact")
    np.testing.assert_array_equal(found.images[list(found.paths).index("ill/study2/x.dcm"), :, :, 0], STORED // 2 + 2)
    path = dicom(tmp_path / "plain.dcm", np.array([[0, 7, 255]], dtype=np.uint8))
    form = ImageFormat(channels=3, height=2, width=2, mean=(0.0,) * 3, std=(1.0,) * 3)
    expected = read_pixels(path, size=(2, 2), channels=3, fit="letterbox")
    np.testing.assert_array_equal(read_image(path, form, fit="letterbox"), expected)


def test_without_pydicom_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        dicom(tmp_path / "x" / "ab"[number % 2] / f"{number}.dcm")
    real = builtins.__import__

    def without(name: str, *more: Any, **also: Any) -> Any:
        if name.startswith("pydicom"):
            raise ImportError(name)
        return real(name, *more, **also)

    monkeypatch.setattr(builtins, "__import__", without)
    assert prepare.main([str(tmp_path / "x"), "--out", str(tmp_path / "s")]) == 2
    assert "read with pydicom, which is not installed: pip install pydicom" in capsys.readouterr().err
