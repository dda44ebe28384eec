"""Learners that are fitted at once: their contract, and logistic_cv held against plain scikit-learn."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from utils.errors import UserError
from utils.learners import LEARNERS, learner, logistic_cv
from utils.learners.base import Array
from utils.learners.logistic_cv import STRENGTHS, fit_logistic_cv
from utils.metrics.roc import auc

ROOT = Path(__file__).resolve().parents[2]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def digits() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Training and test pixels and labels, even (positive) against odd; every tenth positive is kept for training."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    labels = (classes % 2 == 0).astype(np.int64)
    order = generator().permutation(len(labels))
    train, test = order[:1200], order[1200:]
    positives = train[labels[train] == 1][::10]
    train = np.concatenate([train[labels[train] == 0], positives])
    return pixels[train], labels[train], pixels[test], labels[test]


@pytest.mark.parametrize("name", ["base", "featureless", "logistic_cv"])
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"utils.learners.{name}"))
    assert found.failed == 0
    assert found.attempted


@pytest.mark.parametrize("name", LEARNERS)
def test_contract(name: str, digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]) -> None:
    features, labels, *_ = digits
    before = features.copy()
    weights, bias = learner(name)(features, labels, generator=generator(3))
    assert weights.shape == (64,)
    assert weights.dtype == np.float64
    assert isinstance(bias, float)
    assert np.isfinite(weights).all()
    again, bias_again = learner(name)(features, labels, generator=generator(3))
    assert np.array_equal(weights, again)
    assert bias == bias_again
    assert np.array_equal(features, before)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize(
    "features, labels, match",
    [
        (np.ones((3, 2)), np.array([0, 1]), r"features must be \(n, d\) and labels \(n,\), got \(3, 2\) and \(2,\)"),
        (np.ones(3), np.array([0, 1, 1]), "features must be"),
        (np.ones((3, 2)), np.array([0, 0, 0]), r"labels must be 0..K-1, each .* at least once, got \[0\]"),
        (np.ones((3, 2)), np.array([1, 2, 1]), r"labels must be 0..K-1, .* got \[1, 2\]"),
        (np.ones((3, 2)), np.array([0, 1, 3]), r"labels must be 0..K-1, .* got \[0, 1, 3\]"),
        (np.ones((3, 2)), np.array([-1, 0, 1]), r"labels must be 0..K-1, .* got \[-1, 0, 1\]"),
        (np.ones((0, 2)), np.zeros(0, dtype=np.int64), r"labels must be 0..K-1, .* got \[\]"),
        (np.array([[1.0], [np.nan], [np.inf]]), np.array([0, 1, 1]), "features must be finite, got 2 that are not"),
    ],
)
def test_bad_input(name: str, features: Array, labels: NDArray[np.int64], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        learner(name)(features, labels, generator=generator())


def test_unknown_learner() -> None:
    with pytest.raises(UserError, match="unknown learner 'logistic'; did you mean logistic_cv"):
        learner("logistic")


def test_the_table_loads_nothing() -> None:
    code = "import sys, utils.learners; print([name for name in ('sklearn', 'torch', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.stdout == "[]\n", done.stderr


def test_featureless_always_says_the_majority(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]],
) -> None:
    features, labels, tested, truth = digits
    weights, bias = learner("featureless")(features, labels, generator=generator())
    scores = tested @ weights + bias
    assert auc(truth, scores) == 0.5
    assert (scores < 0).all()  # negatives are the majority
    _, bias_turned = learner("featureless")(features, 1 - labels, generator=generator())
    assert bias_turned == pytest.approx(-bias)


@pytest.mark.slow
def test_logistic_cv_is_what_loops_find(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]],
) -> None:
    """Each strength and fold by hand, with another solver; the same folds."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels, tested, truth = digits
    weights, bias = fit_logistic_cv(features, labels, generator=generator(5))
    splits = StratifiedKFold(5, shuffle=True, random_state=int(generator(5).integers(2**31)))
    means = []
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-8, max_iter=5000))
        parts = []
        for kept, left in splits.split(features, labels):
            model.fit(features[kept], labels[kept])
            parts.append(auc(labels[left], model.decision_function(features[left])))
        means.append(np.mean(parts))
    best = STRENGTHS[int(np.argmax(means))]
    assert best not in (STRENGTHS[0], STRENGTHS[-1])  # so that a wrong choice can lie on either side
    model.set_params(logisticregression__C=best).fit(features, labels)
    scores = tested @ weights + bias
    np.testing.assert_allclose(scores, model.decision_function(tested), rtol=0, atol=1e-3)
    assert auc(truth, scores) > 0.9


