"""The tests of the report against their slow definitions, other libraries and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import report_by_hand as by_hand
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from utils.metrics.bootstrap import bootstrap
from utils.metrics.paired_tests import (
    auc_covariance,
    bootstrap_p,
    delong,
    holm,
    mcnemar,
    placements,
    wilcoxon_p,
    without_noise,
)
from utils.metrics.roc import auc

Sample = tuple[np.ndarray[tuple[int], np.dtype[np.int64]], by_hand.Array, by_hand.Array]


def sample(seed: int, positives: int = 40, negatives: int = 60, *, gain: float = 0.0, ties: bool = False) -> Sample:
    """Labels, and two scores that have something in common."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    common = labels + generator.normal(size=len(labels))
    first = common + 0.7 * generator.normal(size=len(labels))
    second = common + 0.7 * generator.normal(size=len(labels)) + gain * labels
    return (labels, np.round(first), np.round(second)) if ties else (labels, first, second)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_delong_is_its_slow_definition(seed: int, ties: bool) -> None:
    labels, first, second = sample(seed, ties=ties)
    found = delong(labels, first, second)
    change = by_hand.kernel(labels, second) - by_hand.kernel(labels, first)
    assert found.difference == pytest.approx(change.mean(), abs=1e-14)
    assert found.p == pytest.approx(by_hand.delong_p(labels, first, second), rel=1e-9)
    one = auc_covariance(labels, [first])
    rows = by_hand.kernel(labels, first)
    assert one.shape == (1, 1)
    expected = rows.mean(axis=1).var(ddof=1) / 40 + rows.mean(axis=0).var(ddof=1) / 60
    assert one[0, 0] == pytest.approx(expected, rel=1e-12)


def test_delong_agrees_with_the_bootstrap() -> None:
    labels, first, second = sample(11, 150, 200, gain=0.3)
    drawn = [
        bootstrap(labels, s, tprs=(), thresholds=(), generator=np.random.default_rng(3), resamples=3000).auc
        for s in (first, second)
    ]
    found = delong(labels, first, second)
    assert found.standard_error == pytest.approx((drawn[1] - drawn[0]).std(), rel=0.08)
    assert found.p == pytest.approx(bootstrap_p(drawn[1] - drawn[0]), abs=0.02)


def test_delong_keeps_its_level() -> None:
    """Of two scores of equal worth, one time in twenty p is below 0.05."""
    below = [delong(*sample(seed, 60, 60)).p < 0.05 for seed in range(400)]
    assert 0.02 < np.mean(below) < 0.085


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=2, max_size=12),
    st.lists(st.integers(-3, 3), min_size=2, max_size=12),
)
def test_placements_are_means_of_the_kernel(positives: list[int], negatives: list[int]) -> None:
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    scores = np.array([*positives, *negatives], dtype=np.float64)
    below, above = placements(labels, scores)
    pairs = by_hand.kernel(labels, scores)
    np.testing.assert_allclose(below, pairs.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(above, pairs.mean(axis=0), atol=1e-12)
    assert below.mean() == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_delong_where_nothing_varies() -> None:
    labels = np.array([1, 1, 0, 0])
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    assert delong(labels, scores, 2 * scores) == delong(labels, scores, scores)
    assert delong(labels, scores, scores).p == 1
    assert delong(labels, scores, -scores).p == 0
    with pytest.raises(ValueError, match="at least 2 positives and 2 negatives"):
        delong(labels[1:], scores[1:], scores[1:])


def test_bootstrap_p_by_hand() -> None:
    assert bootstrap_p(np.ones(1999)) == pytest.approx(0.001)
    assert bootstrap_p(np.zeros(9)) == 1
    assert bootstrap_p(np.array([-1.0, 1, 1, 1])) == pytest.approx(2 * 2 / 5)
    assert bootstrap_p(-np.array([-1.0, 1, 1, 1])) == pytest.approx(2 * 2 / 5)


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (5, 0), (3, 9), (9, 3), (4, 4), (20, 35)])
def test_mcnemar_by_hand(counts: tuple[int, int]) -> None:
    assert mcnemar(*counts) == pytest.approx(by_hand.mcnemar_p(*counts), rel=1e-9)


