"""What is done with trained scores: thresholds, costs, calibration; against scikit-learn, slow definitions, by hand."""

from __future__ import annotations

import doctest
import importlib
import json
import math
import statistics
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import references
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from report_by_hand import STORED
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import det_curve, f1_score, matthews_corrcoef, precision_score, roc_curve

from utils.metrics.calibration import LEAST, MOST, calibration_error, fitted_temperature
from utils.metrics.roc import Rates, rates_at, roc
from utils.metrics.scores import Scores
from utils.metrics.summary import EvaluationOptions
from utils.metrics.thresholds import cost_threshold, fpr_threshold, prior_threshold, shown_threshold
from utils.run_files.results_json import seed_result
from utils.run_files.roc_png import roc_figure
from utils.run_files.scores_csv import read_scores

Sample = tuple[NDArray[np.int64], NDArray[np.float64]]
OPTIONS = EvaluationOptions(
    (0.98, 0.95, 0.9), 0.5, 0.0, fprs=(0.01, 0.05, 0.1), cost_ratio=10.0, class_counts=(111, 11)
)

samples = (
    st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=2, max_size=30)
    .filter(lambda pairs: len({label for label, _ in pairs}) == 2)
    .map(lambda pairs: arrays([label for label, _ in pairs], [score / 2 for _, score in pairs]))
)  # on a grid, so that scores tie
quick = settings(deadline=None, max_examples=100)


def arrays(labels: list[int], scores: list[float]) -> Sample:
    return np.array(labels, dtype=np.int64), np.array(scores, dtype=np.float64)


def gaussian_log_odds(seed: int, *, positives: int, negatives: int, prior: float) -> Sample:
    """Positives from N(2, 1), negatives from N(0, 1); log-odds of x under ``prior``: 2 x - 2 + those of it."""
    labels = np.repeat([1, 0], [positives, negatives])
    x = np.random.default_rng(seed).normal(size=len(labels)) + 2 * labels
    return labels, 2 * x - 2 + math.log(prior / (1 - prior))


@pytest.mark.parametrize("module", ["utils.metrics.thresholds", "utils.metrics.calibration"])
def test_doctests(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert (result.failed, result.attempted > 3) == (0, True)


# ---------------------------------------------------------------- at one threshold


@quick
@given(sample=samples, threshold=st.integers(-7, 7), cost_ratio=st.floats(0.01, 100))
def test_rates_against_scikit_learn(sample: Sample, threshold: int, cost_ratio: float) -> None:
    labels, scores = sample
    rates, called = rates_at(labels, scores, threshold / 2), (scores >= threshold / 2).astype(int)
    assert rates.precision == pytest.approx(precision_score(labels, called, zero_division=0))
    assert rates.f1 == pytest.approx(f1_score(labels, called, zero_division=0))
    assert rates.mcc == pytest.approx(matthews_corrcoef(labels, called))
    costs = [
        cost_ratio if label > call else float(label < call)
        for label, call in zip(labels.tolist(), called.tolist(), strict=True)
    ]
    assert rates.expected_cost(cost_ratio) == pytest.approx(statistics.fmean(costs))


def test_rates_by_hand() -> None:
    rates = Rates(tp=6, fp=2, tn=1, fn=3)
    assert rates.precision == 0.75
    assert rates.f1 == 12 / 17
    assert rates.mcc == (6 * 1 - 2 * 3) / math.sqrt(8 * 9 * 3 * 4)
    assert rates.expected_cost(10) == 32 / 12
    assert Rates(tp=4, fp=0, tn=5, fn=0).mcc == 1.0
    assert Rates(tp=0, fp=5, tn=0, fn=4).mcc == -1.0


@pytest.mark.parametrize("positives, negatives", [(3, 49), (44, 4410), (999_983, 1_000_003)])
def test_perfect_calls_have_a_correlation_of_exactly_one(positives: int, negatives: int) -> None:
    assert Rates(tp=positives, fp=0, tn=negatives, fn=0).mcc == 1.0
    assert Rates(tp=0, fp=negatives, tn=0, fn=positives).mcc == -1.0


@pytest.mark.parametrize(
    "kind, unit", [(np.uint8, 1), (np.int32, 10_000), (np.int64, 10**9), (float, 10**9)], ids=["u8", "i32", "i64", "f"]
)
def test_counts_of_numpy_do_not_overflow(kind: Any, unit: int) -> None:
    """TP = TN = 50, FP = FN = 5 units: (50 * 50 - 5 * 5) / 55^2 = 9/11, F1 100/110, error 10/110."""
    rates = Rates(tp=kind(50 * unit), fp=kind(5 * unit), tn=kind(50 * unit), fn=kind(5 * unit))
    assert rates.mcc == pytest.approx(9 / 11, rel=1e-15)
    assert (rates.f1, rates.tpr, rates.error) == (100 / 110, 50 / 55, 10 / 110)
    assert all(type(count) is int for count in vars(rates).values())


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a threshold must be a number or infinite, got NaN"):
        rates_at(np.array([0, 1]), np.array([0.0, 1.0]), math.nan)


def test_nothing_called_positive() -> None:
    rates = Rates(tp=0, fp=0, tn=7, fn=3)
    assert (rates.precision, rates.f1, rates.mcc, rates.expected_cost(10)) == (0.0, 0.0, 0.0, 3.0)


# ---------------------------------------------------------------- TPR at an FPR, and the thresholds


@quick
@given(sample=samples, fpr=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.5, 0.9, 1.0]))
def test_fpr_rule_equals_the_loop_and_scikit_learn(sample: Sample, fpr: float) -> None:
    labels, scores = sample
    curve = roc(labels, scores)
    kept = [
        threshold
        for threshold in sorted(set(scores.tolist()))
        for _, fp, tn, _ in [references.counts_at(labels.tolist(), scores.tolist(), threshold)]
        if Fraction(fp, fp + tn) <= Fraction(repr(fpr))
    ]
    found = fpr_threshold(curve, fpr)
    assert found == kept[0] if kept else max(scores) < found < max(scores) + 1e-9
    rates = rates_at(labels, scores, found)
    assert rates.fpr <= fpr
    assert curve.tpr_at(fpr) == rates.tpr
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert curve.tpr_at(fpr) == max(true[false <= fpr])
    false, missed, _ = det_curve(labels, scores)
    assert curve.tpr_at(fpr) == pytest.approx(1 - min(missed[false <= fpr], default=1.0))


