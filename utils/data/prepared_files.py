"""A prepared data set: the folder that prepare.py writes and main.py reads, writer and reader together.

``images.npy``      (N, H, W, C) uint8, uint16 or, for features, float32 with H = W = 1; row i is sample i
``statistics.npy``  (N, C, 2) sum and sum of squares of each channel of each image: uint64, or float64 for features
``samples.csv``     path, class, split, group, digest of each sample
``manifest.yaml``   what the samples have in common, the counts, and SHA-256 of the other files; written last

Imports no torch.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import yaml

from ..errors import UserError, one_line
from ..system.files import no_link, sha256, write_atomically, write_text
from ..system.text_files import UnreadableError, read_text
from ..system.yaml_files import read_yaml
from .raw import Int64Array

MANIFEST, IMAGES, STATISTICS, SAMPLES = "manifest.yaml", "images.npy", "statistics.npy", "samples.csv"
FILES = (IMAGES, STATISTICS, SAMPLES)
COLUMNS = ("path", "class", "split", "group", "digest")
SPLITS = ("train", "validation", "calibration", "test")
DTYPES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 16: np.dtype("<u2"), 32: np.dtype("<f4")}  # bits -> of a pixel
FORMAT = 1
MOST_CLASSES = 1000  # the counts of more would not fit into a YAML file that is read
MOST_BYTES = 2**30  # of samples.csv
REMEDY = "prepare the data once more, with --overwrite 1"

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class PreparedForm:
    """What the samples of a prepared data set have in common.

    Args:
        kind: ``images``, or ``features`` with height and width 1 and a channel for each feature.
        classes: their names; the label of a sample is an index into them.
        positive: the rare class, or None where nothing said which it is.
        size: height and width.
        channels: 1 or 3 of images.
        bits: of a pixel: 8, 16, or 32 of features.
        fit: what was done to images of other sizes; see ``image_pixels.fitted``.
        colour: ``grey`` or ``rgb``.
        any_depth: whether files of another depth were converted; see ``image_pixels.read_pixels``.
        first_frame: whether the first of several images in a file was read.
        features: the names of their columns; none of images, of a table without a header, and of older versions.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    positive: str | None
    size: tuple[int, int]
    channels: int
    bits: int
    fit: str
    colour: str
    any_depth: bool = False
    first_frame: bool = False
    features: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: height, width, channels."""
        return (*self.size, self.channels)

    @property
    def full(self) -> int:
        """The value of a white pixel, by which pixels are divided; 1 of features."""
        return 1 if self.bits == 32 else 2**self.bits - 1


@dataclass(frozen=True, eq=False)
class Samples:
    """The rows of samples.csv.

    ``labels`` (N,) int64, indices into the classes; ``splits`` (N,) of the texts in ``SPLITS``, of which ``validation``
    and ``calibration`` may be absent; ``groups`` (N,) of texts, or None; ``digests`` (N,) uint64, equal for equal
    images.
    """

    paths: Sequence[str]
    labels: Int64Array
    splits: npt.NDArray[np.str_]
    groups: npt.NDArray[np.object_] | None
    digests: npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class PreparedFiles(Samples):
    """A prepared data set as read; ``images`` (N, H, W, C) stay on the disk.

    ``statistics`` (N, C, 2) see ``statistics_of``; ``checksum`` is that of the three files, from the manifest.
    """

    folder: Path
    form: PreparedForm
    images: Pixels
    statistics: Pixels
    checksum: str


def is_prepared(folder: Path) -> bool:
    """Whether ``folder`` holds a prepared data set."""
    return os.path.isfile(folder / MANIFEST)


# --- reading -----------------------------------------------------------------------------------------------


def check_prepared(folder: Path) -> PreparedForm:
    """Read manifest.yaml alone, and see that the other files are there.

    Raises:
        UserError: the folder is unfinished, damaged or of another format.
    """
    form, _ = _read_manifest(folder)
    for name in FILES:
        if not os.path.isfile(folder / name):
            raise UserError(f"{folder} must hold {name}, which is not there; {REMEDY}")
    return form


def read_prepared(folder: Path, *, every_pixel: bool = False) -> PreparedFiles:
    """Read a prepared data set; its images are mapped, not read.

    Args:
        every_pixel: compare the SHA-256 of images.npy too, which reads the file once.

    Raises:
        UserError: a file is missing, damaged, or not the one that the manifest names.
    """
    form, manifest = _read_manifest(folder)
    samples = _read_samples(folder, form, manifest)
    count = len(samples.paths)
    images = _mapped(folder / IMAGES, (count, *form.shape), DTYPES[form.bits])
    kind = np.dtype("<f8" if form.bits == 32 else "<u8")
    statistics = _mapped(folder / STATISTICS, (count, form.channels, 2), kind)
    sums: dict[str, str] = manifest["sha256"]
    for name in (STATISTICS, IMAGES) if every_pixel else (STATISTICS,):
        _check_sum(folder / name, sha256(folder / name), sums)
    return PreparedFiles(
        folder=folder,
        form=form,
        images=images,
        statistics=np.array(statistics),
        **vars(samples),
        checksum=checksum_of(sums),
    )


def checksum_of(sums: Mapping[str, str]) -> str:
    """One SHA-256 of those of the files."""
    return hashlib.sha256("".join(f"{name} {sums[name]}\n" for name in FILES).encode()).hexdigest()


def _read_manifest(folder: Path) -> tuple[PreparedForm, dict[str, Any]]:
    path = folder / MANIFEST
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise UserError(f"{folder} must hold {MANIFEST}, the mark of a finished data set; {REMEDY}") from None
    except PermissionError:
        raise UserError(f"cannot read {path}: no permission to; the file may be whole") from None
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}; {REMEDY}") from None
    if not isinstance(content, dict) or content.get("complete") is not True:
        raise UserError(f"{path} must end with complete: true; {REMEDY}")
    if content.get("format") != FORMAT:
        got = f"{content.get('format')!r:.40}"
        raise UserError(f"{path} must have the format {FORMAT}, which this version reads, got {got}; {REMEDY}")
    try:
        form = PreparedForm(
            name=str(content["name"]),
            kind=str(content["kind"]),
            classes=tuple(str(name) for name in content["classes"]),
            positive=None if content["positive"] is None else str(content["positive"]),
            size=(int(content["size"][0]), int(content["size"][1])),
            channels=int(content["channels"]),
            bits=int(content["bits"]),
            fit=str(content["fit"]),
            colour=str(content["colour"]),
            any_depth=content.get("any_depth") is True,
            first_frame=content.get("first_frame") is True,
            features=tuple(str(name) for name in content.get("features") or ()),
        )
        counts = {split: {str(name): int(n) for name, n in row.items()} for split, row in content["counts"].items()}
        sums = {name: str(content["sha256"][name]) for name in FILES}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise UserError(f"{path} lacks or garbles a value ({one_line(error):.100}); {REMEDY}") from None
    wrong = _inconsistency(form)
    if wrong:
        raise UserError(f"{path}: {one_line(wrong)}; {REMEDY}")
    return form, {**content, "counts": counts, "sha256": sums}


def _inconsistency(form: PreparedForm) -> str:
    """What is wrong with a form, or nothing."""
    if form.kind not in ("images", "features") or form.bits not in DTYPES:
        return f"kind and bits must be images and 8 or 16, or features and 32, got {form.kind:.40} and {form.bits}"
    if (form.kind == "features") != (form.bits == 32):
        return f"{form.kind} cannot have {form.bits} bits"
    if len(form.classes) < 2 or len(set(form.classes)) < len(form.classes) or not all(form.classes):
        return f"classes must be two or more different names, got {', '.join(form.classes)!r:.200}"
    if len(form.classes) > MOST_CLASSES:
        return f"classes must be at most {MOST_CLASSES:,}, got {len(form.classes):,}"
    if form.positive is not None and form.positive not in form.classes:
        return f"positive must be one of the classes, got {form.positive!r:.80}"
    if min(form.shape) < 1 or (form.kind == "features" and form.size != (1, 1)):
        return f"size and channels cannot be {form.size} and {form.channels}"
    if form.features and (len(set(form.features)), form.kind) != (form.channels, "features"):
        return f"features must be {form.channels} different names, got {', '.join(form.features)!r:.200}"
    if form.kind == "images" and form.channels not in (1, 3):
        return f"channels must be 1 or 3, got {form.channels}"
    return ""


def _read_samples(folder: Path, form: PreparedForm, manifest: Mapping[str, Any]) -> Samples:
    path = folder / SAMPLES
    try:
        text = read_text(path, limit_bytes=MOST_BYTES)
    except PermissionError:
        raise UserError(f"cannot read {path}: no permission to; the file may be whole") from None
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}; {REMEDY}") from None
    encoded = text.encode()
    _check_sum(path, hashlib.sha256(encoded).hexdigest(), manifest["sha256"])
    numbers = {name: number for number, name in enumerate(form.classes)}
    paths, labels, splits, groups, digests = [], [], [], [], []
    try:
        rows = csv.reader(io.TextIOWrapper(io.BytesIO(encoded), encoding="utf-8", newline=""), strict=True)
        if next(rows, None) != list(COLUMNS):
            raise ValueError(f"the first line must be {','.join(COLUMNS)}")
        for source, name, split, group, digest in rows:
            if split not in SPLITS:
                raise ValueError(f"unknown split {split!r:.80}")
            paths.append(source)
            labels.append(numbers[name])
            splits.append(split)
            groups.append(group)
            digests.append(int(digest, 16))
        samples = Samples(
            paths=paths,
            labels=np.array(labels, dtype=np.int64),
            splits=np.array(splits, dtype=np.str_),
            groups=np.array(groups, dtype=object) if any(groups) else None,
            digests=np.array(digests, dtype=np.uint64),
        )
        if samples.groups is not None and not all(groups):
            raise ValueError("some samples have a group and some have none")
    except (csv.Error, ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{path} is damaged ({one_line(error):.200}); {REMEDY}") from None
    if counts_of(samples, form.classes) != manifest["counts"]:
        raise UserError(f"{path} must hold the counts of {MANIFEST}, got others; {REMEDY}")
    for split in ("train", "test"):
        if not (samples.splits == split).any():
            raise UserError(f"{path} must hold samples of the split {split}, got none; {REMEDY}")
    return samples


def _check_sum(path: Path, found: str, sums: Mapping[str, str]) -> None:
    if found != sums[path.name]:
        raise UserError(f"{path} is not the file that {MANIFEST} names: its SHA-256 differs; {REMEDY}")


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    """Map an .npy file, after a check of its header and size."""
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):  # later versions declare the length of their header themselves
                raise ValueError(f"version {version}")
            found, fortran, kind = np.lib.format.read_array_header_1_0(stream)
            offset = stream.tell()
        size = os.path.getsize(path)
    except Exception as error:  # NumPy reads the header as Python, which can be garbled in any way
        raise UserError(f"cannot read {path}: {one_line(error):.200}; {REMEDY}") from None
    if (found, kind, fortran) != (shape, dtype, False):
        raise UserError(f"{path} must have shape {shape} of {dtype}, got {found} of {kind}; {REMEDY}")
    expected = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size != expected:
        raise UserError(f"{path} must have {expected:,} bytes, got {size:,}; {REMEDY}")
    mapped: Pixels = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
    return mapped


# --- writing -----------------------------------------------------------------------------------------------


class ImageRows:
    """images.npy while it grows, an image at a time; a full disk is an error of ``append``, never a signal."""

    def __init__(self, path: Path, form: PreparedForm, *, kept: int = 0) -> None:
        """Open the file; ``kept`` images of an earlier process stay, and what follows them is cut off."""
        self.path, self.form, self.count = path, form, kept
        header = self._header(0)
        self._stream = open(path, "r+b" if kept else "w+b", buffering=0, opener=no_link)  # noqa: SIM115
        self._stream.truncate(len(header) + kept * self.row_bytes)
        self._write(header)
        self._stream.seek(0, os.SEEK_END)

    @property
    def row_bytes(self) -> int:
        """Bytes of an image."""
        return int(np.prod(self.form.shape, dtype=np.int64)) * DTYPES[self.form.bits].itemsize

    def append(self, image: bytes) -> None:
        """Add an image, its pixels in C order."""
        if len(image) != self.row_bytes:
            raise ValueError(f"an image must have {self.row_bytes} bytes, got {len(image)}")
        self._write(image)
        self.count += 1

    def finish(self) -> None:
        """Write the final header, and all to the disk."""
        self._stream.seek(0)
        self._write(self._header(self.count))
        os.fsync(self._stream.fileno())
        self.close()

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._stream.close()

    def _write(self, content: bytes) -> None:
        """Without a buffer, which a full disk would leave to be written once more when the file is closed."""
        rest = memoryview(content)
        while len(rest):
            rest = rest[self._stream.write(rest) :]

    def _header(self, count: int) -> bytes:
        """NumPy pads it, so that it has one length whatever ``count`` is."""
        stream = io.BytesIO()
        kind = np.lib.format.dtype_to_descr(DTYPES[self.form.bits])
        declared = {"descr": kind, "fortran_order": False, "shape": (count, *self.form.shape)}
        np.lib.format.write_array_header_1_0(stream, declared)
        return stream.getvalue()


def kept_images(path: Path, form: PreparedForm) -> tuple[int, int]:
    """The whole images in an unfinished images.npy, and where the first begins: (count, offset)."""
    offset = len(np.lib.format.magic(1, 0)) + 2
    with open(path, "rb") as stream:
        stream.seek(offset - 2)
        offset += int.from_bytes(stream.read(2), "little")
    row = int(np.prod(form.shape, dtype=np.int64)) * DTYPES[form.bits].itemsize
    return max(0, os.path.getsize(path) - offset) // row, offset


def statistics_of(images: Pixels) -> Pixels:
    """Sum and sum of squares of images (n, H, W, C), (n, C, 2): exact uint64 of integers, float64 of floats.

    >>> statistics_of(np.array([1, 2, 250], dtype=np.uint8).reshape(1, 3, 1, 1)).tolist()
    [[[253, 62505]]]
    """
    wide = images.astype(np.float64 if images.dtype.kind == "f" else np.uint64)
    result: Pixels = np.stack([wide.sum(axis=(1, 2)), np.square(wide).sum(axis=(1, 2))], axis=-1)
    return result


def digest_of(image: bytes) -> int:
    """The digest by which equal images are found: BLAKE2b of 8 bytes."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "big")


