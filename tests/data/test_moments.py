"""Mean and standard deviation: one result from the pixels, from the sums of each image, and by plain arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from utils.data.moments import moments_of_features, moments_of_pixels, moments_of_statistics
from utils.data.prepared_files import statistics_of


@pytest.mark.parametrize("dtype, full", [("u1", 255), ("u2", 65535)])
def test_pixels_and_statistics_give_the_same_bits(dtype: str, full: int) -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    images = generator.integers(0, full + 1, (50, 7, 6, 3), dtype=dtype)
    rows = np.sort(generator.permutation(50)[:33])
    found = moments_of_pixels(images, rows, full=full)
    assert found == moments_of_statistics(statistics_of(images)[rows], pixels=42, full=full)
    values = images[rows].astype(np.float64) / full
    assert np.allclose(found[0], values.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(found[1], values.std(axis=(0, 1, 2)), rtol=1e-12)


def test_sums_beyond_64_bits_are_exact() -> None:
    """40 million white images of 224 x 224 in 16 bits: their squares sum up to more than 2**64."""
    each = np.array([[[224 * 224 * 65535, 224 * 224 * 65535**2]]], dtype=np.uint64)
    statistics = np.repeat(each, 100_000, axis=0)
    assert int(each[0, 0, 1]) * 100_000 > 2**64
    mean, std = moments_of_statistics(statistics, pixels=224 * 224, full=65535)
    assert (mean, std) == ((1.0,), (1.0,))  # a constant channel has std 1


def test_a_small_deviation_beside_a_large_mean_keeps_its_digits() -> None:
    images = np.full((3, 100, 100, 1), 60000, dtype=np.uint16)
    images[0, 0, 0] = 60001
    count = 30000
    variance = Fraction(1, count) - Fraction(1, count) ** 2
    assert moments_of_pixels(images, np.arange(3), full=65535)[1][0] == pytest.approx(
        float(variance) ** 0.5 / 65535, rel=1e-14
    )


def test_features_are_normalised_by_column() -> None:
    features: Any = np.array([[1e7, 2.0, 5.0], [1e7 + 1, 4.0, 5.0], [1e7 + 2, 6.0, 5.0]])
    mean, std = moments_of_features(features)
    assert mean == (1e7 + 1, 4.0, 5.0)
    assert np.allclose(std, (np.sqrt(2 / 3), np.sqrt(8 / 3), 1.0), rtol=1e-14)