@pytest.mark.parametrize("negatives, fpr, allowed", [(20, 0.05, 1), (100, 0.01, 1), (10, 0.1, 1), (19, 0.05, 0)])
def test_an_fpr_met_exactly_is_allowed(negatives: int, fpr: float, allowed: int) -> None:
    """Positives between the first, the second and the other negatives."""
    labels, scores = arrays([0, 1, 0, 1] + [0] * (negatives - 2), [9.0, 8.0, 7.0, 6.0] + [0.0] * (negatives - 2))
    assert roc(labels, scores).tpr_at(fpr) == allowed / 2
    assert fpr_threshold(roc(labels, scores), fpr) == (8.0 if allowed else math.nextafter(9.0, 10))


def test_a_limit_that_the_highest_scores_break() -> None:
    """The two highest of ten negatives tie with the highest positive: below an FPR of 0.2 nothing is called."""
    labels, scores = arrays([1, 0, 0, 1] + [0] * 8, [5.0, 5.0, 5.0, 4.0] + [0.0] * 8)
    curve = roc(labels, scores)
    assert (curve.tpr_at(0.19), curve.tpr_at(0.2)) == (0.0, 1.0)
    assert fpr_threshold(curve, 0.19) == math.nextafter(5.0, 6.0)
    assert fpr_threshold(curve, 0.2) == 4.0
    assert rates_at(labels, scores, fpr_threshold(curve, 0.19)) == Rates(tp=0, fp=0, tn=10, fn=2)


def cost_by_loop(labels: list[int], scores: list[float], cost_ratio: float) -> tuple[float, Fraction]:
    """The highest threshold of the least cost, and that cost; the ratio is the decimal that is meant."""
    ratio = Fraction(repr(cost_ratio))
    costs = []
    for threshold in [math.nextafter(max(scores), math.inf), *sorted(set(scores), reverse=True)]:
        _, fp, _, fn = references.counts_at(labels, scores, threshold)
        costs.append((ratio * fn + fp, -threshold))
    cost, negated = min(costs)
    return -negated, cost


