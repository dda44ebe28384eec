"""The pixels of an image file: upright, in grey or colour, of one depth and size. prepare.py and predict.py share it.

Transparency is dropped: a colour image keeps the colours below it. Imports no torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import UserError, one_line
from .dicom import DICOM_ENDINGS, dicom_header, dicom_pixels, is_dicom

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", *DICOM_ENDINGS)
EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # I has 32, and is read if its values fit into 16
GREY = ("1", "L", "LA", "La", *SIXTEEN_BITS)
DICOM_NOTE = "DICOM, rescaled; the window is not applied, and 1024 is added to the Hounsfield units of a CT"
MOST_PIXELS = 2**27  # of one image in a file
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION = 0x0100, 0x0101, 0x0112  # entries of TIFF and EXIF
LYING = (5, 6, 7, 8)  # orientations that swap height and width

Pixels = npt.NDArray[Any]


class BrokenImageError(Exception):
    """An image that cannot be read; the text is one line."""


@dataclass(frozen=True)
class Header:
    """What the head of an image file says, upright: ``bits`` 8 or 16, and whether it is grey."""

    height: int
    width: int
    bits: int
    grey: bool
    note: str = ""


def read_pixels(
    path: Path,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int = 8,
    fit: str = "exact",
    any_depth: bool = False,
    first_frame: bool = False,
) -> Pixels:
    """An image file as (height, width, channels), uint8 or uint16.

    Args:
        path: of a format that pillow reads, or DICOM (see ``dicom.dicom_pixels``).
        size: height and width.
        channels: 1 for grey, 3 for RGB.
        bits: 8 or 16 a channel.
        fit: see ``fitted``.
        any_depth: convert an image of another depth (v * 257 to 16 bits, v / 257 rounded to 8) instead of refusing it.
        first_frame: read the first of several images in a file instead of refusing it.

    Raises:
        BrokenImageError: it cannot be read, or has another size or depth.
        UserError: it is a DICOM file, and pydicom is not installed.
    """
    with _reasons(path):
        if is_dicom(path):
            image = _picture(dicom_pixels(path, first_frame=first_frame, most=MOST_PIXELS))
        else:
            with _opened(path, first_frame=first_frame) as opened:
                image = ImageOps.exif_transpose(opened)
                image = _deep(image) if opened.mode in SIXTEEN_BITS else image
        found = 16 if image.mode == "F" else 8
        if found != bits and not any_depth:
            raise BrokenImageError(f"{_named(path)} pixels, but the model was trained on {bits} bits a channel")
        if found == 8:
            image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(fitted(image, (size[1], size[0]), fit))
    return _in_depth(pixels.reshape(*size, -1), bits=bits, found=found, channels=channels)


def refitted(pixels: Pixels, *, size: tuple[int, int], channels: int, fit: str) -> Pixels:
    """An image of an array, (H, W, 1 or 3) uint8 or uint16, as ``read_pixels`` would return that of a file."""
    if pixels.shape == (*size, channels):
        return pixels
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        image = fitted(image.convert("L" if channels == 1 else "RGB"), (size[1], size[0]), fit)
        return np.asarray(image).reshape(*size, channels)
    planes = [fitted(_picture(plane), (size[1], size[0]), fit) for plane in np.moveaxis(pixels, 2, 0)]
    deep = np.stack([np.asarray(plane) for plane in planes], axis=2)
    return _in_depth(deep, bits=16, found=16, channels=channels)


def read_header(path: Path, *, first_frame: bool = False) -> Header:
    """The size and depth of an image file, without decoding it.

    Raises:
        BrokenImageError, UserError: see ``read_pixels``.
    """
    with _reasons(path):
        if is_dicom(path):
            height, width, bits, grey = dicom_header(path, first_frame=first_frame, most=MOST_PIXELS)
            return Header(height, width, bits, grey, DICOM_NOTE)
        with _opened(path, first_frame=first_frame) as image:
            # of a lying TIFF some versions of pillow swap the sides when it is opened, and some when it is loaded
            tags = getattr(image, "tag_v2", {})
            height, width = int(tags.get(IMAGE_LENGTH, image.height)), int(tags.get(IMAGE_WIDTH, image.width))
            # the entry of a PNG may stand behind its pixels, which are not read here: read_pixels then refuses the size
            entries = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            if entries.get(ORIENTATION) in LYING:
                height, width = width, height
            raw = str([tile[3] for tile in getattr(image, "tile", ())])
            grey = image.mode in GREY or (image.mode in ("P", "PA") and _is_grey(image))
            note = "16 bits in colour, of which the upper 8 are read" if _is_cut(image.mode, raw) else ""
            return Header(height, width, 16 if image.mode in SIXTEEN_BITS else 8, grey, note)


def fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """The image in another size (width, height), bilinearly.

    ``exact`` refuses another size; ``squeeze`` resizes each side; ``letterbox`` keeps the ratio of the sides and fills
    up with black; ``crop`` keeps it and cuts off what is too much, evenly on both sides.

    Raises:
        BrokenImageError: the size differs and ``fit`` is ``exact``.
    """
    if image.size == size:
        return image
    if fit == "exact":
        raise BrokenImageError(
            f"{image.width} x {image.height} pixels, but the model takes {size[0]} x {size[1]}; --fit resizes"
        )
    if fit == "squeeze":
        return image.resize(size, Image.Resampling.BILINEAR)
    if fit == "letterbox":
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    return ImageOps.fit(image, size, Image.Resampling.BILINEAR)


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one line."""
    if path.exists() and not path.is_file():  # opening a pipe would block
        raise BrokenImageError("not a regular file")
    try:
        yield
    except (BrokenImageError, UserError):
        raise
    except Exception as error:  # a decoder can fail in any way
        raise BrokenImageError(_reason(path, error)) from None


