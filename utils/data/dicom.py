"""DICOM files, read with the extra pydicom. Imports it only when a file is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..system.installation import IN_TREE

DICOM_ENDINGS = (".dcm", ".dicom")
CT_OFFSET = 1024  # Hounsfield units that are added, so that air is 0; what is darker becomes 0
FINE, COARSE = 255, 63  # a range of stored values that must not become such a one by a slope below 1

Pixels = npt.NDArray[Any]


def is_dicom(path: Path) -> bool:
    """Whether the ending says so or, of a file without an ending, its first bytes."""
    ending = path.suffix.lower()
    if ending in DICOM_ENDINGS:
        return True
    # the names of many archives are numbers, the last of which looks like an ending: 1.2.840.10008
    if ending and not ending[1:].isdigit():
        return False
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def dicom_header(path: Path, *, first_frame: bool, most: int) -> tuple[int, int, int, bool]:
    """Height, width, bits (8 or 16) and whether it is grey, without reading the pixels.

    Raises:
        ValueError: see ``dicom_pixels``.
        UserError: pydicom is not installed.
    """
    data = _pydicom().dcmread(path, stop_before_pixels=True)
    height, width = _size(data, first_frame=first_frame, most=most)
    grey = data.SamplesPerPixel == 1 and data.PhotometricInterpretation != "PALETTE COLOR"
    return height, width, 16 if grey and not _is_plain(data) else 8, grey


def dicom_pixels(path: Path, *, first_frame: bool, most: int) -> Pixels:
    """The pixels: (H, W) uint8 or uint16 in grey, (H, W, 3) uint8 in colour.

    Grey values are slope * stored + intercept, rounded; of MONOCHROME1 the stored values are inverted first, so that
    white is bright. To those of a CT 1024 are added, and what is then negative becomes 0. The window is not applied:
    it is for a reader's eye and cuts values off. Eight bits without a rescale stay eight; all else has 16.

    Args:
        path: the file.
        first_frame: read the first of several frames.
        most: height * width at most.

    Raises:
        ValueError: it has several frames, no pixels, more than ``most``, values outside 0..65535, or so small a slope
            that rounding leaves almost nothing of them.
        UserError: pydicom is not installed.
    """
    pydicom = _pydicom()
    data = pydicom.dcmread(path)
    _size(data, first_frame=first_frame, most=most)
    if "PixelData" not in data:
        raise ValueError("a DICOM file without pixels")
    stored: Pixels = pydicom.pixels.pixel_array(data, index=0)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        stored = pydicom.pixels.apply_color_lut(stored, data)
        stored = (stored >> 8).astype(np.uint8) if stored.dtype.itemsize == 2 else stored
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise ValueError(f"{stored.dtype} pixels in colour; 8 bits a channel are read")
        return stored
    if data.PhotometricInterpretation == "MONOCHROME1":
        stored = (-1 if data.PixelRepresentation else 2**data.BitsStored - 1) - stored.astype(np.int64)
    if _is_plain(data):
        return stored.astype(np.uint8)
    slope = _number(data, "RescaleSlope", 1)
    numbers = stored.astype(np.float64)
    values = np.rint(numbers * slope + _number(data, "RescaleIntercept", 0))
    before, after = np.ptp(numbers), np.ptp(values)
    if before >= FINE and after < COARSE:
        raise ValueError(
            f"a rescale slope of {slope:g} leaves {after + 1:.0f} of {before + 1:,.0f} grey values, as they become"
            " whole numbers; save the images with 16 bits on a scale of your own"
        )
    if data.get("Modality") == "CT":
        values = np.maximum(values + CT_OFFSET, 0)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"values from {values.min():.0f} to {values.max():.0f}; 16 bits hold 0 to 65535")
    return values.astype(np.uint16)


def _size(data: Any, *, first_frame: bool, most: int) -> tuple[int, int]:
    frames = int(data.get("NumberOfFrames") or 1)
    if frames > 1 and not first_frame:
        raise ValueError(f"{frames} images in one file; save them apart")
    if "Rows" not in data or "Columns" not in data:
        raise ValueError("a DICOM file without pixels")
    height, width = int(data.Rows), int(data.Columns)
    if height * width > most:
        raise ValueError(f"{width} x {height} pixels, at most {most:,} are read")
    return height, width


def _is_plain(data: Any) -> bool:
    """Whether the stored values are 8 bits without a rescale."""
    plain = (_number(data, "RescaleSlope", 1), _number(data, "RescaleIntercept", 0)) == (1, 0)
    return bool(data.BitsAllocated <= 8 and not data.PixelRepresentation and plain and data.get("Modality") != "CT")


def _number(data: Any, name: str, default: float) -> float:
    value = data.get(name)
    return default if value is None or value == "" else float(value)


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError:
        what = "pydicom" if IN_TREE else "'rarecall[dicom]'"
        raise UserError(f"DICOM files are read with pydicom, which is not installed: pip install {what}") from None
    return pydicom
