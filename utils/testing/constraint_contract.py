"""The contract of a constraint: what the training step, the end of an epoch and the checkpoint rely on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .promises import Promises, expect, expect_error, gradient_of, name_of, saved_and_loaded

NUM_SAMPLES = 32
ZERO = "the penalty of a batch that lacks a class is exactly 0, without gradient"
Build = Callable[[], Any]  # a module of somebody else need not derive from Constraint
constraint_promises = Promises[Build]()


def check_constraint(constraint: type[nn.Module] | nn.Module, *, classes: int = 2, **options: Any) -> None:
    """Check the contract of a constraint.

    Args:
        constraint: a class, built with ``num_samples`` where it takes that and with ``options``; or an instance, which
            is copied and not changed. It must accept dataset indices 0..31.
        classes: number of classes that a class is built for, 2 to 12; two of more than two are critical.
        **options: constructor arguments of a class.

    Raises:
        ContractError: a promise is broken; the text lists every one.
    """

    def build() -> Any:
        if not isinstance(constraint, type):
            return copy.deepcopy(constraint)
        takes = inspect.signature(constraint).parameters
        of_classes = {"classes": classes, "critical": (classes - 1, 1)} if classes > 2 else {}
        samples = {"num_samples": NUM_SAMPLES} if "num_samples" in takes else {}
        return constraint(**samples, **of_classes, **options)

    skip = () if getattr(constraint, "needs_both_classes", False) else (ZERO,)
    constraint_promises.check(name_of(constraint), build, skip=skip)


def batch_for(constraint: Any, seed: int, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (12,) or (12, C), targets of all classes and indices, (12,) each."""
    classes = classes_of(constraint)
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn((12, *columns_of(constraint)), generator=generator, dtype=torch.float64)
    indices = torch.randperm(NUM_SAMPLES, generator=generator)[:12]
    targets = torch.arange(12) % 3 == 1 if classes == 2 else torch.arange(12) % classes
    return scores.to(dtype), targets.long(), indices


def classes_of(constraint: Any) -> int:
    """The number of classes that it was built for."""
    return int(getattr(constraint, "classes", 2))


def columns_of(constraint: Any) -> tuple[int, ...]:
    """(C,) with more than two classes, of which C are critical, else ()."""
    return (len(constraint.critical),) if classes_of(constraint) > 2 else ()


def penalty_and_gradient(constraint: Any, batch: tuple[Tensor, Tensor, Tensor], what: str) -> tuple[Tensor, Tensor]:
    """The penalty of a batch and its gradient, both finite."""
    leaf = batch[0].detach().clone().requires_grad_()
    value = constraint.penalty(leaf, *batch[1:])
    gradient = gradient_of(value, leaf, what)
    return value.detach(), gradient


def train_epoch(constraint: Any, *, seed: int) -> None:
    """Three batches and the end of the epoch."""
    for number in range(3):
        constraint.penalty(*batch_for(constraint, 10 * seed + number))
        constraint.update_multipliers()
    constraint.end_epoch(0.9 - 0.1 * seed)


@constraint_promises("penalty returns a finite scalar with a graph and a finite gradient")
def _penalty(build: Build) -> None:
    for dtype in (torch.float32, torch.float64):
        constraint = build()
        value, gradient = penalty_and_gradient(constraint, batch_for(constraint, 1, dtype=dtype), f"for {dtype}")
        expect(value.dtype == dtype, f"a penalty of {dtype}", value.dtype)
        expect(bool(gradient.any()), "a gradient where the constraint is violated", "0")


@constraint_promises("a batch of one class has a finite penalty with a graph, and an update")
def _one_class(build: Build) -> None:
    for label in range(classes_of(build())):
        constraint = build()
        scores, targets, indices = batch_for(constraint, 2)
        penalty_and_gradient(constraint, (scores, torch.full_like(targets, label), indices), f"for class {label} alone")
        constraint.update_multipliers()


@constraint_promises(ZERO)
def _zero(build: Build) -> None:
    for label in range(classes_of(build())):
        constraint = build()
        train_epoch(constraint, seed=1)
        scores, targets, indices = batch_for(constraint, 2)
        batch = scores, torch.full_like(targets, label), indices
        value, gradient = penalty_and_gradient(constraint, batch, f"for class {label} alone")
        expect(value.item() == 0 and not gradient.any(), f"0 for class {label} alone", value.item())