def counts_of(samples: Samples, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """split -> class -> number of samples, of the splits that there are."""
    counts = {}
    for split in SPLITS:
        chosen = samples.labels[samples.splits == split]
        if len(chosen):
            found = np.bincount(chosen, minlength=len(classes)).tolist()
            counts[split] = dict(zip(classes, found, strict=True))
    return counts


def write_prepared(
    folder: Path, form: PreparedForm, samples: Samples, *, statistics: Pixels, facts: Mapping[str, Any]
) -> None:
    """Write what stands beside a finished images.npy; manifest.yaml comes last.

    Args:
        folder: it holds images.npy.
        form: of the images.
        samples: one for each image.
        statistics: of the images (``statistics_of``).
        facts: further keys of the manifest: skipped, source, command, versions.

    Raises:
        UserError: the form is not consistent, or the disk refuses.
    """
    if wrong := _inconsistency(form):
        raise UserError(f"cannot write {folder}: {one_line(wrong)}")
    kind = np.dtype("<f8" if form.bits == 32 else "<u8")
    array = np.ascontiguousarray(statistics, dtype=kind)
    write_atomically(
        folder / STATISTICS, lambda stream: np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    )
    _write_samples(folder / SAMPLES, form, samples)
    manifest = {
        "format": FORMAT,
        "kind": form.kind,
        "name": form.name,
        "classes": list(form.classes),
        "positive": form.positive,
        "size": list(form.size),
        "channels": form.channels,
        "bits": form.bits,
        "fit": form.fit,
        "colour": form.colour,
        "any_depth": form.any_depth,
        "first_frame": form.first_frame,
        "features": list(form.features),
        "counts": counts_of(samples, form.classes),
        "groups": 0 if samples.groups is None else len(set(samples.groups)),
        **facts,
        "sha256": {name: sha256(folder / name) for name in FILES},
        "complete": True,
    }
    write_text(folder / MANIFEST, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))


def _write_samples(path: Path, form: PreparedForm, samples: Samples) -> None:
    groups: Iterable[str] = [""] * len(samples.paths) if samples.groups is None else samples.groups
    names = (form.classes[label] for label in samples.labels)
    digests = (f"{digest:016x}" for digest in samples.digests)
    rows = zip(samples.paths, names, samples.splits, groups, digests, strict=True)

    def write(stream: IO[bytes]) -> None:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
        text.detach()  # it flushes, and leaves the file open

    write_atomically(path, write)
