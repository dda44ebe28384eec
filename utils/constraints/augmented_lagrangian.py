"""Every positive outranks every negative by a margin, as an augmented Lagrangian.

Shapes: B samples in the batch, P positives, N negatives.

    q_j = sum over negatives k of max(0, delta - (s_j - s_k)),   the constraint is q_j = 0 for every positive j
    penalty = 1/(P*N) * sum_j [ mu/2 * q_j^(2 p2_norm) + multiplier_j * q_j ]
    multiplier_j <- multiplier_j + mu * q_j

The q_j come from ``pairwise.violations``: all B x B pairs of a small batch, one sort of a large one.

K classes of which some are critical, with a score s_c for each critical class c, P_c samples of c in the batch and N_m
of another class m. Both forms are the one above at K = 2:

    rest:     q_j = sum over samples k of all other classes of max(0, delta - (s_c(j) - s_c(k)))
              penalty = sum_c 1/(P_c*(B - P_c)) * sum_{j of c} [ mu/2 * q_j^(2 p2_norm) + multiplier_j * q_j ]
    classes:  q_jm = the same sum over the samples k of class m alone, with a multiplier for each (j, m)
              penalty = sum_c sum_{m != c} 1/(P_c*N_m) * sum_{j of c} [ mu/2 * q_jm^(2 p2_norm) + multiplier_jm * q_jm ]

Reference: Sangalli, Erdil, Hoetker, Donati, Konukoglu, "Constrained optimization to train neural networks on critical
and under-represented classes", NeurIPS 2021, arXiv 2102.12894. The forms for K classes are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..losses.base import require
from ..losses.softmax import one_hot
from ..pairwise.class_violations import class_violations
from ..pairwise.violations import masked_violations
from .base import Constraint, checked_columns, checked_scores

MOST_COLLECTED = 1000  # batches before one update that are kept apart
AGAINST = ("rest", "classes")
AUC_DROP = 0.05  # mu grows after its first step only when the validation AUC falls by more than this in one epoch


class AugmentedLagrangian(Constraint):
    """The pairwise ranking constraint: its penalty, its multipliers, and the rule by which mu grows.

    Args:
        num_samples: size of the data set that ``indices`` point into; each sample has a multiplier, initially 0.
        delta: margin in logits, >= 0.
        p2_norm: half the exponent of the quadratic term, >= 0.5 (below, the gradient at q = 0 is infinite).
        cap_mu: whether mu stays constant once the validation AUC has reached 1.
        introd_ALM_from: epochs by which the mu rule is delayed; the terms themselves act from the first epoch.
        first_epoch: number of the first epoch under the constraint. Above 0, training continues from a baseline: the
            mu rule then starts from the epoch before it, whatever ``introd_ALM_from``, and has no free first step.
        against: whom a sample of a critical class must outrank, where there are more than two classes: ``rest``, all
            others together, or ``classes``, each other class by itself, so that small ones count as much as large ones
            (then the multipliers are num_samples x K numbers).
        mu, rho, mu_limit, classes, critical: as for :class:`Constraint`.

    Raises:
        ValueError: an option is out of its range.

    >>> constraint = AugmentedLagrangian(2, delta=1.0, mu=0.5)
    >>> scores, targets = torch.tensor([0.0, 0.5]), torch.tensor([1, 0])     # q = 1 - (0 - 0.5) = 1.5
    >>> constraint.penalty(scores, targets, torch.tensor([0, 1])).item()     # 0.5/2 * 1.5^2 + 0 * 1.5
    0.5625
    >>> constraint.update_multipliers()
    >>> constraint.multipliers.tolist()                                      # 0.5 * 1.5
    [0.75, 0.0]
    >>> constraint = AugmentedLagrangian(3, delta=1.0, mu=0.5, classes=3, critical=(1,), against="classes")
    >>> scores, targets = torch.tensor([[0.0], [0.5], [0.0]]), torch.tensor([1, 0, 2])     # q = 1.5 and 1
    >>> constraint.penalty(scores, targets, torch.arange(3)).item()                        # 0.5/2 * (1.5^2 + 1^2)
    0.8125
    >>> constraint.update_multipliers()
    >>> constraint.multipliers[0].tolist()
    [0.75, 0.0, 0.5]
    """

    needs_both_classes = True
    facts = ("num_samples", "first_epoch")
    class_facts: ClassVar[tuple[str, ...]] = ("classes", "critical")
    column_of: Tensor

    def __init__(
        self,
        num_samples: int,
        *,
        delta: float = 0.0,
        mu: float = 0.1,
        rho: float = 2.0,
        mu_limit: float | None = None,
        p2_norm: float = 1.0,
        cap_mu: bool = True,
        introd_ALM_from: int = 0,
        first_epoch: int = 0,
        against: str = "rest",
        classes: int = 2,
        critical: Sequence[int] | None = None,
    ) -> None:
        super().__init__(mu=mu, rho=rho, mu_limit=mu_limit, classes=classes, critical=critical)
        require(num_samples >= 1, "num_samples must be >= 1", num_samples)
        require(math.isfinite(delta) and delta >= 0, "delta must be a finite number >= 0", delta)
        require(math.isfinite(p2_norm) and p2_norm >= 0.5, "p2_norm must be a finite number >= 0.5", p2_norm)
        require(introd_ALM_from >= 0, "introd_ALM_from must be >= 0 epochs", introd_ALM_from)
        require(against in AGAINST, f"against must be one of {', '.join(AGAINST)}", against)
        self.against = against
        self.delta, self.p2_norm, self.cap_mu = float(delta), float(p2_norm), bool(cap_mu)
        self.introd_ALM_from = first_epoch - 1 if first_epoch else introd_ALM_from
        self.has_free_step = first_epoch == 0  # mu takes its first step whatever the AUC
        of_each = (num_samples, classes) if classes > 2 and against == "classes" else (num_samples,)
        self.register_buffer("multipliers", torch.zeros(of_each))
        column_of = torch.full((classes,), -1)
        column_of[list(self.critical)] = torch.arange(len(self.critical))
        self.register_buffer("column_of", column_of, persistent=False)
        self._epochs_ended = first_epoch
        self._previous_auc = math.nan
        self._mu_is_final = False

    def shown_multipliers(self, indices: Tensor) -> Tensor:
        """The multipliers of the samples ``indices`` (n,) of critical classes: (n,), or (n K,) against each class."""
        return self.multipliers[indices].flatten()

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """The two terms of the formula, >= 0; exactly 0 if the batch lacks a class. See :meth:`Constraint.penalty`."""
        if self.classes > 2:
            return self._penalty_of_classes(*checked_columns(self, scores, targets, indices), indices)
        scores = checked_scores(scores, targets, indices)
        positive = targets.detach().to(scores.dtype)
        negative = 1 - positive
        q = masked_violations(scores, targets, delta=self.delta)  # (B,) 0 at the negatives
        terms = self._terms(q, indices)
        return terms.sum() / (positive.sum() * negative.sum()).clamp(min=1)

    def _penalty_of_classes(self, scores: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """The formulas for K classes, of (B, C) scores and (B,) int64 labels."""
        q = class_violations(scores, labels, column_of=self.column_of, delta=self.delta)  # (B, K)
        sizes = one_hot(labels, self.classes).to(scores.dtype).sum(dim=0)  # (K,)
        own = sizes[labels]
        if self.against == "rest":
            return (self._terms(q.sum(dim=1), indices) / (own * (len(labels) - own)).clamp(min=1)).sum()
        return (self._terms(q, indices) / (own[:, None] * sizes).clamp(min=1)).sum()

    def _terms(self, q: Tensor, indices: Tensor) -> Tensor:
        """Both terms for each violation, with the multipliers as they are; the violations are kept for the update."""
        multipliers = self._multipliers_of(indices).to(q.dtype)
        self._collect(indices, q.detach().nan_to_num(0.0, posinf=0.0))
        if len(self._collected) > MOST_COLLECTED:
            self._collected = [self._summed(self._collected)]
        return self.mu / 2 * q.pow(2 * self.p2_norm) + multipliers * q

    def _multipliers_of(self, indices: Tensor) -> Tensor:
        """(B,) or (B, K) the multipliers of a batch."""
        try:
            return self.multipliers.index_select(0, indices)
        except IndexError:  # on a CPU; a GPU asserts it on the device
            expected = f"indices must be those of the data set, 0..{len(self.multipliers) - 1} (num_samples - 1)"
            raise ValueError(f"{expected}, got {int(indices.min())}..{int(indices.max())}") from None

    @torch.no_grad()
    def update_multipliers(self) -> None:
        """multiplier_j <- multiplier_j + mu * q_j, for the positives of each batch since the last update."""
        for indices, violations in self._take_collected():
            self.multipliers.index_add_(0, indices, (self.mu * violations).to(self.multipliers.dtype))

    @torch.no_grad()
    def _summed(self, batches: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor]:
        """The same as one batch of all samples, so that memory is bounded where no update ever comes."""
        total = torch.zeros_like(self.multipliers)
        for indices, violations in batches:
            total.index_add_(0, indices, violations.to(total.dtype))
        return torch.arange(len(total), device=total.device), total

    def end_epoch(self, validation_auc: float) -> None:
        """Apply the mu rule at the end of epoch e = 0, 1, 2, ... (counted from ``introd_ALM_from``).

        e = 0: nothing. e = 1: store the AUC. e >= 2: if the AUC is 1 (and ``cap_mu``), mu is final. Otherwise the
        candidate is rho * mu; above ``mu_limit``, mu becomes the limit and is final. Below it, e = 2 takes the
        candidate whatever the AUC, later epochs only if the AUC fell by more than 0.05 since the previous epoch.

        Raises:
            ValueError: the AUC is not in [0, 1], such as NaN or a percentage; no rule could compare it.
        """
        require(0 <= validation_auc <= 1, "validation_auc must be in [0, 1]", validation_auc)
        epoch = self._epochs_ended - self.introd_ALM_from
        self._epochs_ended += 1
        if epoch < 1 or self._mu_is_final:
            return
        if epoch >= 2:
            self._set_mu(self._next_mu(epoch, validation_auc))
        self._previous_auc = float(validation_auc)

    def _next_mu(self, epoch: int, validation_auc: float) -> float:
        if validation_auc == 1.0 and self.cap_mu:
            self._mu_is_final = True
            return self._mu
        candidate = self.rho * self._mu
        if candidate > self.mu_limit:
            self._mu_is_final = True
            return self.mu_limit
        is_free = epoch == 2 and self.has_free_step
        return candidate if is_free or validation_auc < self._previous_auc - AUC_DROP else self._mu

    def get_extra_state(self) -> dict[str, Any]:
        """What the mu rule remembers, for ``state_dict``."""
        return {
            **super().get_extra_state(),
            "epochs_ended": self._epochs_ended,
            "previous_auc": self._previous_auc,
            "mu_is_final": self._mu_is_final,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it from ``state_dict``; see :meth:`Constraint.set_extra_state`."""
        super().set_extra_state(state)
        self._epochs_ended = int(state["epochs_ended"])
        self._previous_auc = float(state["previous_auc"])
        self._mu_is_final = bool(state["mu_is_final"])
