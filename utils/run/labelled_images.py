"""Images with labels of their own, and what a model says of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.class_names import NUMBER, plain_name
from ..data.image_files import find_images, read_table
from ..data.image_pixels import BrokenImageError
from ..data.listed_paths import plain_path
from ..data.reading_ahead import Images, read_ahead
from ..data.table_rows import places_of
from ..errors import UserError, one_line
from ..metrics.roc import Array
from ..preparing.collection import known_groups
from ..run_files.model_pt import ModelFile
from .predictions import batch_scores
from .seed_models import SeedModels


@dataclass(frozen=True)
class Labelled:
    """The n images of an evaluation that could be read.

    Args:
        source: the file of the labels.
        names: of the images.
        labels: of each, as the file says.
        groups: the columns whose groups are compared, with the value of each image.
        group_column: the column of what belongs together, such as the patient; None if that was not told.
        group: the value of each image there, or None.
        numbers: (seeds, n, *columns) of each seed's model, see ``SeedModels.numbers``.
        broken: the errors of the images that could not be read, by their names.
        without_image: how many rows of each label name no image.
    """

    source: Path
    names: list[str]
    labels: list[str]
    groups: dict[str, list[str]]
    group_column: str | None
    group: list[str] | None
    numbers: Array
    broken: dict[str, str]
    without_image: dict[str, int]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns asked for beside the label, with the value of each image."""
        own = {} if self.group_column is None or self.group is None else {self.group_column: self.group}
        return self.groups | own


def read_labelled(
    model: SeedModels, *, images: Path, labels: Path, by: Sequence[str], group: str | None, fit: str | None
) -> Labelled:
    """Score the images, and find the label of each.

    Args:
        model: a trained run.
        images: see ``image_files.find_images``.
        labels: a table (``image_files.read_table``) with ``path``, as the images are named, ``label``, and ``by``.
        by: the columns whose groups are compared.
        group: the column of what belongs together, see ``collection.known_groups``.
        fit: see ``image_pixels.fitted``.

    Raises:
        UserError: there are no images, none can be scored, or one has no label, or no group.
    """
    found = find_images(images, model.form, fit=fit)
    table = _table(labels, ("label", *by, *([group] if group else [])))
    rows = {plain_path(path): row for row, path in enumerate(table["path"])}
    missing = [path for path in found.names if plain_path(path) not in rows]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{labels} must have a label for each image, got none for {one_line(missing[0])}{others}")
    members = dict[str, str]()
    if group:
        texts = [table[group][rows[plain_path(path)]].strip() for path in found.names]
        known = known_groups(texts, found.names, what=str(labels), column=one_line(group))
        members = dict(zip(found.names, known, strict=True))
    names, numbers, broken = _scored(model, found)
    if not names:
        first, error = next(iter(broken.items()))
        raise UserError(f"none of the {len(broken)} images of {images} could be scored; {one_line(first)}: {error}")
    absent = rows.keys() - set(map(plain_path, found.names))
    without_image = Counter(plain_name(table["label"][rows[path]]) for path in absent)
    notes = [found.note] if found.note else []
    if absent:
        counts = ", ".join(f"{one_line(label)} {count:,}" for label, count in sorted(without_image.items()))
        notes.append(f"{labels} has labels without an image in {images}, which do not count: {counts}")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    own = {column: [values[rows[plain_path(path)]] for path in names] for column, values in table.items()}
    return Labelled(
        source=labels,
        names=names,
        labels=list(map(plain_name, own["label"])),
        groups={column: own[column] for column in by},
        group_column=group,
        group=[members[path] for path in names] if group else None,
        numbers=numbers,
        broken=broken,
        without_image=dict(sorted(without_image.items())),
    )


def asks_for_names(content: ModelFile, unknown: str) -> str:
    """What to do about numbers in place of names; "" where the labels are none, or the names are numbers themselves."""
    names = content.class_names
    is_number = any(NUMBER.fullmatch(text) for text in unknown.split(", "))
    if not is_number or names is None or any(NUMBER.fullmatch(name) for name in names):
        return ""
    return "; write names, as numbers do not tell which class is meant"


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
