"""A two-class task: the images of the classes in use on the device, and each seed's split of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError
from . import EVEN, ODD
from .folds import Resampling, resampled_split
from .raw import Int64Array, RawData, UInt8Array
from .repeats import count_repeats
from .splits import Split, check_classes, fixed_validation, training_indices


@dataclass(frozen=True, eq=False)
class Task:
    """Built once, shared by all seeds. Row i of every field belongs to the same image.

    The rows are those of the original training file, then of its validation file if there is one, then of the
    test file, in the files' order, less the classes that are not in use (M rows).

    ``images`` (M, C, H, W) uint8, channels last in memory, and ``labels`` (M,) int64, 1 for a positive class and 0 for
    a negative one, are on the device. ``original_index`` is the row in the original file, ``original_class`` its label
    there, ``original_split`` 'train', 'validation' or 'test' (a validation set drawn from the training file is
    'train'). ``mean`` and ``std`` are per channel in units of 0..1. ``ratio_pos_train`` is what was asked for
    (negatives per positive); what was got is said by ``class_counts``. ``checksum`` is the SHA-256 of
    ``images``, the original classes and the sizes of the splits: equal data give an equal one, wherever they
    were read from. ``repeats`` counts the images that stand in two sets (``repeats.count_repeats``).
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
    negative_classes: tuple[int, ...]
    positive_classes: tuple[int, ...]
    ratio_pos_train: int
    train_fraction: float
    resampled: Split | None  # with cross-validation: the rows of the one fold, the same for every seed
    mean: tuple[float, ...]
    std: tuple[float, ...]
    repeats: dict[str, int]

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def height(self) -> int:
        return self.images.shape[2]

    @property
    def width(self) -> int:
        return self.images.shape[3]

    def split(self, seed: int) -> Split:
        """Rows of the three disjoint sets, each sorted; validation and test are the same for every seed.

        Raises:
            UserError: see ``imbalance.training_indices``.
        """
        if self.resampled:
            return self.resampled
        in_train_file = self.original_split == "train"
        train = training_indices(
            # the training file's rows come first, so its row numbers are the task's
            self.original_class[in_train_file],
            negative_classes=self.negative_classes,
            positive_classes=self.positive_classes,
            excluded=self.validation_rows[in_train_file[self.validation_rows]],
            ratio_pos_train=self.ratio_pos_train,
            train_fraction=self.train_fraction,
            seed=seed,
        )
        return Split(train, self.validation_rows, np.flatnonzero(self.original_split == "test"))

    def class_counts(self, split: Split) -> dict[str, dict[str, int]]:
        """{"train": {"negative": n, "positive": p}, "validation": ..., "test": ...}."""
        is_positive = np.isin(self.original_class, self.positive_classes)
        counts = {}
        for name, rows in (("train", split.train), ("validation", split.validation), ("test", split.test)):
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
    train_fraction: float = 0.9,
    resampling: Resampling | None = None,
    device: str | torch.device = "cpu",
) -> Task:
    """Chooses the classes and the validation set, and puts the images on the device.

    Args:
        raw: what ``load_raw`` gave. If it has a validation set, all of that (classes in use) is the task's,
        and
            ``validation_fraction`` and ``validation_per_class`` have no use; else see
            ``imbalance.fixed_validation``.
        negative_classes, positive_classes: original classes; both None where the file decides (see
            ``resolve_classes``).
        ratio_pos_train: negatives per positive in the training set, >= 1; None with ``resampling``, where the subsets
            decide it.
        train_fraction: of each class's images outside validation, drawn anew for each seed; in (0, 1].
        resampling: None for the files' own test set; else the images of all files are pooled, and training, validation
            and test set are those of one fold (``resampling.resampled_split``).
        device: where the images and labels go.

    Raises:
        UserError: classes, fractions or the ratio do not fit the data.
    """
    negative, positive = resolve_classes(raw, negative_classes, positive_classes)
    images, original_index, original_class, original_split = _rows_in_use(raw, (*negative, *positive))
    resampled = None
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
            )
        seen = np.setdiff1d(np.flatnonzero(in_train_file), validation_rows)
    assert ratio_pos_train is not None
    mean, std = (raw.mean, raw.std) if raw.mean and raw.std else _mean_and_std(images, seen)
    tested = resampled.test if resampled else np.flatnonzero(original_split == "test")
    labels = np.isin(original_class, positive).astype(np.int64)
    task = Task(
        name=raw.name,
        source=raw.source,
        checksum=_checksum(images, original_class, original_split),
        images=torch.from_numpy(images).permute(0, 3, 1, 2).to(device),
        labels=torch.from_numpy(labels).to(device),
        original_index=original_index,
        original_class=original_class,
        original_split=original_split,
        validation_rows=validation_rows,
        negative_classes=negative,
        positive_classes=positive,
        ratio_pos_train=ratio_pos_train,
        train_fraction=train_fraction,
        resampled=resampled,
        mean=mean,
        std=std,
        repeats=count_repeats(images, train=seen, validation=validation_rows, test=tested),
    )
    task.split(seed=0)  # a ratio that the data cannot give is told now, not when the first seed starts
    return task


