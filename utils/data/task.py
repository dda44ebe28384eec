"""A two-class task: the images of the classes in use, on the device, and the split of each seed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError
from .folds import Resampling, resampled_split
from .image_format import ImageFormat
from .raw import WITHOUT_VALIDATION, Int64Array, RawData, UInt8Array
from .repeats import count_repeats
from .rows import data_checksum, rows_in_use
from .splits import (
    Split,
    check_classes,
    fixed_calibration,
    fixed_validation,
    flags_needed,
    listed,
    training_indices,
)


@dataclass(frozen=True, eq=False)
class Task:
    """Built once and shared by all seeds. Row i of every field belongs to the same image.

    The M rows are those of the original training file, of its validation file if there is one, and of the test file, in
    file order, without the classes that are not in use.

    ``images`` (M, C, H, W) uint8, channels last in memory, and ``labels`` (M,) int64, 1 for a positive class and 0 for
    a negative one, are on the device. ``original_index`` is the row in the original file, ``original_class`` its label
    there, ``original_split`` 'train', 'validation' or 'test' (a validation set drawn from the training file is
    'train'). ``mean`` and ``std`` are per channel, of pixels in 0..1; ``size_in_file`` is the height
    and width before small images were enlarged. ``ratio_pos_train`` is the requested ratio
    (negatives per positive), ``class_counts`` the obtained counts. ``checksum`` is the SHA-256 of ``images``, the
    original classes and the sizes of the splits, so it does not depend on the file format. ``repeats`` counts the
    images that occur in two sets (``repeats.count_repeats``).
    """

    name: str
    source: str
    checksum: str
    images: Tensor
    labels: Tensor
    original_index: Int64Array
    original_class: Int64Array
    original_split: npt.NDArray[np.str_]
    validation_rows: Int64Array
    calibration_rows: Int64Array
    negative_classes: tuple[int, ...]
    positive_classes: tuple[int, ...]
    ratio_pos_train: int
    train_fraction: float
    resampled: Split | None  # in cross-validation: the split of the fold, the same for every seed
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_in_file: tuple[int, int]
    repeats: dict[str, int]
    image_size: tuple[int, int] | None = None  # what the model sees, if that is not the size of ``images``

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def height(self) -> int:
        return self.images.shape[2]

    @property
    def width(self) -> int:
        return self.images.shape[3]

    @property
    def image_format(self) -> ImageFormat:
        """What a model that is trained on this task takes."""
        size = self.image_size
        return ImageFormat(self.channels, *self.size_in_file, mean=self.mean, std=self.std, image_size=size)

    def split(self, seed: int) -> Split:
        """Rows of the disjoint sets, each sorted; all but training are the same for every seed.

        Raises:
            UserError: see ``splits.training_indices``.
        """
        if self.resampled:
            return self.resampled
        in_train_file = self.original_split == "train"
        train = training_indices(
            # the rows of the training file come first, so their numbers are those of the task
            self.original_class[in_train_file],
            negative_classes=self.negative_classes,
            positive_classes=self.positive_classes,
            excluded=np.union1d(self.validation_rows[in_train_file[self.validation_rows]], self.calibration_rows),
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


def build_task(
    raw: RawData,
    *,
    negative_classes: Sequence[int] | None,
    positive_classes: Sequence[int] | None,
    ratio_pos_train: int | None,
    validation_fraction: float = 0.1,
    validation_per_class: int | None = None,
    calibration_fraction: float = 0.0,
    train_fraction: float = 0.9,
    resampling: Resampling | None = None,
    device: str | torch.device = "cpu",
) -> Task:
    """Select the classes and the validation set, and move the images to the device.

    Args:
        raw: from ``load_raw``. If it has a validation set, that is used, and ``validation_fraction`` and
            ``validation_per_class`` are ignored.
        negative_classes: original classes; None if the file decides (see ``resolve_classes``).
        positive_classes: likewise.
        ratio_pos_train: negatives per positive in the training set, >= 1; None with ``resampling``, whose subsets
            decide it.
        validation_fraction: see ``splits.fixed_validation``.
        validation_per_class: likewise.
        calibration_fraction: see ``splits.fixed_calibration``; 0 with ``resampling``.
        train_fraction: of the images of each class outside validation, drawn for each seed; in (0, 1].
        resampling: None for the test set of the files; else the images of all files are pooled, and training,
            validation and test set are those of one fold (``folds.resampled_split``).
        device: of the images and labels.

    Raises:
        UserError: classes, fractions or the ratio do not fit the data.
    """
    negative, positive = resolve_classes(raw, negative_classes, positive_classes)
    images, original_index, original_class, original_split = rows_in_use(raw, (*negative, *positive))
    resampled, calibration_rows = None, np.zeros(0, dtype=np.int64)
    if resampling is not None:
        resampled = resampled_split(
            original_class,
            negative_classes=negative,
            positive_classes=positive,
            resampling=resampling,
            validation_fraction=validation_fraction,
        )
        validation_rows, seen = resampled.validation, resampled.train
        trained = int(np.isin(original_class[seen], positive).sum())
        ratio_pos_train = max(1, (len(seen) - trained) // trained)
    else:
        in_train_file = original_split == "train"
        validation_rows = np.flatnonzero(original_split == "validation")
        if raw.validation_images is None:
            validation_rows = fixed_validation(
                original_class[in_train_file],
                validation_fraction=validation_fraction,
                validation_per_class=validation_per_class,
                needed=functools.partial(
                    flags_needed,
                    negative_classes=negative,
                    positive_classes=positive,
                    ratio_pos_train=ratio_pos_train or 1,
                    train_fraction=train_fraction,
                ),
            )
        calibration_rows = fixed_calibration(
            original_class[in_train_file],
            excluded=validation_rows[in_train_file[validation_rows]],
            calibration_fraction=calibration_fraction,
        )
        seen = np.setdiff1d(np.flatnonzero(in_train_file), np.union1d(validation_rows, calibration_rows))
    assert ratio_pos_train is not None
    mean, std = (raw.mean, raw.std) if raw.mean and raw.std else _mean_and_std(images, seen)
    tested = resampled.test if resampled else np.flatnonzero(original_split == "test")
    labels = np.isin(original_class, positive).astype(np.int64)
    task = Task(
        name=raw.name,
        source=raw.source,
        checksum=data_checksum(images, original_class, original_split),
        images=torch.from_numpy(images).permute(0, 3, 1, 2).to(device),
        labels=torch.from_numpy(labels).to(device),
        original_index=original_index,
        original_class=original_class,
        original_split=original_split,
        validation_rows=validation_rows,
        calibration_rows=calibration_rows,
        negative_classes=negative,
        positive_classes=positive,
        ratio_pos_train=ratio_pos_train,
        train_fraction=train_fraction,
        resampled=resampled,
        mean=mean,
        std=std,
        size_in_file=raw.size_in_file or raw.train_images.shape[1:3],
        repeats=count_repeats(images, train=seen, validation=validation_rows, test=tested),
    )
    task.split(seed=0)  # reports an impossible ratio now, not when the first seed starts
    return task


def resolve_classes(
    raw: RawData, negative_classes: Sequence[int] | None, positive_classes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes to use, checked against every set of the data.

    If one is None, it is all other classes of the training file. If both are, a file with the classes 0 and 1 gives 0
    (negative) against 1.

    Raises:
        UserError: no default applies, a set lacks one of the classes, or see ``splits.check_classes``.
    """
    existing: list[int] = np.unique(raw.train_labels).tolist()
    if negative_classes is None and positive_classes is None:
        if existing != [0, 1]:
            raise UserError(
                f"{raw.name} has no default classes: give --positive_classes, and --negative_classes unless they are"
                f" all others; {raw.source} has the classes {listed(existing)}"
            )
        positive_classes = (1,)
    given = negative_classes if positive_classes is None else positive_classes
    assert given is not None
    rest = tuple(c for c in existing if c not in given)
    negative_classes = rest if negative_classes is None else negative_classes
    positive_classes = rest if positive_classes is None else positive_classes
    check_classes(negative_classes, positive_classes, existing=existing)
    for split, _, labels in raw.parts():
        missing = sorted({*negative_classes, *positive_classes} - set(np.unique(labels).tolist()))
        if missing:
            remedy = f"; {WITHOUT_VALIDATION}" if split == "validation" else ""
            raise UserError(
                f"every set must have images of each class in use, got none of class {listed(missing)} in"
                f" the {split} set ({raw.source}) (--negative_classes, --positive_classes){remedy}"
            )
    return tuple(int(c) for c in negative_classes), tuple(int(c) for c in positive_classes)


def _mean_and_std(images: UInt8Array, rows: Int64Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel over all pixels of ``rows``, scaled to 0..1, from the counts of the 256 values."""
    values = np.arange(256, dtype=np.int64)
    means, stds = [], []
    for channel in range(images.shape[3]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(rows), 1024):  # in chunks: bincount casts its input to int64
            counts += np.bincount(images[rows[start : start + 1024], :, :, channel].ravel(), minlength=256)
        total = counts.sum()
        mean = (counts @ values) / total
        means.append(float(mean / 255))
        # std 1 for a constant channel, which then becomes 0 instead of NaN
        stds.append(float(np.sqrt((counts @ (values - mean) ** 2) / total) / 255) or 1.0)
    return tuple(means), tuple(stds)
