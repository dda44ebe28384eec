"""Datasets: a table of names, their defaults, and the code that makes splits and batches of them.

To add a dataset, put a file here with a function ``(name, *, data_root, download) -> RawData`` and add a line to
``DATASETS``; a name that is not in the table is read from ``<data_root>/<name>/``, as prepare.py wrote it, or from
``<data_root>/<name>.npz``.
Importing this package imports neither torch nor torchvision nor scikit-learn.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..errors import UserError
from ..registry import near

if TYPE_CHECKING:
    from .raw import RawData

# name -> "module:function", the module relative to this package
DATASETS: dict[str, str] = {
    "cifar10": ".cifar:load_cifar10",
    "cifar100": ".cifar:load_cifar100",
    "mnist": ".mnist:load_mnist",
    "fashion_mnist": ".mnist:load_fashion_mnist",
    "digits": ".digits:load_digits",
}
# what may change an image, in the order in which it does; see augment.py
TRANSFORMS: tuple[str, ...] = (
    *("crop", "flip", "flip_vertical", "rotate", "scale", "shift", "brightness", "contrast", "gamma", "autocontrast"),
)
# name of --augment -> its transforms
AUGMENTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "crop": ("crop",),
    "crop_flip": ("crop", "flip"),
    "light": ("flip", "rotate", "scale", "shift", "brightness", "contrast"),
    "medical": ("flip", "flip_vertical", "rotate", "scale", "brightness", "contrast", "gamma"),
    "autocontrast": ("autocontrast",),
}
TASKS: tuple[str, ...] = ("binary", "classes")  # two sides, or K classes each for itself; see targets.py
PLACES: tuple[str, ...] = ("auto", "device", "mapped")  # where images are kept while a run trains
FITS: tuple[str, ...] = ("exact", "squeeze", "letterbox", "crop")  # see image_pixels.fitted

NAME = r"\w[\w.+-]*"  # of data of one's own
NATURAL = "natural"  # as a ratio of negatives to positives: as many as the data have
ODD = (1, 3, 5, 7, 9)
EVEN = (0, 2, 4, 6, 8)


@dataclass(frozen=True)
class DatasetDefaults:
    """What a run uses for a dataset unless told otherwise.

    ``negative_classes``, ``positive_classes`` and ``augment`` are None where they depend on the file (see
    ``classes_in_use.resolve_classes`` and ``default_augment``); ``validation_per_class`` (images of each original
    class) wins over ``validation_fraction`` where it is given; ``ratio_pos_train`` is negatives per positive, "natural"
    as many as there are. The defaults of this class are those of a user's own data: all that is there is used.
    """

    negative_classes: tuple[int, ...] | None = None
    positive_classes: tuple[int, ...] | None = None
    ratio_pos_train: int | str = "natural"
    validation_fraction: float = 0.1
    validation_per_class: int | None = None
    train_fraction: float = 1.0
    subset_ratios: tuple[int | str, ...] = ("natural",)
    augment: str | None = None
    lr: float = 0.01


# of the data sets in ``DATASETS``, whose classes are about equal in size: made imbalanced, as publications do
_published = functools.partial(DatasetDefaults, ratio_pos_train=100, train_fraction=0.9, subset_ratios=(1,))
_DEFAULTS: dict[str, DatasetDefaults] = {
    "cifar10": _published((1,), (9,), validation_per_class=100, augment="crop_flip"),
    "cifar100": _published((72, 4, 95, 30, 55), (73,), validation_per_class=50, augment="crop_flip", lr=0.001),
    "mnist": _published(ODD, EVEN, augment="none"),
    "fashion_mnist": _published(ODD, EVEN, augment="none"),
    "digits": _published(ODD, EVEN, ratio_pos_train=20, augment="none"),
}


def defaults_for(dataset_name: str) -> DatasetDefaults:
    """The defaults of ``dataset_name``; of a name not in ``DATASETS`` (any .npz) those of an unknown file.

    >>> defaults_for("cifar10").positive_classes, defaults_for("scans").augment
    ((9,), None)
    """
    return _DEFAULTS.get(dataset_name, DatasetDefaults())


def default_augment(*, channels: int) -> str:
    """The default of ``--augment`` for a user's own file: "crop_flip" for colour images, "none" for grey ones."""
    return "crop_flip" if channels == 3 else "none"


