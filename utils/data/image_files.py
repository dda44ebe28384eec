"""Images to score, from a folder, a list, a table, an .npz file or single files, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, one_line
from .image_folders import FoundFiles
from .image_format import ImageFormat
from .image_pixels import ENDINGS, read_pixels
from .listed_paths import name_on_disk, plain_path
from .npz import checked_pixels, read_npz_images
from .raw import Pixels
from .table_rows import counts_columns, is_number, open_table, places_of, text_lines

MOST_CHARACTERS = 2**30  # of a table or a list, which memory holds; the paths of 20 million images
NPZ_KEYS = ("images", "x", "x_test", "test_images")


@dataclass(frozen=True)
class ImageFiles:
    """Images in files; ``fit`` says what happens to those of another size (``image_pixels.fitted``).

    ``note`` is a line on what was left out, or nothing.
    """

    names: Sequence[str]
    paths: Sequence[Path]
    form: ImageFormat
    fit: str | None = None
    note: str = ""

    def read(self, number: int) -> Pixels:
        return read_image(self.paths[number], self.form, fit=self.fit)


@dataclass(frozen=True)
class ImageArray:
    """Images in an array (n, H, W, C), in the depth that the model takes."""

    names: Sequence[str]
    images: np.ndarray[Any, Any]
    note: str = ""

    def read(self, number: int) -> Pixels:
        image: Pixels = self.images[number]
        return image


def find_images(source: Path, form: ImageFormat, *, fit: str | None) -> ImageFiles | ImageArray:
    """The images that ``source`` names.

    Args:
        source: a folder, searched to any depth, in the order of the names; an image; an .npz file with the key
            ``images``, ``x``, ``x_test`` or ``test_images``; a .csv file with a column ``path``; a .txt file with a
            path in each line. Paths in a file are relative to its folder, and are the names of the images. For a model
            of features: a .csv file with a column for each, by the names of the training data or, if they had none, in
            their order, and perhaps ``path``.
        form: what the model takes.
        fit: see ``image_pixels.fitted``; None: that of ``form``.

    Raises:
        UserError: there are none.
    """
    if form.has_features:
        return _in_feature_table(source, form)
    if source.is_dir():
        return _in_folder(source, form, fit)
    if not source.is_file():
        raise UserError(f"--images must be a folder, an image, a .csv, .txt or .npz file, got {source}, not there")
    ending = source.suffix.lower()
    if ending == ".npz":
        return _in_npz(source, form)
    if ending not in (".csv", ".txt"):
        return ImageFiles([source.name], [source], form, fit)
    listed = ending == ".txt"
    lines = text_lines(source, flag="--images", most=MOST_CHARACTERS) if listed else read_table(source)["path"]
    names = [name for name in lines if name]
    if not names:
        raise UserError(f"{source} must name images, got none")
    return ImageFiles(names, [source.parent / name_on_disk(source.parent, name) for name in names], form, fit)


def read_table(path: Path, *, flag: str = "--images") -> dict[str, list[str]]:
    """The columns of a table with a header; one of them is ``path``, in capitals or not.

    Raises:
        UserError: it is no such file, a path stands in it twice, or a line has too many or too few values.
    """
    table = open_table(path, encoding=None, flag=flag, most=MOST_CHARACTERS)
    if table.delimiter is None:  # one column, whose values may hold spaces
        table = replace(table, delimiter=",", first=[" ".join(table.first)])
    header = list(table.first)
    places = places_of("path", header)
    if len(places) != 1 or len(set(header)) < len(header):
        raise UserError(f"{path} must begin with the names of its columns, one of them path, got {one_line(header)}")
    header[places[0]] = "path"
    columns: dict[str, list[str]] = {name: [] for name in header}
    rows = table.rows()
    next(rows)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UserError(f"row {number} of {path} must have {len(header)} values, got {len(row)}")
        if not row[places[0]]:
            raise UserError(f"row {number} of {path} names no path; fill it in or remove the row")
        for name, value in zip(header, row, strict=True):
            columns[name].append(value)
    seen = set[str]()
    for name in map(plain_path, columns["path"]):
        if name in seen:
            raise UserError(f"{path} must name an image once, got {one_line(name)} twice")
        seen.add(name)
    return columns


def read_image(path: Path, form: ImageFormat, *, fit: str | None = None) -> Pixels:
    """An image file as (height, width, channels): turned as its EXIF entry says, in grey or RGB, without alpha.

    Raises:
        BrokenImageError: see ``Images.read``.
    """
    return read_pixels(
        path,
        size=(form.height, form.width),
        channels=form.channels,
        bits=form.bits,
        fit=fit or form.fit,
        any_depth=form.any_depth,
        first_frame=form.first_frame,
    )


def _in_folder(folder: Path, form: ImageFormat, fit: str | None) -> ImageFiles:
    found = FoundFiles()
    if not found.add(folder):
        others = f" ({note})" if (note := found.note()) else ""
        raise UserError(f"{folder} must hold images ({' '.join(ENDINGS)}), got none{others}; see --images")
    paths = sorted(folder / name for name in found.names)
    return ImageFiles([path.relative_to(folder).as_posix() for path in paths], paths, form, fit, found.note())


def _in_feature_table(path: Path, form: ImageFormat) -> ImageArray:
    """Rows of numbers; the column ``path`` names them, if there is one."""
    if not path.is_file() or path.suffix.lower() != ".csv":
        raise UserError(f"--images must be a .csv file of the model's {form.channels} features, got {path}")
    table = open_table(path, encoding=None, flag="--images", most=MOST_CHARACTERS)
    has_header = bool(form.features) or not all(map(is_number, table.first))
    rows = list(table.rows())[has_header:]
    named = places_of("path", table.first)[:1] if has_header and "path" not in form.features else []
    columns = _feature_columns(path, table.first, form, named)
    numbers = np.empty((len(rows), form.channels), dtype=np.float64)
    for number, row in enumerate(rows):
        try:
            whole = len(row) == len(table.first)
            numbers[number] = [float(row[column]) for column in columns] if whole else [np.nan]
        except ValueError:
            numbers[number] = np.nan
        if not np.isfinite(numbers[number]).all():
            raise UserError(
                f"row {number + 1} of {path} must have {len(table.first)} values, finite numbers as features"
            )
    names = [f"{path.name}#{row}" for row in range(1, len(rows) + 1)]
    if named:
        names = [row[named[0]] for row in rows]
        if "" in names:
            raise UserError(f"row {names.index('') + 1} of {path} names no path; fill it in or remove the row")
    others = [name for place, name in enumerate(table.first) if place not in (*columns, *named)]
    note = f"columns of {path} that the model does not take: {one_line(', '.join(others))}" if others else ""
    return ImageArray(names, checked_pixels(str(path), numbers, form), note)


def _feature_columns(path: Path, first: Sequence[str], form: ImageFormat, named: Sequence[int]) -> list[int]:
    """The places of the features: by their names, or all but ``path`` where the training data had none.

    Raises:
        UserError: they are not those that the model takes.
    """
    if form.features:
        places = [places_of(name, first) for name in form.features]
        missing = [name for name, found in zip(form.features, places, strict=True) if len(found) != 1]
        if missing:
            shown = one_line(", ".join(missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise UserError(
                f"{path} must begin with the names of its columns, each feature of the model among them once,"
                f" got none or two of: {shown}"
            )
        return [found[0] for found in places]
    if counts_columns(first):
        raise UserError(
            f"{path} begins with {one_line(' '.join(first)):.40}: name the columns if these are no values, or put a"
            " line of names before them if they are"
        )
    columns = [place for place in range(len(first)) if place not in named]
    if len(columns) != form.channels:
        raise UserError(
            f"{path} must have {form.channels} columns of features, in the order of the training data, and perhaps"
            f" path, got {len(columns)} others than path"
        )
    return columns


def _in_npz(path: Path, form: ImageFormat) -> ImageArray:
    images = read_npz_images(path, form, keys=NPZ_KEYS)
    if not len(images):
        raise UserError(f"{path} must hold images, got none")
    return ImageArray([f"{path.name}#{number}" for number in range(len(images))], images)
