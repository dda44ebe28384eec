"""Pixels of image files, by values known by hand; prepare.py and predict.py read the same."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from utils.data.image_files import read_image
from utils.data.image_format import ImageFormat
from utils.data.image_pixels import BrokenImageError, Header, read_header, read_pixels, refitted

GREY = np.array([[0, 50, 255], [10, 20, 30]], dtype=np.uint8)
# luma of pillow: (299 R + 587 G + 114 B) / 1000
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURS = np.array([[RED, GREEN, BLUE]], dtype=np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **more: Any) -> Path:
    path = folder / name
    image.save(path, **more)
    return path


def mode(path: Path) -> str:
    with Image.open(path) as image:
        return image.mode


def pixels(path: Path, *, channels: int, bits: int = 8, **more: Any) -> Any:
    header = read_header(path)
    return read_pixels(path, size=(header.height, header.width), channels=channels, bits=bits, **more)


def write_png(path: Path, head: tuple[int, int, int, int], content: bytes) -> None:
    """``head``: width, height, bits, colour type."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    chunks = chunk(b"IHDR", struct.pack(">IIBBBBB", *head, 0, 0, 0)) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_grey_and_colour(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY))
    assert read_header(path) == Header(2, 3, 8, True)
    np.testing.assert_array_equal(pixels(path, channels=1)[:, :, 0], GREY)
    np.testing.assert_array_equal(pixels(path, channels=3), np.repeat(GREY[:, :, None], 3, axis=2))
    path = saved(tmp_path, Image.fromarray(COLOURS))
    assert read_header(path) == Header(1, 3, 8, False)
    np.testing.assert_array_equal(pixels(path, channels=3), COLOURS)
    assert pixels(path, channels=1).ravel().tolist() == [76, 150, 29]


def test_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY > 40))
    assert pixels(path, channels=1)[:, :, 0].tolist() == [[0, 255, 255], [0, 0, 0]]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    """What lies below it counts, however transparent it is."""
    alpha = np.array([[0, 1, 255]], dtype=np.uint8)[:, :, None]
    path = saved(tmp_path, Image.fromarray(np.concatenate([COLOURS, alpha], axis=2)))
    assert mode(path) == "RGBA"
    np.testing.assert_array_equal(pixels(path, channels=3), COLOURS)
    path = saved(tmp_path, Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (3, 2), 0)]))
    assert read_header(path).grey
    np.testing.assert_array_equal(pixels(path, channels=1)[:, :, 0], GREY)


def test_palettes(tmp_path: Path) -> None:
    palette = Image.new("P", (3, 1))
    palette.putdata([2, 0, 1])
    palette.putpalette([*RED, *GREEN, *BLUE])
    path = saved(tmp_path, palette, transparency=0)
    assert mode(path) == "P"
    assert not read_header(path).grey
    assert pixels(path, channels=3).tolist() == [[list(BLUE), list(RED), list(GREEN)]]
    palette.putpalette([7, 7, 7, 9, 9, 9, 200, 200, 200])
    path = saved(tmp_path, palette)
    assert read_header(path).grey
    assert pixels(path, channels=1).ravel().tolist() == [200, 7, 9]


def test_print_colours(tmp_path: Path) -> None:
    """CMYK: 255 of black is black, 255 of cyan takes all red."""
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)
    path = saved(tmp_path, Image.frombytes("CMYK", (3, 1), inks.tobytes()), "a.tif")
    assert pixels(path, channels=3).tolist() == [[[255, 255, 255], [0, 0, 0], [0, 255, 255]]]


