"""Logistic regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.multiclass import macro_auc
from .base import Array, class_counts

FOLDS = 5  # at most; each fold needs a sample of each class
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C, the strongest penalty first
DEFAULT_STRENGTH = 1.0  # where a class has a single sample, so that there is nothing to validate on
MOST_FOR_NEWTON = 4096  # columns: Newton's method stores a matrix of columns x columns


def fit_logistic_cv(
    features: Array,
    labels: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Array, float | Array]:
    """L2-penalised logistic regression on standardised columns, with the penalty of the best mean AUC over folds.

        two classes: min_{v, c}  1/2 |v|^2 + C sum_i log(1 + exp(-y_i (v . z_i + c))),   y = +-1
        K > 2: min_{V, c}  1/2 |V|^2 + C sum_i -log softmax(V z_i + c)_{y_i},   y in 0..K-1

    with z = (x - mean) / SD by column. C is the one of ``STRENGTHS`` with the highest mean AUC over ``FOLDS``
    stratified folds, the smallest of equals. Of more than two classes the AUC is the mean over the classes of each
    against the rest by its log-odds: at K = 2 the same number, and a rare class counts as much as a frequent one, which
    it would not in the log loss. The columns are standardised anew in each fold; constant ones get the weight 0. The
    weights returned apply to x, not z.

    Args:
        features: (n, d) finite numbers.
        labels: (n,) 0..K-1. There are as many folds as the smallest class has samples, if that is below ``FOLDS``.
        generator: seeds the folds; equal generators give equal fits.
        groups: (n,) the number of the group of each sample: no group is in two folds, and a fold that is then left
            without a class is not validated on. None: each sample is alone.

    Returns:
        (d,) weights and the bias; K > 2: (K, d) weights and (K,) biases.

    Raises:
        ValueError: see ``base.class_counts``.

    Reference: Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 1958;
    penalty by cross-validation as in Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models
    via Coordinate Descent", Journal of Statistical Software 2010, with L2 in place of L1.

    >>> x = np.array([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0], [4.0, 7.0]])    # the second column is constant
    >>> weights, bias = fit_logistic_cv(x, np.array([0, 1, 0, 1]), generator=np.random.default_rng(0))
    >>> bool(weights[0] > 0), float(weights[1]), bool(abs(weights[0] * 2.5 + bias) < 1e-6)    # 2.5: half way, score 0
    (True, 0.0, True)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = class_counts(features, labels)
    two = len(counts) == 2
    # with K > 2 Newton's matrix has K d columns, and scikit-learn before 1.6 would fit K separate models
    solver = "newton-cholesky" if two and features.shape[1] <= MOST_FOR_NEWTON else "lbfgs"
    logistic = LogisticRegression(C=DEFAULT_STRENGTH, solver=solver, tol=1e-6, max_iter=2000)
    model = make_pipeline(StandardScaler(), logistic)
    splits = _folds(features, labels, groups, generator)
    if splits:
        grid = {"logisticregression__C": STRENGTHS}
        scoring = "roc_auc" if two else _macro_auc
        model = GridSearchCV(model, grid, scoring=scoring, cv=splits, error_score="raise")
    model.fit(features, labels)
    scaler, logistic = model.best_estimator_ if splits else model
    if two:
        weights: Array = logistic.coef_[0] / scaler.scale_
        return weights, float(logistic.intercept_[0] - weights @ scaler.mean_)
    weights = logistic.coef_ / scaler.scale_
    biases: Array = logistic.intercept_ - weights @ scaler.mean_
    return weights, biases


def _folds(
    features: Array, labels: NDArray[np.int64], groups: NDArray[np.int64] | None, generator: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit and to validate on, each with all classes; none where a class has one sample or one group."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    classes = np.unique(labels)
    units = np.arange(len(labels)) if groups is None else groups
    folds = min(FOLDS, *(len(np.unique(units[labels == label])) for label in classes))
    if folds < 2:
        return []
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    drawn = kind(folds, shuffle=True, random_state=int(generator.integers(2**31))).split(features, labels, groups)
    return [parts for parts in drawn if all(len(np.unique(labels[rows])) == len(classes) for rows in parts)]


def _macro_auc(model: Any, features: Array, labels: NDArray[np.int64]) -> float:
    return macro_auc(labels, model.decision_function(features))
