"""Numbers of samples that belong to groups: cases by hand, and how often intervals and promises hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import beta, norm

from utils.metrics.bootstrap import bootstrap
from utils.metrics.decisions import Decisions, decisions_of
from utils.metrics.groups import count_groups, effective_number, numbered, one_of_each
from utils.metrics.intervals import auc_interval, clopper_pearson, fpr_at_tpr_interval, rate_interval, roc_band
from utils.metrics.paired_tests import mcnemar_by_groups
from utils.metrics.promised_thresholds import Promise, np_threshold
from utils.metrics.scores import Scores
from utils.metrics.summary import EvaluationOptions, summary_with_intervals

OPTIONS = EvaluationOptions(
    tprs=(0.9,), alpha=0.5, default_threshold=0.0, fprs=(0.1,), cost_ratio=10.0, class_counts=(9, 1),
    promises=(Promise(0.9, 0.05),),
)  # fmt: skip
LABELS = np.array([1, 1, 1, 0, 0, 0, 0, 0])
SCORES = np.array([3.0, 1.0, 2.0, 0.0, 2.5, 0.5, 1.5, -1.0])


def scored(labels: np.ndarray, scores: np.ndarray, group: list[str] | None) -> Scores:
    rows = np.arange(len(labels))
    return Scores(rows, labels, scores, ["test"] * len(labels), labels, group=group)


def patients(rng: np.random.Generator, groups: int, *, shift: float, likeness: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of images of ``groups`` patients, 1, 2 or 8 each, and their patient's number."""
    group = np.repeat(np.arange(groups), rng.choice([1, 2, 8], size=groups))
    own, common = rng.normal(size=len(group)), rng.normal(size=groups)[group]
    return np.sqrt(likeness) * common + np.sqrt(1 - likeness) * own + shift, group


def test_a_sample_without_a_name_is_alone() -> None:
    assert numbered(["", "", ""]) is None
    found = numbered(["p", "", "p", ""])
    assert found is not None
    assert count_groups(found) == 3
    assert found[0] == found[2]


def test_effective_number_lies_between_one_and_the_number_of_groups() -> None:
    assert effective_number(np.repeat(np.arange(7), 3)) == pytest.approx(7)
    assert effective_number(np.array([5, 5, 5])) == 1
    assert effective_number(np.repeat([0, 1, 2], [8, 1, 1])) == pytest.approx(100 / 66)


def test_one_of_each_draws_every_sample_of_a_group_equally_often() -> None:
    groups, rng = np.array([0, 1, 1, 1, 0]), np.random.default_rng(0)
    counts = np.zeros(5)
    for _ in range(3000):
        drawn = one_of_each(groups, generator=rng)
        assert sorted(groups[drawn]) == [0, 1]
        counts[drawn] += 1
    assert counts / 3000 == pytest.approx(np.array([1 / 2, 1 / 3, 1 / 3, 1 / 3, 1 / 2]), abs=0.04)


def test_a_rate_counts_groups_by_hand() -> None:
    """3 of 4 images of 2 patients of 2 images: 1.5 of 2, from the Beta distribution."""
    called = np.array([True, True, True, False])
    low, high = rate_interval(called, groups=np.array([0, 0, 1, 1]))
    assert low == pytest.approx(beta.ppf(0.025, 1.5, 1.5))
    assert high == pytest.approx(beta.ppf(0.975, 2.5, 0.5))


def test_groups_of_one_sample_change_nothing() -> None:
    alone = np.arange(len(LABELS))
    assert rate_interval(LABELS == 1, groups=alone) == clopper_pearson(3, 8)
    assert roc_band(LABELS, SCORES, [0.5, 0.9], groups=alone) == roc_band(LABELS, SCORES, [0.5, 0.9])
    assert scored(LABELS, SCORES, [str(number) for number in alone]).groups is None


def test_copies_of_each_sample_change_no_interval() -> None:
    """Four copies of each image are no new evidence: the bands are those of the images once."""
    groups = np.repeat(np.arange(len(LABELS)), 4)
    labels, scores = np.repeat(LABELS, 4), np.repeat(SCORES, 4)
    copied = roc_band(labels, scores, [0.3, 0.5, 0.9], groups=groups)
    assert np.array(copied) == pytest.approx(np.array(roc_band(LABELS, SCORES, [0.3, 0.5, 0.9])), abs=1e-9)
    once = auc_interval(LABELS, SCORES, generator=np.random.default_rng(0), draws=4000)
    four = auc_interval(labels, scores, generator=np.random.default_rng(1), draws=4000, groups=groups)
    assert four == pytest.approx(once, abs=0.02)


