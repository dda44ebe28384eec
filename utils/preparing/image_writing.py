"""The pixels on their way to images.npy, with a log by which a stopped preparation goes on."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..data.image_pixels import BrokenImageError
from ..data.prepared_files import DTYPES, IMAGES, ImageRows, PreparedForm, digest_of, kept_images, statistics_of
from ..errors import UserError, one_line
from ..system.files import no_link, write_atomically
from .collection import Bar, Source

Pixels = npt.NDArray[Any]
LOG = "progress.log"
BATCH_BYTES = 2**25
BATCH_IMAGES = 256


@dataclass
class Written:
    """What images.npy holds: the numbers of its samples, their digests and sums; and what was broken.

    A few bytes a sample: ``sums`` are the bytes of statistics.npy.
    """

    numbers: array[int] = field(default_factory=lambda: array("q"))
    digests: array[int] = field(default_factory=lambda: array("Q"))
    sums: bytearray = field(default_factory=bytearray)
    broken: dict[int, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Samples that are done."""
        return len(self.numbers) + len(self.broken)

    def add(self, number: int, image: bytes, form: PreparedForm) -> None:
        """Count an image."""
        self.numbers.append(number)
        self.digests.append(digest_of(image))
        pixels = np.frombuffer(image, dtype=DTYPES[form.bits]).reshape(1, *form.shape)
        self.sums += statistics_of(pixels).tobytes()

    def statistics(self, form: PreparedForm) -> Pixels:
        """See ``statistics_of``."""
        kind = np.float64 if form.bits == 32 else np.uint64
        return np.frombuffer(self.sums, dtype=kind).reshape(-1, form.channels, 2)


def identity(form: PreparedForm, parts: Iterable[str]) -> str:
    """Tells a preparation from one of other files, or of another form; classes and splits may differ."""
    digest = hashlib.sha256(repr((form.kind, form.shape, form.bits, form.fit, form.colour)).encode())
    for text in parts:
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


def write_images(
    folder: Path,
    source: Source,
    form: PreparedForm,
    *,
    mark: str,
    workers: int,
    resume: bool,
    bar: Bar,
) -> Written:
    """Write ``folder``/images.npy, from where an earlier process was stopped if ``resume``.

    Args:
        folder: of the unfinished result.
        source: of the pixels.
        form: that they get.
        mark: ``identity`` of what is written.
        workers: threads that read.
        resume: go on with what is there.
        bar: is moved on by each sample.

    Raises:
        UserError: the disk refuses, or what is there is of other files.
    """
    try:
        done = _kept(folder, form, mark) if resume and (folder / LOG).exists() else Written()
        bar.update(done.count)
        row = int(np.prod(form.shape)) * DTYPES[form.bits].itemsize
        size = max(1, min(BATCH_IMAGES, BATCH_BYTES // row))
        rows = ImageRows(folder / IMAGES, form, kept=len(done.numbers))
        try:
            write_atomically(folder / LOG, lambda stream: stream.write(_log(mark, done)))
            with open(folder / LOG, "ab", buffering=0, opener=no_link) as log:
                for numbers, batch in source.batches(form, start=done.count, size=size, workers=workers):
                    _write(rows, log, done, numbers, batch)
                    bar.update(len(numbers))
            rows.finish()
        finally:
            rows.close()
    except OSError as error:
        hint = "make room, then --resume 1 goes on"
        raise UserError(f"cannot write {folder}: {error.strerror or error}; {hint}") from None
    return done


def _write(
    rows: ImageRows, log: IO[bytes], done: Written, numbers: Sequence[int], batch: Sequence[Pixels | BrokenImageError]
) -> None:
    """Append a batch: first the pixels, then their lines in the log."""
    lines = []
    for number, image in zip(numbers, batch, strict=True):
        if isinstance(image, BrokenImageError):
            done.broken[number] = one_line(image)
            lines.append(f"!{done.broken[number]}")
            continue
        content = image.astype(DTYPES[rows.form.bits], copy=False).tobytes()
        rows.append(content)
        done.add(number, content, rows.form)
        lines.append(f"{done.digests[-1]:016x}")
    log.write("".join(f"{line}\n" for line in lines).encode())


def _log(mark: str, done: Written) -> bytes:
    lines = [mark]
    digests = iter(done.digests)
    for number in range(done.count):
        lines += [f"!{done.broken[number]}" if number in done.broken else f"{next(digests):016x}"]
    return "".join(f"{line}\n" for line in lines).encode()


def _kept(folder: Path, form: PreparedForm, mark: str) -> Written:
    """What an earlier process has written: the samples whose lines are whole and whose pixels have their digests."""
    text = (folder / LOG).read_bytes().decode(errors="replace")
    first, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
    if first != mark:
        raise UserError(
            f"{folder} was begun from other files or with other options; --overwrite 1, without --resume, starts anew"
        )
    done = Written()
    if not (folder / IMAGES).exists():
        return done
    count, offset = kept_images(folder / IMAGES, form)
    row = int(np.prod(form.shape)) * DTYPES[form.bits].itemsize
    with open(folder / IMAGES, "rb") as stream:
        stream.seek(offset)
        for number, line in enumerate(lines):
            if line.startswith("!"):
                done.broken[number] = line[1:]
                continue
            content = stream.read(row) if len(done.numbers) < count else b""
            if len(content) < row or f"{digest_of(content):016x}" != line:
                break  # lost in a power failure, and all that follows with it
            done.add(number, content, form)
    return done
