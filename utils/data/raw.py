"""A dataset as read from its files: uint8 images and original class labels, before classes are selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
Pixels = npt.NDArray[Any]  # uint8, or of prepared data uint16 or, for features, float32

WITHOUT_VALIDATION = (
    "a file without x_val, y_val (val_images, val_labels) gets a validation set drawn from its training images"
)
SHORTEST_SIDE = 28  # pixels, because the networks halve the image up to three times
ENLARGED_SIDE = 32  # pixels
_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class RawData:
    """Images (n, H, W, C) uint8 and labels (n,) int64 of each split of a dataset.

    ``source`` names the files. ``validation_*`` are None if the dataset has no validation set. ``mean`` and ``std``
    (per channel, of pixels in 0..1) are None if they are to be computed from the training images. ``size_in_file`` is
    the height and width before small images were enlarged, or None if they were not.
    """

    name: str
    source: str
    train_images: UInt8Array
    train_labels: Int64Array
    test_images: UInt8Array
    test_labels: Int64Array
    validation_images: UInt8Array | None = None
    validation_labels: Int64Array | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size_in_file: tuple[int, int] | None = None

    def parts(self) -> list[tuple[str, UInt8Array, Int64Array]]:
        """(split, images, labels) in the order train, validation (if any), test."""
        parts = [("train", self.train_images, self.train_labels)]
        if self.validation_images is not None and self.validation_labels is not None:
            parts.append(("validation", self.validation_images, self.validation_labels))
        return [*parts, ("test", self.test_images, self.test_labels)]


def with_small_images_enlarged(raw: RawData) -> RawData:
    """``raw`` with ``enlarged`` applied to the images of each split."""
    validation = raw.validation_images
    return replace(
        raw,
        train_images=enlarged(raw.train_images),
        validation_images=None if validation is None else enlarged(validation),
        test_images=enlarged(raw.test_images),
        size_in_file=raw.train_images.shape[1:3],
    )


def enlarged_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the images that ``enlarged`` makes of those of this size."""
    new_height, new_width = (ENLARGED_SIDE if side < SHORTEST_SIDE else side for side in (height, width))
    return new_height, new_width


def enlarged(images: Pixels) -> Pixels:
    """Resize each side shorter than 28 pixels to 32 pixels, bilinearly; other sides are unchanged.

    Pixel centres are at half-integers, as in ``torch.nn.functional.interpolate(align_corners=False)``. Integer
    arithmetic, rounded half up, gives the same result on every machine.

    >>> enlarged(np.full((1, 8, 8, 1), 7, dtype=np.uint8)).shape
    (1, 32, 32, 1)
    """
    new_height, new_width = enlarged_size(*images.shape[1:3])
    if (new_height, new_width) == images.shape[1:3]:
        return images
    result = np.empty((len(images), new_height, new_width, images.shape[3]), dtype=images.dtype)
    scale = 4 * new_height * new_width
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        chunk = images[start : start + _IMAGES_AT_ONCE].astype(np.int64)
        chunk = _stretched(_stretched(chunk, axis=1, size=new_height), axis=2, size=new_width)
        result[start : start + _IMAGES_AT_ONCE] = (chunk + scale // 2) // scale
    return result


def enlarging(height: int, width: int) -> tuple[Int64Array, Int64Array, int] | None:
    """What ``enlarged`` computes as matrices: floor((rows @ image @ columns.T + divisor // 2) / divisor).

    Args:
        height: of the images.
        width: likewise.

    Returns:
        ``rows`` (new height, height), ``columns`` (new width, width), the divisor; None where images stay as they are.
    """
    new_height, new_width = enlarged_size(height, width)
    if (new_height, new_width) == (height, width):
        return None
    rows, columns = (np.eye(side, dtype=np.int64) for side in (height, width))
    stretched = _stretched(rows, axis=0, size=new_height), _stretched(columns, axis=0, size=new_width)
    return *stretched, 4 * new_height * new_width


def _stretched(values: Int64Array, *, axis: int, size: int) -> Int64Array:
    """Linear interpolation along ``axis`` to ``size`` points, times 2*size so that the values stay integers."""
    old = values.shape[axis]
    # point i is at (i + 1/2) * old / size - 1/2 = position / (2 * size) in the old coordinates
    position = np.maximum((2 * np.arange(size) + 1) * old - size, 0)
    below, weight = np.divmod(position, 2 * size)
    above = np.minimum(below + 1, old - 1)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    stretched: Int64Array = values.take(below, axis) * (2 * size - weight) + values.take(above, axis) * weight
    return stretched


def one_line(error: BaseException) -> str:
    """The message of an error on one line, at most 200 characters; its type if it has no message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
