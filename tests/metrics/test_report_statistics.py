"""The tests of the report against their slow definitions, other libraries and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import report_by_hand as by_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from utils.metrics.bootstrap import bootstrap
from utils.metrics.paired_tests import holm, mcnemar, without_noise
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


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (5, 0), (3, 9), (9, 3), (4, 4), (20, 35)])
def test_mcnemar_by_hand(counts: tuple[int, int]) -> None:
    assert mcnemar(*counts) == pytest.approx(by_hand.mcnemar_p(*counts), rel=1e-9)


# 2, 2, 2, 2 and -2 of N, each the difference of two other rates, so that the last bits differ
@pytest.mark.parametrize("negatives", [10, 4926, 8192, 40960])
def test_ties_of_rates_are_not_broken_by_rounding(negatives: int) -> None:
    pairs = [(3, 1), (5, 3), (7, 5), (9, 7), (4, 6)]
    differences = [first / negatives - second / negatives for first, second in pairs]
    for noise in ([0, 1, -1, 2, -2], [2, -2, 1, 0, -1]):
        noisy = [value + units * 1e-17 for value, units in zip(differences, noise, strict=True)]
        found = without_noise([*noisy, 3e-17, -2e-17])
        assert len(set(abs(found[:5]))) == 1
        assert np.sign(found).tolist() == [1, 1, 1, 1, -1, 0, 0]


def test_differences_above_the_noise_keep_their_values() -> None:
    differences = [1e-12, 2e-12, -3e-12, 4e-12, 5e-12, 0.5]
    assert without_noise(differences).tolist() == differences


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
