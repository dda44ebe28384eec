"""Learners of K > 2 classes, held against plain scikit-learn and a slow minimum; of two, against what they were.

Three classes are Gaussian clouds, ten are scikit-learn's digits with noise.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from utils.learners import LEARNERS, learner
from utils.learners.base import Array
from utils.learners.logistic_cv import DEFAULT_STRENGTH, FOLDS, STRENGTHS, fit_logistic_cv

Labels = NDArray[np.int64]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def gaussians(counts: tuple[int, ...], *, columns: int = 4) -> tuple[Array, Labels]:
    """Overlapping clouds, one a class, in columns of different units."""
    draw = generator(7)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = draw.normal(size=(len(counts), columns))
    features = (draw.normal(size=(len(labels), columns)) + centres[labels]) * np.geomspace(0.1, 100, columns) + 3
    order = draw.permutation(len(labels))
    return features[order], labels[order]


def digits(rows: int = 300) -> tuple[Array, Labels]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    noise = generator(1).normal(size=pixels.shape)
    chosen = generator(2).permutation(len(labels))[:rows]
    return (pixels + 6 * noise)[chosen], labels[chosen].astype(np.int64)


def odds(outputs: Array) -> Array:
    """(n, K) log-odds of each class against the rest, class by class."""
    columns = []
    for own in range(outputs.shape[1]):
        others = [each for each in range(outputs.shape[1]) if each != own]
        columns.append(outputs[:, own] - logsumexp(outputs[:, others], axis=1))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("counts", [(30, 20, 10), (9,) * 10])
def test_contract(name: str, counts: tuple[int, ...]) -> None:
    features, labels = gaussians(counts)
    before = features.copy()
    weights, biases = learner(name)(features, labels, generator=generator(3))
    assert isinstance(biases, np.ndarray)
    assert (weights.shape, biases.shape) == ((len(counts), 4), (len(counts),))
    assert weights.dtype == biases.dtype == np.float64
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()
    again, biases_again = learner(name)(features, labels, generator=generator(3))
    assert np.array_equal(weights, again)
    assert np.array_equal(biases, biases_again)
    assert np.array_equal(features, before)


def test_featureless_gives_the_shares_and_says_the_largest_class() -> None:
    features, labels = gaussians((20, 50, 30))
    weights, biases = learner("featureless")(features, labels, generator=generator())
    np.testing.assert_array_equal(weights, np.zeros((3, 4)))
    np.testing.assert_allclose(biases, [math.log(0.2), math.log(0.5), math.log(0.3)], rtol=1e-15)
    assert set((features @ weights.T + biases).argmax(axis=1)) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(100, 30, 10), (200, 30, 10), (14,) * 10])
def test_logistic_cv_is_what_loops_find(counts: tuple[int, ...]) -> None:
    """The strength by loops over folds and classes, then the minimum of the formula by another method.

    On the first data the log loss would choose another strength, on the second the AUC weighted by class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    features, labels = gaussians(counts) if len(counts) == 3 else digits()
    classes = len(counts)
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=int(generator(5).integers(2**31)))
    means = []
    for strength in STRENGTHS:
        parts = []
        for kept, left in splits.split(features, labels):
            mean, sd = features[kept].mean(axis=0), features[kept].std(axis=0)
            model = LogisticRegression(C=strength, solver="newton-cg", tol=1e-8, max_iter=5000)
            model.fit((features[kept] - mean) / sd, labels[kept])
            scores = odds(model.decision_function((features[left] - mean) / sd))
            parts.append(np.mean([roc_auc_score(labels[left] == own, scores[:, own]) for own in range(classes)]))
        means.append(np.mean(parts))
    best = STRENGTHS[int(np.argmax(means))]
    assert best not in (STRENGTHS[0], STRENGTHS[-1])  # so that a wrong choice can lie on either side
    weights, biases = fit_logistic_cv(features, labels, generator=generator(5))
    expected = slow_minimum(features, labels, strength=best)
    np.testing.assert_allclose(odds(features @ weights.T + biases), odds(expected), rtol=0, atol=2e-3)


def slow_minimum(features: Array, labels: Labels, *, strength: float) -> Array:
    """(n, K) outputs at the minimum of |V|^2 / 2 - C sum_i log softmax(V z_i + c)_{y_i}, by BFGS."""
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    classes, columns = int(labels.max()) + 1, z.shape[1]
    targets = np.eye(classes)[labels]

    def objective(flat: Array) -> tuple[float, Array]:
        table = flat.reshape(classes, columns + 1)
        logs = log_softmax(z @ table[:, 1:].T + table[:, 0], axis=1)
        value = 0.5 * (table[:, 1:] ** 2).sum() - strength * (targets * logs).sum()
        residual = strength * (np.exp(logs) - targets)  # (n, K)
        slope = np.concatenate([residual.sum(axis=0)[:, None], residual.T @ z + table[:, 1:]], axis=1)
        return float(value), slope.ravel()

    found = minimize(objective, np.zeros(classes * (columns + 1)), jac=True, method="BFGS", options={"gtol": 1e-7})
    table = found.x.reshape(classes, columns + 1)
    outputs: Array = z @ table[:, 1:].T + table[:, 0]
    return outputs


def test_the_order_of_the_classes_does_not_matter() -> None:
    """Folds are drawn by class number, so that another order draws others; the strength is the same here."""
    features, labels = gaussians((60, 40, 25))
    weights, biases = fit_logistic_cv(features, labels, generator=generator(5))
    turned, turned_biases = fit_logistic_cv(features, 2 - labels, generator=generator(5))
    scores = odds(features @ weights.T + biases)
    np.testing.assert_allclose(odds(features @ turned.T + turned_biases)[:, ::-1], scores, rtol=0, atol=2e-3)


def test_constant_columns_get_no_weight_and_a_prior_alone_is_the_shares() -> None:
    weights, biases = fit_logistic_cv(np.full((12, 3), 0.1), np.repeat([0, 1, 2], (6, 4, 2)), generator=generator())
    np.testing.assert_allclose(weights, 0, atol=1e-9)
    np.testing.assert_allclose(np.exp(log_softmax(np.asarray(biases))), [1 / 2, 1 / 3, 1 / 6], rtol=1e-3)


def test_a_class_of_a_single_sample_is_fitted_at_the_default_strength() -> None:
    features, labels = gaussians((30, 20, 1))
    weights, biases = fit_logistic_cv(features, labels, generator=generator())
    expected = slow_minimum(features, labels, strength=DEFAULT_STRENGTH)
    np.testing.assert_allclose(odds(features @ weights.T + biases), odds(expected), rtol=0, atol=2e-3)


def test_two_classes_give_the_bits_of_the_search_that_they_were() -> None:
    """scikit-learn's grid search as it stood before there were more classes; equal, not close."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = gaussians((60, 15))
    logistic = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-6, max_iter=2000)
    splits = StratifiedKFold(5, shuffle=True, random_state=int(generator(5).integers(2**31)))
    grid = {"logisticregression__C": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)}
    search = GridSearchCV(make_pipeline(StandardScaler(), logistic), grid, scoring="roc_auc", cv=splits)
    scaler, fitted = search.fit(features, labels).best_estimator_
    expected = fitted.coef_[0] / scaler.scale_
    weights, bias = fit_logistic_cv(features, labels, generator=generator(5))
    assert isinstance(bias, float)
    assert np.array_equal(weights, expected)
    assert bias == float(fitted.intercept_[0] - expected @ scaler.mean_)
    nothing, prior = learner("featureless")(features, labels, generator=generator())
    assert np.array_equal(nothing, np.zeros(4))
    assert prior == math.log(15 / 60)