@constraint_promises("update_multipliers follows a penalty, once")
def _update(build: Build) -> None:
    constraint = build()
    expect_error(RuntimeError, constraint.update_multipliers, "an update before any penalty")
    constraint.penalty(*batch_for(constraint, 3))
    before = penalty_and_gradient(constraint, batch_for(constraint, 3), "before the update")[0]
    constraint.update_multipliers()
    expect_error(RuntimeError, constraint.update_multipliers, "a second update after one penalty")
    after = penalty_and_gradient(constraint, batch_for(constraint, 3), "after the update")[0]
    expect(bool(before != after), f"another penalty than {before.item()} after the update", after.item())


@constraint_promises("penalty alone changes nothing")
def _penalty_is_pure(build: Build) -> None:
    constraint = build()
    given = batch_for(constraint, 4)
    before = [tensor.clone() for tensor in given]
    values = [penalty_and_gradient(constraint, given, "")[0].item() for _ in range(2)]
    expect(values[0] == values[1], f"{values[0]} for the same batch again", values[1])
    unchanged = all(torch.equal(old, new) for old, new in zip(before, given, strict=True))
    expect(unchanged, "inputs left as they were", "a change")


@constraint_promises("half precision is computed in float32")
def _half(build: Build) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        constraint = build()
        value, _ = penalty_and_gradient(constraint, batch_for(constraint, 5, dtype=dtype), f"for {dtype}")
        expect(value.dtype == torch.float32, f"float32 for scores of {dtype}", value.dtype)


@constraint_promises("autocast does not lower the precision")
def _autocast(build: Build) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        for given in (dtype, torch.float32):
            outside, within = build(), build()
            for seed in range(3):
                expected, _ = penalty_and_gradient(outside, batch_for(outside, seed, dtype=given), "")
                outside.update_multipliers()
                with torch.autocast("cpu", dtype=dtype):
                    value, _ = penalty_and_gradient(within, batch_for(within, seed, dtype=given), "within autocast")
                    within.update_multipliers()
                same = value.dtype == torch.float32 and torch.allclose(value, expected, rtol=1e-5)
                expect(same, f"{expected.item()} of scores of {given} within autocast to {dtype}", value.item())


@constraint_promises("shapes that do not match raise ValueError")
def _shapes(build: Build) -> None:
    constraint = build()
    good = list(batch_for(constraint, 6))
    for which, name in enumerate(("scores", "targets", "indices")):
        for wrong in (good[which][:-1], good[which][:, None], good[which][0]):
            given = [*good[:which], wrong, *good[which + 1 :]]
            what = f"{name} of shape {tuple(wrong.shape)}"
            expect_error(ValueError, lambda given=given: constraint.penalty(*given), what)  # type: ignore[misc]


@constraint_promises("threshold is a finite scalar tensor, with a column for each critical class of more than two")
def _threshold(build: Build) -> None:
    constraint = build()
    threshold, shape = constraint.threshold, columns_of(constraint)
    expect(isinstance(threshold, Tensor) and threshold.shape == shape, f"a tensor of shape {shape}", threshold)
    expect(bool(threshold.isfinite().all()), "a finite threshold", threshold)


@constraint_promises("state_dict holds everything that a resumed run needs")
def _state(build: Build) -> None:
    constraint, resumed = build(), build()
    for seed in range(4):  # the resumed one is loaded after each epoch, whatever it did before
        train_epoch(constraint, seed=seed)
        resumed.load_state_dict(saved_and_loaded(constraint.state_dict()))
        ahead = copy.deepcopy(constraint)
        for later in range(seed + 1, seed + 4):
            values = [penalty_and_gradient(each, batch_for(each, later), "")[0].item() for each in (ahead, resumed)]
            expect(values[0] == values[1], f"{values[0]} as without the interruption", values[1])
            for each in (ahead, resumed):
                train_epoch(each, seed=later)


@constraint_promises("the order of the samples does not matter")
def _order(build: Build) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5))
    straight, permuted = build(), build()
    for seed in range(3):
        batch = batch_for(straight, seed)
        shuffled = batch[0][order], batch[1][order], batch[2][order]
        value, gradient = penalty_and_gradient(straight, batch, "")
        other, other_gradient = penalty_and_gradient(permuted, shuffled, "after a permutation")
        same = torch.allclose(value, other, rtol=1e-5) and torch.allclose(gradient[order], other_gradient, rtol=1e-5)
        expect(same, f"{value.item()} and the same gradients", other.item())
        straight.update_multipliers()
        permuted.update_multipliers()
