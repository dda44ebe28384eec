"""A two-class task: the images of the classes in use, on the device, and the split of each seed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError
from . import NATURAL
from .folds import Resampling, resampled_split
from .image_format import ImageFormat, stored
from .mapped_images import MappedImages
from .prepared_files import PreparedFiles
from .raw import WITHOUT_VALIDATION, Int64Array, Pixels, RawData
from .sources import ArraySource, PreparedSource, Rows, Source
from .splits import (
    Ratio,
    Split,
    check_classes,
    fixed_calibration,
    fixed_validation,
    flags_needed,
    listed,
    named,
    training_indices,
)
from .whole_groups import check_groups


@dataclass(frozen=True, eq=False)
class Task:
    """Built once and shared by all seeds. Row i of every field belongs to the same image.

    The M rows are those of the original training file, of its validation and calibration file if there are any, and of
    the test file, in file order, without the classes that are not in use.

    ``pixels`` (M, C, H, W) uint8, channels last in memory, and ``labels`` (M,) int64, 1 for a positive class and 0 for
    a negative one, are on the device. Images of 16 bits are int16 (``image_format.stored``), features float32; what
    does not fit into memory are ``MappedImages``. ``original_index`` is the row in the original file, of prepared data
    in samples.csv, ``original_class`` its label there, ``original_split`` 'train', 'validation', 'calibration' or
    'test' (a validation set drawn from the training file is 'train'). ``mean`` and ``std`` are per channel, of pixels
    in 0..1; ``size_in_file`` is the height and width before small images were enlarged. ``ratio_pos_train`` is the
    requested ratio (negatives per positive, or "natural"), ``class_counts`` the obtained counts. ``checksum`` is the
    SHA-256 of ``pixels``, the original classes and the sizes of the splits, so it does not depend on the file format;
    that of prepared data is of their files. ``repeats`` counts the images that occur in two sets
    (``repeats.count_repeats``).
    ``groups`` (M,) int64, ``group_names``, ``paths`` and ``class_names`` are None where the data have none; no group
    is in two sets.
    """

    name: str
    source: str
    checksum: str
    pixels: Tensor | MappedImages
    labels: Tensor
    original_index: Int64Array
    original_class: Int64Array
    original_split: npt.NDArray[np.str_]
    validation_rows: Int64Array
    calibration_rows: Int64Array
    negative_classes: tuple[int, ...]
    positive_classes: tuple[int, ...]
    ratio_pos_train: Ratio
    train_fraction: float
    resampled: Split | None  # in cross-validation: the split of the fold, the same for every seed
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_in_file: tuple[int, int]
    repeats: dict[str, int]
    bits: int = 8
    fit: str = "exact"  # what was done to images of other sizes
    groups: Int64Array | None = None
    group_names: npt.NDArray[np.object_] | None = None
    paths: npt.NDArray[np.object_] | None = None
    class_names: tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None  # what the model sees, if that is not the size of ``images``

    @property
    def images(self) -> Tensor:
        """The images in memory."""
        assert isinstance(self.pixels, Tensor)
        return self.pixels

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[2]

    @property
    def width(self) -> int:
        return self.pixels.shape[3]

    @property
    def image_format(self) -> ImageFormat:
        """What a model that is trained on this task takes."""
        seen = self.image_size
        form = ImageFormat(self.channels, *self.size_in_file, mean=self.mean, std=self.std, bits=self.bits)
        return replace(form, image_size=seen, fit=self.fit)

    def split(self, seed: int) -> Split:
        """Rows of the disjoint sets, each sorted; all but training are the same for every seed.

        Raises:
            UserError: see ``splits.training_indices``.
        """
        if self.resampled:
            return self.resampled
        in_train_file = self.original_split == "train"
        drawn = np.union1d(self.validation_rows, self.calibration_rows)
        train = training_indices(
            # the rows of the training file come first, so their numbers are those of the task
            self.original_class[in_train_file],
            negative_classes=self.negative_classes,
            positive_classes=self.positive_classes,
            excluded=drawn[in_train_file[drawn]],
            ratio_pos_train=self.ratio_pos_train,
            train_fraction=self.train_fraction,
            seed=seed,
        )
        tested = np.flatnonzero(self.original_split == "test")
        return Split(train, self.validation_rows, tested, self.calibration_rows)

    def class_counts(self, split: Split) -> dict[str, dict[str, int]]:
        """{"train": {"negative": n, "positive": p}, "validation": ..., "test": ...}; "calibration" if there is one."""
        is_positive = np.isin(self.original_class, self.positive_classes)
        counts = {}
        for name, rows in split.parts().items():
            positive = int(is_positive[rows].sum())
            counts[name] = {"negative": len(rows) - positive, "positive": positive}
        return counts

    def positives_in_train_file(self) -> int:
        """The positives outside validation, calibration and test, of which a seed draws its own."""
        drawn = np.flatnonzero(self.original_split == "train")
        if self.resampled:
            kept = np.concatenate([self.resampled.validation, self.resampled.test])
            drawn = np.setdiff1d(np.arange(len(self.original_class)), kept)
        else:
            drawn = np.setdiff1d(drawn, np.union1d(self.validation_rows, self.calibration_rows))
        return int(np.isin(self.original_class[drawn], self.positive_classes).sum())

    @property
    def kind(self) -> str:
        """What a sample is."""
        return "rows" if self.image_format.has_features else "images"

    def class_name(self, number: int) -> str:
        """The name of an original class, or its number."""
        return str(number) if self.class_names is None else self.class_names[number]


def build_task(
    raw: RawData | PreparedFiles,
    *,
    negative_classes: Sequence[int] | None,
    positive_classes: Sequence[int] | None,
    ratio_pos_train: Ratio | None,
    validation_fraction: float = 0.1,
    validation_per_class: int | None = None,
    calibration_fraction: float = 0.0,
    train_fraction: float = 0.9,
    resampling: Resampling | None = None,
    device: str | torch.device = "cpu",
    mapped: bool = False,
) -> Task:
    """Select the classes and the validation set, and move the images to the device.

    Args:
        raw: from ``load_raw``. If it has a validation set, that is used, and ``validation_fraction`` and
            ``validation_per_class`` are ignored; so it is with calibration.
        negative_classes: original classes; None if the file decides (see ``resolve_classes``).
        positive_classes: likewise.
        ratio_pos_train: negatives per positive in the training set, >= 1, or "natural"; None with
            ``resampling``, whose subsets decide it.
        validation_fraction: see ``splits.fixed_validation``.
        validation_per_class: likewise.
        calibration_fraction: see ``splits.fixed_calibration``; 0 with ``resampling``.
        train_fraction: of the images of each class outside validation, drawn for each seed; in (0, 1].
        resampling: None for the test set of the files; else the images of all files are pooled, and training,
            validation and test set are those of one fold (``folds.resampled_split``).
        device: of the images and labels.
        mapped: whether the images stay on the disk, of prepared data only.

    Raises:
        UserError: classes, fractions or the ratio do not fit the data.
    """
    source: Source = PreparedSource(raw) if isinstance(raw, PreparedFiles) else ArraySource(raw)
    negative, positive = resolve_classes(source, negative_classes, positive_classes)
    rows = source.select((*negative, *positive))
    original_class, original_split, groups = rows.original_class, rows.original_split, rows.groups
    if resampling is not None:
        resampled = resampled_split(
            original_class,
            negative_classes=negative,
            positive_classes=positive,
            resampling=resampling,
            validation_fraction=validation_fraction,
            groups=groups,
        )
        sets = resampled
        trained = int(np.isin(original_class[sets.train], positive).sum())
        natural = resampling.subset_ratios == (NATURAL,)
        ratio_pos_train = NATURAL if natural else max(1, (len(sets.train) - trained) // trained)
    else:
        assert ratio_pos_train is not None
        resampled = None
        needed = functools.partial(
            flags_needed,
            negative_classes=negative,
            positive_classes=positive,
            ratio_pos_train=ratio_pos_train,
            train_fraction=train_fraction,
        )
        sets = _sets_of_files(
            rows,
            validation_fraction=validation_fraction,
            validation_per_class=validation_per_class,
            calibration_fraction=calibration_fraction,
            needed=needed,
        )
    check_groups(sets.parts(), groups)  # what a seed trains on is a part of the training set
    mean, std = source.moments(sets.train)
    labels = np.isin(original_class, positive).astype(np.int64)
    task = Task(
        name=source.name,
        source=source.source,
        checksum=source.checksum(),
        pixels=_placed(source.images, device, mapped),
        labels=torch.from_numpy(labels).to(device),
        original_index=rows.index,
        original_class=original_class,
        original_split=original_split,
        validation_rows=sets.validation,
        calibration_rows=sets.calibration,
        negative_classes=negative,
        positive_classes=positive,
        ratio_pos_train=ratio_pos_train,
        train_fraction=train_fraction,
        resampled=resampled,
        mean=mean,
        std=std,
        size_in_file=source.size_in_file,
        repeats=source.repeats(train=sets.train, validation=sets.validation, test=sets.test),
        bits=source.bits,
        fit=source.fit,
        groups=groups,
        group_names=rows.group_names,
        paths=rows.paths,
        class_names=source.class_names,
    )
    task.split(seed=0)  # reports an impossible ratio now, not when the first seed starts
    return task


def _placed(images: Pixels | MappedImages, device: str | torch.device, mapped: bool) -> Tensor | MappedImages:
    """The images on ``device``, or on the disk as they are."""
    if isinstance(images, MappedImages):
        if mapped:
            return images
        images = images.read(np.arange(len(images)))
    return stored(images).to(device)


def _sets_of_files(
    rows: Rows,
    *,
    validation_fraction: float,
    validation_per_class: int | None,
    calibration_fraction: float,
    needed: Callable[[Mapping[int, int]], str | None],
) -> Split:
    """The files' own sets, or drawn from their training set, of which a seed's training set is a part."""
    in_train_file = rows.original_split == "train"
    classes = rows.original_class[in_train_file]
    groups = None if rows.groups is None else rows.groups[in_train_file]
    validation = np.flatnonzero(rows.original_split == "validation")
    if not len(validation):
        validation = fixed_validation(
            classes,
            validation_fraction=validation_fraction,
            validation_per_class=validation_per_class,
            needed=needed,
            groups=groups,
        )
    calibration = np.flatnonzero(rows.original_split == "calibration")
    if not len(calibration):
        calibration = fixed_calibration(
            classes,
            excluded=validation[in_train_file[validation]],
            calibration_fraction=calibration_fraction,
            groups=groups,
        )
    train = np.setdiff1d(np.flatnonzero(in_train_file), np.union1d(validation, calibration))
    return Split(train, validation, np.flatnonzero(rows.original_split == "test"), calibration)


def resolve_classes(
    source: Source, negative_classes: Sequence[int] | None, positive_classes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes to use, checked against every set of the data.

    If one is None, it is all other classes of the training file. If both are, prepared data say which is positive, or
    of two classes it is the rarer one in training; another file with the classes 0 and 1 gives 0 (negative) against 1.

    Raises:
        UserError: no default applies, a set lacks one of the classes, or see ``splits.check_classes``.
    """
    parts, names = dict(source.parts()), source.class_names
    found, counts = np.unique(parts["train"], return_counts=True)
    existing: list[int] = found.tolist()
    if negative_classes is None and positive_classes is None:
        if names is not None and source.positive is not None:
            positive_classes = (names.index(source.positive),)
        elif names is not None and len(existing) == 2:
            positive_classes = (existing[0 if counts[0] < counts[1] else 1],)
        elif names is None and existing == [0, 1]:
            positive_classes = (1,)
        else:
            raise UserError(
                f"{source.name} has no default classes: give --positive_classes, and --negative_classes unless they are"
                f" all others; {source.source} has the classes {listed(named(existing, names))}"
            )
    given = negative_classes if positive_classes is None else positive_classes
    assert given is not None
    rest = tuple(c for c in existing if c not in given)
    negative_classes = rest if negative_classes is None else negative_classes
    positive_classes = rest if positive_classes is None else positive_classes
    check_classes(negative_classes, positive_classes, existing=existing, names=names)
    for split, labels in parts.items():
        missing = sorted({*negative_classes, *positive_classes} - set(np.unique(labels).tolist()))
        if missing:
            remedy = f"; {WITHOUT_VALIDATION}" if split == "validation" else ""
            raise UserError(
                f"every set must have images of each class in use, got none of class {listed(named(missing, names))} in"
                f" the {split} set ({source.source}) (--negative_classes, --positive_classes){remedy}"
            )
    return tuple(int(c) for c in negative_classes), tuple(int(c) for c in positive_classes)
