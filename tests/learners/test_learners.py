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

from utils.errors import UserError
from utils.learners import LEARNERS, learner, logistic_cv
from utils.learners.base import Array
from utils.learners.logistic_cv import STRENGTHS, USUAL, fit_logistic_cv, fold_of
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
    assert found.attempted or name == "base"


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
        (np.ones((3, 2)), np.array([0, 0, 0]), r"both 0 and 1 and nothing else, got \[0\]"),
        (np.ones((3, 2)), np.array([0, 1, 2]), r"both 0 and 1 and nothing else, got \[0, 1, 2\]"),
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
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
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


def test_logistic_cv_is_what_scikit_learn_finds_by_hand(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]],
) -> None:
    """Each strength from scratch, with another solver, by a pipeline; the same folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels, tested, truth = digits
    weights, bias = fit_logistic_cv(features, labels, generator=generator(5))
    fold = fold_of(labels, 5, generator=generator(5))
    scaled = StandardScaler().fit_transform(features)
    means = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, solver="lbfgs", tol=1e-8, max_iter=5000)
        parts = []
        for number in range(5):
            model.fit(scaled[fold != number], labels[fold != number])
            parts.append(auc(labels[fold == number], model.decision_function(scaled[fold == number])))
        means.append(np.mean(parts))
    best = STRENGTHS[int(np.argmax(means))]
    assert best not in (STRENGTHS[0], STRENGTHS[-1])  # a choice that is no end of the list can be wrong both ways
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=best, tol=1e-8, max_iter=5000))
    expected = pipeline.fit(features, labels).decision_function(tested)
    scores = tested @ weights + bias
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-3)
    assert auc(truth, scores) > 0.9


def test_logistic_cv_does_not_care_for_units_and_leaves_constants_out(
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


def test_columns_that_are_all_constant_say_nothing() -> None:
    weights, bias = fit_logistic_cv(np.full((4, 3), 0.1), np.array([0, 0, 0, 1]), generator=generator())
    assert (weights == 0).all()
    assert bias == pytest.approx(np.log(1 / 3))


def test_folds_are_stratified_and_no_more_than_the_rare_class_has_samples(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels, *_ = digits
    fold = fold_of(labels, 5, generator=generator())
    for side in (0, 1):
        sizes = np.bincount(fold[labels == side], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert not np.array_equal(fold, fold_of(labels, 5, generator=generator(1)))

    used = []

    def noted(labels: NDArray[np.int64], folds: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
        used.append(folds)
        return fold_of(labels, folds, generator=generator)

    monkeypatch.setattr(logistic_cv, "fold_of", noted)
    for positives in (3, 1):
        kept = np.concatenate([np.flatnonzero(labels == 0)[:40], np.flatnonzero(labels == 1)[:positives]])
        weights, _ = fit_logistic_cv(features[kept], labels[kept], generator=generator())
        assert np.isfinite(weights).all()
    assert used == [3, 1]
    assert USUAL in STRENGTHS


def test_a_fit_that_is_cut_off_is_told_and_raises_nothing(
    digits: tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    features, labels, *_ = digits
    fit_logistic_cv(features, labels, generator=generator())
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(logistic_cv, "ITERATIONS", {"newton-cholesky": 1, "lbfgs": 1})
    fit_logistic_cv(features, labels, generator=generator())
    printed = capsys.readouterr().out
    assert printed.startswith("note: logistic_cv: ")
    assert "of 31 fits were cut off" in printed


def test_many_columns_are_fitted_without_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other solver comes to the same answer."""
    features = generator().normal(size=(200, 5))
    labels = (features[:, 0] + generator(1).normal(size=200) > 0).astype(np.int64)
    weights, bias = fit_logistic_cv(features, labels, generator=generator())
    monkeypatch.setattr(logistic_cv, "MOST_FOR_NEWTON", 4)
    others, other_bias = fit_logistic_cv(features, labels, generator=generator())
    np.testing.assert_allclose(np.append(others, other_bias), np.append(weights, bias), atol=1e-4)
