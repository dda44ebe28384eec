"""Synthetic positives interpolated between real ones (SMOTE): a pure function of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .raw import Int64Array, Pixels

_IMAGES_AT_ONCE = 1024


def synthetic_positives(images: Pixels, *, count: int, neighbours: int = 5, generator: np.random.Generator) -> Pixels:
    """Interpolate between positives and their nearest neighbours in pixel space (SMOTE).

        new = x_i + u * (x_nn - x_i), rounded to integer pixel values; features are not

    x_i is drawn from the P images, x_nn from the ``neighbours`` images nearest to it, and u from [0, 1), once for the
    whole image. As in imbalanced-learn: the pseudocode of the paper takes every x_i equally often and draws one u for
    each attribute.

    Args:
        images: (P, ...) of the positive class, training images only.
        count: number of images to create, >= 0.
        neighbours: in 1..P - 1.
        generator: the only source of randomness.

    Returns:
        (count, ...) images.

    Raises:
        ValueError: a value is out of range, or there are too few images.

    Reference: Chawla, Bowyer, Hall, Kegelmeyer, "SMOTE: synthetic minority over-sampling technique", JAIR 2002.

    >>> black, white = np.zeros((2, 2), dtype=np.uint8), np.full((2, 2), 100, dtype=np.uint8)
    >>> made = synthetic_positives(
    ...     np.stack([black, white]), count=9, neighbours=1, generator=np.random.Generator(np.random.PCG64(1))
    ... )
    >>> made.shape, len(np.unique(made[0])), bool((made <= 100).all())      # one grey level per image
    ((9, 2, 2), 1, True)
    """
    if count == 0:
        return images[:0]
    _check(images, count, neighbours)
    pixels = images.reshape(len(images), -1).astype(np.float64)
    first, rank = np.divmod(generator.integers(len(images) * neighbours, size=count), neighbours)
    second = nearest(pixels, neighbours)[first, rank]
    steps = generator.random(count)
    made = np.empty((count, pixels.shape[1]), dtype=images.dtype)
    for start in range(0, count, _IMAGES_AT_ONCE):  # in chunks: float64 takes eight times the memory
        part = slice(start, start + _IMAGES_AT_ONCE)
        x = pixels[first[part]]
        new = x + steps[part, None] * (pixels[second[part]] - x)
        made[part] = new if images.dtype.kind == "f" else np.rint(new)
    return made.reshape(count, *images.shape[1:])


def nearest(pixels: npt.NDArray[np.float64], neighbours: int) -> Int64Array:
    """The nearest other rows of each row by Euclidean distance; ties go to the earlier row.

    Args:
        pixels: (P, D) integers in 0..255.
        neighbours: in 1..P - 1.

    Returns:
        (P, neighbours) row numbers, nearest first.

    >>> nearest(np.array([[0.0], [10.0], [100.0], [20.0]]), 2).tolist()
    [[1, 3], [0, 3], [3, 1], [1, 0]]
    """
    norms = np.einsum("ij,ij->i", pixels, pixels)
    found = np.empty((len(pixels), neighbours), dtype=np.int64)
    for start in range(0, len(pixels), _IMAGES_AT_ONCE):
        rows = np.arange(start, min(start + _IMAGES_AT_ONCE, len(pixels)))
        # Integers far below 2^53 are exact in any order of summation, so ties, which small images do have, are ties on
        # every machine; a stable sort breaks them the same way everywhere.
        squared = norms[rows, None] + norms - 2 * (pixels[rows] @ pixels.T)
        squared[np.arange(len(rows)), rows] = np.inf
        found[rows] = np.argsort(squared, axis=1, kind="stable")[:, :neighbours]
    return found


def _check(images: Pixels, count: int, neighbours: int) -> None:
    if images.dtype not in (np.uint8, np.uint16, np.float32) or images.ndim < 2:
        raise ValueError(f"images must be (P, ...) of uint8, uint16 or float32, got {images.shape} of {images.dtype}")
    if count < 0:
        raise ValueError(f"count must be >= 0 images, got {count}")
    if len(images) < 2:
        raise ValueError(
            f"SMOTE needs at least 2 positives to interpolate between, got {len(images)}; lower ratio_pos_train"
            " or use the sampler oversample"
        )
    if not 1 <= neighbours < len(images):
        raise ValueError(
            f"neighbours must lie in 1..{len(images) - 1}, less than the number of positives, got {neighbours};"
            " change it, or lower ratio_pos_train for more positives"
        )
