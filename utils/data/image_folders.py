"""The image files below a folder, by one walk for prepare.py and predict.py: none is left out unsaid."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, one_line
from .dicom import is_dicom
from .image_pixels import ENDINGS

ARCHIVES = "__MACOSX"  # what the Finder adds to a zip: its files are called like the images, and are none
DIRECTORY = "DICOMDIR"  # the table of contents of a DICOM medium, a DICOM file without pixels
TABLES = (".csv", ".txt")  # lie beside the images of many data sets
SHOWN = 5  # endings that a note names


@dataclass
class FoundFiles:
    """The images of some folders, and how many other files of each ending lie beside them.

    Hidden files and tables do not count.
    """

    names: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, folder: Path, prefix: str = "") -> int:
        """Add the files below ``folder / prefix``; returns the number of images among them.

        Raises:
            UserError: see ``files_below``.
        """
        before = len(self.names)
        for path in files_below(folder / prefix):
            if is_image(path):
                self.names.append(os.path.relpath(path, folder))
            else:
                self.add_other(path)
        self.names[before:] = sorted(self.names[before:])
        return len(self.names) - before

    def add_other(self, path: Path) -> None:
        """Count a file that is no image."""
        ending = path.suffix.lower()
        if ending not in TABLES:
            self.others[ending] += 1

    def note(self) -> str:
        """How many files are no images, in one line; nothing where all are."""
        total = sum(self.others.values())
        if not total:
            return ""
        ordered = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
        shown = [f"{one_line(ending) or 'none'} {count:,}" for ending, count in ordered[:SHOWN]]
        more = ", ..." if len(ordered) > SHOWN else ""
        what = "file is no image by its ending" if total == 1 else "files are no images by their ending"
        return f"{total:,} {what}: {', '.join(shown)}{more}"


def folders_in(folder: Path) -> list[str]:
    """The folders in ``folder``, without hidden ones, in the order of their names.

    Raises:
        UserError: it cannot be read, or one is a link.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _counts(entry.name) and entry.is_dir()]
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from None
    for name in names:
        _refuse_link(os.path.join(folder, name))
    return sorted(names)


def files_below(folder: Path) -> Iterator[Path]:
    """The files in ``folder``, to any depth, without hidden ones, in no particular order.

    Raises:
        UserError: a folder cannot be read, or is a link.
    """
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if _counts(name)]
        for name in folders:
            _refuse_link(os.path.join(parent, name))
        yield from (Path(parent, name) for name in files if _counts(name))


def holds_images(folder: Path) -> bool:
    """Whether there is an image below ``folder``.

    Raises:
        UserError: see ``files_below``.
    """
    return any(is_image(path) for path in files_below(folder))


def is_image(path: Path) -> bool:
    """Whether the ending says so or, of a file without an ending, its first bytes say that it is DICOM."""
    if path.suffix.lower() in ENDINGS:
        return not path.is_dir()
    return path.name.upper() != DIRECTORY and path.is_file() and is_dicom(path)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name != ARCHIVES


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot read {one_line(error.filename)}: {error.strerror or error}") from None


def _refuse_link(path: str) -> None:
    if os.path.islink(path):
        raise UserError(f"{one_line(path)} is a link to a folder, which is not followed; copy it here")
