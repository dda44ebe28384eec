"""A TPR of at least t and optionally an FPR of at most a, at a learned threshold, as an augmented Lagrangian.

Shapes: B samples in the batch. In each pair [TPR, FPR] the first entry is over the positives, the second over the
negatives.

    at the threshold b:  g_TPR = fraction of the positives with s < b, minus (1 - t)
                         g_FPR = fraction of the negatives with s >= b, minus a;   the constraints are g_i <= 0
    surrogates:          g~_TPR = mean over the positives of max(0, 1 - (s - b)), minus (1 - t)
                         g~_FPR = mean over the negatives of max(0, 1 + (s - b)), minus a
    penalty = sum_i 1/(2 mu) * [ max(0, multiplier_i + mu * g~_i)^2 - multiplier_i^2 ]
    multiplier_i <- max(0, multiplier_i + mu * g_i)

The gradient of a rate is zero almost everywhere, so the penalty uses its surrogate, an upper bound. The multipliers
follow the rate itself.

Of K classes each critical one has its own threshold b, rates and multipliers, with the samples of all other classes as
its negatives; the penalty is the sum over the critical classes. ``[C]`` in a shape is their number, absent with two
classes.

Reference: Cotter, Jiang, Gupta, Wang, Narayan, You, Sridharan, "Optimization with non-differentiable constraints with
applications to fairness, recall, churn, and other goals", JMLR 2019; Nocedal, Wright, "Numerical optimization", 2nd ed.
2006, section 17.4 (inequalities).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..losses.base import require
from .base import Constraint, checked_columns, checked_scores

MEMORY = 100  # samples of a class over which its surrogate is averaged


class RateConstraint(Constraint):
    """The rates required of a classifier at its threshold: penalty, multipliers, and the rule by which mu grows.

    Its parameter ``threshold`` (b, 0 at first) goes into the optimizer, without weight decay.

    The gradient of the penalty is that of the batch's g~_i, weighted by max(0, multiplier_i + mu * g~_i) at a running
    average of g~_i, in which n samples of a class in the batch replace the fraction n / 100 of the class's sums so far
    (100 or more replace them altogether). Estimated from a few positives, the weight would be large or 0 by chance, and
    averaged over batches the penalty would be a squared hinge per sample instead of the formula. The multipliers use
    the batch's own g_i: they already average over batches, and a running rate would lag behind b. A class that is
    missing from a batch adds 0 and does not change its multiplier.

    Without a constraint on the FPR nothing would ever raise b. So b, but not the scores, then also follows the gradient
    of (1 - t) * g~_FPR, which is not part of the penalty's value: this selects the highest threshold with that TPR.
    (With the weight 1 - t the two forces on b balance at a multiplier of 1 or less.)

    If the rates cannot be met together, the multipliers grow without bound.

    mu becomes min(rho * mu, mu_limit) after two consecutive epochs in which the larger g_i exceeds its standard error,
    sqrt(p (1 - p) / n) for a bound p and n samples, unless it shrank to half or less from the first to the second. All
    rates are those of the training samples, at the scores with which they were trained.

    Args:
        tpr_at_least: t, in (0, 1].
        fpr_at_most: a, in (0, 1]; None: not constrained.
        mu, rho, mu_limit, classes, critical: as for :class:`Constraint`.

    Raises:
        ValueError: an option is out of its range.

    >>> constraint = RateConstraint(tpr_at_least=0.75, mu=0.5)
    >>> scores, targets = torch.tensor([0.5, -1.5, -2.0]), torch.tensor([1, 1, 0])
    >>> constraint.penalty(scores, targets, torch.arange(3)).item()     # g~ = (0.5 + 2.5)/2 - 0.25, (0.5 * 1.25)^2 / 1
    0.390625
    >>> constraint.update_multipliers()
    >>> constraint.multipliers.tolist()                                 # 0.5 * (1/2 - 0.25)
    [0.125, 0.0]
    """

    class_facts: ClassVar[tuple[str, ...]] = ("classes", "critical")

    bounds: Tensor
    asked: Tensor
    running: Tensor
    epoch_counts: Tensor
    own_classes: Tensor

    def __init__(
        self,
        *,
        tpr_at_least: float = 0.98,
        fpr_at_most: float | None = None,
        mu: float = 0.1,
        rho: float = 2.0,
        mu_limit: float | None = None,
        classes: int = 2,
        critical: Sequence[int] | None = None,
    ) -> None:
        super().__init__(mu=mu, rho=rho, mu_limit=mu_limit, classes=classes, critical=critical)
        require(0 < tpr_at_least <= 1, "tpr_at_least must be in (0, 1]", tpr_at_least)
        require(fpr_at_most is None or 0 < fpr_at_most <= 1, "fpr_at_most must be in (0, 1]", fpr_at_most)
        self.tpr_at_least, self.fpr_at_most = float(tpr_at_least), fpr_at_most
        columns, float64 = self.columns, torch.float64
        self.threshold = nn.Parameter(torch.zeros(columns))
        bounds = [1 - tpr_at_least, 1.0 if fpr_at_most is None else fpr_at_most]  # on the error rates
        for_each = (2, *(1 for _ in columns))
        asked = torch.tensor([True, fpr_at_most is not None])
        self.register_buffer("multipliers", torch.zeros(2, *columns))
        self.register_buffer("running", torch.zeros(2, 2, *columns))  # hinges and samples
        self.register_buffer("epoch_counts", torch.zeros(2, 2, *columns, dtype=float64))  # errors and samples
        self.register_buffer("bounds", torch.tensor(bounds, dtype=float64).view(for_each), persistent=False)
        self.register_buffer("asked", asked.view(for_each), persistent=False)
        self.register_buffer("own_classes", torch.tensor(self.critical), persistent=False)
        self._previous_violation = math.inf

    def shown_multipliers(self, indices: Tensor) -> Tensor:
        """(1,) or (2,), for each critical class, the multipliers of the constrained rates, whatever ``indices``."""
        return (self.multipliers if self.fpr_at_most is not None else self.multipliers[:1]).flatten()

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """The formula at the running g~_i, with the gradient described above; see :meth:`Constraint.penalty`.

        It is negative where a constraint with a multiplier > 0 is met. ``indices`` are not used.
        """
        batch = self._sums(*self._views(scores, targets, indices))
        _, hinges, sizes = batch
        surrogates = hinges / sizes.clamp(min=1)
        with torch.no_grad():
            running = _averaged(self.running, batch)
            values, weights = self._values_and_weights(running, present=sizes > 0)
        self._collect(*self._after(batch))
        del self._collected[:-1]  # it contains those before it
        slopes: Tensor = weights * (surrogates - surrogates.detach())  # 0, with the gradient
        return values.sum() + slopes.sum()

    def _views(self, scores: Tensor, targets: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """(B, [C]) scores, and 1 where a sample is of the critical class, else 0, in their dtype."""
        if self.classes == 2:
            scores = checked_scores(scores, targets, indices)
            return scores, targets.detach().to(scores.dtype)
        scores, labels = checked_columns(self, scores, targets, indices)
        return scores, (labels[:, None] == self.own_classes).to(scores.dtype)

    def _sums(self, scores: Tensor, positive: Tensor) -> Tensor:
        """(3, 2, [C]) numbers of errors, sums of hinges and numbers of samples of the batch."""
        threshold = self.threshold.to(scores.dtype)
        of_negatives = scores.detach() if self.fpr_at_most is None else scores
        gaps = torch.stack([scores - threshold, threshold - of_negatives])  # (2, B, [C]) > 0: classified correctly
        errors = torch.stack([scores < threshold, scores >= threshold]).to(scores.dtype)
        terms = torch.stack([errors, (1 - gaps).relu(), torch.ones_like(gaps)])
        return (terms * torch.stack([positive, 1 - positive])).sum(dim=2)

    def _values_and_weights(self, running: Tensor, *, present: Tensor) -> tuple[Tensor, Tensor]:
        """(2, [C]) terms of the penalty, and (2, [C]) weights of the surrogates' gradients."""
        hinges, seen = running
        multipliers, bounds, mu = (each.to(running.dtype) for each in (self.multipliers, self.bounds, self.mu))
        g = hinges / seen.clamp(min=1) - bounds
        pressed = multipliers + mu * g
        # the square expanded: for a small mu the difference of the squares would cancel
        values = torch.where(pressed > 0, g * (multipliers + mu / 2 * g), -multipliers.square() / (2 * mu))
        pull = bounds[0] * present.all(dim=0)  # on the threshold, see _sums
        weights = torch.where(self.asked, pressed.clamp(min=0), pull)
        return torch.where(self.asked & present, values, 0), weights

    @torch.no_grad()
    def _after(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Multipliers and running sums after the batches since the last update and this one, and their counts."""
        before = self.multipliers, self.running, torch.zeros_like(self.epoch_counts)
        multipliers, running, counts = self._collected[-1] if self._collected else before
        batch = torch.where(batch[1].isfinite(), batch, 0)  # a class whose hinges are not finite counts as missing
        errors, _, sizes = batch
        stepped = (multipliers + self.mu * (errors / sizes.clamp(min=1) - self.bounds)).clamp(min=0)
        moves = self.asked & (sizes > 0)
        moved = torch.where(moves, stepped.to(multipliers.dtype), multipliers)
        return moved, _averaged(running, batch).to(running.dtype), counts + batch[::2]

    @torch.no_grad()
    def update_multipliers(self) -> None:
        """multiplier_i <- max(0, multiplier_i + mu * g_i), for the classes in each batch since the last update."""
        ((multipliers, running, counts),) = self._take_collected()
        self.multipliers.copy_(multipliers)
        self.running.copy_(running)
        self.epoch_counts.add_(counts)

    def end_epoch(self, validation_auc: float) -> None:
        """Apply the mu rule to the rates of the epoch, independent of the AUC. Synchronises once with the device."""
        errors, samples = self.epoch_counts.flatten(1).tolist()
        self.epoch_counts.zero_()
        violation = self._violation(errors, samples)
        if violation is None:
            return
        if violation > self._previous_violation / 2 > 0:
            self._set_mu(min(self.rho * self._mu, self.mu_limit))
        self._previous_violation = violation

    def _violation(self, errors: list[float], samples: list[float]) -> float | None:
        """The larger g_i of an epoch, 0 if all are met within their standard error, None without samples."""
        found = []
        for wrong, number, bound in zip(errors, samples, self._bounds_of_each(), strict=True):
            if bound is not None and number > 0:
                g = wrong / number - bound
                found.append(g if g > math.sqrt(bound * (1 - bound) / number) else 0.0)
        return max(found, default=None)

    def _bounds_of_each(self) -> list[float | None]:
        """The bound of each error rate: those of all positives, then those of all negatives."""
        number = len(self.critical)
        return [1 - self.tpr_at_least] * number + [self.fpr_at_most] * number

    def get_extra_state(self) -> dict[str, Any]:
        """What the mu rule remembers, for ``state_dict``."""
        return {**super().get_extra_state(), "previous_violation": self._previous_violation}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it from ``state_dict``; see :meth:`Constraint.set_extra_state`."""
        super().set_extra_state(state)
        self._previous_violation = float(state["previous_violation"])


def _averaged(running: Tensor, batch: Tensor) -> Tensor:
    """(2, 2, [C]) hinges and samples: what is kept of ``running``, and those of the (3, 2, [C]) sums of a batch."""
    kept = (1 - batch[2] / MEMORY).clamp(min=0)
    return running.to(batch.dtype) * kept + batch[1:]
