"""What the objectives for any number of classes share.

Shapes: B samples in the batch, K classes, C critical ones.

Two classes are one logit s, with p = sigma(s), or two outputs. K > 2 classes are K outputs z and a softmax:

    q_c = exp(z_c) / sum_m exp(z_m),    log-odds of c against the rest:  s_c = z_c - log sum_{m != c} exp(z_m)

so that q_c = sigma(s_c). At K = 2 the log-odds of class 1 are z_1 - z_0, and a formula in q is the binary one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from .base import Loss, class_targets, in_full_precision, require


class SoftmaxLoss(Loss):
    """Base of the objectives for any number of classes. A subclass defines ``of_two_classes`` and ``of_classes``.

    With two classes it is a loss of one output, or of as many as its class says. With K > 2 ``outputs`` is K, targets
    are 0..K-1, and ``score`` has a column for each critical class, the log-odds of that class against the rest; so
    (scores[:, c], targets == critical[c]) is a binary problem for constraints and metrics.

    Args:
        classes: K, >= 2. A subclass that takes ``class_counts`` has it from their number.
        critical: the classes that must not be missed, without repetition, in the order of the columns; what ``score``
            needs where K > 2, and nothing else. Of two classes it is class 1.

    Raises:
        ValueError: a value is out of its range.
    """

    class_facts: ClassVar[tuple[str, ...]] = ("classes", "critical")
    is_own: Tensor

    def __init__(self, *, classes: int = 2, critical: Sequence[int] | None = None) -> None:
        super().__init__()
        self.classes, self.critical = checked_classes(classes, critical)
        if classes > 2:
            self.outputs = self.classes
        columns = torch.tensor(self.critical, dtype=torch.long)
        self.register_buffer("is_own", columns[:, None] == torch.arange(classes), persistent=False)  # (C, K)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        if self.classes == 2:
            return self.of_two_classes(*self.scores_and_targets(outputs, targets))
        return self.of_classes(*self.logits_and_labels(outputs, targets))

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The objective from (B,) scores and (B,) targets of their dtype, 0 or 1."""
        raise NotImplementedError(f"{type(self).__name__} must define of_two_classes")  # pragma: no cover

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The objective from (B, K) outputs and (B,) int64 class indices."""
        raise NotImplementedError(f"{type(self).__name__} must define of_classes")  # pragma: no cover

    def score(self, outputs: Tensor) -> Tensor:
        """Two classes: as :meth:`Loss.score`. K > 2: (B, K) outputs -> (B, C) log-odds of each critical class.

        Raises:
            ValueError: another shape, or ``critical`` is not known.
        """
        return super().score(outputs) if self.classes == 2 else self.log_odds(self.logits(outputs))

    def class_outputs(self, outputs: Tensor) -> Tensor:
        """(B, K) a number for each class, whose softmax are the probabilities: of two classes 0 and the logit."""
        if self.classes > 2:
            return self.logits(outputs)
        score = self.score(outputs)
        return torch.stack([torch.zeros_like(score), score], dim=1)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(B, K) logits -> (B, C) log-odds of each critical class against the rest."""
        if not self.critical:
            raise ValueError(
                f"{type(self).__name__} needs critical, such as (1, 2), for a score of {self.classes} classes"
            )
        return against_the_rest(logits[:, None], self.is_own)

    def logits(self, outputs: Tensor) -> Tensor:
        """(B, K) outputs in float32 or float64, after a check of their shape."""
        if outputs.dim() != 2 or outputs.shape[1] != self.classes:
            expected = f"{type(self).__name__} needs outputs of shape (B, {self.classes})"
            raise ValueError(f"{expected}, got {tuple(outputs.shape)}")
        return in_full_precision(outputs)

    def logits_and_labels(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Check shapes and targets; return logits (B, K) and class indices (B,), int64."""
        logits = self.logits(outputs)
        if targets.shape != logits.shape[:1]:
            raise ValueError(f"targets must have shape {tuple(logits.shape[:1])}, got {tuple(targets.shape)}")
        if len(logits) == 0:
            raise ValueError("a batch must have at least one sample, got none")
        return logits, class_targets(targets, classes=self.classes, dtype=logits.dtype)


def checked_classes(classes: int, critical: Sequence[int] | None) -> tuple[int, tuple[int, ...]]:
    """The number of classes and the critical ones: class 1 of two, none if they are not known.

    >>> checked_classes(2, None), checked_classes(10, [9, 1])
    ((2, (1,)), (10, (9, 1)))
    """
    require(hasattr(classes, "__index__") and classes >= 2, "classes must be an integer >= 2", classes)
    if critical is None:
        return int(classes), (1,) if classes == 2 else ()
    found = tuple(int(each) for each in critical)
    different = len(found) == len(set(found)) > 0 and 0 <= min(found) <= max(found) < classes
    require(different, f"critical must be one or more of the classes 0..{classes - 1}, none of them twice", critical)
    require(
        classes > 2 or found == (1,), "critical must be (1,) of two classes, in which class 1 is the rare one", critical
    )
    return int(classes), found


def require_counts(class_counts: Sequence[int]) -> tuple[int, ...]:
    """The number of training samples of each class: at least two classes, each at least 1."""
    good = len(class_counts) >= 2 and min(class_counts) >= 1
    require(good, "class_counts must be those of at least two classes, each >= 1", tuple(class_counts))
    return tuple(int(count) for count in class_counts)


def against_the_rest(logits: Tensor, is_own: Tensor) -> Tensor:
    """z_c - log sum_{m != c} exp(z_m), the log-odds of class c in a softmax of the logits.

    Args:
        logits: (..., K).
        is_own: (..., K) bool, true for one class c of the last dimension; broadcast against the logits.

    Returns:
        (...,) without the last dimension, exact where q_c is close to 0 or 1 too.

    >>> z = torch.tensor([0.0, 0.0, math.log(6)])                       # q = 1/8, 1/8, 3/4
    >>> against_the_rest(z, torch.tensor([False, False, True])).exp().item()
    3.0
    """
    others = logits.masked_fill(is_own, -math.inf).logsumexp(dim=-1)
    own = torch.where(is_own, logits, 0).sum(dim=-1)
    return own - others


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(B,) class indices -> (B, K) bool."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def of_true_class(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, K) logits and (B,) class indices -> (B,) log-odds of the true class against the rest."""
    return against_the_rest(logits, one_hot(labels, logits.shape[1]))
