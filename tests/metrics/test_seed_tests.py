"""The test over seeds and images against scipy, a case by hand, and simulation under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from utils.metrics.seed_tests import SeedTest, corrected_resampled_t, seed_test


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
    assert found.of_seeds == pytest.approx(1 / 3)
    assert found.of_images == pytest.approx(1 / 3)
    assert found.p == pytest.approx(2 * stats.t.sf(np.sqrt(6), 4))  # .070; 3/4 of the sum's is .069


@pytest.mark.parametrize("mean", [0.3, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("images", [0.01, 0.3, 4.0])
@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_p_and_interval_are_those_of_the_formula(seeds: int, images: float, mean: float) -> None:
    """The sum of a normal and a t, by quadrature over the t instead of the normal."""
    of_seeds = 0.25
    found = SeedTest(mean, seeds, of_seeds, images)

    def p(size: float) -> float:
        def beyond(t: float) -> float:
            ends = (size - 0.5 * t) / math.sqrt(images), (size + 0.5 * t) / math.sqrt(images)
            return float(stats.t.pdf(t, seeds - 1) * (stats.norm.sf(ends[0]) + stats.norm.sf(ends[1])))

        turn = 2 * size
        both = 2 * sum(
            integrate.quad(beyond, *part, epsabs=1e-13)[0] for part in ((0, turn), (turn, 2 * turn), (2 * turn, np.inf))
        )
        freedom = (seeds - 1) * (of_seeds + images) / of_seeds
        return float(max(2 * stats.t.sf(size / math.sqrt(of_seeds + images), freedom), 0.75 * both))

    assert found.p == pytest.approx(p(mean), rel=1e-4)
    assert found.low is not None
    assert found.high is not None
    assert mean - found.low == pytest.approx(found.high - mean)
    assert p(mean - found.low) == pytest.approx(0.05, rel=1e-4)


def test_what_the_images_do_to_single_seeds_is_not_counted_twice() -> None:
    """Independent resampled differences of each seed: their chance is in the SD over the seeds already."""
    drawn = np.random.default_rng(1).normal(size=(20_000, 5))
    found = seed_test(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), resampled=drawn)
    assert found.of_seeds == pytest.approx(2.5 / 5)
    assert found.of_images == pytest.approx(0, abs=0.01)


def test_one_seed_says_nothing_of_training() -> None:
    found = seed_test(np.array([0.5]), resampled=images(0.1, 1))
    assert (found.difference, found.p, found.low) == (0.5, None, None)


def test_rounding_noise_is_no_difference() -> None:
    noise = np.array([1e-17, -3e-17, 2e-17])
    found = seed_test(noise, resampled=np.zeros((2, 3)))
    assert (found.p, found.low, found.high) == (1.0, 0.0, 0.0)


def test_where_nothing_varies_nothing_is_known_of_chance() -> None:
    """Such as the AUC of one positive and one negative: every seed and every resample has the same difference."""
    found = seed_test(np.full(3, 0.1), resampled=np.zeros((2, 3)))
    assert (found.p, found.low, found.high, found.seeds_needed(risk=0.05)) == (None, None, None, None)


def test_seeds_that_agree_leave_the_chance_of_the_images() -> None:
    found = seed_test(np.full(3, 0.4), resampled=images(0.2, 3))
    assert found.p == pytest.approx(2 * stats.norm.sf(2))


def under_the_null(seeds: int, ratio: float, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The p of ``count`` comparisons of equal rows; the images' SD is ``ratio`` of the seeds'."""
    generator = np.random.default_rng([seeds, int(10 * ratio)])
    drawn = ratio * generator.normal(size=(count, 1)) + generator.normal(size=(count, seeds))
    means, variances = drawn.mean(axis=1).tolist(), (drawn.var(axis=1, ddof=1) / seeds).tolist()
    return np.array([SeedTest(*each, ratio**2).p for each in zip(means, [seeds] * count, variances, strict=True)])


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 1.0])
def test_it_keeps_its_level(seeds: int, ratio: float) -> None:
    p = under_the_null(seeds, ratio, 20_000)
    assert 0.03 < np.mean(p < 0.05) < 0.07


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_tail_that_a_page_of_forty_needs_keeps_its_level_too(seeds: int) -> None:
    """50 of 40,000 are asked for; the t law alone has about 300 of three seeds and 1,400 of two."""
    assert 20 < np.sum(under_the_null(seeds, 0.1, 40_000) < 0.05 / 40) < 80


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
    assert found.seeds_needed(risk=0.01) == first
    assert first > 4


def test_no_number_of_seeds_outweighs_the_images() -> None:
    """A mean of .2 beside an image SD of .2 is one standard error, however many seeds there are."""
    found = seed_test(np.array([0.1, 0.2, 0.3]), resampled=images(0.2, 3))
    assert found.seeds_needed(risk=0.05) is None
    assert seed_test(np.array([0.1, -0.1]), resampled=images(0.0, 2)).seeds_needed(risk=0.05) is None
    with pytest.raises(ValueError, match="at least 2"):
        seed_test(np.array([0.1]), resampled=images(0.0, 1)).seeds_needed(risk=0.05)
