"""Mean and standard deviation of each channel, from exact sums. Imports no torch."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from .raw import Int64Array, Pixels

Moments = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel
_ROWS_AT_ONCE = 1024


def moments_of_pixels(images: Pixels, rows: Int64Array, *, full: int) -> Moments:
    """Over all pixels of ``rows``, scaled to 0..1.

    Args:
        images: (M, H, W, C) uint8 or uint16.
        rows: row numbers.
        full: the value of a white pixel.
    """
    sums = [[0, 0] for _ in range(images.shape[3])]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = images[rows[start : start + _ROWS_AT_ONCE]]
        for channel, both in enumerate(sums):
            if images.dtype == np.uint8:  # counted: faster than a sum of squares
                counts = np.bincount(chunk[..., channel].ravel(), minlength=256)
                values = np.arange(256)
                both[0] += int(counts @ values)
                both[1] += int(counts @ values**2)
            else:
                pixels = chunk[..., channel].astype(np.uint64)
                both[0] += int(pixels.sum())
                both[1] += int(np.square(pixels).sum())
    return _moments([(first, second) for first, second in sums], len(rows) * math.prod(images.shape[1:3]), full=full)


def moments_of_statistics(statistics: npt.NDArray[np.uint64], *, pixels: int, full: int) -> Moments:
    """The same from the sums of each image, bit for bit.

    Args:
        statistics: (n, C, 2) sum and sum of squares of the images.
        pixels: of an image.
        full: the value of a white pixel.
    """
    # in halves, because the sum of squares of many images of 16 bits exceeds 64 bits
    high, low = (part.sum(axis=0).tolist() for part in (statistics >> np.uint64(32), statistics & np.uint64(2**32 - 1)))
    sums = [
        (2**32 * int(above[0]) + int(below[0]), 2**32 * int(above[1]) + int(below[1]))
        for above, below in zip(high, low, strict=True)
    ]
    return _moments(sums, len(statistics) * pixels, full=full)


def moments_of_features(features: npt.NDArray[np.float64]) -> Moments:
    """Of the columns of (n, C) numbers; in two passes, so that no digits are lost where the mean is large."""
    means = features.mean(axis=0)
    deviations = np.sqrt(np.square(features - means).mean(axis=0))
    return tuple(means.tolist()), tuple(value or 1.0 for value in deviations.tolist())


def _moments(sums: list[tuple[int, int]], count: int, *, full: int) -> Moments:
    """From exact sums and sums of squares of ``count`` pixels; the std of a constant channel is 1, which makes it 0."""
    means, stds = [], []
    for first, second in sums:
        means.append(first / count / full)
        variance = Fraction(count * second - first**2, count**2)
        stds.append(math.sqrt(variance) / full or 1.0)
    return tuple(means), tuple(stds)
