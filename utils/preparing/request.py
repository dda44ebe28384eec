"""What the command line of prepare.py asks for, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """The values of the flags; None or an empty tuple where one was not given.

    Args:
        source: a folder, an .npz file, or None with ``csv``.
        csv: a table of paths or of numbers.
        path, label, group, split_column: columns of the table, by name or by number from 1.
        drop: columns that are neither.
        pixels: height, width, channels of an image in a row.
        value_range: the values that become black and white.
        header: whether the table has one; None: found out.
        encoding: of the table.
        features: whether the numbers are features.
        out: the folder of the result.
        size: height and width.
        fit, colour, bits: see ``form_choice.choose``.
        frames: ``refuse`` or ``first``, of several images in a file.
        positive: the rare class.
        split: percentages of train, validation, [calibration,] test.
        seed: of the split; None: 1.
        skip_broken, resume, overwrite: switches.
        workers: threads that read.
        command: what was typed.
    """

    source: Path | None
    csv: Path | None
    out: Path
    path: str = "path"
    label: str | None = None
    group: str | None = None
    split_column: str | None = None
    drop: tuple[str, ...] = ()
    pixels: tuple[int, int, int] | None = None
    value_range: tuple[float, float] | None = None
    header: bool | None = None
    encoding: str = "utf-8"
    features: bool = False
    size: tuple[int, int] | None = None
    fit: str | None = None
    colour: str = "auto"
    bits: int | None = None
    frames: str = "refuse"
    positive: str | None = None
    split: tuple[float, ...] | None = None
    seed: int | None = None
    skip_broken: bool = False
    resume: bool = False
    overwrite: bool = False
    workers: int = 1
    command: str = ""
