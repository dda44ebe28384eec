"""Intervals against scipy, cases by hand and simulation; the full study: studies/coverage.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom, binomtest, norm

from utils.metrics.intervals import auc_interval, clopper_pearson, fpr_at_tpr_interval, roc_band
from utils.metrics.planning import planned_fpr_intervals, planned_tpr_interval
from utils.metrics.prevalence import net_benefit, npv, ppv


@pytest.mark.parametrize(("count", "n"), [(0, 1), (0, 20), (3, 20), (20, 20), (117, 1000)])
def test_clopper_pearson_is_scipy_s(count: int, n: int) -> None:
    exact = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, n) == pytest.approx([exact.low, exact.high], abs=1e-12)


def test_a_level_in_per_cent_is_refused() -> None:
    with pytest.raises(ValueError, match="level of an interval must lie between 0 and 1, got 95"):
        clopper_pearson(3, 10, level=95)


def test_too_few_positives_leave_the_upper_end_open() -> None:
    """r = 2.1505 (see below): P(no positive of n lies below t*) = .98^n > Phi(-r) = .01576 up to n = 205."""
    labels = np.repeat([1, 0], [205, 500])
    scores = np.concatenate([np.full(205, 9.0), np.zeros(500)])
    assert fpr_at_tpr_interval(labels, scores, 0.98)[1] == 1.0
    more = np.repeat([1, 0], [206, 500])
    assert fpr_at_tpr_interval(more, np.concatenate([[9.0], scores]), 0.98)[1] < 1.0


def test_at_a_tpr_of_one_half_with_one_positive_by_hand() -> None:
    """K = 0 or 1, each 1/2. K = 0: S_0 = -inf, all alarms, above; K = 1: S_1, 1 of 2 alarms: Beta(2, 1), cdf x^2.

    Upper tail: 1/2 x^2 + 1/2 [x = 1] >= .975 only at 1. Lower: K = 0: S_1, Beta(1, 2), cdf 1 - (1 - x)^2; K = 1:
    S_2 = inf, 0. At least half of the mixture lies at 0.
    """
    assert fpr_at_tpr_interval(np.array([1, 0, 0]), np.array([0.5, 0.0, 1.0]), 0.5) == [0.0, 1.0]


def joint(positives: list[float], negatives: list[float], tpr: float, radius: float) -> list[float]:
    """The interval from its definition, by scipy's distributions, one order statistic at a time."""
    n, m = len(positives), len(negatives)
    ends = [-np.inf, *sorted(positives), np.inf]
    alarms = [sum(score >= end for score in negatives) for end in ends]
    lows: list[float] = []
    highs: list[float] = []
    for k in range(n + 1):
        for p, kept in ((binom.sf(k - 1, n, 1 - tpr), lows), (binom.cdf(k, n, 1 - tpr), highs)):
            z = max(0.0, norm.isf(p))
            if z < radius:
                tail = norm.cdf(-1.25 * np.sqrt(radius**2 - z**2))
                if kept is lows:
                    f = alarms[k + 1]
                    kept.append(beta.ppf(tail, f, m - f + 1) if f else 0.0)
                else:
                    f = alarms[k]
                    kept.append(beta.isf(tail, f + 1, m - f) if f < m else 1.0)
    return [min(lows), max(highs)]


@pytest.mark.parametrize(("n", "m", "ties"), [(1, 3, False), (12, 9, True), (120, 400, False), (300, 40, True)])
def test_it_is_the_joint_test_from_its_definition(n: int, m: int, ties: bool) -> None:
    generator = np.random.default_rng(n)
    positives, negatives = generator.normal(1.5, 1, n), generator.normal(0, 1, m)
    if ties:
        positives, negatives = np.round(positives), np.round(negatives)
    labels = np.repeat([1, 0], [n, m])
    for tpr in (0.5, 0.9, 0.98):
        found = fpr_at_tpr_interval(labels, np.concatenate([positives, negatives]), tpr)
        assert found == pytest.approx(joint(list(positives), list(negatives), tpr, 2.15049549), abs=1e-7)


