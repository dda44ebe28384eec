"""A dataset as it was read: uint8 images and original class labels, before any choice of classes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

SHORTEST_SIDE = 28  # pixels; the networks halve the image up to three times
ENLARGED_SIDE = 32  # pixels
_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class RawData:
    """Images (n, H, W, C) uint8 with labels (n,) int64 for each file of a dataset.

    ``source`` says which files were read. ``validation_*`` are None where the dataset has no validation file.
    ``mean`` and ``std`` (per channel, in units of 0..1) are None where they are to be taken from the training
    images.
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

    def parts(self) -> list[tuple[str, UInt8Array, Int64Array]]:
        """(split, images, labels) in the order train, validation (where there is one), test."""
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
    )


def enlarged(images: UInt8Array) -> UInt8Array:
    """Makes each side shorter than 28 pixels 32 pixels long, bilinearly; other sides stay as they are.

    Pixel centres lie at half-integers, as in ``torch.nn.functional.interpolate(align_corners=False)``.
    Whole-number arithmetic, rounded half up: the result is the same on every machine.

    >>> enlarged(np.full((1, 8, 8, 1), 7, dtype=np.uint8)).shape
    (1, 32, 32, 1)
    """
    height, width = images.shape[1:3]
    new_height, new_width = (ENLARGED_SIDE if side < SHORTEST_SIDE else side for side in (height, width))
    if (new_height, new_width) == (height, width):
        return images
    result = np.empty((len(images), new_height, new_width, images.shape[3]), dtype=np.uint8)
    scale = 4 * new_height * new_width
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        chunk = images[start : start + _IMAGES_AT_ONCE].astype(np.int64)
        chunk = _stretched(_stretched(chunk, axis=1, size=new_height), axis=2, size=new_width)
        result[start : start + _IMAGES_AT_ONCE] = (chunk + scale // 2) // scale
    return result


def _stretched(values: Int64Array, *, axis: int, size: int) -> Int64Array:
    """Linear interpolation along ``axis`` to ``size`` points, times 2*size (so that it stays whole)."""
    old = values.shape[axis]
    # the new point i lies at (i + 1/2) * old / size - 1/2 = position / (2 * size) in old coordinates
    position = np.maximum((2 * np.arange(size) + 1) * old - size, 0)
    below, weight = np.divmod(position, 2 * size)
    above = np.minimum(below + 1, old - 1)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    stretched: Int64Array = values.take(below, axis) * (2 * size - weight) + values.take(above, axis) * weight
    return stretched


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, at most 200 characters; its type where it has no text."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