@quick
@given(sample=samples, cost_ratio=st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.7, 1.0, 1.1, 2.0, 3.3, 10.0, 1e6]))
def test_cost_rule_equals_the_loop(sample: Sample, cost_ratio: float) -> None:
    labels, scores = sample
    counts = int((labels == 0).sum()), int(labels.sum())
    found = cost_threshold(roc(labels, scores), class_counts=counts, cost_ratio=cost_ratio)
    threshold, cost = cost_by_loop(labels.tolist(), scores.tolist(), cost_ratio)
    assert found == threshold
    assert rates_at(labels, scores, found).expected_cost(cost_ratio) == pytest.approx(float(cost / len(labels)))


def test_equal_costs_take_the_higher_threshold_though_they_round_apart() -> None:
    """At 9: 12 missed. At 8: 2 missed and an alarm. At a ratio of 1/10 both cost 1.2, but 0.1 * 12 > 0.1 * 2 + 1."""
    assert 0.1 * 12 > 0.1 * 2 + 1
    labels = [1] * 3 + [1] * 10 + [0] + [0] * 5 + [1] * 2
    scores = [9.0] * 3 + [8.0] * 11 + [7.0] * 5 + [6.0] * 2
    curve = roc(*arrays(labels, scores))
    assert cost_threshold(curve, class_counts=(6, 15), cost_ratio=0.1) == 9.0
    assert cost_threshold(curve, class_counts=(6, 15), cost_ratio=0.11) == 8.0


def test_nothing_is_called_where_that_costs_least() -> None:
    labels, scores = arrays([0, 0, 0, 1], [4.0, 3.0, 2.0, 1.0])
    found = cost_threshold(roc(labels, scores), class_counts=(3, 1), cost_ratio=2.0)
    assert found == math.nextafter(4.0, 5.0)
    assert cost_threshold(roc(labels, scores), class_counts=(3, 1), cost_ratio=3.5) == 1.0


def test_another_class_mix_in_use_is_another_cost_ratio() -> None:
    """The rule with cost_ratio (pi / P) / ((1 - pi) / N) has the least cost_ratio pi (1 - TPR) + (1 - pi) FPR."""
    labels, scores = gaussian_log_odds(0, positives=40, negatives=60, prior=0.4)
    curve, pi, ratio = roc(labels, scores), 0.02, 30.0
    corrected = ratio * (pi / 40) / ((1 - pi) / 60)
    found = rates_at(labels, scores, cost_threshold(curve, class_counts=(60, 40), cost_ratio=corrected))
    costs = ratio * pi * (1 - curve.tpr) + (1 - pi) * curve.fpr
    assert ratio * pi * (1 - found.tpr) + (1 - pi) * found.fpr == pytest.approx(costs.min())
    plain = rates_at(labels, scores, cost_threshold(curve, class_counts=(60, 40), cost_ratio=ratio))
    assert ratio * pi * (1 - plain.tpr) + (1 - pi) * plain.fpr > costs.min() + 0.1


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30, unique=True),
    st.sampled_from([1.0, 1e-3, 1e-12, 1e-300]),
    st.floats(-3, 3),
)
def test_a_shown_threshold_typed_in_again_gives_the_same_decisions(
    scores: list[float], scale: float, offset: float
) -> None:
    values = offset + scale * np.array(scores)  # close together at a small scale
    for threshold in [*values.tolist(), offset, math.nextafter(values.max(), math.inf)]:
        again = float(shown_threshold(threshold, values[::2], values[1::2]))
        assert ((values >= again) == (values >= threshold)).all()


@pytest.mark.parametrize(
    "threshold, scores, shown",
    [
        (-23.84567, [0.0], "-23.85"),  # to the nearest, as nothing lies between
        (-23.84432, [-23.84432], "-23.85"),  # downwards: -23.84 would miss the sample
        (-23.84432, [-23.84432, -23.8447], "-23.8444"),  # -23.85, -23.844 and -23.845 would each call one wrong
        (0.0, [0.0, -1e-300], "0"),
        (123456.0, [123456.0, 123455.5], "123456"),
        (1 / 3, [1 / 3, math.nextafter(1 / 3, 0)], repr(1 / 3)),
    ],
)
def test_a_shown_threshold_has_no_more_digits_than_it_needs(threshold: float, scores: list[float], shown: str) -> None:
    assert shown_threshold(threshold, np.array(scores)) == shown