def test_units_do_not_matter_and_constant_columns_get_no_weight(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]],
) -> None:
    features, labels, tested, _ = digits
    constant = np.ptp(features, axis=0) == 0
    assert constant.any()
    weights, bias = fit_logistic_cv(features, labels, generator=generator())
    assert (weights[constant] == 0).all()
    scale, shift = np.geomspace(1e-3, 1e3, 64), np.linspace(-50, 50, 64)
    moved, moved_bias = fit_logistic_cv(features * scale + shift, labels, generator=generator())
    np.testing.assert_allclose((tested * scale + shift) @ moved + moved_bias, tested @ weights + bias, atol=1e-4)


def test_constant_columns_alone_give_the_prior() -> None:
    weights, bias = fit_logistic_cv(np.full((4, 3), 0.1), np.array([0, 0, 0, 1]), generator=generator())
    np.testing.assert_allclose(weights, 0, atol=1e-12)
    assert bias == pytest.approx(np.log(1 / 3), rel=1e-5)


@pytest.mark.parametrize("positives", [1, 3])
def test_a_rare_class_smaller_than_the_number_of_folds(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]], positives: int
) -> None:
    features, labels, *_ = digits
    kept = np.concatenate([np.flatnonzero(labels == 0)[:40], np.flatnonzero(labels == 1)[:positives]])
    weights, bias = fit_logistic_cv(features[kept], labels[kept], generator=generator())
    assert auc(labels[kept], features[kept] @ weights + bias) > 0.9


def test_many_columns_are_fitted_without_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other solver comes to the same answer."""
    features = generator().normal(size=(200, 5))
    labels = (features[:, 0] + generator(1).normal(size=200) > 0).astype(np.int64)
    weights, bias = fit_logistic_cv(features, labels, generator=generator())
    monkeypatch.setattr(logistic_cv, "MOST_FOR_NEWTON", 4)
    others, other_bias = fit_logistic_cv(features, labels, generator=generator())
    np.testing.assert_allclose(np.append(others, other_bias), np.append(weights, bias), atol=1e-4)


def test_the_penalty_is_chosen_by_folds_that_cut_no_group() -> None:
    """30 patients of 8 rows each, whose features say who a row is of and nothing of the label.

    Folds that cut patients know them again and have AUCs of .84 to .88, the highest of a weak penalty (C = .1); folds
    that do not have .36 to .38, the highest of the strongest.
    """
    random = np.random.default_rng(1)
    patients, labels = np.repeat(np.arange(30), 8), np.repeat(random.permutation(30) % 2, 8)
    features = np.repeat(random.normal(size=(30, 60)), 8, axis=0) + random.normal(size=(240, 60))
    alone, _ = fit_logistic_cv(features, labels, generator=generator(1))
    grouped, _ = fit_logistic_cv(features, labels, generator=generator(1), groups=patients)
    assert np.linalg.norm(grouped) < np.linalg.norm(alone) / 10
    for fitted, validated in logistic_cv._folds(features, labels, patients, generator(1)):
        assert not set(patients[fitted]) & set(patients[validated])


def test_too_few_groups_of_a_class_leave_nothing_to_choose_by() -> None:
    """All positives are of one patient: the weights are those of C = 1, as with a single positive."""
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(40, 3)), np.repeat([0, 1], (30, 10))
    groups = np.concatenate([np.arange(30), np.full(10, 30)])
    weights, _ = fit_logistic_cv(features, labels, generator=generator(), groups=groups)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(scaled, labels).coef_[0] / features.std(axis=0)
    assert weights == pytest.approx(expected, abs=1e-4)