def test_the_radius_leaves_a_fortieth_outside() -> None:
    """P((z+/r)^2 + (z'+/(1.25 r))^2 <= 1) = .975 for r = 2.15049549, by scipy's quadrature."""
    radius = 2.15049549
    inside = quad(lambda z: norm.pdf(z) * norm.cdf(1.25 * np.sqrt(radius**2 - z**2)), 0, radius)[0]
    assert inside + norm.cdf(1.25 * radius) / 2 == pytest.approx(0.975, abs=1e-7)


def test_it_covers_beside_a_step_of_the_roc() -> None:
    """Scores in steps of 1/2, and .9804 of the positives at or above 0: one positive more and t* is one step lower.

    Averaged over the order statistics, instead of tested jointly with them, the ends of the alarms cover .90. Of 400
    intervals, each with a chance of .95, fewer than 365 cover once in 1000 times.
    """
    generator, shift = np.random.default_rng(8), norm.ppf(0.9) * np.sqrt(2)
    labels = np.repeat([1, 0], 1000)
    truth, reached = norm.sf(-0.25), norm.sf(-0.25 - shift)
    assert 0.98 < reached < 0.9805
    held = 0
    for _ in range(400):
        scores = np.round(2 * np.concatenate([generator.normal(shift, 1, 1000), generator.normal(0, 1, 1000)])) / 2
        low, high = fpr_at_tpr_interval(labels, scores, 0.98)
        held += low <= truth <= high
    assert held >= 365


def test_runs_of_one_class_are_drawn_together() -> None:
    """The weights drawn one sample at a time, pairs compared one by one, give the same interval but for its draws."""
    generator = np.random.default_rng(3)
    positives, negatives = generator.normal(1, 1, 15).round(1), generator.normal(0, 1, 40).round(1)
    found = auc_interval(
        np.repeat([1, 0], [15, 40]), np.concatenate([positives, negatives]), generator=generator, draws=20_000
    )
    order = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    lows, highs = [], []
    for _ in range(20_000):
        heavy, light = generator.exponential(size=15), generator.exponential(size=40)
        more, less = generator.gamma(0.5, size=2)
        whole = (heavy.sum() + more) * (light.sum() + less)
        lows.append(heavy @ order @ light / whole)
        highs.append(1 - heavy @ (1 - order) @ light / whole)
    assert found == pytest.approx([np.quantile(lows, 0.025), np.quantile(highs, 0.975)], abs=0.006)


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_cover(ties: bool) -> None:
    """50 positives, AUC .9: of 300 intervals, each with a chance of .95, fewer than 275 cover once in 400 times."""
    generator, shift, step = np.random.default_rng(5), norm.ppf(0.9) * np.sqrt(2), 0.5
    labels = np.repeat([1, 0], [50, 300])

    def rounded(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.round(values / step) * step if ties else values

    many = rounded(generator.normal(shift, 1, 10**6)), rounded(generator.normal(0, 1, 10**6))
    grid = np.unique(many[0])
    threshold = max(t for t in grid if (many[0] >= t).mean() >= 0.9) if ties else np.quantile(many[0], 0.1)
    true_fpr = (many[1] >= threshold).mean()
    order = np.sort(many[1])
    true_auc = np.mean([np.searchsorted(order, many[0], side) for side in ("left", "right")]) / len(order)
    held = np.zeros(2)
    for _ in range(300):
        scores = rounded(np.concatenate([generator.normal(shift, 1, 50), generator.normal(0, 1, 300)]))
        for column, ((low, high), truth) in enumerate(
            [
                (auc_interval(labels, scores, generator=generator, draws=200), true_auc),
                (fpr_at_tpr_interval(labels, scores, 0.9), true_fpr),
            ]
        ):
            held[column] += low <= truth <= high
    assert (held >= 275).all()


def test_a_perfect_auc_is_not_certain() -> None:
    labels = np.repeat([1, 0], [20, 1000])
    low, high = auc_interval(labels, labels.astype(float), generator=np.random.default_rng(0))
    assert 0.8 < low < 0.95
    assert high == 1.0


def test_auc_interval_of_the_mirrored_problem_is_mirrored() -> None:
    generator = np.random.default_rng(7)
    labels, scores = np.repeat([1, 0], 200), generator.normal(size=400)
    low, high = auc_interval(labels, scores, generator=generator, draws=20_000)
    other_low, other_high = auc_interval(labels, -scores, generator=generator, draws=20_000)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low), abs=0.003)


