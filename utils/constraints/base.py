"""What every constraint shares: its contract, the checks of its options and batches, and its weight mu."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..losses.base import KeptPrecision, binary_targets, class_targets, in_full_precision, require
from ..losses.softmax import checked_classes


class Constraint(KeptPrecision):
    """Base of all constraints: a penalty added to any objective, with multipliers that grow where it is violated.

    A subclass writes ``penalty``, ``update_multipliers`` and ``end_epoch``, and has a buffer ``multipliers``. A score
    from ``threshold`` on counts as positive: 0, unless the subclass makes it a parameter::

        penalty = constraint.penalty(scores, targets, indices)
        (objective + penalty).backward()
        optimizer.step()
        constraint.update_multipliers()          # with the violations of every penalty since the last update
        ...
        constraint.end_epoch(validation_auc)     # mu

    Several batches may come before one update (gradient accumulation): each sample counts as often as it was seen, and
    the multipliers move as if they had been updated after each batch. What is NaN or infinite counts for none: a step
    that a gradient scaler skips leaves the multipliers finite. A ``penalty`` under ``torch.no_grad()`` or after
    ``constraint.eval()`` counts for no update: use it for steps at fixed multipliers. ``state_dict`` holds no batches
    that still wait for their update: save after it.

    Mixed precision: ``penalty`` computes in float32 whatever the scores, within ``torch.autocast`` or outside. Where a
    score is infinite or NaN, so is the penalty, but what is infinite or NaN moves no multiplier: a ``GradScaler`` skips
    such a step.

    With K > 2 classes the scores are (B, C), a column for each of the critical classes, such as ``SoftmaxLoss.score``
    gives, and the targets 0..K-1. Each critical class is to a constraint what the positives of two classes are.

    As an attribute of a model it follows ``.to(device)``, ``train()`` and ``eval()``, and is saved with the model.

    Class attributes:
        facts: constructor parameters that the run supplies, not the user: ``num_samples``, the size of the data set
            that ``indices`` point into, ``first_epoch``, the number of the first epoch under the constraint (above 0
            where training continues from a baseline), and those that ``losses.base.Loss`` lists.
        class_facts: those that it needs besides where there are more than two classes; empty for a constraint that
            knows two only.
        needs_both_classes: whether a batch without a pair of a critical class and another says nothing: its penalty is
            exactly 0 and no multiplier moves. On a CPU a run does not ask for it then.

    Every other constructor parameter is an option of the same name. Parameters of its own (``nn.Parameter``) are
    trained by the run's optimizer, without weight decay. They and its buffers stay in float32 or float64 where the
    model around it is cast to half precision.

    Args:
        mu: first weight of the quadratic term, > 0.
        rho: factor by which mu grows, >= 1.
        mu_limit: largest mu, >= mu. None: mu * rho^5, or mu * rho^3 where mu >= 1e-3.
        classes: K, >= 2.
        critical: the critical classes, without repetition, in the order of the columns of the scores; class 1 of two.

    Raises:
        ValueError: an option is out of its range.
    """

    facts: ClassVar[tuple[str, ...]] = ()
    class_facts: ClassVar[tuple[str, ...]] = ()
    needs_both_classes: ClassVar[bool] = False

    multipliers: Tensor
    mu: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        mu: float = 0.1,
        rho: float = 2.0,
        mu_limit: float | None = None,
        classes: int = 2,
        critical: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.critical = checked_classes(classes, critical)
        require(
            bool(self.critical), f"critical must be the critical ones of {classes} classes, such as (1, 2)", critical
        )
        limit = default_mu_limit(mu, rho) if mu_limit is None else mu_limit
        require(math.isfinite(mu) and mu > 0, "mu must be a finite number > 0", mu)
        require(math.isfinite(rho) and rho >= 1, "rho must be a finite number >= 1", rho)
        require(math.isfinite(limit) and limit >= mu, f"mu_limit must be a finite number >= mu = {mu}", limit)
        self.rho, self.mu_limit = float(rho), float(limit)
        self.register_buffer("mu", torch.tensor(float(mu), dtype=torch.float64), persistent=False)
        self.register_buffer("threshold", torch.zeros(self.columns), persistent=False)
        self._mu = float(mu)  # the same value on the host, so that reading it does not wait for the device
        self._collected: list[tuple[Tensor, ...]] = []  # what ``penalty`` leaves for ``update_multipliers``

    @property
    def columns(self) -> tuple[int, ...]:
        """The shape of what there is for each critical class: (C,), and () of two classes."""
        return (len(self.critical),) if self.classes > 2 else ()

    @property
    def mu_value(self) -> float:
        """mu as a number, without a wait for the device."""
        return self._mu

    def shown_multipliers(self, indices: Tensor) -> Tensor:
        """The multipliers to log, where ``indices`` (n,) are the positives: all of them, unless they are per sample."""
        return self.multipliers

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """What is added to the objective of one batch.

        Args:
            scores: (B,) raw logits (for a two-output head the output of class 1); of K > 2 classes (B, C).
            targets: (B,) 0 or 1; of K > 2 classes 0..K-1.
            indices: (B,) dataset index of each sample.

        Returns:
            A scalar with a graph, also where a class is missing from the batch.

        Raises:
            ValueError: the shapes do not match, a target is not one of the classes, or an index is not one of the data
                set (on a GPU this is an assertion on the device).
        """
        raise NotImplementedError(f"{type(self).__name__} must define penalty")  # pragma: no cover

    def update_multipliers(self) -> None:
        """Update the multipliers with the violations of every ``penalty`` since the last update.

        It must not wait for the device.

        Raises:
            RuntimeError: there was none.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_multipliers")  # pragma: no cover

    def end_epoch(self, validation_auc: float) -> None:
        """Called after each epoch: the rule by which mu grows."""
        raise NotImplementedError(f"{type(self).__name__} must define end_epoch")  # pragma: no cover

    def get_extra_state(self) -> dict[str, Any]:
        """What the mu rule remembers, for ``state_dict``."""
        return {"mu": self._mu}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it from ``state_dict``.

        Raises:
            ValueError: it is the state of another kind of constraint, or its mu is not a finite number > 0.
        """
        expected = sorted(self.get_extra_state())
        found = sorted(state) if isinstance(state, dict) else state
        require(found == expected, f"the state of a {type(self).__name__} must hold {', '.join(expected)}", found)
        mu = float(state["mu"])
        require(math.isfinite(mu) and mu > 0, "mu in the state must be a finite number > 0", mu)
        self._collected.clear()
        self._set_mu(mu)

    def _set_mu(self, value: float) -> None:
        self._mu = value
        self.mu.fill_(value)

    def _collect(self, *batch: Tensor) -> None:
        """Keep a copy of what ``update_multipliers`` needs of a batch, where the batch counts."""
        if self.training and torch.is_grad_enabled():
            self._collected.append(tuple(each.detach().clone() for each in batch))

    def _take_collected(self) -> list[tuple[Tensor, ...]]:
        """What was collected since the last update, batch by batch."""
        if not self._collected:
            raise RuntimeError(
                "update_multipliers() needs a call of penalty() before it, got none since the last update"
                " (calls under no_grad() or eval() do not count)"
            )
        collected, self._collected = self._collected, []
        return collected


def checked_scores(scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
    """(B,) ``scores`` in float32 or float64, after a check of the three shapes and of the targets."""
    if scores.dim() != 1 or not scores.shape == targets.shape == indices.shape:
        shapes = tuple(scores.shape), tuple(targets.shape), tuple(indices.shape)
        raise ValueError(f"scores, targets and indices must have one shape (B,), got {shapes}")
    scores = in_full_precision(scores)
    binary_targets(targets, dtype=scores.dtype)
    return scores


def checked_columns(constraint: Constraint, scores: Tensor, targets: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The same of K > 2 classes: (B, C) scores in float32 or float64, and (B,) targets as int64."""
    shape = (*targets.shape, *constraint.columns)
    if targets.dim() != 1 or scores.shape != shape or indices.shape != targets.shape:
        found = tuple(scores.shape), tuple(targets.shape), tuple(indices.shape)
        expected = f"scores must be (B, {len(constraint.critical)}), targets and indices (B,)"
        raise ValueError(f"{expected} with {constraint.classes} classes, got {found}")
    scores = in_full_precision(scores)
    return scores, class_targets(targets, classes=constraint.classes, dtype=scores.dtype)


def default_mu_limit(mu: float, rho: float) -> float:
    """mu * rho^5, or mu * rho^3 where mu is 1e-3 or more.

    >>> default_mu_limit(0.5, 2.0)
    4.0
    """
    return mu * rho ** (3 if mu >= 1e-3 else 5)