def test_the_bootstrap_draws_whole_groups() -> None:
    """Two patients, each with a positive at 1 and a negative at 0, or the other way round: AUC 0, 1/2 or 1."""
    labels, scores = np.array([1, 0, 1, 0]), np.array([1.0, 0.0, 0.0, 1.0])
    drawn = bootstrap(
        labels, scores, tprs=(), thresholds=(), generator=np.random.default_rng(0), groups=np.array([0, 0, 1, 1])
    )
    values, counts = np.unique(drawn.auc, return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0]
    assert counts / 1000 == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_mcnemar_counts_each_group_once() -> None:
    lost, other = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 0, 0, 1, 0], dtype=bool)
    assert mcnemar_by_groups(lost, other, np.array([0, 0, 0, 0, 1])) == 1.0  # one group, one loss


def test_results_count_groups_and_say_so() -> None:
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(2):
        (high, first), (low, second) = (patients(rng, 60, shift=s, likeness=0.7) for s in (3.0, 0.0))
        labels = np.repeat([1, 0], [len(high), len(low)])
        names = [f"p{g}" for g in first] + [f"n{g}" for g in second]
        parts.append(scored(labels, np.concatenate([high, low]), names))
    validation, test = parts
    result = summary_with_intervals(validation, test, options=OPTIONS, generator=np.random.default_rng(0))
    alone = summary_with_intervals(
        *(dataclasses.replace(part, group=None) for part in parts), options=OPTIONS, generator=np.random.default_rng(0)
    )
    assert result["n_groups_positive"] == 60
    assert "n_groups_positive" not in alone
    assert result["auc"] == alone["auc"]
    assert np.ptp(result["auc_interval"]) > np.ptp(alone["auc_interval"])
    assert result["interval_methods"]["tpr_interval"] == "Clopper-Pearson, by groups"
    promise = result["promises"][0]
    assert (promise["n_positive"], promise["unit"]) == (60, "group")
    assert alone["promises"][0]["n_positive"] > 60
    decisions = decisions_of(result, validation={"n_positive": 1})
    assert "from 60 groups of validation positives" in decisions.thresholds[0].meaning
    assert Decisions.from_dict(decisions.as_dict()) == decisions


@pytest.mark.parametrize("likeness", [0.0, 0.5, 1.0])
def test_intervals_and_promises_hold_for_patients(likeness: float) -> None:
    """300 simulations: covered at least .95 - 2 SD, a promise missed at most .05 + 2 SD; without groups far off."""
    rng, count = np.random.default_rng([7, int(10 * likeness)]), 300
    mean = float(norm.ppf(0.9) * np.sqrt(2))
    truth = np.array([0.9, norm.sf(mean + norm.ppf(0.1)), norm.sf(1 - mean), norm.sf(1.5)])
    covered, plain, missed = np.zeros(4), np.zeros(4), 0
    for _ in range(count):
        (high, first), (low, second) = (
            patients(rng, 40, shift=mean, likeness=likeness),
            patients(rng, 80, shift=0, likeness=likeness),
        )
        labels, scores = np.repeat([1, 0], [len(high), len(low)]), np.concatenate([high, low])
        for groups, counts in ((np.concatenate([first, second + 40]), covered), (None, plain)):
            of = [None, None] if groups is None else [first, second]
            ends = [
                auc_interval(labels, scores, generator=rng, draws=200, groups=groups),
                fpr_at_tpr_interval(labels, scores, 0.9, groups=groups),
                rate_interval(high >= 1.0, groups=of[0]),
                rate_interval(low >= 1.5, groups=of[1]),
            ]
            counts += [low_end <= true <= high_end for (low_end, high_end), true in zip(ends, truth, strict=True)]
        threshold = np_threshold(high[one_of_each(first, generator=rng)], Promise(0.9, 0.05))
        assert threshold is not None
        missed += norm.sf(threshold - mean) < 0.9
    slack = 2 * np.sqrt(0.05 * 0.95 / count)
    assert (covered / count).min() >= 0.95 - slack
    assert missed / count <= 0.05 + slack
    if likeness == 1:
        assert (plain / count).max() < 0.85
