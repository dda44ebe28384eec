"""Many linear models trained on the same data at once, each a row of one weight matrix with a step size of its own.

Scores are (m, n): m models, n samples, the N negatives first, then the P positives. Gradients are
written by hand: no graph, and only one class is sorted at a time. ``published_linear`` uses this; the tests compare the
gradients with utils.losses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Gradient = Callable[[Tensor, int], Tensor]
Array = NDArray[np.float64]
EVERY, LATER, EVERY_LATER = 5, 1_000, 25  # steps between two evaluations; from step LATER on EVERY_LATER
LATE, BEHIND = 5_000, 0.01  # from step LATE on, a model this far behind the best of its start ends


def logistic_gradient(scores: Tensor, negatives: int) -> Tensor:
    """(m, n) gradient of the mean over the samples of log(1 + exp(-y s)), y = +-1.

    Args:
        scores: (m, n), negatives first.
        negatives: N.
    """
    gradient = torch.sigmoid(scores)
    gradient[:, negatives:] -= 1
    return gradient.div_(scores.shape[1])


def weighted_logistic_gradient(scores: Tensor, negatives: int) -> Tensor:
    """(m, n) gradient of the mean over the samples of n / n_y log(1 + exp(-y s))."""
    gradient = torch.sigmoid(scores)
    gradient[:, negatives:] -= 1
    gradient[:, :negatives].div_(negatives)
    gradient[:, negatives:].div_(scores.shape[1] - negatives)
    return gradient


def squared_hinge_gradient(scores: Tensor, negatives: int, m: float = 1.0) -> Tensor:
    """(m, n) gradient of the mean over all pairs of max(0, m - (s_j - s_k))^2, by sorting each class.

    With t_j = s_j - m a pair counts where s_k > t_j; so a positive j needs the number and the sum of the negatives
    above t_j, and a negative k those of the t_j below s_k: both by prefix sums, in float64.
    """
    gradient = torch.zeros_like(scores)
    with np.errstate(all="ignore"):  # a model that overflows ends at its next evaluation
        for row, found in zip(scores.numpy(), gradient.numpy(), strict=True):
            _add_hinges(row[:negatives].astype(np.float64), row[negatives:].astype(np.float64) - m, found)
    return gradient


def _add_hinges(negative: Array, moved: Array, gradient: NDArray[Any]) -> None:
    """Fills in one row of ``squared_hinge_gradient``; ``moved`` are the t_j."""
    n, p = len(negative), len(moved)
    violating = np.flatnonzero(moved < negative.max())  # few, once training is under way
    t = moved[violating]
    ordered, ordered_t = np.sort(negative), np.sort(t)
    sums, sums_t = (np.concatenate([[0.0], values.cumsum()]) for values in (ordered, ordered_t))
    not_above, below = np.searchsorted(ordered, t, side="right"), np.searchsorted(ordered_t, negative, side="left")
    gradient[n + violating] = (-2 / (n * p)) * ((sums[-1] - sums[not_above]) - (n - not_above) * t)
    gradient[:n] = (2 / (n * p)) * (below * negative - sums_t[below])


def aum_rate_gradient(scores: Tensor, negatives: int) -> Tensor:
    """(m, n) gradient of AUM rate, the area under min(FPR, FNR) over the thresholds T = -s.

    FPR rises and FNR falls with the threshold, so the minimum is FPR up to the threshold c where it first reaches FNR,
    and FNR from there on: AUM = sum_k max(0, c - T_k) / N + sum_j max(0, T_j - c) / P. A negative below c has the
    derivative -1/N with respect to T, a positive above c has 1/P, and the sample at c has FPR before it - FNR after it.
    Scores that tie are taken as distinct: ties at c alone could tell, and of float32 scores they are rare.
    """
    positives = scores.shape[1] - negatives
    thresholds = (-scores).numpy()
    crossing = [_crossing(row[:negatives], row[negatives:]) for row in thresholds]
    at = torch.from_numpy(np.array([value for value, _, _ in crossing], dtype=thresholds.dtype))[:, None]
    gradient = torch.empty_like(scores)  # with respect to s = -T
    gradient[:, :negatives] = (scores[:, :negatives] > -at).to(scores.dtype) / negatives
    gradient[:, negatives:] = (scores[:, negatives:] < -at).to(scores.dtype) / -positives
    for row, (value, slope, is_positive) in enumerate(crossing):
        part = thresholds[row, negatives:] if is_positive else thresholds[row, :negatives]
        gradient[row, int(np.argmax(part == value)) + (negatives if is_positive else 0)] = -slope
    return gradient


def _crossing(negative: NDArray[Any], positive: NDArray[Any]) -> tuple[float, float, bool]:
    """The threshold at which FPR first reaches FNR, the derivative of AUM with respect to it, whether it is a positive.

    In whole numbers: FPR >= FNR where FP * P >= FN * N.
    """
    n, p = len(negative), len(positive)
    ordered, of_positives = np.sort(negative), np.sort(positive)
    passed = np.searchsorted(of_positives, ordered, side="right")  # positives up to each negative
    k = int(np.argmax(np.arange(1, n + 1) * p >= (p - passed) * n))
    # before it FPR is k/n; does FNR fall to that at a positive between the negative before it and this one?
    needed = p - k * p // n  # the least number of positives passed at which (p - passed) * n <= k * p
    if needed <= passed[k]:
        return float(of_positives[needed - 1]), k / n - (p - needed) / p, True
    return float(ordered[k]), k / n - (p - int(passed[k])) / p, False


GRADIENTS: dict[str, Gradient] = {
    "AUM_RATE": aum_rate_gradient,
    "SQ_HINGE_PW": squared_hinge_gradient,
    "BCE": logistic_gradient,
    "W_LOGISTIC": weighted_logistic_gradient,
}


def aucs(scores: Tensor, negatives: int) -> Array:
    """(m,) exact AUC of each model, ties one half; NaN where a score is not finite."""
    values = scores.numpy()
    result = np.full(len(values), np.nan)
    for number, row in enumerate(values):
        if np.isfinite(row).all():
            positives = np.sort(row[negatives:])
            ordered = np.sort(row[:negatives])
            not_above = sum(int(np.searchsorted(positives, ordered, side=side).sum()) for side in ("left", "right"))
            result[number] = 1 - not_above / 2 / (len(positives) * negatives)
    return result


@dataclass(frozen=True)
class Side:
    """Standardised rows with the negatives first."""

    features: Tensor  # (n, d)
    negatives: int


@dataclass
class Model:
    """One model: its step size and its progress."""

    step_size: float
    start: int
    best_auc: float = 0.0
    best_step: int = 0
    steps: int = 0
    ended: str = ""


@dataclass
class Columns:
    """All step sizes from all starts, trained side by side; a model that ends is removed from the matrix.

    Args:
        subtrain: rows that are trained on.
        validation: rows on which the AUC is taken.
        gradient: of the loss with respect to the scores.
        models: one for each row of ``weights``.
        weights: (m, d) initial weights.
        patience: steps without a new best validation AUC after which a model ends.
        most: steps after which every model ends.
    """

    subtrain: Side
    validation: Side
    gradient: Gradient
    models: list[Model]
    weights: Tensor
    patience: int
    most: int
    step: int = 0
    alive: list[Model] = field(default_factory=list)
    _rates: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self.weights = self.weights.clone()
        self._keep(list(self.models), list(range(len(self.models))))
        self._evaluate()

    def run(self, tell: Callable[[Columns], None], *, seconds: float = 60.0) -> None:
        """Train until every model has ended; call ``tell`` about every ``seconds``."""
        last = time.monotonic()
        while self.alive:
            every = EVERY if self.step < LATER else EVERY_LATER
            for _ in range(min(every, self.most - self.step)):
                self._update()
            self._evaluate()
            if time.monotonic() - last >= seconds:
                last = time.monotonic()
                tell(self)

    def _update(self) -> None:
        """One step of gradient descent for every remaining model."""
        slopes = self.gradient(self.weights @ self.subtrain.features.T, self.subtrain.negatives)
        self.weights -= self._rates * (slopes @ self.subtrain.features)
        self.step += 1

    def _evaluate(self) -> None:
        """Take the validation AUC of every remaining model and end those that are done."""
        values = aucs(self.weights @ self.validation.features.T, self.validation.negatives)
        kept, places = [], []
        best = self._best_of_start()
        for place, (model, value) in enumerate(zip(self.alive, values, strict=True)):
            model.steps = self.step
            if value > model.best_auc:
                model.best_auc, model.best_step = float(value), self.step
            if np.isnan(value):
                model.ended = "not finite"
            elif self.step - model.best_step >= self.patience:
                model.ended = "flat"
            elif self.step >= LATE and model.best_auc < best[model.start] - BEHIND:
                model.ended = "behind"
            elif self.step >= self.most:
                model.ended = "last step"
            else:
                kept.append(model)
                places.append(place)
        if len(kept) < len(self.alive):
            self._keep(kept, places)

    def _best_of_start(self) -> dict[int, float]:
        best: dict[int, float] = {}
        for model in self.models:
            best[model.start] = max(model.best_auc, best.get(model.start, 0.0))
        return best

    def _keep(self, models: list[Model], places: Sequence[int]) -> None:
        self.alive = models
        self.weights = self.weights[list(places)].contiguous()
        self._rates = torch.tensor([model.step_size for model in models], dtype=self.weights.dtype)[:, None]