def test_the_prior_rule_restores_balanced_accuracy() -> None:
    """Log-odds of a model of 1:100 on a balanced set: at 0 most positives are missed; no cut beats the prior's."""
    labels, scores = gaussian_log_odds(1, positives=4000, negatives=4000, prior=1 / 101)
    curve = roc(labels, scores)
    best = float(((curve.tpr + 1 - curve.fpr) / 2).max())
    moved = rates_at(labels, scores, prior_threshold((100, 1)))
    assert best - 0.01 <= moved.balanced_accuracy <= best
    assert moved.balanced_accuracy == pytest.approx(statistics.NormalDist().cdf(1), abs=0.015)  # half of the distance
    assert rates_at(labels, scores, 0.0).balanced_accuracy < best - 0.2


@quick
@given(negatives=st.integers(1, 10_000), positives=st.integers(1, 10_000), score=st.floats(-12, 12))
def test_the_prior_rule_compares_the_posterior_with_the_prior(negatives: int, positives: int, score: float) -> None:
    prior, posterior = positives / (positives + negatives), 1 / (1 + math.exp(-score))
    if abs(posterior - prior) > 1e-12:
        assert (score >= prior_threshold((negatives, positives))) == (posterior >= prior)


# ---------------------------------------------------------------- calibration


def mean_nll(labels: NDArray[np.int64], scores: NDArray[np.float64], temperature: float) -> float:
    margins = np.where(labels == 1, scores, -scores)
    return float(np.logaddexp(0, -margins / temperature).mean())


@quick
@given(sample=samples)
def test_temperature_has_the_least_loss(sample: Sample) -> None:
    labels, scores = sample
    found = fitted_temperature(labels, scores)
    least = mean_nll(labels, scores, found.value)
    others = [*np.logspace(-6, 6, 97), found.value * 1.01, found.value / 1.01]
    inside = [other for other in others if LEAST <= other <= MOST]
    assert least <= min(mean_nll(labels, scores, other) for other in inside) + 1e-12
    margins = np.where(labels == 1, scores, -scores)  # multiples of 1/2: the sums are exact
    assert found.at_bound == (margins.sum() <= 0 or margins.min() >= 0)
    if found.at_bound:
        assert found.value == (MOST if margins.sum() <= 0 else LEAST)


@pytest.mark.parametrize("seed", range(3))
def test_temperature_equals_a_logistic_regression_without_intercept(seed: int) -> None:
    labels, scores = gaussian_log_odds(seed, positives=60, negatives=200, prior=0.1)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(scores[:, None], labels)
    found = fitted_temperature(labels, scores)
    assert 1 / found.value == pytest.approx(float(fitted.coef_[0, 0]), rel=1e-4)
    for factor in (1e-3, 30.0, 1e4):
        assert fitted_temperature(labels, factor * scores).value == pytest.approx(factor * found.value, rel=1e-9)


def test_temperature_of_extreme_scores_is_defined() -> None:
    labels = np.array([1, 0, 1, 0, 0])
    huge = [8e307, -8e307, 1.0, 8e307, 0.0], [8e307, -8e307, 8e307, -1.0, -1.0]
    for scores in (*huge, [5e-324, 0.0, 0.0, 0.0, 0.0], [0.0] * 5, [1e4, 1e4, -1e4, 0, 1]):
        found = fitted_temperature(labels, np.array(scores))
        assert LEAST <= found.value <= MOST
        assert 0 <= calibration_error(labels, np.array(scores), temperature=found.value) <= 1


def test_temperature_mends_scores_that_are_too_sure() -> None:
    """Log-odds of the set's own prior are calibrated; three times as large they are not, and T = 3 takes that back."""
    labels, scores = gaussian_log_odds(2, positives=4000, negatives=16000, prior=0.2)
    assert calibration_error(labels, scores) < 0.01
    found = fitted_temperature(labels, 3 * scores)
    assert found.value == pytest.approx(3, rel=0.05)
    assert calibration_error(labels, 3 * scores) > 0.02
    assert calibration_error(labels, 3 * scores, temperature=found.value) < 0.01


def test_temperature_cannot_mend_another_prior() -> None:
    """The posterior of a model of 1:100 is too low on a balanced set; what was missing is the prior, not a scale."""
    labels, scores = gaussian_log_odds(3, positives=4000, negatives=4000, prior=1 / 101)
    found = fitted_temperature(labels, scores)
    assert calibration_error(labels, scores) > 0.3
    assert calibration_error(labels, scores, temperature=found.value) > 0.1
    assert calibration_error(labels, scores + math.log(100)) < 0.02


