"""Promised thresholds against binomial sums term by term, scipy, exhaustive enumeration, plain loops and simulation.

Compared once with MAPIE 1.6.0, which is no requirement, on 20 samples each of n = 60, 150, 200, 500 uniform scores and
TPR .90, .95, .98. Its conformal risk control (``get_r_hat_plus``, "crc") gave the same threshold in 240 of 240. Its
Learn-then-Test control of recall (fixed sequence over the scores) gave that of NP, or none as NP did, in 140 of 240,
and in the other 100 the next lower score: it rounds the number of misses up from 1 - recall, which in floating point
can be a little more than k / n.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from utils.metrics.promised_thresholds import (
    Promise,
    allowed_misses,
    crc_threshold,
    fpr_promise_threshold,
    np_threshold,
    positives_for_claim,
    samples_needed,
    two_thresholds,
)

BAD_SCORES = [([[1.0], [2.0]], r"shape \(n,\), got \(2, 1\)"), ([0.0, math.nan, math.inf], "finite, got 2 that")]


@pytest.mark.parametrize("scores, message", BAD_SCORES)
def test_scores_that_promise_nothing_are_refused(scores: list[object], message: str) -> None:
    bad = np.array(scores, dtype=np.float64)
    for refuses in (
        lambda: np_threshold(bad, Promise(0.9, 0.05)),
        lambda: crc_threshold(bad, 0.9),
        lambda: fpr_promise_threshold(bad, 0.1, 0.05),
    ):
        with pytest.raises(ValueError, match=message):
            refuses()


def test_percentages_and_impossible_risks_promise_nothing() -> None:
    scores = np.arange(100.0)
    for refuses in (
        lambda: fpr_promise_threshold(scores, 5, 0.05),
        lambda: fpr_promise_threshold(scores, 0.05, 5),
        lambda: two_thresholds(scores, scores, tpr=0.9, fpr=5, risk=0.1),
        lambda: two_thresholds(scores, scores, tpr=0.9, fpr=0.1, risk=2.5),
        lambda: crc_threshold(scores, 98),
        lambda: allowed_misses(100, 0.05, 1.5),
        lambda: samples_needed(0, 0.05),
        lambda: samples_needed(2, 0.05),
    ):
        with pytest.raises(ValueError, match=r"rate in \(0, 1\] and a risk in \(0, 1\)|must lie between 0 and 1"):
            refuses()
    assert samples_needed(1, 0.05) == 1


def test_single_precision_keeps_the_promised_fpr() -> None:
    """Just above 58 in float32: just above it in float64 would be 58 again when it is compared with float32 scores."""
    threshold = fpr_promise_threshold(np.arange(59.0).astype(np.float32), 0.05, 0.05)
    assert threshold == 58 + 2**-18
    assert not (torch.arange(59.0) >= threshold).any()


def at_most(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= k), term by term."""
    return math.fsum(comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.floats(0.01, 0.5), st.floats(0.001, 0.3))
def test_allowed_misses_is_the_largest_k(n: int, rate: float, risk: float) -> None:
    found = allowed_misses(n, rate, risk)
    if found is None:
        assert at_most(0, n, rate) > risk * (1 - 1e-9)
    else:
        assert at_most(found, n, rate) <= risk * (1 + 1e-9)
        assert at_most(found + 1, n, rate) > risk * (1 - 1e-9)


@pytest.mark.parametrize(("tpr", "needed"), [(0.98, 149), (0.95, 59), (0.90, 29)])
def test_one_positive_fewer_is_too_few(tpr: float, needed: int) -> None:
    assert samples_needed(1 - tpr, 0.05) == needed
    scores = np.arange(float(needed))
    assert np_threshold(scores, Promise(tpr, 0.05)) == 0.0
    assert np_threshold(scores[1:], Promise(tpr, 0.05)) is None


def test_the_umbrella_algorithm_gives_the_same_order() -> None:
    """Tong, Feng, Li 2018: the smallest order r from above with sum_{j >= r} C(n, j) (1 - alpha)^j alpha^(n-j) <= d."""
    for n, alpha, risk in product((29, 60, 143, 400), (0.02, 0.1), (0.05, 0.2)):
        terms = [comb(n, j) * (1 - alpha) ** j * alpha ** (n - j) for j in range(n + 1)]
        orders = [r for r in range(1, n + 1) if math.fsum(terms[r:]) <= risk]
        k = allowed_misses(n, alpha, risk)
        assert (k is None) == (not orders)
        if k is not None:  # the r-th smallest of mirrored scores is the (n - r + 1)-th of ours
            assert n - orders[0] == k


