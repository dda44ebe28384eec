"""Logistic regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..metrics.roc import auc
from .base import Array, class_counts
from .featureless import fit_featureless

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FOLDS = 5  # at most; a fold needs a sample of each class
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of scikit-learn, the strongest penalty first
USUAL = 1.0  # where a class has one sample only, and there is nothing to choose by
MOST_FOR_NEWTON = 4096  # columns: Newton's method holds a square of them
ITERATIONS = {"newton-cholesky": 100, "lbfgs": 2000}


def fit_logistic_cv(
    features: Array, labels: NDArray[np.int64], *, generator: np.random.Generator
) -> tuple[Array, float]:
    """L2-penalised logistic regression on standardised columns, with the penalty of the best mean AUC over folds.

        min_{v, c}  1/2 |v|^2 + C sum_i log(1 + exp(-y_i (v . z_i + c))),   y = +-1,   z = (x - mean) / SD by column

    C is the one of ``STRENGTHS`` with the highest mean AUC over ``FOLDS`` stratified folds, the smallest of equals; the
    columns are standardised once, before they are dealt out to folds, which looks at no label. Columns that are
    constant are left out and get the weight 0. The weights that are returned apply to x, not to z.

    Args:
        features: (n, d) finite numbers.
        labels: (n,) 0 or 1. There are as many folds as the smaller class has samples, if that is below ``FOLDS``.
        generator: deals the samples out to folds; equal generators give equal fits.

    Returns:
        (d,) weights and the bias.

    Raises:
        ValueError: see ``base.class_counts``.

    Reference: Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 1958;
    penalty by cross-validation as in Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models
    via Coordinate Descent", Journal of Statistical Software 2010, with L2 in place of L1.

    >>> x = np.array([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0], [4.0, 7.0]])    # the second column says nothing
    >>> weights, bias = fit_logistic_cv(x, np.array([0, 1, 0, 1]), generator=np.random.default_rng(0))
    >>> bool(weights[0] > 0), float(weights[1]), bool(abs(weights[0] * 2.5 + bias) < 1e-6)    # 2.5: half way, score 0
    (True, 0.0, True)
    """
    counts = class_counts(features, labels)
    varies = features.max(axis=0) > features.min(axis=0)  # exact, where the SD of a constant may be rounding
    if not varies.any():
        return fit_featureless(features, labels, generator=generator)
    standardised = features[:, varies]  # a copy
    mean, deviation = standardised.mean(axis=0), standardised.std(axis=0)
    standardised -= mean
    standardised /= deviation
    fit = _Fits()
    strength = _chosen(standardised, labels, fold_of(labels, min(FOLDS, *counts), generator=generator), fit)
    model = fit(standardised, labels, [strength])[0]
    fit.tell()
    weights = np.zeros(features.shape[1])
    weights[varies] = model[:-1] / deviation
    return weights, float(model[-1] - model[:-1] @ (mean / deviation))


def fold_of(labels: NDArray[np.int64], folds: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """(n,) the fold of each sample, 0..folds - 1: each class dealt out evenly in a random order."""
    result = np.zeros(len(labels), dtype=np.int64)
    for side in (0, 1):
        order = generator.permutation(np.flatnonzero(labels == side))
        result[order] = np.arange(len(order)) % folds
    return result


def _chosen(features: Array, labels: NDArray[np.int64], fold: NDArray[np.int64], fit: _Fits) -> float:
    """The strength with the best mean AUC over the folds."""
    folds = int(fold.max()) + 1
    if folds < 2:
        return USUAL
    aucs = np.zeros((folds, len(STRENGTHS)))
    for number in range(folds):
        kept, left = fold != number, fold == number
        for column, model in enumerate(fit(features[kept], labels[kept], STRENGTHS)):
            aucs[number, column] = auc(labels[left], features[left] @ model[:-1])
    return STRENGTHS[int(aucs.mean(axis=0).argmax())]


class _Fits:
    """Fits for one strength after the other, each from where the one before ended; counts those that were cut off."""

    def __init__(self) -> None:
        self.done = self.cut_off = 0

    def __call__(self, features: Array, labels: NDArray[np.int64], strengths: tuple[float, ...] | list[float]) -> Array:
        """(len(strengths), d + 1) the weights, and the bias behind them."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        solver = "newton-cholesky" if features.shape[1] <= MOST_FOR_NEWTON else "lbfgs"
        model = LogisticRegression(solver=solver, tol=1e-6, max_iter=ITERATIONS[solver], warm_start=True)
        rows = []
        for strength in strengths:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.set_params(C=strength).fit(features, labels)
            self.done += 1
            self.cut_off += any(issubclass(item.category, ConvergenceWarning) for item in caught)
            rows.append(_row(model))
        return np.array(rows)

    def tell(self) -> None:
        """Say once how many fits did not come to their end; their AUC is a little below what it could be."""
        if self.cut_off:
            print(f"note: logistic_cv: {self.cut_off} of {self.done} fits were cut off before they had converged")


def _row(model: LogisticRegression) -> Array:
    row: Array = np.append(model.coef_[0], model.intercept_[0])
    return row