def resolve_classes(
    raw: RawData, negative_classes: Sequence[int] | None, positive_classes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes to use, checked against every set of the data.

    Where both are None, a file with the classes 0 and 1 gives 0 (negative) against 1, and one with 0..9 odd
    (negative) against even.

    Raises:
        UserError: no default fits, or see ``imbalance.check_classes``; or a set lacks one of the classes.
    """
    existing: list[int] = np.unique(raw.train_labels).tolist()
    if negative_classes is None and positive_classes is None:
        if existing == [0, 1]:
            negative_classes, positive_classes = (0,), (1,)
        elif existing == list(range(10)):
            negative_classes, positive_classes = ODD, EVEN
    if negative_classes is None or positive_classes is None:
        shown = ", ".join(str(c) for c in existing[:30]) + (", ..." if len(existing) > 30 else "")
        raise UserError(
            f"{raw.name} has no default classes: give both --negative_classes and --positive_classes;"
            f" {raw.source} has the classes {shown}"
        )
    check_classes(negative_classes, positive_classes, existing=existing)
    for split, _, labels in raw.parts():
        missing = sorted({*negative_classes, *positive_classes} - set(np.unique(labels).tolist()))
        if missing:
            raise UserError(
                f"the {split} set has no image of class {', '.join(map(str, missing))} ({raw.source});"
                " every set needs each class in use (--negative_classes, --positive_classes)"
            )
    return tuple(int(c) for c in negative_classes), tuple(int(c) for c in positive_classes)


def _rows_in_use(
    raw: RawData, classes: tuple[int, ...]
) -> tuple[UInt8Array, Int64Array, Int64Array, npt.NDArray[np.str_]]:
    """Images (M, H, W, C), original index, class and split of the rows with these classes.

    The images are copied once, into their place: more copies than that do not fit where the data are large.
    """
    indices, labels, splits = [], [], []
    for split, _, part_labels in raw.parts():
        rows = np.flatnonzero(np.isin(part_labels, classes))
        indices.append(rows)
        labels.append(part_labels[rows])
        splits.append(np.full(len(rows), split))
    images = np.empty((sum(map(len, indices)), *raw.train_images.shape[1:]), dtype=np.uint8)
    start = 0
    for rows, (_, part_images, _) in zip(indices, raw.parts(), strict=True):
        np.take(part_images, rows, axis=0, out=images[start : start + len(rows)], mode="clip")  # "raise" would buffer
        start += len(rows)
    return images, np.concatenate(indices), np.concatenate(labels), np.concatenate(splits)


def _mean_and_std(images: UInt8Array, rows: Int64Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel over all pixels of ``rows``, in units of 0..1, from the counts of the 256 values."""
    values = np.arange(256, dtype=np.int64)
    means, stds = [], []
    for channel in range(images.shape[3]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(rows), 1024):  # bincount widens its input eightfold
            counts += np.bincount(images[rows[start : start + 1024], :, :, channel].ravel(), minlength=256)
        total = counts.sum()
        mean = (counts @ values) / total
        means.append(float(mean / 255))
        # a constant channel carries nothing: it becomes 0, not NaN
        stds.append(float(np.sqrt((counts @ (values - mean) ** 2) / total) / 255) or 1.0)
    return tuple(means), tuple(stds)


def _checksum(images: UInt8Array, original_class: Int64Array, original_split: npt.NDArray[np.str_]) -> str:
    names, sizes = np.unique(original_split, return_counts=True)
    shape = (len(images), images.shape[3], *images.shape[1:3])
    digest = hashlib.sha256(f"{shape} {dict(zip(names.tolist(), sizes.tolist(), strict=True))}".encode())
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024].transpose(0, 3, 1, 2)).data)
    digest.update(original_class.astype("<i8").data)
    return digest.hexdigest()