def transforms_of(augment: str) -> tuple[str, ...]:
    """The transforms of an ``--augment``: a name of ``AUGMENTS``, or several of these and ``TRANSFORMS``.

    Raises:
        ValueError: a name is unknown, or none stands among others.

    >>> transforms_of("rotate,flip"), transforms_of("crop_flip,autocontrast")
    (('flip', 'rotate'), ('crop', 'flip', 'autocontrast'))
    """
    known = {**{name: (name,) for name in TRANSFORMS}, **AUGMENTS}
    names = [name.strip() for name in augment.split(",")]
    for name in names:
        if name not in known:
            close = near(name, known)
            raise ValueError(f"there is no {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))
    if "none" in names and len(names) > 1:
        raise ValueError("none stands alone")
    found = {transform for name in names for transform in known[name]}
    return tuple(transform for transform in TRANSFORMS if transform in found)


def augment_name(augment: str) -> str:
    """The one spelling of an ``--augment``: the name of its transforms, or these in their order.

    Raises:
        ValueError: see ``transforms_of``.

    >>> augment_name("flip, crop"), augment_name("rotate,flip")
    ('crop_flip', 'flip,rotate')
    """
    transforms = transforms_of(augment)
    return next((name for name, each in AUGMENTS.items() if each == transforms), ",".join(transforms))


def load_raw(dataset_name: str, *, data_root: str | Path, download: bool = False) -> RawData:
    """Read the images and labels of all classes; small images are enlarged (see ``raw.enlarged``).

    Args:
        dataset_name: a name in ``DATASETS``, or that of an .npz file.
        data_root: the folder of the data; ``<data_root>/<dataset_name>`` is searched too.
        download: whether torchvision may download missing files to ``data_root``.

    Raises:
        UserError: the files are missing, unreadable or invalid.
    """
    loader = _loader(dataset_name)
    raw: RawData = loader(dataset_name, data_root=Path(data_root), download=download)
    return raw


def find_prepared(dataset_name: str, *, data_root: str | Path) -> Path | None:
    """The folder that prepare.py wrote for a name not in ``DATASETS``, if there is one."""
    from .prepared_files import is_prepared

    if dataset_name in DATASETS or not re.fullmatch(NAME, dataset_name):
        return None
    folder = Path(data_root) / dataset_name
    return folder if is_prepared(folder) else None


def own_names(data_root: str | Path) -> list[str]:
    """The names of the prepared data and .npz files in a folder."""
    from .prepared_files import is_prepared

    root = Path(data_root)
    try:
        found = sorted(os.listdir(root))
    except OSError:
        return []
    prepared = [name for name in found if not name.startswith(".") and is_prepared(root / name)]
    return [*prepared, *(name.removesuffix(".npz") for name in found if name.endswith(".npz"))]


def check_raw(dataset_name: str, *, data_root: str | Path, download: bool) -> None:
    """Fail as ``load_raw`` does where data are missing. Those that are there are not read; others are downloaded.

    Only prepared data, a dataset whose module has ``FILES``, and an .npz file can be missing.
    """
    if folder := find_prepared(dataset_name, data_root=data_root):
        from .prepared_files import check_prepared

        check_prepared(folder)
        return
    module = sys.modules[_loader(dataset_name).__module__]
    root, files = Path(data_root), getattr(module, "FILES", {}).get(dataset_name)
    if files and any(files.complete(folder) for folder in (root, root / dataset_name)):
        return
    if files or dataset_name not in DATASETS:
        from .npz import check_npz, find_npz

        if path := find_npz(dataset_name, data_root=root):
            check_npz(path)
        else:
            load_raw(dataset_name, data_root=root, download=download)


def _loader(dataset_name: str) -> Callable[..., RawData]:
    if not re.fullmatch(NAME, dataset_name) or dataset_name.endswith(".npz"):
        raise UserError(
            f"dataset_name must be one of {', '.join(DATASETS)}, or the name of prepared data or of an .npz file in"
            f" data_root, without folder and ending, got {dataset_name!r} (--dataset_name)"
        )
    module, function = DATASETS.get(dataset_name, ".npz:load_npz").split(":")
    return cast("Callable[..., RawData]", getattr(importlib.import_module(module, package=__package__), function))
