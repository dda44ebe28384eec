"""The base class of all objectives, argument checks, and masked means over the classes.

Shapes: B samples in the batch, P positives (the critical, rare class, y = 1), N negatives; K classes, C critical ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

HALF = (torch.float16, torch.bfloat16)
MOST_COSINE = 1.01
COSINES = "outputs must be cosines, in -1..1, those of rarecall.models.heads.NormalisedHead as the last layer"
TARGETS = "targets must be 0 or 1 (1: the critical class; (labels == critical_class).long() converts others)"


class KeptPrecision(nn.Module):
    """A module whose ``half()``, ``bfloat16()`` and ``to(dtype)`` leave its own tensors in float32 or float64.

    What is added to over many steps, such as multipliers, would stop to grow in a narrower type: 256 + 1 is 256 in
    bfloat16. Devices change, and so do the types of other modules around it.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> KeptPrecision:
        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in HALF else moved

        super()._apply(kept, recurse)
        return self


class Loss(KeptPrecision):
    """Base class of all objectives. A subclass defines ``forward`` and, if its score is not the logit, ``score``.

    Attributes:
        outputs: number of outputs of the model: 1 or 2 for two classes, K for K classes.
        classes: number of classes K; 2 unless the loss is a ``SoftmaxLoss`` and was told otherwise.
        normalised_head: whether the outputs must be cosines (L2-normalised features and class weights).
        facts: constructor parameters supplied by the run, not by the user: ``class_counts`` (negatives, positives) of
            the training set; ``ratio_pos_train``, the requested ratio, or the obtained one if it is natural;
            ``num_samples``, the size of the data set that ``indices`` refer to.
        class_facts: those that it needs besides where there are more than two classes: ``classes``, their number, and
            ``critical``, the critical ones. Empty for a loss that knows two classes only.
        default_threshold: the score at or above which a sample is classified as positive; that of each column where
            there are several.

    Parameters of an objective are trained by the run's optimizer, without weight decay. They and its buffers stay in
    float32 or float64 where the model around it is cast to half precision.
    """

    outputs: int = 1
    classes: int = 2
    normalised_head: ClassVar[bool] = False
    facts: ClassVar[tuple[str, ...]] = ()
    class_facts: ClassVar[tuple[str, ...]] = ()
    default_threshold: ClassVar[float] = 0.0

    @property
    def initial_bias(self) -> float | None:
        """The initial bias of the model's last layer; None for the model's own initialisation."""
        return None

    def score(self, outputs: Tensor) -> Tensor:
        """(B,) or (B, 1) outputs -> (B,) scores, the raw logits, in float32 or float64."""
        if outputs.dim() == 2 and outputs.shape[1] == 1:
            outputs = outputs[:, 0]
        if outputs.dim() != 1:
            more = f"; {for_more_classes(self)}" if outputs.dim() == 2 and outputs.shape[1] > 2 else ""
            expected = f"{type(self).__name__} needs outputs of shape (B,) or (B, 1)"
            raise ValueError(f"{expected}, got {tuple(outputs.shape)}{more}")
        return in_full_precision(outputs)

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        """The objective of one batch.

        Args:
            outputs: (B, ``self.outputs``) outputs of the model; (B,) is accepted too if ``self.outputs`` is 1.
            targets: (B,) 0 or 1, of any dtype; they get no gradient. Of K classes 0..K-1.
            indices: (B,) dataset indices, int32 or int64, for objectives with a state per sample.

        Returns:
            A scalar with a graph, even if a class is missing from the batch.

        Raises:
            ValueError: the shapes do not match, or a target is not one of the classes (see :func:`binary_targets`).
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")  # pragma: no cover

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch, for objectives with a schedule."""

    def after_step(self) -> None:
        """Called after each optimizer step, for objectives with variables; must not synchronise with the device."""

    def scores_and_targets(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Check shapes and targets; return scores (B,) and targets (B,) of the same dtype."""
        scores = self.score(outputs)
        if targets.shape != scores.shape:
            raise ValueError(f"targets must have shape {tuple(scores.shape)}, got {tuple(targets.shape)}")
        if scores.numel() == 0:
            raise ValueError("a batch must have at least one sample, got none")
        return scores, binary_targets(targets, dtype=scores.dtype)


class ScalarWithSlopes(torch.autograd.Function):
    """Base of functions whose ``forward`` saves the derivatives by its first argument, if that needs a gradient."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return grad * slopes, *(None,) * (len(ctx.needs_input_grad) - 1)


def in_full_precision(values: Tensor) -> Tensor:
    """Cast float16 and bfloat16 to float32; return other dtypes unchanged."""
    return values.float() if values.dtype in HALF else values


def binary_targets(targets: Tensor, *, dtype: torch.dtype) -> Tensor:
    """``targets`` in ``dtype``, after a check that each of them is 0 or 1.

    On a GPU the check is an assertion on the device: a training step does not wait for it, and a failure surfaces as a
    RuntimeError at the next synchronisation, with the text in the log of the process.

    Raises:
        ValueError: another value, with targets that are not on a GPU.
    """
    values = targets.detach().to(dtype)
    wrong = (values * (1 - values)).any()  # 0 for 0 and 1 alone; NaN and infinity count as wrong
    _refuse(wrong, TARGETS, targets)
    return values


def class_targets(targets: Tensor, *, classes: int, dtype: torch.dtype) -> Tensor:
    """``targets`` as int64, after a check that each of them is one of 0..K-1; see :func:`binary_targets`.

    Args:
        targets: (B,) of any dtype.
        classes: K.
        dtype: a floating-point type, in which they are compared.

    >>> class_targets(torch.tensor([2.0, 0.0]), classes=3, dtype=torch.float32).tolist()
    [2, 0]
    """
    if classes == 2:
        return binary_targets(targets, dtype=dtype).long()
    values = targets.detach().to(dtype)
    is_class = (values >= 0) & (values < classes) & (values == values.floor())
    _refuse(~is_class.all(), f"targets must be class indices 0..{classes - 1}", targets)
    return values.long()


def cosines(outputs: Tensor) -> Tensor:
    """``outputs``, after a check that they are cosines, as far as half precision tells them (1.01).

    NaN passes: a loss that is not finite is told by who trains. On a GPU: as for :func:`binary_targets`.

    Raises:
        ValueError: an output beyond -1..1, with outputs that are not on a GPU.
    """
    largest = outputs.detach().abs().amax()
    _refuse(largest > MOST_COSINE, COSINES, largest)
    return outputs


def _refuse(wrong: Tensor, expected: str, came: Tensor) -> None:
    """Raise where ``wrong``, a scalar, is true; on a GPU without a wait."""
    try:
        torch._assert_async(~wrong, expected)
    except RuntimeError:  # raised at once on a CPU, and by devices that lack this assertion
        if wrong.device.type == "cuda":
            raise
        if wrong:
            raise ValueError(f"{expected}, got {came.unique()[:5].tolist()}") from None


def for_more_classes(loss: Loss | None = None) -> str:
    """What to do where there are more than two classes, in words."""
    from . import many_classes

    if loss is not None and loss.class_facts:
        return f"it was built for {loss.classes} classes: build it with classes, or with class_counts, of as many"
    return f"two classes only: for more use {', '.join(many_classes())}"


def require(condition: bool, expected: str, value: object) -> None:
    """Raise ValueError with what was expected and what came, unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{expected}, got {value}")


def require_non_negative(name: str, value: float) -> float:
    """``value`` if it is finite and >= 0."""
    require(math.isfinite(value) and value >= 0, f"{name} must be a finite number >= 0", value)
    return value


def require_positive(name: str, value: float) -> float:
    """``value`` as a float if it is finite and > 0."""
    require(math.isfinite(value) and value > 0, f"{name} must be a finite number > 0", value)
    return float(value)


def require_class_counts(class_counts: tuple[int, ...]) -> tuple[int, int]:
    """``(negatives, positives)`` of the training set, each at least 1."""
    more = f" ({for_more_classes()})" if len(class_counts) > 2 else ""
    expected = f"class_counts must be (negatives, positives), each >= 1{more}"
    require(len(class_counts) == 2 and min(class_counts) >= 1, expected, class_counts)
    return int(class_counts[0]), int(class_counts[1])


def mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` is 1; 0, with a graph, for an empty mask.

    ``values`` must be finite everywhere: multiplying by the mask keeps the shape fixed.
    """
    return (values * mask).sum() / mask.sum().clamp(min=1)


def by_class(targets: Tensor, values: tuple[float, float]) -> Tensor:
    """``values[0]`` where the target is 0, ``values[1]`` where it is 1; same shape and dtype as ``targets``.

    >>> by_class(torch.tensor([1.0, 0.0]), (5.0, 7.0)).tolist()
    [7.0, 5.0]
    """
    return values[0] * (1 - targets) + values[1] * targets


def both_classes(targets: Tensor) -> Tensor:
    """1 if the batch has a positive and a negative, else 0; a scalar on the batch's device, without synchronising."""
    return ((targets.sum() > 0) & ((1 - targets).sum() > 0)).to(targets.dtype)