@contextlib.contextmanager
def _opened(path: Path, *, first_frame: bool) -> Iterator[Image.Image]:
    # not by its path: pillow then maps an uncompressed TIFF in the size of the turned image, and scrambles a lying one
    with open(path, "rb") as stream, Image.open(stream) as image:
        if image.width * image.height > MOST_PIXELS:
            raise BrokenImageError(f"{image.width} x {image.height} pixels, at most {MOST_PIXELS:,} are read")
        if image.mode not in (*EIGHT_BITS, *SIXTEEN_BITS):
            raise BrokenImageError(f"{image.mode} pixels; 8 or 16 bits a channel are read")
        # the further images of an MPO file, which many cameras write, are previews
        if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO" and not first_frame:
            raise BrokenImageError(f"{frames} images in one file; save them apart")
        yield image


def _deep(image: Image.Image) -> Image.Image:
    """An image of 16 bits in floats, which hold them exactly and which pillow resizes in each version."""
    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > 65535:
        raise BrokenImageError(f"values from {least} to {most}; 16 bits hold 0 to 65535")
    return Image.fromarray(values.astype(np.float32))


def _picture(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32))


def _in_depth(pixels: Pixels, *, bits: int, found: int, channels: int) -> Pixels:
    """Of (height, width, 1 or 3) of the depth that was found the pixels of the one that was asked for."""
    if found == 16:
        pixels = np.clip(np.rint(pixels), 0, 65535).astype(np.uint16)
        pixels = pixels if pixels.shape[2] == channels else np.repeat(pixels, channels, axis=2)
    if found == bits:
        return np.ascontiguousarray(pixels)
    if bits == 16:
        return pixels.astype(np.uint16) * 257
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _named(path: Path) -> str:
    """The depth of a file as messages say it."""
    if is_dicom(path):
        return "DICOM"
    with Image.open(path) as image:
        return image.mode


def _is_grey(image: Image.Image) -> bool:
    """Whether each colour of a palette is grey."""
    palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _is_cut(mode: str, raw: str) -> bool:
    """Whether pillow reads 16 bits as 8, as it does in colour and beside transparency."""
    return mode in EIGHT_BITS and ";16" in raw


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "not there"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = one_line(error)[:200]
    if "cannot identify" in text:
        return "not an image: 0 bytes" if path.stat().st_size == 0 else "not an image"
    return text or type(error).__name__
