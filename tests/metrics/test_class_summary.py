"""The numbers of a set with K classes: a case worked by hand, and scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from utils.errors import UserError
from utils.metrics.class_summary import ClassEvaluation, class_summary, class_summary_with_intervals, decided
from utils.metrics.over_seeds import combined_classes, sample_deviation
from utils.metrics.promised_thresholds import Promise
from utils.metrics.scores import ClassScores, averaged_classes
from utils.metrics.summary import EvaluationOptions

NAMES = ("cat", "dog", "lynx")


def evaluation(*critical: str, counts: tuple[int, ...] = (200, 50, 10)) -> ClassEvaluation:
    options = EvaluationOptions(
        tprs=(1.0, 0.5),
        alpha=0.5,
        default_threshold=0.0,
        fprs=(0.1,),
        cost_ratio=10.0,
        class_counts=(100, 10),
        promises=(Promise(0.5, 0.05), Promise(0.99, 0.05)),
    )
    return ClassEvaluation(NAMES, counts, dict.fromkeys(critical, options))


def scored(labels: Any, outputs: Any, critical: tuple[int, ...] = (2,), **more: Any) -> ClassScores:
    outputs = np.asarray(outputs, dtype=np.float64)
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    labels = np.asarray(labels, dtype=np.int64)
    return ClassScores(
        index=np.arange(len(labels)),
        label=labels,
        outputs=outputs,
        scores=np.log(shares / (1 - shares))[:, list(critical)],
        split=["test"] * len(labels),
        original_class=labels,
        names=NAMES,
        critical=critical,
        **more,
    )


def drawn(n: int, seed: int, critical: tuple[int, ...] = (2,)) -> ClassScores:
    stream = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), stream.integers(0, 3, n - 3)])
    return scored(labels, stream.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels], critical)


# one cat of two right, the dog right, one lynx of two right
BY_HAND = scored([0, 0, 1, 2, 2], [[2, 0, 0], [0, 1, 0], [0, 3, 0], [0, 0, 4], [1, 0, 0.5]])


def test_a_case_by_hand() -> None:
    found = class_summary(BY_HAND, options=evaluation("lynx"))
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert found["accuracy"] == 3 / 5
    assert found["recall"] == {"cat": 0.5, "dog": 1.0, "lynx": 0.5}
    assert found["balanced_accuracy"] == pytest.approx(2 / 3)
    assert found["shots"] == {"many": 0.5, "medium": 1.0, "few": 0.5}
    assert (found["n"], found["n_of_class"]) == (5, {"cat": 2, "dog": 1, "lynx": 2})
    assert found["critical"]["lynx"]["n_positive"] == 2
    # log-odds of lynx: -log(e^2 + 1), -log(1 + e), -log(1 + e^3), 4 - log 2, .5 - log(1 + e): both above the others
    assert found["critical"]["lynx"]["auc"] == 1.0


def test_the_decisions_of_a_case_by_hand() -> None:
    """Just below the lower lynx both are called, and none of the others; the rest is the best of the others."""
    low = 0.5 - np.log(1 + np.e) - 1e-9
    found = decided(BY_HAND, [low], options=evaluation("lynx"))
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 2]]
    assert found["recall"]["lynx"] == 1.0
    assert found["error_of_others"] == pytest.approx(1 / 3)
    everything = decided(BY_HAND, [-100.0], options=evaluation("lynx"))
    assert everything["confusion"] == [[0, 0, 2], [0, 0, 1], [0, 0, 2]]
    assert everything["error_of_others"] == 1.0


@pytest.mark.parametrize("critical", [(2,), (0, 2), (0, 1, 2)])
def test_numbers_equal_those_of_scikit_learn(critical: tuple[int, ...]) -> None:
    options = evaluation(*(NAMES[label] for label in critical))
    scores = drawn(300, 1, critical)
    found = class_summary(scores, options=options)
    predicted = scores.outputs.argmax(axis=1)
    assert found["accuracy"] == accuracy_score(scores.label, predicted)
    assert found["confusion"] == confusion_matrix(scores.label, predicted).tolist()
    shares = np.exp(scores.outputs) / np.exp(scores.outputs).sum(axis=1, keepdims=True)
    assert found["auc"] == pytest.approx(roc_auc_score(scores.label, shares, multi_class="ovr"))
    for label in critical:
        expected = roc_auc_score(scores.label == label, shares[:, label])
        assert found["critical"][NAMES[label]]["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("critical", [("lynx",), ("cat", "lynx"), NAMES])
def test_thresholds_come_from_validation_and_are_counted_on_test(critical: tuple[str, ...]) -> None:
    options = evaluation(*critical)
    validation, test = (drawn(n, seed, options.labels) for n, seed in ((80, 2), (300, 3)))
    generator = np.random.default_rng(0)
    found = class_summary_with_intervals(validation, test, options=options, generator=generator)
    points = {(point["rule"], point["tpr"]): point for point in found["decisions"]}
    assert set(points) == {("plug-in", 1.0), ("plug-in", 0.5), ("NP", 0.5)}  # for TPR .99 there are too few
    for (_, tpr), point in points.items():
        for column, name in enumerate(critical):
            own = validation.scores[validation.label == options.labels[column], column]
            assert (own >= point["thresholds"][name]).mean() >= tpr
    for point in points.values():
        assert ("error_of_others" in point) == (len(critical) < 3)
        expected = decided(test, list(point["thresholds"].values()), options=options)
        assert {name: point[name] for name in expected} == expected


def test_each_critical_class_has_the_intervals_of_a_task_of_its_own() -> None:
    """Whatever the order of the classes: the second must not draw on from where the first has stopped."""
    found = {}
    for critical in (("cat", "lynx"), ("lynx", "cat")):
        options = evaluation(*critical)
        scores = drawn(200, 4, options.labels)
        block = class_summary_with_intervals(scores, scores, options=options, generator=np.random.default_rng(0))
        found[critical] = {name: block["critical"][name]["auc_interval"] for name in critical}
    assert found["cat", "lynx"] == found["lynx", "cat"]


def test_intervals_are_clopper_and_pearsons() -> None:
    options, test = evaluation("lynx"), drawn(120, 5)
    found = class_summary_with_intervals(test, test, options=options, generator=np.random.default_rng(0))
    right = int((test.outputs.argmax(axis=1) == test.label).sum())
    expected = [beta.ppf(0.025, right, 120 - right + 1), beta.ppf(0.975, right + 1, 120 - right)]
    assert found["accuracy_interval"] == pytest.approx(expected)
    of_cats = test.label == 0
    right, n = int((test.outputs.argmax(axis=1) == 0)[of_cats].sum()), int(of_cats.sum())
    expected = [beta.ppf(0.025, right, n - right + 1), beta.ppf(0.975, right + 1, n - right)]
    assert found["recall_interval"]["cat"] == pytest.approx(expected)


def test_groups_widen_the_intervals() -> None:
    """Ten patients with twelve images each, all of which are right or wrong together."""
    labels = np.arange(120) % 3
    is_right = np.repeat(np.arange(10) < 6, 12)
    outputs = 3.0 * np.eye(3)[np.where(is_right, labels, (labels + 1) % 3)]
    alone = scored(labels, outputs)
    grouped = replace(alone, path=["x"] * 120, group=[str(i // 12) for i in range(120)])
    options = evaluation("lynx")
    widths = []
    for scores in (alone, grouped):
        found = class_summary_with_intervals(scores, scores, options=options, generator=np.random.default_rng(0))
        low, high = found["accuracy_interval"]
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_mean_and_deviation_over_the_seeds() -> None:
    options = evaluation("cat", "lynx")
    blocks = []
    for seed in (1, 2, 3):
        scores = drawn(200, seed, options.labels)
        block = {
            "validation": class_summary(scores, options=options),
            "test": class_summary_with_intervals(scores, scores, options=options, generator=np.random.default_rng(0)),
        }
        blocks.append(block)
    mean, std = (combined_classes(blocks, how) for how in (lambda values: float(np.mean(values)), sample_deviation))
    for path in (("accuracy",), ("recall", "dog"), ("shots", "few"), ("critical", "lynx", "fpr_at_tpr", "0.5")):
        values: list[Any] = [block["test"] for block in blocks]
        ours, theirs = mean["test"], std["test"]
        for step in path:
            values, ours, theirs = [value[step] for value in values], ours[step], theirs[step]
        assert (ours, theirs) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    errors = [block["test"]["decisions"][0]["error_of_others"] for block in blocks]
    assert mean["test"]["decisions"][0]["error_of_others"] == pytest.approx(np.mean(errors))
    assert combined_classes(blocks[:1], sample_deviation)["test"]["accuracy"] is None


def test_the_ensemble_has_the_mean_of_outputs_and_scores() -> None:
    first, second = (scored([0, 1, 2], np.random.default_rng(seed).normal(size=(3, 3))) for seed in (1, 2))
    found = averaged_classes([first, second])
    assert np.allclose(found.outputs, (first.outputs + second.outputs) / 2)
    assert np.allclose(found.scores, (first.scores + second.scores) / 2)
    with pytest.raises(UserError, match="different samples"):
        averaged_classes([first, replace(second, label=np.array([1, 0, 2]))])


def test_a_view_is_the_class_against_the_rest() -> None:
    scores = drawn(20, 4, (2, 0))
    views = scores.views
    assert list(views) == ["lynx", "cat"]
    assert views["cat"].label.tolist() == (scores.label == 0).astype(int).tolist()
    assert views["cat"].score.tolist() == scores.scores[:, 1].tolist()