def error_by_loop(labels: list[int], probabilities: list[float], bins: int) -> float:
    """Bin by bin: [0, 1/bins], (1/bins, 2/bins], ..."""
    total = 0.0
    for number in range(bins):
        low, high = -1.0 if number == 0 else number / bins, (number + 1) / bins
        inside = [(y, p) for y, p in zip(labels, probabilities, strict=True) if low < p <= high]
        if inside:
            gap = statistics.fmean(y for y, _ in inside) - statistics.fmean(p for _, p in inside)
            total += len(inside) / len(labels) * abs(gap)
    return total


@quick
@given(sample=samples, bins=st.sampled_from([1, 2, 10, 15]), temperature=st.sampled_from([0.3, 1.0, 7.0]))
def test_calibration_error_equals_the_loop_and_scikit_learn(sample: Sample, bins: int, temperature: float) -> None:
    labels, scores = sample
    found = calibration_error(labels, scores, temperature=temperature, bins=bins)
    probabilities = 1 / (1 + np.exp(-scores / temperature))
    assert found == pytest.approx(error_by_loop(labels.tolist(), probabilities.tolist(), bins), abs=1e-12)
    shares, means = calibration_curve(labels, probabilities, n_bins=bins)
    counts, _ = np.histogram(-probabilities, bins=-np.linspace(0, 1, bins + 1)[::-1])  # negated: open on the other side
    weights = counts[::-1][counts[::-1] > 0] / len(labels)
    assert found == pytest.approx(float((weights * np.abs(shares - means)).sum()), abs=1e-12)


def test_a_probability_on_an_edge_belongs_below() -> None:
    """p = 1/2 and p = 0 share the lower of two bins; the upper has p = 1 with y = 0."""
    labels, scores = arrays([1, 0, 0], [0.0, -800.0, 800.0])
    assert calibration_error(labels, scores, bins=2) == pytest.approx((0.5 + 1) / 3)
    labels, scores = arrays([1, 1, 0], [0.0, -800.0, 800.0])
    assert calibration_error(labels, scores, bins=2) == pytest.approx((0.5 + 1 + 1) / 3)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda y, s: prior_threshold((5, 0)), "each >= 1, got \\(5, 0\\)"),
        (lambda y, s: prior_threshold((0, 5)), "each >= 1"),
        *(
            (lambda y, s, r=ratio: cost_threshold(roc(y, s), class_counts=(1, 1), cost_ratio=r), "cost_ratio must be")
            for ratio in (0.0, -1.0, math.nan, math.inf)
        ),
        *((lambda y, s, f=fpr: fpr_threshold(roc(y, s), f), "FPR must be in") for fpr in (-0.1, 1.1, math.nan)),
        (lambda y, s: roc(y, s).tpr_at(2.0), "FPR must be in"),
        *(
            (lambda y, s, t=t: calibration_error(y, s, temperature=t), "temperature must be")
            for t in (0.0, -1.0, math.nan, math.inf)
        ),
        (lambda y, s: calibration_error(y, s, bins=0), "bins must be >= 1, got 0"),
        (lambda y, s: calibration_error(y * 2, s), "0 and 1"),
        (lambda y, s: calibration_error(y, s / 0), "finite"),
        (lambda y, s: fitted_temperature(y, s[:1]), "shape"),
        (lambda y, s: fitted_temperature(y * 0, s), "0 and 1"),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(ValueError, match=message):
        call(*arrays([1, 0], [1.0, -1.0]))


# ---------------------------------------------------------------- the blocks of results.json


def scores_of(labels: NDArray[np.int64], score: NDArray[np.float64]) -> Scores:
    index = np.arange(len(labels))
    return Scores(index, labels, score, ["test"] * len(index), labels)


@pytest.mark.parametrize("run", ["bce", "bce_alm"])
def test_the_numbers_that_were_there_keep_every_bit(run: str) -> None:
    """Those that are stored, against later changes; whether they are right is tested elsewhere."""
    stored = json.loads((STORED / run / "results.json").read_text())
    for seed, expected in stored["seeds"].items():
        parts = {part: read_scores(STORED / run / f"seed{seed}" / f"{part}.csv") for part in ("validation", "test")}
        found = seed_result(**parts, options=OPTIONS, stream="bootstrap", seed=int(seed))
        for part in parts:
            for key, value in expected[part].items():
                ours = found[part][key]
                if key == "at_default_threshold":
                    ours = {name: ours[name] for name in value}
                assert ours == value, (part, key)


