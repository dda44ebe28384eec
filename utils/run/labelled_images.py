"""Images with labels of their own, and what a model says of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.image_files import find_images, read_table
from ..data.image_pixels import BrokenImageError
from ..data.listed_paths import plain_path
from ..data.reading_ahead import Images, read_ahead
from ..data.table_rows import places_of
from ..errors import UserError, one_line
from ..metrics.roc import Array
from .predictions import batch_scores
from .seed_models import SeedModels


@dataclass(frozen=True)
class Labelled:
    """The n images of an evaluation that could be read.

    Args:
        source: the file of the labels.
        names: of the images.
        labels: of each, as the file says.
        groups: columns that name the group of each image.
        numbers: (seeds, n, *columns) of each seed's model, see ``SeedModels.numbers``.
        broken: the errors of the images that could not be read, by their names.
    """

    source: Path
    names: list[str]
    labels: list[str]
    groups: dict[str, list[str]]
    numbers: Array
    broken: dict[str, str]


def read_labelled(model: SeedModels, *, images: Path, labels: Path, by: Sequence[str], fit: str | None) -> Labelled:
    """Score the images, and find the label of each.

    Args:
        model: a trained run.
        images: see ``image_files.find_images``.
        labels: a table (``image_files.read_table``) with ``path``, as the images are named, ``label``, and ``by``.
        by: the columns that name groups.
        fit: see ``image_pixels.fitted``.

    Raises:
        UserError: there are no images, none can be scored, or one has no label.
    """
    found = find_images(images, model.form, fit=fit)
    table = _table(labels, ("label", *by))
    rows = {plain_path(path): row for row, path in enumerate(table["path"])}
    missing = [path for path in found.names if plain_path(path) not in rows]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{labels} must have a label for each image, got none for {one_line(missing[0])}{others}")
    names, numbers, broken = _scored(model, found)
    if not names:
        first, error = next(iter(broken.items()))
        raise UserError(f"none of the {len(broken)} images of {images} could be scored; {one_line(first)}: {error}")
    if found.note:
        print(f"note: {found.note}", file=sys.stderr)
    own = {column: [values[rows[plain_path(path)]] for path in names] for column, values in table.items()}
    return Labelled(labels, names, own["label"], {column: own[column] for column in by}, numbers, broken)


def _scored(model: SeedModels, images: Images) -> tuple[list[str], Array, dict[str, str]]:
    """Names of the images that could be read, their numbers, and the errors of the others."""
    names, found, broken = list[str](), list[Array](), dict[str, str]()
    for numbers, read in read_ahead(images, size=model.batch_size):
        for number, values in zip(numbers, batch_scores(model, read), strict=True):
            if isinstance(values, BrokenImageError):
                broken[images.names[number]] = str(values)
            else:
                names.append(images.names[number])
                found.append(values)
    return names, np.stack(found, axis=1) if found else np.zeros((len(model.seeds), 0, *model.columns)), broken


def _table(path: Path, needed: Sequence[str]) -> dict[str, list[str]]:
    table = read_table(path, flag="--labels")
    found = {"path": table["path"]}
    for column in needed:
        places = places_of(column, list(table))
        if len(places) != 1:
            raise UserError(f"{path} must have a column {one_line(column)}, got {one_line(', '.join(table))}")
        found[column] = list(table.values())[places[0]]
    return found