@pytest.mark.parametrize("count", range(1, 11))
def test_wilcoxon_by_hand(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.5, size=count).tolist()
    assert wilcoxon_p(differences) == pytest.approx(by_hand.wilcoxon_p(differences), rel=1e-9)


def test_wilcoxon_at_its_edges() -> None:
    assert wilcoxon_p([]) is None
    assert wilcoxon_p([0.0, 0.0]) == 1
    assert wilcoxon_p([0.1]) == 1
    assert wilcoxon_p([0.1] * 5) == pytest.approx(2 / 2**5)  # ties
    assert wilcoxon_p([0.0, 0.1, 0.2, 0.3]) == pytest.approx(0.25)  # zeros do not count


# 2, 2, 2, 2 and -2 of N: all five magnitudes tie at rank 3, W- = 3. P(W- <= 3): the sums of the signs are 3 times a
# binomial, so p = 2 (1 + 5) / 2^5 = 0.375. Each difference is of other FPRs, so that the last bits differ.
@pytest.mark.parametrize("negatives", [10, 4926, 8192, 40960])
def test_ties_of_rates_are_not_broken_by_rounding(negatives: int) -> None:
    pairs = [(3, 1), (5, 3), (7, 5), (9, 7), (4, 6)]
    differences = [first / negatives - second / negatives for first, second in pairs]
    exact = [first - second for first, second in pairs]
    expected = 2 * sum(math.comb(5, k) for k in (0, 1)) / 2**5
    assert by_hand.wilcoxon_p(exact) == pytest.approx(expected, rel=1e-12)
    for noise in ([0, 1, -1, 2, -2], [2, -2, 1, 0, -1]):
        noisy = [value + units * 1e-17 for value, units in zip(differences, noise, strict=True)]
        assert wilcoxon_p(noisy) == pytest.approx(expected, rel=1e-12)
        assert wilcoxon_p([*noisy, 3e-17, -2e-17]) == pytest.approx(expected, rel=1e-12)  # zeros, which do not count


def test_differences_above_the_noise_keep_their_ranks() -> None:
    differences = [1e-12, 2e-12, -3e-12, 4e-12, 5e-12, 0.5]
    assert wilcoxon_p(differences) == pytest.approx(by_hand.wilcoxon_p([1, 2, -3, 4, 5, 6]), rel=1e-12)
    assert without_noise(differences).tolist() == differences


def test_the_smaller_tail_of_the_bootstrap_takes_noise_for_zero() -> None:
    exact = [0.0, 0.0, 0.1, 0.2, 0.2]
    noisy = np.array(exact) + np.array([1e-17, -1e-17, 0, 1e-17, 0])
    assert bootstrap_p(noisy) == bootstrap_p(np.array(exact)) == 1.0  # 2 (1 + 2) / (1 + 5)


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04: times 4, 3, 2, 1, never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_and_bonferroni(values: list[float]) -> None:
    corrected = holm(values)
    pairs = sorted(zip(values, corrected, strict=True))
    for value, each in pairs:
        assert each is not None
        assert value <= each <= min(1.0, value * len(values)) + 1e-15
    # never smaller than the correction that controls the false discovery rate only
    for each, rate in zip(corrected, stats.false_discovery_control(values), strict=True):
        assert each is not None
        assert each >= rate - 1e-12


def test_the_same_stream_draws_the_same_samples_for_both() -> None:
    """What makes the bootstrap a paired one: a score against itself differs by exactly nothing."""
    labels, first, second = sample(5, ties=True)
    drawn = [
        bootstrap(labels, s, tprs=(0.9,), thresholds=(), generator=np.random.default_rng(1), resamples=200)
        for s in (first, 3 * first - 1, second)
    ]
    assert np.array_equal(drawn[0].auc, drawn[1].auc)
    assert np.array_equal(drawn[0].fpr_at_tpr, drawn[1].fpr_at_tpr)
    together = np.corrcoef(drawn[0].auc, drawn[2].auc)[0, 1]
    assert together > 0.3  # they share samples
    assert auc(labels, first) == pytest.approx(drawn[0].auc.mean(), abs=0.02)
