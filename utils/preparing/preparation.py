"""One preparation from beginning to end: look at all samples, decide, write, deal out, and give the folder its name."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from tqdm import tqdm

from ..data.prepared_files import (
    DTYPES,
    FILES,
    IMAGES,
    MANIFEST,
    MOST_CLASSES,
    PreparedForm,
    Samples,
    is_prepared,
    write_prepared,
)
from ..errors import UserError, one_line
from ..registry import unknown
from ..system.files import locked, make_folder, sync_folder, write_text
from ..system.installation import VERSION
from . import overview, stratified_splits
from .array_files import collect_arrays
from .class_folders import collect_folders
from .collection import Bar, Collection, class_names
from .contact_sheets import SHEETS, write_sheets
from .form_choice import choose
from .image_writing import LOG, Written, identity, write_images
from .label_tables import collect_table
from .number_tables import collect_numbers
from .request import Request

BROKEN = "broken.csv"
OWN = {*FILES, MANIFEST, SHEETS, BROKEN}  # what a finished folder holds
SHOWN = 3  # broken files that a message names
SKIP = "mend them, or leave them out with --skip_broken 1"


def prepare(request: Request) -> None:
    """Write the prepared data set that is asked for, and print an overview.

    Raises:
        UserError: input that cannot be used, or a disk that refuses; an unfinished folder stays for ``--resume 1``.
    """
    _check_out(request)
    collection = _collect(request)
    with _bar("looking", len(collection.names)) as bar:
        survey = collection.source.survey(bar, workers=request.workers)
    _check_broken(collection, survey.broken, request)
    kept = np.array([number for number in range(len(collection.names)) if number not in survey.broken])
    if not len(kept):
        raise UserError("all samples are broken; none is left to prepare")
    classes, _ = _classes(collection, kept, request)
    form = choose(request, survey, kind=collection.source.kind, classes=classes)
    _splits(collection, kept, request)  # its errors come before hours of reading
    _check_room(request.out, form, len(kept))
    make_folder(request.out.parent)
    lock = request.out.with_name(f".{request.out.name}.lock")
    with locked(lock, what=str(request.out)):
        folder = _begun(request)
        written = _written(folder, collection, form, request)
        _check_broken(collection, written.broken, request, begun=True)
        form, samples = _completed(folder, collection, form, written, request)
        _take_place(folder, request.out)
        lock.unlink(missing_ok=True)
    size = sum((request.out / name).stat().st_size for name in FILES)
    told = overview.lines(
        request.out,
        form,
        samples,
        survey,
        column=collection.group_column,
        notes=collection.notes,
        bytes_written=size,
    )
    if written.broken:
        told.insert(1, f"{len(written.broken):,} broken, left out; see {request.out / BROKEN}")
    print("\n".join(told))


def _collect(request: Request) -> Collection:
    if request.csv is not None:
        return collect_numbers(request) if request.features or request.pixels else collect_table(request)
    assert request.source is not None
    if request.source.is_dir():
        return collect_folders(request.source, first_frame=request.frames == "first")
    if not request.source.is_file():
        raise UserError(f"the source must be a folder or an .npz file, got {request.source}, which is not there")
    if request.source.suffix.lower() != ".npz":
        raise UserError(f"the source must be a folder or an .npz file, got {request.source}; a table goes with --csv")
    return collect_arrays(request.source)


def _check_out(request: Request) -> None:
    """Refuse a folder that is in the way, and restore what a killed ``--overwrite 1`` had moved aside."""
    out, begun, old = request.out, *_beside(request.out)
    if old.exists() and not out.exists():
        os.replace(old, out)
    sources = [path for path in (request.source, request.csv and request.csv.parent) if path and path.is_dir()]
    for source in sources:
        if request.csv is None and Path(os.path.realpath(source)) in Path(os.path.realpath(out)).parents:
            raise UserError(f"--out must lie outside {source}, whose images are prepared, got {out}")
        if os.path.realpath(source) == os.path.realpath(out):
            raise UserError(f"--out must be another folder than that of the images, got {out}")
    if out.exists() or out.is_symlink():
        if not is_prepared(out):
            raise UserError(f"{out} is there, and is no prepared data set; choose another --out")
        foreign = sorted(set(os.listdir(out)) - OWN)
        if foreign:
            raise UserError(f"{out} holds {one_line(foreign[0])}, which is not of a preparation; choose another --out")
        if not request.overwrite:
            raise UserError(f"{out} is there; choose another --out, or add --overwrite 1")
    if begun.exists() and not request.resume and not request.overwrite:
        raise UserError(f"{out} was begun and not finished: --resume 1 goes on, --overwrite 1 starts anew")


def _beside(out: Path) -> tuple[Path, Path]:
    """The folder of an unfinished result, and the place of an old one for a moment."""
    return out.with_name(f".{out.name}.part"), out.with_name(f".{out.name}.old")


def _classes(
    collection: Collection, kept: npt.NDArray[np.int64], request: Request
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The classes of the samples that are kept, and the label of each."""
    classes, labels = class_names([collection.labels[number] for number in kept])
    if len(classes) < 2:
        raise UserError(f"there must be two classes or more, got {one_line(classes[0])} alone")
    if unprintable := [name for name in classes if not name.isprintable()]:
        raise UserError(f"the name of a class must be printable text, got {one_line(unprintable[0])}; rename it")
    if len(classes) > MOST_CLASSES:
        raise UserError(f"there must be at most {MOST_CLASSES:,} classes, got {len(classes):,}; is --label the class?")
    if request.positive is not None and request.positive not in classes:
        raise unknown("class", request.positive, classes, origin="--positive")
    return classes, labels


