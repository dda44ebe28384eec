"""Images in a folder for each class, or in such folders below train/, validation/ and test/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..data.dicom import is_dicom
from ..data.image_pixels import ENDINGS
from ..errors import UserError, one_line
from .collection import SPLIT_NAMES, Collection
from .image_source import ImageSource, check_inside, encodable

WHAT = "a folder for each class, with images in it or below it"


def collect_folders(folder: Path, *, first_frame: bool) -> Collection:
    """The images below ``folder``, in the order of their names; the first folder of the path is the class.

    Where the first folders are train/, val/ and the like, they are the splits, and the second is the class.

    Raises:
        UserError: there are no classes, an image lies in none, or a link leads out.
    """
    top = _folders(folder)
    splits = bool(top) and len(top) > 1 and all(name.lower() in SPLIT_NAMES for name in top)
    loose = [name for name in sorted(os.listdir(folder)) if _is_image(folder / name)]
    if loose:
        shown = one_line(", ".join(loose[:3]))
        hint = "" if top else "; for a table of labels add --csv FILE"
        raise UserError(f"{folder} must hold {WHAT}, got images in it itself ({shown}){hint}")
    if not top:
        raise UserError(f"{folder} must hold {WHAT}, got no folder; for a table of labels add --csv FILE")
    found = _with_splits(folder, top) if splits else _without_splits(folder, top)
    if not found.names:
        raise UserError(f"{folder} must hold images ({' '.join(ENDINGS)}), got none")
    return Collection(
        source=ImageSource(folder, found.names, first_frame),
        names=found.names,
        labels=found.labels,
        splits=found.splits if splits else None,
        notes=found.notes,
    )


class _Found:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.labels: list[str] = []
        self.splits: list[str] = []
        self.notes: list[str] = []

    def add(self, folder: Path, prefix: str, label: str, split: str) -> int:
        """Add the images below ``folder / prefix``; returns their number."""
        before = len(self.names)
        self.names += _images(folder, prefix)
        self.labels += [label] * (len(self.names) - before)
        self.splits += [split] * (len(self.names) - before)
        if len(self.names) == before:
            self.notes.append(f"{one_line(prefix)} holds no images and is left out")
        return len(self.names) - before


def _without_splits(folder: Path, top: list[str]) -> _Found:
    found = _Found()
    for name in top:
        found.add(folder, name, name, "")
    return found


def _with_splits(folder: Path, top: list[str]) -> _Found:
    found, classes = _Found(), {}
    if len({SPLIT_NAMES[name.lower()] for name in top}) < len(top):
        raise UserError(f"{folder} must hold a folder for each split once, got {', '.join(top)}")
    for split in top:
        loose = [name for name in sorted(os.listdir(folder / split)) if _is_image(folder / split / name)]
        if loose:
            raise UserError(f"{folder / split} must hold {WHAT}, got images in it itself ({one_line(loose[0])})")
        there = _folders(folder / split)
        filled = [n for n in there if found.add(folder, os.path.join(split, n), n, SPLIT_NAMES[split.lower()])]
        classes[split] = set(filled)
    for split in top[1:]:
        if classes[split] != classes[top[0]]:
            odd = one_line(", ".join(sorted(classes[split] ^ classes[top[0]])[:5]))
            raise UserError(f"{top[0]}/ and {split}/ in {folder} must hold the same classes, got {odd} in one alone")
    return found


def _folders(folder: Path) -> list[str]:
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_dir():
                    continue
                if entry.is_symlink():
                    raise UserError(
                        f"{one_line(entry.path)} is a link to a folder, which is not followed; copy it here"
                    )
                names.append(entry.name)
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from None
    return sorted(names)


def _images(folder: Path, prefix: str) -> Iterator[str]:
    """The images below ``folder / prefix``, relative to ``folder``."""
    real = os.path.realpath(folder)
    names = []
    for parent, folders, files in os.walk(folder / prefix, onerror=_refuse):
        for name in folders:
            if not name.startswith(".") and os.path.islink(os.path.join(parent, name)):
                where = one_line(os.path.join(parent, name))
                raise UserError(f"{where} is a link to a folder, which is not followed; copy it here")
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if not _is_image(path):
                continue
            relative = os.path.relpath(path, folder)
            if not encodable(relative):
                raise UserError(f"{one_line(ascii(relative))} is not UTF-8; rename the file")
            if path.is_symlink():
                check_inside(folder, relative, real_base=real)
            names.append(relative)
    yield from sorted(names)


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot read {one_line(error.filename)}: {error.strerror or error}") from None


def _is_image(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in ENDINGS:
        return not path.is_dir()
    return path.is_file() and is_dicom(path)
