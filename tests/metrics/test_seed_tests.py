"""The test over seeds and images against scipy, a case by hand, and simulation under the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from utils.metrics.seed_tests import corrected_resampled_t, seed_test, seeds_needed


def images(ratio: float, seeds: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Resampled differences of variance ratio^2, the same for all seeds."""
    return np.repeat(np.array([[ratio], [-ratio]]), seeds, axis=1)


def test_without_chance_from_images_it_is_the_paired_t_test() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 8)
    found = seed_test(differences, resampled=images(0.0, 8))
    expected = stats.ttest_1samp(differences, 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert [found.low, found.high] == pytest.approx(list(expected.confidence_interval(0.95)), rel=1e-9)


def test_by_hand() -> None:
    """Differences 1, 2, 3: SD^2/S = 1/3; images 1/3: SE^2 = 2/3, 4 degrees, t = 2 / sqrt(2/3) = 2.449."""
    found = seed_test(np.array([1.0, 2.0, 3.0]), resampled=images(np.sqrt(1 / 3), 3))
    assert found.freedom == pytest.approx(4)
    assert found.standard_error == pytest.approx(np.sqrt(2 / 3))
    assert found.p == pytest.approx(2 * stats.t.sf(np.sqrt(6), 4))


def test_what_the_images_do_to_single_seeds_is_not_counted_twice() -> None:
    """Independent resampled differences of each seed: their chance is in the SD over the seeds already."""
    drawn = np.random.default_rng(1).normal(size=(20_000, 5))
    found = seed_test(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), resampled=drawn)
    assert found.standard_error == pytest.approx(np.sqrt(2.5 / 5), rel=0.01)


def test_one_seed_says_nothing_of_training() -> None:
    found = seed_test(np.array([0.5]), resampled=images(0.1, 1))
    assert (found.difference, found.p, found.low) == (0.5, None, None)


def test_rounding_noise_is_no_difference() -> None:
    noise = np.array([1e-17, -3e-17, 2e-17])
    assert seed_test(noise, resampled=np.zeros((2, 3))).p == 1.0
    assert seed_test(noise + 0.1, resampled=np.zeros((2, 3))).p == 0.0


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 1.0])
def test_it_keeps_its_level(seeds: int, ratio: float) -> None:
    generator = np.random.default_rng([seeds, int(10 * ratio)])
    p = [
        seed_test(ratio * generator.normal() + generator.normal(size=seeds), resampled=images(ratio, seeds)).p
        for _ in range(4000)
    ]
    assert 0.03 < np.mean([value is not None and value < 0.05 for value in p]) < 0.07


def test_overlapping_training_sets_widen_the_t_test() -> None:
    differences = np.array([0.1, 0.3, 0.2, 0.25])
    t = differences.mean() / np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    assert corrected_resampled_t(differences, test_share=0.25) == pytest.approx(2 * stats.t.sf(t, 3))
    assert corrected_resampled_t(differences[:1], test_share=0.25) is None
    assert corrected_resampled_t(np.zeros(4), test_share=0.25) == 1.0


def test_seeds_needed_is_the_first_number_that_is_enough() -> None:
    """Of S seeds with the same mean and SD: the paired t test of scipy, one number after the other."""
    differences = np.array([0.5, -0.3, 0.6, 0.4])
    found = seed_test(differences, resampled=images(0.0, 4))
    mean, deviation = differences.mean(), differences.std(ddof=1)
    first = next(n for n in range(2, 100) if 2 * stats.t.sf(mean / (deviation / np.sqrt(n)), n - 1) < 0.01)
    assert seeds_needed(found, seeds=4, risk=0.01) == first
    assert first > 4


def test_no_number_of_seeds_outweighs_the_images() -> None:
    """A mean of .2 beside an image SD of .2 is one standard error, however many seeds there are."""
    found = seed_test(np.array([0.1, 0.2, 0.3]), resampled=images(0.2, 3))
    assert seeds_needed(found, seeds=3, risk=0.05) is None
    assert seeds_needed(seed_test(np.array([0.1, -0.1]), resampled=images(0.0, 2)), seeds=2, risk=0.05) is None
    with pytest.raises(ValueError, match="at least 2"):
        seeds_needed(seed_test(np.array([0.1]), resampled=images(0.0, 1)), seeds=1, risk=0.05)
