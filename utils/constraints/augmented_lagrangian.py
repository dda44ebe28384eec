"""Every positive outranks every negative by a margin, as an augmented Lagrangian.

Shapes: B samples in the batch, P positives, N negatives.

    q_j = sum over negatives k of max(0, delta - (s_j - s_k)),   the constraint is q_j = 0 for every positive j
    penalty = 1/(P*N) * sum_j [ mu/2 * q_j^(2 p2_norm) + multiplier_j * q_j ]
    multiplier_j <- multiplier_j + mu * q_j

The q_j come from ``pairwise.violations``: all B x B pairs of a small batch, one sort of a large one.

Reference: Sangalli, Erdil, Hoetker, Donati, Konukoglu, "Constrained optimization to train neural networks on critical
and under-represented classes", NeurIPS 2021, arXiv 2102.12894.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..pairwise.violations import masked_violations

AUC_DROP = 0.05  # mu grows after its first step only when the validation AUC falls by more than this in one epoch


class AugmentedLagrangian(nn.Module):
    """The pairwise ranking constraint: its penalty, its multipliers, and the rule by which mu grows.

    Use it with any objective::

        penalty = constraint.penalty(scores, targets, indices)
        (objective + penalty).backward()
        optimizer.step()
        constraint.update_multipliers()          # with the q of that batch
        ...
        constraint.end_epoch(validation_auc)     # mu

    Args:
        num_samples: size of the data set that ``indices`` point into; one multiplier each, 0 at first.
        delta: margin in logits, >= 0.
        mu: first weight of the quadratic term, > 0.
        rho: factor by which mu grows, >= 1.
        mu_limit: largest mu, >= mu. None: mu * rho^5, or mu * rho^3 where mu >= 1e-3.
        p2_norm: half the exponent of the quadratic term, >= 0.5 (below, the slope at q = 0 is infinite).
        cap_mu: whether mu stops growing for ever once the validation AUC is 1.
        introd_ALM_from: epochs by which the mu rule is delayed; the terms themselves act from the first epoch.
        unconditional_step: whether mu takes its first step whatever the AUC (not where training goes on).
        first_epoch: number of the first epoch under the constraint, where training goes on from a baseline.

    Raises:
        ValueError: an option is out of its range.

    >>> constraint = AugmentedLagrangian(2, delta=1.0, mu=0.5)
    >>> scores, targets = torch.tensor([0.0, 0.5]), torch.tensor([1, 0])     # q = 1 - (0 - 0.5) = 1.5
    >>> constraint.penalty(scores, targets, torch.tensor([0, 1])).item()     # 0.5/2 * 1.5^2 + 0 * 1.5
    0.5625
    >>> constraint.update_multipliers()
    >>> constraint.multipliers.tolist()                                      # 0.5 * 1.5
    [0.75, 0.0]
    """

    multipliers: Tensor
    mu: Tensor

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
        unconditional_step: bool = True,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        limit = default_mu_limit(mu, rho) if mu_limit is None else mu_limit
        _check(num_samples >= 1, "num_samples must be >= 1", num_samples)
        _check(math.isfinite(delta) and delta >= 0, "delta must be a finite number >= 0", delta)
        _check(math.isfinite(mu) and mu > 0, "mu must be a finite number > 0", mu)
        _check(math.isfinite(rho) and rho >= 1, "rho must be a finite number >= 1", rho)
        _check(math.isfinite(limit) and limit >= mu, f"mu_limit must be a finite number >= mu = {mu}", limit)
        _check(math.isfinite(p2_norm) and p2_norm >= 0.5, "p2_norm must be a finite number >= 0.5", p2_norm)
        _check(introd_ALM_from >= 0, "introd_ALM_from must be >= 0 epochs", introd_ALM_from)
        self.delta, self.p2_norm = float(delta), float(p2_norm)
        self.rho, self.mu_limit, self.cap_mu = float(rho), float(limit), bool(cap_mu)
        self.introd_ALM_from, self.unconditional_step = introd_ALM_from, unconditional_step
        self.register_buffer("multipliers", torch.zeros(num_samples))
        self.register_buffer("mu", torch.tensor(float(mu), dtype=torch.float64), persistent=False)
        self._mu = float(mu)  # the same value on the host, so that the rule waits for no device
        self._epochs_ended = first_epoch
        self._previous_auc = math.nan
        self._mu_is_final = False
        self._last_batch: tuple[Tensor, Tensor] | None = None

    @property
    def mu_value(self) -> float:
        """mu as a number, without a wait for the device."""
        return self._mu

    @property
    def threshold(self) -> Tensor:
        """The score from which a sample counts as positive: a ranking has none of its own, so 0."""
        return torch.zeros((), device=self.multipliers.device)

    def shown_multipliers(self, indices: Tensor) -> Tensor:
        """(n,) the multipliers of the positives ``indices`` (n,), for those who look at them."""
        return self.multipliers[indices]

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """The two terms that are added to the objective, of one batch.

        Args:
            scores: (B,) raw logits (for a two-output head the output of class 1).
            targets: (B,) 0 or 1.
            indices: (B,) dataset index of each sample.

        Returns:
            A scalar >= 0 with a graph; exactly 0 where the batch lacks a class.

        Raises:
            ValueError: the three do not have one shape (B,).
        """
        if scores.dim() != 1 or not scores.shape == targets.shape == indices.shape:
            shapes = tuple(scores.shape), tuple(targets.shape), tuple(indices.shape)
            raise ValueError(f"scores, targets and indices must have one shape (B,), got {shapes}")
        scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
        positive = targets.to(scores.dtype)
        negative = 1 - positive
        q = masked_violations(scores, targets, delta=self.delta)  # (B,) 0 at the negatives
        self._last_batch = indices, q.detach()
        multipliers = self.multipliers.index_select(0, indices).to(scores.dtype)
        terms = self.mu / 2 * q.pow(2 * self.p2_norm) + multipliers * q
        return terms.sum() / (positive.sum() * negative.sum()).clamp(min=1)

    @torch.no_grad()
    def update_multipliers(self) -> None:
        """multiplier_j <- multiplier_j + mu * q_j, for the positives of the last ``penalty``; never clipped."""
        if self._last_batch is None:
            raise RuntimeError(
                "update_multipliers() needs a call of penalty() before it, got none since the last update"
            )
        indices, violations = self._last_batch
        self.multipliers.index_add_(0, indices, (self.mu * violations).to(self.multipliers.dtype))
        self._last_batch = None

    def end_epoch(self, validation_auc: float) -> None:
        """Apply the mu rule at the end of epoch e = 0, 1, 2, ... (counted from ``introd_ALM_from``).

        e = 0 nothing; e = 1 remember the AUC; e >= 2: final if the AUC is 1 (``cap_mu``); otherwise rho * mu, cut at
        ``mu_limit`` and then final; below the limit e = 2 takes it whatever the AUC, later epochs only if the AUC fell
        by more than 0.05 since the epoch before.
        """
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
        is_free = epoch == 2 and self.unconditional_step
        return candidate if is_free or validation_auc < self._previous_auc - AUC_DROP else self._mu

    def _set_mu(self, value: float) -> None:
        self._mu = value
        self.mu.fill_(value)

    def get_extra_state(self) -> dict[str, Any]:
        """What the mu rule remembers, for ``state_dict``."""
        return {
            "mu": self._mu,
            "epochs_ended": self._epochs_ended,
            "previous_auc": self._previous_auc,
            "mu_is_final": self._mu_is_final,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """The other way round."""
        self._set_mu(float(state["mu"]))
        self._epochs_ended = int(state["epochs_ended"])
        self._previous_auc = float(state["previous_auc"])
        self._mu_is_final = bool(state["mu_is_final"])


def default_mu_limit(mu: float, rho: float) -> float:
    """mu * rho^5, or mu * rho^3 where mu is 1e-3 or more.

    >>> default_mu_limit(0.5, 2.0)
    4.0
    """
    return mu * rho ** (3 if mu >= 1e-3 else 5)


def _check(condition: bool, expected: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{expected}, got {value}")
