"""Images in a folder for each class, or in such folders below train/, validation/ and test/."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.image_folders import FoundFiles, folders_in, holds_images, is_image
from ..data.image_pixels import ENDINGS
from ..errors import UserError, one_line
from .collection import SPLIT_NAMES, Collection
from .image_source import ImageSource, check_inside, encodable

WHAT = "a folder for each class, with images in it or below it"


def collect_folders(folder: Path, *, first_frame: bool) -> Collection:
    """The images below ``folder``, in the order of their names; the first folder of the path is the class.

    Where the first folders are train/, val/ and the like, they are the splits, and the second is the class; folders
    without images beside them do not count.

    Raises:
        UserError: there are no classes, an image lies in none, other images lie beside the splits, or a link leads out.
    """
    top = folders_in(folder)
    splits = _are_splits(folder, top)
    found = _Found(folder)
    if loose := found.loose(""):
        shown = one_line(", ".join(loose[:3]))
        hint = "" if top else "; for a table of labels add --csv FILE"
        raise UserError(f"{folder} must hold {WHAT}, got images in it itself ({shown}){hint}")
    if not top:
        raise UserError(f"{folder} must hold {WHAT}, got no folder; for a table of labels add --csv FILE")
    if splits:
        _with_splits(found, top)
    else:
        for name in top:
            found.add(name, name, "")
    if not found.files.names:
        raise UserError(f"{folder} must hold images ({' '.join(ENDINGS)}), got none")
    _check_names(folder, found.files.names)
    note = found.files.note()
    return Collection(
        source=ImageSource(folder, found.files.names, first_frame),
        names=found.files.names,
        labels=found.labels,
        splits=found.splits if splits else None,
        notes=[*found.notes, *([note] if note else [])],
    )


def _are_splits(folder: Path, top: list[str]) -> bool:
    """Whether the first folders are splits: two of them or more are called so, and no other holds images."""
    filled = [name for name in top if name.lower() in SPLIT_NAMES and holds_images(folder / name)]
    if len(filled) < 2:
        return False
    if others := [name for name in top if name.lower() not in SPLIT_NAMES and holds_images(folder / name)]:
        shown = one_line(", ".join(others[:3]))
        raise UserError(
            f"{folder} holds splits ({', '.join(filled)}), and images in {shown} beside them; move {shown} elsewhere,"
            f" or, if each is a class, rename {filled[0]}"
        )
    return True


class _Found:
    """The images of the classes, and what is told of the other files and folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = FoundFiles()
        self.labels: list[str] = []
        self.splits: list[str] = []
        self.notes: list[str] = []

    def add(self, prefix: str, label: str, split: str) -> int:
        """Add the images below ``prefix``; returns their number."""
        count = self.files.add(self.folder, prefix)
        self.labels += [label] * count
        self.splits += [split] * count
        if not count:
            self.notes.append(f"{one_line(prefix)} holds no images and is left out")
        return count

    def loose(self, prefix: str) -> list[str]:
        """The images in ``prefix`` itself; its other files are counted."""
        images = []
        for name in sorted(os.listdir(self.folder / prefix)):
            path = self.folder / prefix / name
            if name.startswith(".") or path.is_dir():
                continue
            if is_image(path):
                images.append(name)
            else:
                self.files.add_other(path)
        return images


def _with_splits(found: _Found, top: list[str]) -> None:
    folder, classes = found.folder, {}
    others = [name for name in top if name.lower() not in SPLIT_NAMES]
    top = [name for name in top if name not in others]
    found.notes += [f"{one_line(name)} holds no images and is left out" for name in others]
    if len({SPLIT_NAMES[name.lower()] for name in top}) < len(top):
        raise UserError(f"{folder} must hold a folder for each split once, got {', '.join(top)}")
    for split in top:
        there = folders_in(folder / split)
        if loose := found.loose(split):
            raise UserError(f"{folder / split} must hold {WHAT}, got images in it itself ({one_line(loose[0])})")
        classes[split] = {n for n in there if found.add(os.path.join(split, n), n, SPLIT_NAMES[split.lower()])}
    for split in top[1:]:
        if classes[split] != classes[top[0]]:
            odd = one_line(", ".join(sorted(classes[split] ^ classes[top[0]])[:5]))
            raise UserError(f"{top[0]}/ and {split}/ in {folder} must hold the same classes, got {odd} in one alone")


def _check_names(folder: Path, names: list[str]) -> None:
    """Refuse names that samples.csv cannot hold, and links that lead out of ``folder``."""
    real = os.path.realpath(folder)
    for name in names:
        if not encodable(name):
            raise UserError(f"{one_line(ascii(name))} is not UTF-8; rename the file")
        if os.path.islink(folder / name):
            check_inside(folder, name, real_base=real)
