"""A task: the images of the classes in use, on the device, and the split of each seed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import NATURAL
from .classes_in_use import ClassChoice, critical_labels, resolve_classes, resolve_many
from .folds import Resampling, class_folds_split, resampled_split
from .image_format import ImageFormat, stored
from .mapped_images import MappedImages
from .prepared_files import PreparedFiles
from .raw import Int64Array, Pixels, RawData
from .sources import ArraySource, PreparedSource, Rows, Source
from .splits import Ratio, Split, fixed_calibration, fixed_validation, flags_needed
from .targets import ManyClasses, Targets, TwoClasses
from .whole_groups import SIDES, check_groups


@dataclass(frozen=True, eq=False)
class Task:
    """Built once and shared by all seeds. Row i of every field belongs to the same image.

    The M rows are those of the original training file, of its validation and calibration file if there are any, and of
    the test file, in file order, without the classes that are not in use.

    ``pixels`` (M, C, H, W) uint8, channels last in memory, and ``labels`` (M,) int64 are on the device: 1 for a
    positive class and 0 for a negative one, or 0..K-1 of K classes (``targets``). Images of 16 bits are int16
    (``image_format.stored``), features float32; what does not fit into memory are ``MappedImages``. ``original_index``
    is the row in the original file, of prepared data in samples.csv, ``original_class`` its label there,
    ``original_split`` 'train', 'validation', 'calibration' or 'test' (a validation set drawn from the training file is
    'train'). ``mean`` and ``std`` are per channel, of pixels in 0..1; ``size_in_file`` is the height and width before
    small images were enlarged. ``targets`` has what was asked for, such as a ratio, ``class_counts`` are the obtained
    counts. ``checksum`` is the SHA-256 of ``pixels``, the original classes and the sizes of the splits, so it does not
    depend on the file format; that of prepared data is of their files. ``repeats`` counts the images that occur in two
    sets (``repeats.count_repeats``).
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
    targets: Targets
    resampled: Split | None  # in cross-validation: the split of the fold, the same for every seed
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_in_file: tuple[int, int]
    repeats: dict[str, int]
    bits: int = 8
    reading: Mapping[str, Any] = field(default_factory=dict)  # of ``ImageFormat``: how files were read
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
        form = ImageFormat(self.channels, *self.size_in_file, mean=self.mean, std=self.std, bits=self.bits)
        return replace(form, image_size=self.image_size, **self.reading)

    def split(self, seed: int) -> Split:
        """Rows of the disjoint sets, each sorted; all but training are the same for every seed.

        Raises:
            UserError: see ``splits.training_indices``.
        """
        if self.resampled:
            return self.resampled
        in_train_file = self.original_split == "train"
        drawn = np.union1d(self.validation_rows, self.calibration_rows)
        # the rows of the training file come first, so their numbers are those of the task
        classes, excluded = self.original_class[in_train_file], drawn[in_train_file[drawn]]
        train = self.targets.training_rows(classes, excluded=excluded, seed=seed)
        tested = np.flatnonzero(self.original_split == "test")
        return Split(train, self.validation_rows, tested, self.calibration_rows)

    def class_counts(self, split: Split) -> dict[str, dict[str, int]]:
        """{"train": {"negative": n, "positive": p}, "validation": ..., "test": ...}; "calibration" if there is one.

        Of K classes {"train": {name: n, ...}, ...} in the order of the labels.
        """
        labels, names = self.targets.labels(self.original_class), self.names
        return {
            part: dict(zip(names, np.bincount(labels[rows], minlength=len(names)).tolist(), strict=True))
            for part, rows in split.parts().items()
        }

    def positives_in_train_file(self) -> int:
        """The positives outside validation, calibration and test, of which a seed draws its own."""
        drawn = np.flatnonzero(self.original_split == "train")
        if self.resampled:
            kept = np.concatenate([self.resampled.validation, self.resampled.test])
            drawn = np.setdiff1d(np.arange(len(self.original_class)), kept)
        else:
            drawn = np.setdiff1d(drawn, np.union1d(self.validation_rows, self.calibration_rows))
        return int(np.isin(self.original_class[drawn], self.sides.positive).sum())

    @property
    def sides(self) -> TwoClasses:
        """The targets of a task of two classes."""
        assert isinstance(self.targets, TwoClasses)
        return self.targets

    @property
    def many(self) -> ManyClasses | None:
        """The targets of a task of K classes."""
        return self.targets if isinstance(self.targets, ManyClasses) else None

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called, in their order."""
        return self.targets.names(self.class_names)

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
    negative_classes: Sequence[int] | None = None,
    positive_classes: Sequence[int] | None = None,
    ratio_pos_train: Ratio | None = None,
    many: ClassChoice | None = None,
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
        many: of a task of K classes instead of two sides.
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
    targets: Targets
    if many:
        targets = ManyClasses(resolve_many(source, many), (), many.imbalance, many.factor, train_fraction)
    else:
        negative, positive = resolve_classes(source, negative_classes, positive_classes)
        targets = TwoClasses(negative, positive, ratio_pos_train or NATURAL, train_fraction)
    rows = source.select(targets.in_use)
    if resampling is None:
        resampled = None
        sets = _sets_of_files(
            rows,
            targets,
            validation_fraction=validation_fraction,
            validation_per_class=validation_per_class,
            calibration_fraction=calibration_fraction,
        )
    else:
        sets = resampled = _resampled(rows, targets, resampling, validation_fraction=validation_fraction)
        if isinstance(targets, TwoClasses):
            targets = replace(targets, ratio_pos_train=_obtained(rows, targets, sets, resampling))
    check_groups(sets.parts(), rows.groups)  # what a seed trains on is a part of the training set
    mean, std = source.moments(sets.train)
    task = Task(
        name=source.name,
        source=source.source,
        checksum=source.checksum(),
        pixels=_placed(source.images, device, mapped),
        labels=torch.from_numpy(targets.labels(rows.original_class)).to(device),
        original_index=rows.index,
        original_class=rows.original_class,
        original_split=rows.original_split,
        validation_rows=sets.validation,
        calibration_rows=sets.calibration,
        targets=targets,
        resampled=resampled,
        mean=mean,
        std=std,
        size_in_file=source.size_in_file,
        repeats=source.repeats(sets.parts()),
        bits=source.bits,
        reading=dict(source.reading),
        groups=rows.groups,
        group_names=rows.group_names,
        paths=rows.paths,
        class_names=source.class_names,
    )
    split = task.split(seed=0)  # reports an impossible ratio now, not when the first seed starts
    if not isinstance(targets, ManyClasses) or many is None:
        return task
    trained = list(task.class_counts(split)["train"].values())
    return replace(task, targets=replace(targets, critical=critical_labels(many, targets, trained, source)))


def _resampled(rows: Rows, targets: Targets, resampling: Resampling, *, validation_fraction: float) -> Split:
    """The sets of one fold."""
    if isinstance(targets, ManyClasses):
        return class_folds_split(
            rows.original_class,
            classes=targets.in_use,
            folds=resampling.folds,
            fold=resampling.fold,
            validation_fraction=validation_fraction,
            groups=rows.groups,
        )
    return resampled_split(
        rows.original_class,
        negative_classes=targets.negative,
        positive_classes=targets.positive,
        resampling=resampling,
        validation_fraction=validation_fraction,
        groups=rows.groups,
    )


def _obtained(rows: Rows, targets: TwoClasses, sets: Split, resampling: Resampling) -> Ratio:
    """The ratio of the subsets that a fold trains on."""
    trained = int(targets.labels(rows.original_class[sets.train]).sum())
    return NATURAL if resampling.subset_ratios == (NATURAL,) else max(1, (len(sets.train) - trained) // trained)


def _chosen_by(targets: Targets) -> str:
    """The options that choose the classes."""
    return "--classes" if isinstance(targets, ManyClasses) else SIDES


def _placed(images: Pixels | MappedImages, device: str | torch.device, mapped: bool) -> Tensor | MappedImages:
    """The images on ``device``, or on the disk as they are."""
    if isinstance(images, MappedImages):
        if mapped:
            return images
        images = images.read(np.arange(len(images)))
    return stored(images).to(device)


def _sets_of_files(
    rows: Rows,
    targets: Targets,
    *,
    validation_fraction: float,
    validation_per_class: int | None,
    calibration_fraction: float,
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
            needed=_flags_needed(targets),
            groups=groups,
            chosen_by=_chosen_by(targets),
        )
    calibration = np.flatnonzero(rows.original_split == "calibration")
    if not len(calibration):
        calibration = fixed_calibration(
            classes,
            excluded=validation[in_train_file[validation]],
            calibration_fraction=calibration_fraction,
            groups=groups,
            chosen_by=_chosen_by(targets),
        )
    train = np.setdiff1d(np.flatnonzero(in_train_file), np.union1d(validation, calibration))
    return Split(train, validation, np.flatnonzero(rows.original_split == "test"), calibration)


def _flags_needed(targets: Targets) -> Callable[[Mapping[int, int]], str | None]:
    """The flags with which a training set can be drawn from so many images of each class (``splits.flags_needed``)."""
    if isinstance(targets, ManyClasses):
        return lambda images: "" if min(images.values(), default=0) else None
    return functools.partial(
        flags_needed,
        negative_classes=targets.negative,
        positive_classes=targets.positive,
        ratio_pos_train=targets.ratio_pos_train,
        train_fraction=targets.train_fraction,
    )
