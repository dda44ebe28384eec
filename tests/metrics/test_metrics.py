"""Metrics against scikit-learn, against loops over pairs and thresholds, and by hand."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
import references
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from utils.metrics.bootstrap import bootstrap, interval
from utils.metrics.roc import Rates, auc, auprc, fpr_at_tpr, rates_at, roc, threshold_at_tpr
from utils.metrics.thresholds import cost_threshold, fpr_threshold

TPRS = (0.98, 0.95, 0.9, 0.5, 1.0, 0.01)
Sample = tuple[NDArray[np.int64], NDArray[np.float64]]


def arrays(labels: list[int], scores: list[float]) -> Sample:
    return np.array(labels, dtype=np.int64), np.array(scores, dtype=np.float64)


def random_sample(seed: int, *, positives: int, negatives: int, grid: float | None = None) -> Sample:
    """Scores of positives 1 above those of negatives, SD 1; on a grid they tie."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 0], [positives, negatives]))
    scores = generator.normal(size=len(labels)) + labels
    return labels, scores if grid is None else np.round(scores / grid) * grid


def awkward_samples() -> list[tuple[str, Sample]]:
    """Where rounding, ties or magnitude could bite."""
    one = np.nextafter(1.0, 2.0)
    tiny, big = 5e-324, 8e307
    steps = [1.0]
    for _ in range(30):
        steps.append(float(np.nextafter(steps[-1], 2.0)))
    return [
        ("constant", arrays([1, 0, 1, 0, 0], [0.3] * 5)),
        ("one of each", arrays([1, 0], [0.0, 0.0])),
        ("perfect", arrays([1, 1, 0, 0], [4.0, 3.0, 2.0, 1.0])),
        ("reversed", arrays([1, 1, 0, 0], [1.0, 2.0, 3.0, 4.0])),
        ("last bits", arrays([0, 1, 1, 0], [1.0, one, 1.0, one])),
        ("thirty last bits", (np.arange(31) % 3 % 2, np.array(steps))),
        ("last bits at 1e300", arrays([0, 1, 0], [1e300, float(np.nextafter(1e300, 2e300)), 1e300])),
        ("subnormal", arrays([0, 1, 0, 1], [0.0, tiny, -tiny, 2 * tiny])),
        ("both ends", arrays([1, 0, 1, 0], [big, -big, -big, big])),
        ("signed zeros", arrays([1, 0, 1, 0], [0.0, -0.0, -0.0, 0.0])),
        ("far from zero", (np.arange(40) % 4 // 3, 1e8 + np.arange(40) % 7 * 1e-7)),
        ("close together", (np.arange(40) % 4 // 3, np.arange(40) % 7 * 1e-300)),
    ]


SAMPLES = [
    *awkward_samples(),
    *((f"random {seed}", random_sample(seed, positives=7, negatives=60)) for seed in range(4)),
    *((f"tied {seed}", random_sample(seed, positives=21, negatives=60, grid=0.5)) for seed in range(4)),
    *((f"mostly positive {seed}", random_sample(seed, positives=55, negatives=5)) for seed in range(2)),
]
every_sample = pytest.mark.parametrize("sample", [s for _, s in SAMPLES], ids=[name for name, _ in SAMPLES])
integers = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


def check_against_loops(sample: Sample) -> None:
    labels, scores = sample
    plain_labels, plain_scores = labels.tolist(), scores.tolist()
    assert auc(labels, scores) == pytest.approx(references.auc(plain_labels, plain_scores), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(references.average_precision(plain_labels, plain_scores), abs=1e-12)
    for tpr in TPRS:
        assert fpr_at_tpr(labels, scores, tpr) == references.fpr_at_tpr(plain_labels, plain_scores, tpr)
        threshold = threshold_at_tpr(labels, scores, tpr)
        assert threshold == references.threshold_at_tpr(plain_labels, plain_scores, tpr)
        rates = rates_at(labels, scores, threshold)
        assert (rates.tp, rates.fp, rates.tn, rates.fn) == references.counts_at(plain_labels, plain_scores, threshold)
        assert rates.fpr == fpr_at_tpr(labels, scores, tpr)


# ---------------------------------------------------------------- AUC, FPR at TPR, thresholds


@every_sample
def test_equals_the_loops(sample: Sample) -> None:
    check_against_loops(sample)


@settings(deadline=None, max_examples=120)
@given(pairs=integers)
def test_small_integer_scores_equal_the_loops(pairs: list[tuple[int, int]]) -> None:
    check_against_loops(arrays([label for label, _ in pairs], [float(score) for _, score in pairs]))


@every_sample
def test_equals_scikit_learn(sample: Sample) -> None:
    labels, scores = sample
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-14)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-14)
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    for target in TPRS:
        first = int(np.flatnonzero(tpr >= target)[0])
        assert fpr_at_tpr(labels, scores, target) == fpr[first]
        assert threshold_at_tpr(labels, scores, target) == thresholds[first]
    curve = roc(labels, scores)
    np.testing.assert_array_equal(curve.fpr, fpr)
    np.testing.assert_array_equal(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@every_sample
def test_every_distinct_score_is_a_point(sample: Sample) -> None:
    labels, scores = sample
    curve = roc(labels, scores)
    assert len(curve.fpr) == len(np.unique(scores)) + 1
    assert (curve.fpr[0], curve.tpr[0], curve.thresholds[0]) == (0.0, 0.0, math.inf)
    assert (curve.fpr[-1], curve.tpr[-1]) == (1.0, 1.0)


@every_sample
@pytest.mark.parametrize("tpr", TPRS)
def test_the_threshold_is_the_highest_that_reaches_the_tpr(sample: Sample, tpr: float) -> None:
    labels, scores = sample
    threshold = threshold_at_tpr(labels, scores, tpr)
    assert threshold in scores
    assert rates_at(labels, scores, threshold).tpr >= tpr
    higher = np.unique(scores[scores > threshold])
    if len(higher):
        assert rates_at(labels, scores, float(higher[0])).tpr < tpr
    assert rates_at(labels, scores, math.inf).tpr == 0.0


@pytest.mark.parametrize("positives", [10, 20, 40, 50, 100, 200, 1000])
@pytest.mark.parametrize("tpr", [0.98, 0.95, 0.9])
def test_a_tpr_met_exactly_is_enough(positives: int, tpr: float) -> None:
    """k of P positives above all negatives with k/P = tpr in decimals: FPR 0; one fewer: FPR 1."""
    needed = math.ceil(round(tpr * 100) * positives / 100)
    for above in (needed, needed - 1):
        scores = [2.0] * above + [0.0] * (positives - above) + [1.0] * 10
        labels, values = arrays([1] * positives + [0] * 10, scores)
        assert fpr_at_tpr(labels, values, tpr) == (0.0 if above == needed else 1.0)


def test_fpr_at_98_is_never_zero_by_rounding() -> None:
    """195 of 200 positives (0.975, which rounds to 0.98) stand above all negatives, 5 below: the FPR is 1."""
    labels, scores = arrays([1] * 200 + [0] * 50, [2.0] * 195 + [0.0] * 5 + [1.0] * 50)
    assert fpr_at_tpr(labels, scores, 0.98) == 1.0


def test_fpr_at_98_is_never_zero_because_no_point_is_near() -> None:
    """Three positives know the TPRs 1/3, 2/3, 1 only: 0.98 is reached at 1, below two of four negatives."""
    labels, scores = arrays([1, 0, 1, 0, 1, 0, 0], [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    assert fpr_at_tpr(labels, scores, 0.98) == 0.5
    assert threshold_at_tpr(labels, scores, 0.98) == 3.0


def test_by_hand() -> None:
    """Positives 4, 2, 2; negatives 3, 2, 1, 0. 4 wins 4; each 2 wins 2, ties 1: (4 + 2.5 + 2.5) / 12."""
    labels, scores = arrays([1, 1, 1, 0, 0, 0, 0], [4.0, 2.0, 2.0, 3.0, 2.0, 1.0, 0.0])
    assert auc(labels, scores) == pytest.approx(9 / 12, abs=1e-15)
    assert fpr_at_tpr(labels, scores, 1 / 3) == 0.0
    assert fpr_at_tpr(labels, scores, 0.34) == 0.5  # the tied pair and one negative come at once
    # precision 1 at recall 1/3, then 3/5 at recall 1
    assert auprc(labels, scores) == pytest.approx(1 / 3 + (2 / 3) * (3 / 5), abs=1e-15)


def test_a_useless_score_has_auc_one_half_and_the_prior_as_auprc() -> None:
    labels, scores = arrays([1, 0, 0, 0], [0.7] * 4)
    assert auc(labels, scores) == 0.5
    assert auprc(labels, scores) == 0.25
    assert fpr_at_tpr(labels, scores, 0.98) == 1.0
    assert threshold_at_tpr(labels, scores, 0.98) == 0.7


@pytest.mark.parametrize("positives, negatives", [(3, 49), (7, 13), (22, 100), (44, 1000), (100, 333)])
def test_a_perfect_auc_is_exactly_one(positives: int, negatives: int) -> None:
    """The mu rule asks for AUC == 1, so a sum of 1/N that ends a bit below would never stop it."""
    labels = np.repeat([1, 0], [positives, negatives])
    scores = np.arange(len(labels))[::-1].astype(np.float64)
    assert auc(labels, scores) == 1.0
    assert auc(labels, -scores) == 0.0
    scores[[positives - 1, positives]] = scores[[positives, positives - 1]]  # one pair the wrong way round
    assert auc(labels, scores) < 1.0


@every_sample
def test_order_and_monotone_maps_do_not_matter(sample: Sample) -> None:
    labels, scores = sample
    order = np.random.default_rng(0).permutation(len(labels))
    ranks = np.unique(scores, return_inverse=True)[1].astype(np.float64)
    for other_labels, other_scores in ((labels[order], scores[order]), (labels, ranks)):
        assert auc(other_labels, other_scores) == pytest.approx(auc(labels, scores), abs=1e-14)
        assert fpr_at_tpr(other_labels, other_scores, 0.95) == fpr_at_tpr(labels, scores, 0.95)


def test_float32_scores_are_taken_as_they_are() -> None:
    labels, scores = random_sample(3, positives=30, negatives=90)
    single: Any = scores.astype(np.float32)
    assert auc(labels, single) == auc(labels, single.astype(np.float64))
    threshold = threshold_at_tpr(labels, single, 0.9)
    assert rates_at(labels, single, threshold).tpr >= 0.9


@pytest.mark.parametrize(
    "function", [auc, auprc, roc, lambda y, s: fpr_at_tpr(y, s, 0.9), lambda y, s: rates_at(y, s, 0)]
)
@pytest.mark.parametrize(
    "labels, scores, message",
    [
        ([1, 1], [0.0, 1.0], "0 and 1"),
        ([0, 0], [0.0, 1.0], "0 and 1"),
        ([0, 2], [0.0, 1.0], "0 and 1"),
        ([-1, 1], [0.0, 1.0], "0 and 1"),
        ([], [], "0 and 1"),
        ([0, 1], [0.0, math.nan], "finite"),
        ([0, 1], [0.0, math.inf], "finite"),
        ([0, 1], [0.0], "shape"),
        ([0, 1], [[0.0], [1.0]], "shape"),
        ([[0], [1]], [[0.0], [1.0]], "shape"),
    ],
)
def test_bad_input_is_refused(function: Any, labels: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(np.array(labels), np.array(scores))


@pytest.mark.parametrize("tpr", [0.0, -0.1, 1.5, math.nan, math.inf])
def test_a_target_that_is_no_rate_is_refused(tpr: float) -> None:
    labels, scores = arrays([1, 0], [1.0, 0.0])
    for function in (fpr_at_tpr, threshold_at_tpr):
        with pytest.raises(ValueError, match="TPR"):
            function(labels, scores, tpr)


# ---------------------------------------------------------------- rates


def test_rates_by_hand() -> None:
    """Called positive at 2: 4, 2 (positives), 3, 2 (negatives); missed: 1; rightly refused: 0, -1."""
    labels, scores = arrays([1, 1, 1, 0, 0, 0, 0], [4.0, 2.0, 1.0, 3.0, 2.0, 0.0, -1.0])
    rates = rates_at(labels, scores, 2.0)
    assert rates == Rates(tp=2, fp=2, tn=2, fn=1)
    assert rates.tpr == pytest.approx(2 / 3)
    assert rates.fpr == 0.5
    assert rates.error == pytest.approx(3 / 7)
    assert rates.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert rates.weighted_rate(0.5) == pytest.approx(rates.balanced_accuracy)
    assert rates.weighted_rate(1.0) == pytest.approx(2 / 3)
    assert rates.weighted_rate(0.0) == 0.5
    assert rates.weighted_rate(0.9) == pytest.approx(0.9 * 2 / 3 + 0.1 * 0.5)


def test_rates_at_the_ends() -> None:
    labels, scores = arrays([1, 0, 0], [1.0, 0.0, 2.0])
    assert rates_at(labels, scores, -math.inf) == Rates(tp=1, fp=2, tn=0, fn=0)
    assert rates_at(labels, scores, math.inf) == Rates(tp=0, fp=0, tn=2, fn=1)
    assert all(type(n) is int for n in vars(rates_at(labels, scores, 1.0)).values())


# ---------------------------------------------------------------- bootstrap


class Recorder:
    """A generator that remembers what was drawn, so that the loops can count the same resamples."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.draws: list[NDArray[np.int64]] = []

    def integers(self, *args: Any, **kwargs: Any) -> NDArray[np.int64]:
        drawn: NDArray[np.int64] = self.generator.integers(*args, **kwargs)
        self.draws.append(drawn)
        return drawn


@pytest.mark.parametrize("grid", [None, 0.5], ids=["distinct", "tied"])
def test_bootstrap_equals_loops_over_the_same_resamples(grid: float | None) -> None:
    labels, scores = random_sample(5, positives=9, negatives=23, grid=grid)
    positives, negatives = scores[labels == 1], scores[labels == 0]
    tprs, thresholds = (0.95, 0.5), (float(scores[4]), 0.123, -50.0, 50.0)
    recorder: Any = Recorder(6)
    ours = bootstrap(labels, scores, tprs=tprs, thresholds=thresholds, generator=recorder, resamples=130)
    drawn_positives = np.concatenate([d for d in recorder.draws if d.shape[1] == 9])
    drawn_negatives = np.concatenate([d for d in recorder.draws if d.shape[1] == 23])
    assert len(drawn_positives) == len(drawn_negatives) == 130
    for r in range(130):
        values = [*positives[drawn_positives[r]].tolist(), *negatives[drawn_negatives[r]].tolist()]
        truth = [1] * 9 + [0] * 23
        assert ours.auc[r] == pytest.approx(references.auc(truth, values), abs=1e-12)
        for column, tpr in enumerate(tprs):
            assert ours.fpr_at_tpr[r, column] == pytest.approx(references.fpr_at_tpr(truth, values, tpr))
        for column, threshold in enumerate(thresholds):
            tp, fp, tn, fn = references.counts_at(truth, values, threshold)
            assert ours.tpr_at_threshold[r, column] == pytest.approx(tp / (tp + fn))
            assert ours.fpr_at_threshold[r, column] == pytest.approx(fp / (fp + tn))


def test_bootstrap_shapes_and_determinism() -> None:
    labels, scores = random_sample(7, positives=5, negatives=8)
    runs = [
        bootstrap(labels, scores, tprs=(), thresholds=(0.0,), generator=np.random.default_rng(seed), resamples=250)
        for seed in (1, 1, 2)
    ]
    assert runs[0].auc.shape == (250,)
    assert runs[0].fpr_at_tpr.shape == (250, 0)
    assert runs[0].tpr_at_threshold.shape == runs[0].fpr_at_threshold.shape == (250, 1)
    np.testing.assert_array_equal(runs[0].auc, runs[1].auc)
    assert not np.array_equal(runs[0].auc, runs[2].auc)


def test_bootstrap_has_the_exact_mean_and_variance_of_resampled_pairs() -> None:
    """E[AUC*] = AUC and Var[AUC*] = [(N-1) s10 + (P-1) s01 + s11] / (P N), s of the sample itself."""
    labels, scores = random_sample(8, positives=20, negatives=35, grid=0.25)
    gaps_PN = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    wins_PN = (gaps_PN > 0) + 0.5 * (gaps_PN == 0)
    s10, s01, s11 = wins_PN.mean(axis=1).var(), wins_PN.mean(axis=0).var(), wins_PN.var()
    expected = math.sqrt((34 * s10 + 19 * s01 + s11) / (20 * 35))
    drawn = bootstrap(labels, scores, tprs=(), thresholds=(0.5,), generator=np.random.default_rng(9), resamples=5000)
    assert float(drawn.auc.mean()) == pytest.approx(float(wins_PN.mean()), abs=4 * expected / math.sqrt(5000))
    assert float(drawn.auc.std()) == pytest.approx(expected, rel=0.05)
    tpr = rates_at(labels, scores, 0.5).tpr  # P * TPR* is binomial
    assert float(drawn.tpr_at_threshold.std()) == pytest.approx(math.sqrt(tpr * (1 - tpr) / 20), rel=0.05)
    assert float(drawn.tpr_at_threshold.mean()) == pytest.approx(tpr, abs=0.01)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """N(1, 1) against N(0, 1): AUC = Phi(1 / sqrt 2). 200 samples of 30 + 60; percentiles are a bit short."""
    truth = statistics.NormalDist().cdf(1 / math.sqrt(2))
    covered = 0
    for seed in range(200):
        labels, scores = random_sample(seed, positives=30, negatives=60)
        drawn = bootstrap(labels, scores, tprs=(), thresholds=(), generator=np.random.default_rng(seed), resamples=300)
        low, high = interval(drawn.auc)
        assert low < auc(labels, scores) < high
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_is_the_middle_95_percent() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx([25.0, 975.0])
    assert all(type(end) is float for end in interval(np.arange(5.0)))


def test_bootstrap_of_a_perfect_score_is_sure() -> None:
    labels, scores = arrays([1] * 10 + [0] * 20, [1.0] * 10 + [0.0] * 20)
    drawn = bootstrap(labels, scores, tprs=(0.98,), thresholds=(1.0,), generator=np.random.default_rng(0))
    assert interval(drawn.auc) == [1.0, 1.0]
    assert interval(drawn.fpr_at_tpr[:, 0]) == [0.0, 0.0]
    assert interval(drawn.tpr_at_threshold[:, 0]) == [1.0, 1.0]


# ---------------------------------------------------------------- equal scores, equal value


def numbers_of(labels: Any, scores: Any) -> list[float]:
    """Every number that is chosen or measured on one set of labels and scores."""
    curve = roc(labels, scores)
    counts = int((labels == 0).sum()), int((labels == 1).sum())
    thresholds = [curve.threshold_at(0.9), fpr_threshold(curve, 0.2)]
    thresholds += [cost_threshold(curve, class_counts=counts, cost_ratio=ratio) for ratio in (0.1, 1.0, 10.0)]
    rates = [rates_at(labels, scores, threshold) for threshold in thresholds]
    of_curve = [*curve.fpr, *curve.tpr, *curve.thresholds[1:], curve.fpr_at(0.9), curve.tpr_at(0.2)]
    of_scores = [auc(labels, scores), auprc(labels, scores)]
    return [*of_curve, *of_scores, *thresholds, *(value for each in rates for value in (each.tpr, each.fpr, each.f1))]


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_no_number_depends_on_the_order_of_equal_scores(levels: int, seed: int) -> None:
    """Positives first, positives last, and shuffled: the rows of equal scores are in another order each time."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(60) < 7).astype(np.int64)
    scores = generator.integers(levels, size=60) / 3.0
    expected = numbers_of(labels, scores)
    for order in (np.arange(60)[::-1], generator.permutation(60)):
        assert numbers_of(labels[order], scores[order]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, -1], ids=["positives first", "positives last"])
def test_a_constant_score_knows_nothing(order: int) -> None:
    """AUC 1/2, average precision = prior, FPR 1 at every TPR, TPR 0 at every FPR below 1; resampled too."""
    labels, scores = (np.arange(40) < 4).astype(np.int64)[::order], np.full(40, 0.3)
    assert (auc(labels, scores), auprc(labels, scores)) == (0.5, 0.1)
    assert [roc(labels, scores).fpr_at(tpr) for tpr in (0.01, 0.5, 1.0)] == [1, 1, 1]
    assert [roc(labels, scores).tpr_at(fpr) for fpr in (0.0, 0.5, 0.99)] == [0, 0, 0]
    generator = np.random.default_rng(1)
    drawn = bootstrap(labels, scores, tprs=(0.5,), thresholds=(0.3,), generator=generator, resamples=50)
    assert set(drawn.auc) == {0.5}
    assert set(drawn.fpr_at_tpr[:, 0]) == set(drawn.tpr_at_threshold[:, 0]) == {1.0}
