"""Logistic regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Array, class_counts

FOLDS = 5  # at most; each fold needs a sample of each class
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C, the strongest penalty first
DEFAULT_STRENGTH = 1.0  # where a class has a single sample, so that there is nothing to validate on
MOST_FOR_NEWTON = 4096  # columns: Newton's method stores a matrix of columns x columns


def fit_logistic_cv(
    features: Array, labels: NDArray[np.int64], *, generator: np.random.Generator
) -> tuple[Array, float]:
    """L2-penalised logistic regression on standardised columns, with the penalty of the best mean AUC over folds.

        min_{v, c}  1/2 |v|^2 + C sum_i log(1 + exp(-y_i (v . z_i + c))),   y = +-1,   z = (x - mean) / SD by column

    C is the one of ``STRENGTHS`` with the highest mean AUC over ``FOLDS`` stratified folds, the smallest of equals. The
    columns are standardised anew in each fold; constant ones get the weight 0. The weights returned apply to x, not z.

    Args:
        features: (n, d) finite numbers.
        labels: (n,) 0 or 1. There are as many folds as the smaller class has samples, if that is below ``FOLDS``.
        generator: seeds the folds; equal generators give equal fits.

    Returns:
        (d,) weights and the bias.

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
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(FOLDS, *class_counts(features, labels))
    solver = "newton-cholesky" if features.shape[1] <= MOST_FOR_NEWTON else "lbfgs"
    logistic = LogisticRegression(C=DEFAULT_STRENGTH, solver=solver, tol=1e-6, max_iter=2000)
    model = make_pipeline(StandardScaler(), logistic)
    if folds > 1:
        splits = StratifiedKFold(folds, shuffle=True, random_state=int(generator.integers(2**31)))
        grid = {"logisticregression__C": STRENGTHS}
        model = GridSearchCV(model, grid, scoring="roc_auc", cv=splits, error_score="raise")
    model.fit(features, labels)
    scaler, logistic = model.best_estimator_ if folds > 1 else model
    weights: Array = logistic.coef_[0] / scaler.scale_
    return weights, float(logistic.intercept_[0] - weights @ scaler.mean_)