def _splits(collection: Collection, kept: npt.NDArray[np.int64], request: Request) -> npt.NDArray[np.str_]:
    """The split of each sample that is kept."""
    groups = None if collection.groups is None else [collection.groups[number] for number in kept]
    if collection.splits is not None:
        for flag in ("split", "seed"):
            if getattr(request, flag) is not None:
                raise UserError(f"--{flag} cannot act: the source says which split each sample is in; leave it out")
        splits = [collection.splits[number] for number in kept]
        stratified_splits.check_given(splits, groups, column=collection.group_column)
        return np.array(splits)
    classes, labels = class_names([collection.labels[number] for number in kept])
    return stratified_splits.deal(
        labels,
        groups,
        classes=classes,
        percentages=request.split or stratified_splits.DEFAULT,
        seed=1 if request.seed is None else request.seed,
        column=collection.group_column,
    )


def _check_broken(collection: Collection, broken: Mapping[int, str], request: Request, *, begun: bool = False) -> None:
    if not broken or request.skip_broken:
        return
    shown = "; ".join(f"{one_line(collection.names[number])}: {broken[number]}" for number in sorted(broken)[:SHOWN])
    more = f"; and {len(broken) - SHOWN:,} more" if len(broken) > SHOWN else ""
    remedy = f"{SKIP} --resume 1" if begun else SKIP
    raise UserError(f"{len(broken):,} of {len(collection.names):,} cannot be read ({shown}{more}); {remedy}")


def _check_room(out: Path, form: PreparedForm, count: int) -> None:
    needed = count * int(np.prod(form.shape)) * DTYPES[form.bits].itemsize
    there = next(parent for parent in (out.absolute().parent, *out.absolute().parents) if parent.exists())
    begun = _beside(out)[0] / IMAGES
    free = shutil.disk_usage(there).free + (begun.stat().st_size if begun.exists() else 0)
    if needed > free:
        raise UserError(
            f"{out} needs {needed / 1e9:,.2f} GB, and {free / 1e9:,.2f} GB are free; make room or use --size"
        )


def _begun(request: Request) -> Path:
    """The folder of the unfinished result."""
    folder, old = _beside(request.out)
    for path in (old, *(() if request.resume else (folder,))):
        if path.exists():
            shutil.rmtree(path)
    make_folder(folder)
    return folder


def _written(folder: Path, collection: Collection, form: PreparedForm, request: Request) -> Written:
    first = request.frames == "first"
    settings = f"{request.bits} {first} {request.pixels} {request.value_range} {request.label} {request.drop}"
    stamps = (collection.source.stamp(number) for number in range(len(collection.names)))
    with _bar("reading", len(collection.names)) as bar:
        return write_images(
            folder,
            collection.source,
            form,
            mark=identity(form, [settings, *collection.names, *stamps]),
            workers=request.workers,
            resume=request.resume,
            bar=bar,
        )


def _completed(
    folder: Path, collection: Collection, form: PreparedForm, written: Written, request: Request
) -> tuple[PreparedForm, Samples]:
    """Write all that stands beside images.npy."""
    kept = np.array(written.numbers, dtype=np.int64)
    if not len(kept):
        raise UserError("all samples are broken; none is left to prepare")
    classes, labels = _classes(collection, kept, request)
    form = replace(form, classes=classes)
    groups = collection.groups
    samples = Samples(
        paths=[collection.names[number] for number in kept],
        labels=labels,
        splits=_splits(collection, kept, request),
        groups=None if groups is None else np.array([groups[number] for number in kept], dtype=object),
        digests=np.array(written.digests, dtype=np.uint64),
    )
    if form.kind == "images":
        write_sheets(folder, form, np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False), labels)
    if written.broken:
        _write_broken(folder / BROKEN, collection, written.broken)
    facts = {
        "skipped": len(written.broken),
        "source": str(request.csv or request.source),
        "command": request.command,
        "versions": {
            "rarecall": VERSION,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }
    write_prepared(folder, form, samples, statistics=written.statistics(form), facts=facts)
    return form, samples


def _write_broken(path: Path, collection: Collection, broken: Mapping[int, str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows((collection.names[number], broken[number]) for number in sorted(broken))
    write_text(path, text.getvalue())


def _take_place(folder: Path, out: Path) -> None:
    """Give the finished folder its name; an old one goes aside first, and is removed last."""
    old = _beside(out)[1]
    try:
        (folder / LOG).unlink()
        sync_folder(folder)
        if out.exists():
            os.replace(out, old)
        os.replace(folder, out)
        sync_folder(out.parent)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Bar]:
    with tqdm(total=total, desc=what, unit="image", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        yield bar
