"""Numbers of K classes: against scikit-learn, loops, and by hand."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from sklearn import metrics

from utils.losses import BCE
from utils.metrics import multiclass as module
from utils.metrics.multiclass import (
    AtRecall,
    accuracy,
    at_recall,
    balanced_accuracy,
    confusion_matrix,
    decide,
    error_of_others,
    log_odds,
    macro_auc,
    recalls,
    shot_accuracies,
    thresholds_at,
)

K = 6


def drawn(seed: int, *, size: int = 400, classes: int = K) -> tuple[Any, Any]:
    """Labels of a long tail, every class among them, and outputs that know a little of them, with ties."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, classes + 1)
    labels = np.concatenate([np.arange(classes), rng.choice(classes, size - classes, p=shares / shares.sum())])
    outputs = rng.normal(size=(size, classes)).round(1) + 1.5 * np.eye(classes)[labels]
    return labels, outputs


@pytest.mark.parametrize("seed", range(3))
def test_what_scikit_learn_knows(seed: int) -> None:
    labels, outputs = drawn(seed)
    predicted = outputs.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, classes=K)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(labels, predicted, labels=range(K)))
    assert accuracy(matrix) == metrics.accuracy_score(labels, predicted)
    assert balanced_accuracy(matrix) == pytest.approx(metrics.balanced_accuracy_score(labels, predicted), rel=1e-12)
    np.testing.assert_allclose(recalls(matrix), metrics.recall_score(labels, predicted, average=None), rtol=1e-12)
    outputs = outputs + np.random.default_rng(seed).normal(size=outputs.shape)  # rounding tells equal sums apart
    theirs = metrics.roc_auc_score(labels, softmax(outputs, axis=1), multi_class="ovr", average="macro")
    assert macro_auc(labels, outputs) == pytest.approx(theirs, abs=1e-12)


def test_a_class_without_samples_has_no_recall_and_does_not_count_in_the_balanced_accuracy() -> None:
    matrix = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), classes=3)
    assert recalls(matrix)[[0, 2]].tolist() == [0.5, 1.0]
    assert math.isnan(recalls(matrix)[1])
    assert balanced_accuracy(matrix) == 0.75
    assert shot_accuracies(matrix, [500, 50, 5]) == {"many": 0.5, "medium": None, "few": 1.0}


def test_many_medium_and_few() -> None:
    """101 is many, 100 and 20 are medium, 19 is few."""
    matrix = np.diag([4, 3, 2, 1]) + np.diag([0, 1, 2], k=1)
    found = shot_accuracies(matrix, [101, 100, 20, 19])
    assert found == {"many": 1.0, "medium": (3 / 4 + 2 / 4) / 2, "few": 1.0}
    assert shot_accuracies(matrix, [101, 100, 20, 19], many=50, few=50) == {
        "many": (1.0 + 3 / 4) / 2,
        "medium": None,
        "few": (2 / 4 + 1.0) / 2,
    }


def test_log_odds_are_those_of_the_loss_and_exact_far_away() -> None:
    _, outputs = drawn(1)
    critical = (4, 0)
    expected = BCE(classes=K, critical=critical).score(torch.from_numpy(outputs)).numpy()
    np.testing.assert_allclose(log_odds(outputs, critical), expected, rtol=1e-12, atol=1e-12)
    for row, own in ((0, 4), (7, 0)):
        rest = logsumexp(np.delete(outputs[row], own))
        assert log_odds(outputs, [own])[row, 0] == pytest.approx(outputs[row, own] - rest, rel=1e-12)
    assert log_odds(np.array([[1e4, 0.0, -1e4]]), (0, 2)).tolist() == [[1e4, -2e4]]


# ---------------------------------------------------------------- the decision rule


def decided_by_loops(outputs: Any, scores: Any, critical: list[int], thresholds: list[float]) -> list[int]:
    found = []
    for z, s in zip(outputs.tolist(), scores.tolist(), strict=True):
        reached = [(s[i] - thresholds[i], -i) for i in range(len(critical)) if s[i] >= thresholds[i]]
        others = [(z[c], -c) for c in range(len(z)) if c not in critical]
        if reached:
            found.append(critical[-max(reached)[1]])
        else:
            found.append(-max(others)[1])
    return found


@pytest.mark.parametrize("critical", [[5], [3, 1], [4, 0, 2]])
def test_the_decision_rule_is_that_of_the_loops(critical: list[int]) -> None:
    labels, outputs = drawn(2)
    scores = log_odds(outputs, critical)
    thresholds = [-1.5, 0.25, -0.5][: len(critical)]
    predicted = decide(outputs, scores, critical=critical, thresholds=thresholds)
    assert predicted.tolist() == decided_by_loops(outputs, scores, critical, thresholds)
    assert len(set(predicted.tolist())) == K
    wrong = [p != y for p, y in zip(predicted.tolist(), labels.tolist(), strict=True) if y not in critical]
    assert error_of_others(labels, predicted, critical=critical) == pytest.approx(sum(wrong) / len(wrong), rel=1e-12)