def test_a_seeds_blocks_by_hand() -> None:
    """Validation and test of four positives and four negatives each, thresholds read off by eye."""
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    validation = scores_of(labels, np.array([4.0, 3.0, 2.0, -1.0, 2.5, 0.0, -2.0, -3.0]))
    test = scores_of(labels, np.array([3.5, 2.5, 1.0, -0.5, 3.0, 1.5, -0.5, -4.0]))
    options = EvaluationOptions((0.75,), 0.5, 0.0, fprs=(0.3,), cost_ratio=3.0, class_counts=(30, 10))
    block = seed_result(validation, test, options=options, stream="bootstrap", seed=1)["test"]
    assert block["tpr_at_fpr"] == {"0.3": 0.5}  # 3.5, 3.0 (an alarm), 2.5; 1.5 would be the second
    assert block["error_at_fpr"] == {"0.3": 3 / 8}
    assert block["at_default_threshold"]["expected_cost"] == (3 * 1 + 2) / 8
    prior, cost, at_fpr = block["thresholds"]
    assert (prior["target"], prior["threshold"]) == (0.25, pytest.approx(-math.log(3)))
    assert [prior[key] for key in ("tp", "fp", "tn", "fn")] == [4, 3, 1, 0]
    assert (cost["target"], cost["threshold"]) == (3.0, -1.0)  # two alarms; 2.0 has one alarm and one missed: 4
    assert cost["expected_cost"] == 3 / 8
    assert (at_fpr["target"], at_fpr["threshold"], at_fpr["fpr"], at_fpr["tpr"]) == (0.3, 2.0, 0.25, 0.5)
    assert (at_fpr["precision"], at_fpr["f1"]) == (2 / 3, 4 / 7)
    json.dumps(block, allow_nan=False)


def test_cost_and_temperature_are_of_the_validation_set_whatever_its_class_mix() -> None:
    validation, test = (
        scores_of(*gaussian_log_odds(seed, positives=positives, negatives=negatives, prior=0.3))
        for seed, positives, negatives in ((5, 20, 70), (6, 50, 40))
    )
    options = replace(OPTIONS, cost_ratio=1.0)
    block = seed_result(validation, test, options=options, stream="bootstrap", seed=1)["test"]
    expected, _ = cost_by_loop(validation.label.tolist(), validation.score.tolist(), 1.0)
    assert block["thresholds"][1]["threshold"] == expected
    fitted = fitted_temperature(validation.label, validation.score)
    assert (block["calibration"]["temperature"], block["calibration"]["at_bound"]) == (fitted.value, False)
    assert block["calibration"]["error"] == calibration_error(test.label, test.score)
    scaled = calibration_error(test.label, test.score, temperature=fitted.value)
    assert block["calibration"]["error_scaled"] == scaled


def test_separated_validation_scores_are_said_to_have_no_temperature() -> None:
    labels = np.array([1, 1, 0, 0])
    perfect = scores_of(labels, np.array([2.0, 1.0, -1.0, -2.0]))
    block = seed_result(perfect, perfect, options=OPTIONS, stream="bootstrap", seed=1)["test"]["calibration"]
    assert (block["temperature"], block["at_bound"], block["bins"]) == (1e-6, True, 15)
    assert (block["error"] > 0.1, block["error_scaled"]) == (True, 0.0)
    useless = scores_of(labels, np.zeros(4))
    block = seed_result(useless, useless, options=OPTIONS, stream="bootstrap", seed=1)["test"]
    assert block["calibration"]["at_bound"]
    json.dumps(block, allow_nan=False)  # thresholds above all scores are numbers too


def test_the_default_threshold_is_marked_on_the_roc() -> None:
    labels, score = gaussian_log_odds(4, positives=30, negatives=50, prior=0.1)
    test = scores_of(labels, score)
    result = seed_result(test, test, options=OPTIONS, stream="bootstrap", seed=1)
    figure = roc_figure({1: test}, test, result, title="run")
    expected = rates_at(labels, score, 0.0)
    whole, corner = figure.axes
    for axes in (whole, corner):
        (marked,) = (line for line in axes.lines if line.get_label() == "default threshold")
        assert marked.get_marker() == "D"
        shown = [tuple(point) for point in np.asarray(marked.get_xydata()).tolist()]
        outside = axes is corner and expected.tpr < axes.get_ylim()[0]
        assert shown == ([] if outside else [(expected.fpr, expected.tpr)])
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert "default threshold" in [text.get_text() for text in legend.get_texts()]
