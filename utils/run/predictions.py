"""Score images with a trained run, one row of a CSV file each."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from tqdm import tqdm

from ..data.image_files import find_images
from ..data.image_pixels import BrokenImageError
from ..data.raw import UInt8Array
from ..data.reading_ahead import Images, read_ahead
from ..errors import UserError, one_line
from ..metrics.roc import Array
from ..system.files import locked, make_folder, no_link, sha256, sync_folder
from .class_model import ClassModel
from .prediction_rows import ClassRows, Rows, SideRows, Told
from .seed_models import SeedModels
from .trained_model import TrainedModel, load


def open_model(path: Path, *, device: str, threads: int) -> TrainedModel | ClassModel:
    """The model in ``path`` on a device, with ``threads`` CPU threads; 0: torch's own number."""
    if threads:
        torch.set_num_threads(threads)
    return load(path, device=device)


def batch_scores(model: SeedModels, read: Sequence[UInt8Array | BrokenImageError]) -> list[Array | BrokenImageError]:
    """The numbers (seeds, *columns) of each image of a batch, or its error."""
    good = [image for image in read if not isinstance(image, BrokenImageError)]
    found = iter(np.moveaxis(model.score_batch(np.stack(good)), 1, 0) if good else ())
    return [image if isinstance(image, BrokenImageError) else next(found) for image in read]


def rows_of(
    model: TrainedModel | ClassModel, *, rule: str | None, target: float | None, pair: Sequence[float]
) -> SideRows | ClassRows:
    """What the rows of a prediction say, by the chosen thresholds.

    Args:
        model: a trained run.
        rule: see ``Decisions.chosen``, of K classes ``decisions.chosen_for_each``.
        target: likewise.
        pair: TPR and FPR of the two thresholds, or nothing.

    Raises:
        UserError: the run has no such threshold.
    """
    if isinstance(model, ClassModel):
        return ClassRows.chosen(model, rule=rule, target=target, pair=pair)
    return SideRows.chosen(model, rule=rule, target=target, pair=pair)


def predict(rows: Rows, *, images: Path, out: Path, fit: str | None, resume: bool, overwrite: bool) -> int:
    """Write a row for each image; returns the exit code, 1 if an image could not be scored.

    The rows go to a hidden file beside ``out``, which gets its name at the end; ``resume`` goes on with it, in the same
    batches, so that the file is the same as without the stop.

    Raises:
        UserError: no images, a file that is in the way, or a disk that refuses.
    """
    model = rows.model
    found = find_images(images, model.form, fit=fit)
    if out.exists() and not overwrite:
        raise UserError(f"{out} is there; choose another --out, or add --overwrite 1")
    if out.exists() and out.samefile(images):
        raise UserError(f"--out {out} is what --images names; choose another file")
    make_folder(out.parent)
    started = out.with_name(f".{out.name}.{_identity(rows, found, fit or model.form.fit)}.part")
    lock = out.with_name(f".{out.name}.lock")
    told = Told()
    with locked(lock, what=str(out)):
        done = _kept(started, rows, found, model.batch_size) if resume else []
        _write(started, [rows.columns, *done], mode="w")
        told.count(done, rows.columns)
        with _bar(len(found.names), len(done)) as bar:
            for numbers, read in read_ahead(found, size=model.batch_size, start=len(done)):
                new = rows.batch([found.names[number] for number in numbers], batch_scores(model, read))
                _write(started, new, mode="a")
                told.count(new, rows.columns)
                bar.update(len(new))
        _finish(started, out)
        lock.unlink(missing_ok=True)
    notes = [f"note       {found.note}"] if found.note else []
    print("\n".join([*rows.lines(told), *notes, f"rows       {one_line(out)}"]))
    return 1 if told.broken else 0


def _identity(rows: Rows, images: Images, fit: str) -> str:
    """Tells a prediction from one with another model, threshold or images."""
    digest = hashlib.sha256(sha256(rows.model.path).encode())
    for text in (*rows.identity, fit, str(torch.get_num_threads()), *images.names):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()[:12]


def _kept(path: Path, rows: Rows, images: Images, size: int) -> list[list[str]]:
    """The rows of whole batches that a stopped command has written."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    found = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))[1:]
    whole = [len(row) == len(rows.columns) and row[0] == name for row, name in zip(found, images.names, strict=False)]
    good = whole.index(False) if False in whole else len(whole)
    return found[: good // size * size] if good < len(images.names) else found


def _write(path: Path, rows: Sequence[Sequence[str]], *, mode: str) -> None:
    try:
        with open(path, mode, encoding="utf-8", errors="surrogateescape", newline="", opener=no_link) as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; make room, then --resume 1 goes on") from None


def _finish(started: Path, out: Path) -> None:
    try:
        with open(started, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(started, out)
        sync_folder(out.parent)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None


def _bar(total: int, done: int) -> tqdm[NoReturn]:
    return tqdm(total=total, initial=done, unit="image", file=sys.stderr, disable=not sys.stderr.isatty())