def test_with_two_classes_the_rule_is_a_threshold() -> None:
    _, outputs = drawn(3, classes=2)
    scores = log_odds(outputs, [1])
    np.testing.assert_allclose(scores[:, 0], outputs[:, 1] - outputs[:, 0], rtol=1e-12, atol=1e-12)
    predicted = decide(outputs, scores, critical=[1], thresholds=[0.75])
    np.testing.assert_array_equal(predicted, scores[:, 0] >= 0.75)


def test_where_every_class_is_critical_the_largest_excess_decides() -> None:
    outputs = np.zeros((2, 2))
    scores = np.array([[-3.0, -2.0], [1.0, 1.5]])
    assert decide(outputs, scores, critical=[0, 1], thresholds=[-0.5, 1.0]).tolist() == [0 if -2.5 > -3 else 1, 0]


@pytest.mark.parametrize("tpr", [0.8, 0.95, 1.0])
def test_the_thresholds_of_a_recall_reach_it_and_the_next_ones_do_not(tpr: float) -> None:
    labels, outputs = drawn(4)
    critical = [5, 2]
    scores = log_odds(outputs, critical)
    found = thresholds_at(labels, scores, critical=critical, tpr=tpr)
    for column, (own, threshold) in enumerate(zip(critical, found, strict=True)):
        of_class = scores[labels == own, column]
        assert (of_class >= threshold).mean() >= tpr
        assert (of_class > threshold).mean() < tpr
    point = at_recall(labels, outputs, scores, critical=critical, tpr=tpr)
    predicted = decide(outputs, scores, critical=critical, thresholds=found)
    assert point == AtRecall(
        tpr,
        found,
        tuple(float((predicted[labels == own] == own).mean()) for own in critical),
        error_of_others(labels, predicted, critical=critical),
    )


def test_thresholds_may_come_from_another_set() -> None:
    labels, outputs = drawn(5)
    scores = log_odds(outputs, [5])
    point = at_recall(labels, outputs, scores, critical=[5], tpr=0.9, thresholds=[-1e9])
    assert (point.recalls, point.error_of_others) == ((1.0,), 1.0)  # everything is called class 5


# ---------------------------------------------------------------- what is refused


def test_doctests() -> None:
    found = doctest.testmod(module)
    assert (found.failed, bool(found.attempted)) == (0, True)


def test_what_is_refused_is_told() -> None:
    labels, outputs = drawn(6)
    with pytest.raises(ValueError, match=r"labels must be classes 0\.\.1, got \[0, 1, 2, 3, 4\]"):
        confusion_matrix(labels, labels, classes=2)
    with pytest.raises(ValueError, match=r"decisions must be classes 0\.\.5, got \[0.5\]"):
        confusion_matrix(labels, labels * 0 + 0.5, classes=K)
    with pytest.raises(ValueError, match=r"one shape \(n,\), got \(400,\) and \(399,\)"):
        confusion_matrix(labels, labels[1:], classes=K)
    with pytest.raises(ValueError, match=r"labels must be \(n,\) with n >= 1, got \(0,\)"):
        confusion_matrix(labels[:0], labels[:0], classes=K)
    with pytest.raises(ValueError, match=r"train_counts must be those of 2 classes, got \(3,\)"):
        shot_accuracies(np.eye(2, dtype=np.int64), [1, 2, 3])
    with pytest.raises(ValueError, match="few must be at most many, got 30 and 20"):
        shot_accuracies(np.eye(2, dtype=np.int64), [1, 2], many=20, few=30)
    with pytest.raises(ValueError, match=r"samples of each of the 6 classes, got none of \[5\]"):
        macro_auc(labels.clip(max=4), outputs)
    with pytest.raises(ValueError, match=r"scores must be \(n, 2\), a column for each critical class, got \(400, 1\)"):
        decide(outputs, log_odds(outputs, [1]), critical=[1, 2], thresholds=[0.0])
    with pytest.raises(ValueError, match=r"thresholds must be 2, one for each critical class, got 1"):
        decide(outputs, log_odds(outputs, [1, 2]), critical=[1, 2], thresholds=[0.0])
    with pytest.raises(ValueError, match="samples of other classes than the critical ones, got none"):
        error_of_others(labels * 0, labels * 0, critical=[0])