@pytest.mark.parametrize(
    "orientation, expected",
    [
        (1, [[0, 50, 255], [10, 20, 30]]),
        (3, [[30, 20, 10], [255, 50, 0]]),
        (6, [[10, 0], [20, 50], [30, 255]]),
        (8, [[255, 30], [50, 20], [0, 10]]),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_exif_turns_the_image(tmp_path: Path, orientation: int, expected: list[list[int]], name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(GREY), name, exif=exif)
    header = read_header(path)
    assert (header.height, header.width) == np.array(expected).shape
    assert pixels(path, channels=1)[:, :, 0].tolist() == expected


DEEP = np.array([[0, 1, 256], [65535, 4095, 128]], dtype=np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_stay(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, Image.fromarray(DEEP), name)
    assert read_header(path) == Header(2, 3, 16, True)
    found = pixels(path, channels=1, bits=16)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[:, :, 0], DEEP)
    np.testing.assert_array_equal(pixels(path, channels=3, bits=16), np.repeat(DEEP[:, :, None], 3, axis=2))


def test_another_depth_is_converted_only_if_asked(tmp_path: Path) -> None:
    deep, plain = saved(tmp_path, Image.fromarray(DEEP)), saved(tmp_path, Image.fromarray(GREY), "b.png")
    with pytest.raises(BrokenImageError, match="I;16 pixels, but the model was trained on 8 bits a channel"):
        pixels(deep, channels=1)
    with pytest.raises(BrokenImageError, match="L pixels, but the model was trained on 16 bits a channel"):
        pixels(plain, channels=1, bits=16)
    # v / 257, rounded: 256 / 257 -> 1, 4095 / 257 = 15.93 -> 16, 128 / 257 -> 0
    assert pixels(deep, channels=1, any_depth=True)[:, :, 0].tolist() == [[0, 0, 1], [255, 16, 0]]
    found = pixels(plain, channels=1, bits=16, any_depth=True)
    np.testing.assert_array_equal(found[:, :, 0], GREY.astype(np.uint16) * 257)


def test_thirty_two_bits_are_read_where_they_fit_into_sixteen(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(DEEP.astype(np.int32)), "a.tif")
    assert mode(path) == "I"
    np.testing.assert_array_equal(pixels(path, channels=1, bits=16)[:, :, 0], DEEP)
    path = saved(tmp_path, Image.fromarray(np.array([[-1, 70000]], dtype=np.int32)), "a.tif")
    with pytest.raises(BrokenImageError, match="values from -1 to 70000; 16 bits hold 0 to 65535"):
        pixels(path, channels=1, bits=16)
    path = saved(tmp_path, Image.fromarray(np.ones((2, 2), dtype=np.float32)), "a.tif")
    with pytest.raises(BrokenImageError, match="F pixels; 8 or 16 bits a channel are read"):
        read_header(path)


def test_sixteen_bits_in_colour_are_told(tmp_path: Path) -> None:
    """Pillow reads the upper 8 of a PNG's 16; such a file is written by hand, as pillow cannot."""
    path = tmp_path / "a.png"
    write_png(path, (1, 1, 16, 2), zlib.compress(b"\0" + struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))
    assert read_header(path).note == "16 bits in colour, of which the upper 8 are read"
    assert pixels(path, channels=3).ravel().tolist() == [0x12, 0x56, 0x9A]


@pytest.mark.parametrize("bits", [8, 16])
def test_fits(tmp_path: Path, bits: int) -> None:
    """An image of 2 x 4: a white half on the left, a black one on the right."""
    full = 2**bits - 1
    image = np.zeros((2, 4), dtype=np.uint8 if bits == 8 else np.uint16)
    image[:, :2] = full
    path = saved(tmp_path, Image.fromarray(image))

    def fitted(fit: str, size: tuple[int, int]) -> Any:
        return read_pixels(path, size=size, channels=1, bits=bits, fit=fit)[:, :, 0]

    boxed = fitted("letterbox", (4, 4))
    assert boxed.tolist() == [[0] * 4, [full, full, 0, 0], [full, full, 0, 0], [0] * 4]
    assert fitted("crop", (2, 2)).tolist() == [[full, 0], [full, 0]]
    assert fitted("squeeze", (2, 2)).tolist()[0] == pytest.approx([full * 6 / 7, full / 7], abs=1)
    with pytest.raises(BrokenImageError, match="4 x 2 pixels, but the model takes 2 x 2; --fit resizes"):
        fitted("exact", (2, 2))


def test_arrays_are_fitted_as_files_are(tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    for kind in (np.uint8, np.uint16):
        bits = np.iinfo(kind).bits
        image = generator.integers(0, np.iinfo(kind).max, (5, 8), dtype=kind)
        path = saved(tmp_path, Image.fromarray(image))
        for fit in ("letterbox", "crop", "squeeze"):
            expected = read_pixels(path, size=(6, 4), channels=3, bits=bits, fit=fit)
            np.testing.assert_array_equal(refitted(image[:, :, None], size=(6, 4), channels=3, fit=fit), expected)
    colour = generator.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(colour))
    expected = read_pixels(path, size=(3, 3), channels=1, fit="squeeze")
    np.testing.assert_array_equal(refitted(colour, size=(3, 3), channels=1, fit="squeeze"), expected)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "squeeze"])
@pytest.mark.parametrize("channels", [1, 3])
def test_predict_reads_what_prepare_does(tmp_path: Path, fit: str, channels: int) -> None:
    """The one file that is turned, transparent, coloured by a palette and of another size."""
    generator = np.random.Generator(np.random.PCG64(1))
    palette = Image.new("P", (7, 5))
    palette.putdata(generator.integers(0, 4, 35).tolist())
    palette.putpalette([*RED, *GREEN, *BLUE, 9, 80, 7])
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, palette, transparency=2, exif=exif)
    form = ImageFormat(channels=channels, height=6, width=4, mean=(0.0,) * channels, std=(1.0,) * channels)
    expected = read_pixels(path, size=(6, 4), channels=channels, fit=fit)
    np.testing.assert_array_equal(read_image(path, form, fit=fit), expected)


def test_of_several_images_the_first_is_read_only_if_asked(tmp_path: Path) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    path = saved(tmp_path, frames[0], "a.tif", save_all=True, append_images=frames[1:])
    for read in (read_header, lambda path: read_pixels(path, size=(2, 3), channels=1)):
        with pytest.raises(BrokenImageError, match="2 images in one file; save them apart"):
            read(path)
    found = read_pixels(path, size=(2, 3), channels=1, first_frame=True)
    np.testing.assert_array_equal(found[:, :, 0], GREY)
    # cameras write previews behind the image
    path = saved(tmp_path, frames[0].convert("RGB"), "a.jpg", format="MPO", save_all=True, append_images=[frames[1]])
    assert read_header(path).height == 2


def bomb(path: Path) -> None:
    """400 million pixels in 40 bytes."""
    write_png(path, (20000, 20000, 1, 0), zlib.compress(b""))


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: path.touch(), "not an image: 0 bytes"),
        (lambda path: path.write_text("no image"), "^not an image$"),
        (bomb, "decompression bomb"),
        (lambda path: None, "^not there$"),
        (lambda path: os.mkfifo(path), "^not a regular file$"),
        (lambda path: path.mkdir(), "^not a regular file$"),
    ],
    ids=["empty", "text", "bomb", "missing", "pipe", "folder"],
)
def test_what_is_no_image(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "a.png"
    make(path)
    for read in (read_header, lambda path: read_pixels(path, size=(2, 3), channels=1)):
        with pytest.raises(BrokenImageError, match=reason):
            read(path)


def test_a_cut_image_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.arange(10000, dtype=np.uint32).view(np.uint8).reshape(200, 200)))
    path.write_bytes(path.read_bytes()[:1000])
    assert read_header(path).height == 200
    with pytest.raises(BrokenImageError, match="truncated"):
        read_pixels(path, size=(200, 200), channels=1)