def test_values_at_a_prevalence_by_counting() -> None:
    """1,000 people, 100 ill; 90 of them found, 45 of 900 well ones alarmed."""
    assert ppv(0.1, tpr=0.9, fpr=0.05) == pytest.approx(90 / 135)
    assert npv(0.1, tpr=0.9, fpr=0.05) == pytest.approx(855 / 865)
    assert net_benefit(0.1, tpr=0.9, fpr=0.05, threshold_probability=0.25) == pytest.approx((90 - 45 / 3) / 1000)
    assert ppv(0.1, tpr=0, fpr=0) is None
    assert npv(0.1, tpr=1, fpr=1) is None


def test_the_band_is_the_interval_at_each_tpr() -> None:
    generator = np.random.default_rng(6)
    labels = np.repeat([1, 0], [80, 200])
    scores = np.concatenate([generator.normal(1, 1, 80), generator.normal(0, 1, 200)])
    tprs = [0.5, 0.8, 0.95, 0.98]
    for found, tpr in zip(roc_band(labels, scores, tprs), tprs, strict=True):
        assert found == pytest.approx(fpr_at_tpr_interval(labels, scores, tpr), abs=1e-4)
    assert roc_band(labels, scores, [0.9], level=0.5)[0][1] < roc_band(labels, scores, [0.9])[0][1]


@pytest.mark.parametrize(("n", "tpr", "found"), [(30, 0.98, 29), (60, 0.95, 57), (200, 0.98, 196), (1000, 0.9, 900)])
def test_a_planned_tpr_interval_is_that_of_the_count(n: int, tpr: float, found: int) -> None:
    exact = binomtest(found, n).proportion_ci(0.95, method="exact")
    assert planned_tpr_interval(n, tpr) == pytest.approx([exact.low, exact.high], abs=1e-12)


def test_a_plan_of_as_many_positives_as_there_are_is_their_interval() -> None:
    generator = np.random.default_rng(7)
    labels = np.repeat([1, 0], [77, 150])
    scores = np.round(np.concatenate([generator.normal(1.5, 1, 77), generator.normal(0, 1, 150)]), 1)
    assert planned_fpr_intervals(labels, scores, [0.9, 0.5], 77) == roc_band(labels, scores, [0.9, 0.5])
    widths = [high - low for n in (30, 150, 1000) for low, high in planned_fpr_intervals(labels, scores, [0.9], n)]
    assert widths == sorted(widths, reverse=True)


def test_every_second_positive_by_hand() -> None:
    """Of four positives the quantiles 1/4 and 3/4 are the first and the third."""
    labels, scores = np.array([1, 1, 1, 1, 0, 0]), np.array([4.0, 1.0, 3.0, 2.0, 0.0, 2.5])
    half = roc_band(np.array([1, 1, 0, 0]), np.array([1.0, 3.0, 0.0, 2.5]), [0.5])
    assert planned_fpr_intervals(labels, scores, [0.5], 2) == half


@pytest.mark.parametrize("n", [0, -1])
def test_a_plan_needs_positives(n: int) -> None:
    with pytest.raises(ValueError, match="n >= 1 positives"):
        planned_tpr_interval(n, 0.9)
    with pytest.raises(ValueError, match="n >= 1 positives"):
        planned_fpr_intervals(np.array([0, 1]), np.array([0.0, 1.0]), [0.9], n)