@pytest.mark.parametrize("ties", [False, True])
def test_a_promise_is_kept_in_every_calibration_of_a_small_population(ties: bool) -> None:
    """All 5^4 samples of 4 from a population of 5 values, by hand: how often is the TPR below .5?"""
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.0]) if ties else np.arange(5.0)
    misses = []
    for drawn in product(values, repeat=4):
        threshold = np_threshold(np.array(drawn), Promise(0.5, 0.2))
        assert threshold is not None
        misses.append((values >= threshold).mean() < 0.5)
    assert np.mean(misses) <= 0.2
    assert np.mean(misses) > 0 or ties  # and a rule that never misses would pass without being one


def test_simulated_misses_of_the_promise_and_of_the_plug_in() -> None:
    generator = np.random.default_rng(1)
    scores = np.sort(generator.random((4000, 200)), axis=1)  # the TPR of t is 1 - t
    k = allowed_misses(200, 0.05, 0.05)
    assert k is not None
    assert abs((1 - scores[:, k] < 0.95).mean() - at_most(k, 200, 0.05)) < 0.01
    assert at_most(k, 200, 0.05) == pytest.approx(0.0264, abs=1e-4)
    assert abs((1 - scores[:, 10] < 0.95).mean() - 0.583) < 0.03  # the highest threshold with 190 of 200


def test_a_choice_among_many_lowers_the_threshold() -> None:
    scores = np.arange(1000.0)
    alone, chosen = (np_threshold(scores, Promise(0.95, 0.05), compared=count) for count in (1, 50))
    assert alone is not None
    assert chosen is not None
    assert chosen < alone
    assert chosen == np_threshold(scores, Promise(0.95, 0.001))
    assert np_threshold(scores[:100], Promise(0.95, 0.05), compared=math.inf) is None


def test_crc_keeps_the_mean_and_no_higher_threshold_does() -> None:
    """Of uniform scores the (k+1)-th of n lies at (k+1)/(n+1) on average."""
    for n, tpr in ((49, 0.98), (60, 0.95), (150, 0.9), (333, 0.95)):
        k = crc_threshold(np.arange(float(n)), tpr)
        assert k is not None
        assert 1 - (k + 1) / (n + 1) >= tpr - 1e-12
        assert 1 - (k + 2) / (n + 1) < tpr


@pytest.mark.parametrize("ties", [False, True])
def test_crc_by_a_plain_loop(ties: bool) -> None:
    """The highest score t with  n / (n + 1) * (share of scores below t) + 1 / (n + 1) <= alpha; a loss is at most 1."""
    generator = np.random.default_rng(5)
    for n, alpha in product((9, 30, 49, 120, 200), (Fraction(1, 10), Fraction(1, 20), Fraction(1, 50))):
        scores = generator.normal(size=n).round(1 if ties else 9)
        kept = [
            t for t in scores if Fraction(sum(int(score < t) for score in scores), n + 1) + Fraction(1, n + 1) <= alpha
        ]
        found = crc_threshold(scores, float(1 - alpha))
        assert found == (max(kept) if kept else None), (n, alpha)


def test_the_promise_of_an_fpr_is_the_mirror_image() -> None:
    scores = np.random.default_rng(2).normal(size=300)
    mirrored = np_threshold(-scores, Promise(0.95, 0.05))
    threshold = fpr_promise_threshold(scores, 0.05, 0.05)
    assert mirrored is not None
    assert threshold == math.nextafter(-mirrored, math.inf)
    assert (scores >= threshold).sum() == allowed_misses(300, 0.05, 0.05)


def test_two_thresholds_refer_nothing_where_one_keeps_both() -> None:
    apart = two_thresholds(np.arange(200.0, 400.0), np.arange(200.0), tpr=0.9, fpr=0.1, risk=0.1)
    assert apart is not None
    assert apart.low == apart.high > 200
    mixed = two_thresholds(np.arange(50.0, 250.0), np.arange(200.0), tpr=0.9, fpr=0.1, risk=0.1)
    assert mixed is not None
    assert mixed.low < mixed.high
    assert two_thresholds(np.arange(20.0), np.arange(200.0), tpr=0.98, fpr=0.1, risk=0.1) is None


def test_a_claim_needs_what_an_exact_test_asks_for() -> None:
    for tpr, risk, seen in ((0.9, 0.05, 0.95), (0.95, 0.05, 0.98), (0.98, 0.1, 1.0)):
        n = positives_for_claim(tpr, risk, seen)
        found = math.ceil(n * seen - 1e-9)
        assert binomtest(found, n, tpr, alternative="greater").pvalue <= risk
        fewer = n - 1
        assert binomtest(math.ceil(fewer * seen - 1e-9), fewer, tpr, alternative="greater").pvalue > risk
    with pytest.raises(ValueError, match="needs a higher one"):
        positives_for_claim(0.9, 0.05, 0.9)


@pytest.mark.parametrize("values", [(0.0, 0.05), (1.0, 0.05), (0.9, 0.0), (0.9, 1.0)])
def test_impossible_promises_are_refused(values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Promise(*values)
