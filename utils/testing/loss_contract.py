"""The contract of a loss: what the training step, the checkpoint and a CUDA graph rely on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..losses.base import Loss
from .promises import Promises, expect, expect_error, expect_scalar, gradient_of, name_of, saved_and_loaded

FACTS: dict[str, Any] = {"class_counts": (90, 10), "ratio_pos_train": 9, "num_samples": 32}
ORDER = "the order of the samples does not matter"
SIZE = 12  # samples in a batch; their dataset indices lie in 0..31
LARGEST = 90  # samples of the largest of K classes, class 0; class c has about 1/(c + 1) as many
Build = Callable[[], Loss]
loss_promises = Promises[Build]()


def check_loss(
    loss: type[Loss] | Loss, *, permutation_invariant: bool = True, classes: int = 2, **options: Any
) -> None:
    """Check the contract of a loss.

    Args:
        loss: a class, built with the facts it names and with ``options``; or an instance, which is copied and not
            changed. It must accept dataset indices 0..31.
        permutation_invariant: whether the order of the samples in a batch must not matter.
        classes: number of classes that a class is built for, 2 to ``SIZE``; two of more than two are critical.
        **options: constructor arguments of a class.

    Raises:
        ContractError: a promise is broken; the text lists every one.

    >>> from ..losses.bce import BCE
    >>> check_loss(BCE)
    >>> check_loss(BCE, classes=5)
    """
    known = facts_of(classes)
    names = (*getattr(loss, "facts", ()), *(getattr(loss, "class_facts", ()) if classes > 2 else ()))

    def build() -> Loss:
        if isinstance(loss, type):
            return loss(**{name: known[name] for name in names}, **options)
        return copy.deepcopy(loss)

    unknown = set(names) - set(known)
    expect(not unknown, f"facts among {', '.join(known)}", unknown)
    for_many = classes == 2 or not isinstance(loss, type) or bool(getattr(loss, "class_facts", ()))
    expect(for_many, f"class_facts of a loss for {classes} classes", "none")
    loss_promises.check(name_of(loss), build, skip=() if permutation_invariant else (ORDER,))


def facts_of(classes: int) -> dict[str, Any]:
    """What a loss may ask of the run, for so many classes."""
    if classes == 2:
        return FACTS
    counts = tuple(max(LARGEST // (label + 1), 1) for label in range(classes))
    return {**FACTS, "class_counts": counts, "classes": classes, "critical": (classes - 1, 1)}


def batch_for(loss: Loss, *, size: int = SIZE, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (B, ``outputs``), cosines where the head is normalised, targets (B,) of all classes, indices (B,)."""
    generator = torch.Generator().manual_seed(1)
    outputs = 3 * torch.randn(size, loss.outputs, generator=generator, dtype=torch.float64)
    if loss.normalised_head:
        outputs = outputs / (outputs.abs().amax() + 0.1)
    targets = torch.arange(size) % 3 == 1 if loss.classes == 2 else torch.arange(size) % loss.classes
    return outputs.to(dtype), targets.long(), torch.randperm(32, generator=generator)[:size]


def value_and_gradient(loss: Loss, outputs: Tensor, targets: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """The value of a batch and its gradient, both finite."""
    leaf = outputs.detach().clone().requires_grad_()
    value = loss(leaf, targets)
    gradient = gradient_of(value, leaf, what)
    return value.detach(), gradient


@loss_promises("it is a Loss with keyword-only options and no device argument")
def _class(build: Build) -> None:
    loss = build()
    expect(isinstance(loss, Loss), "a subclass of rarecall.losses.Loss", type(loss).__mro__)
    parameters = inspect.signature(type(loss)).parameters
    named = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    expect(not named, "keyword-only options", f"positional {named}")
    expect("device" not in parameters, "no device argument; .to(device) moves the loss", "device")
    possible = (1, 2) if loss.classes == 2 else (loss.classes,)
    expect(loss.outputs in possible, f"outputs of {' or '.join(map(str, possible))}", loss.outputs)
    expect(isinstance(loss.default_threshold, float), "a default_threshold of type float", loss.default_threshold)


@loss_promises("forward returns a finite scalar with a graph and a finite gradient")
def _scalar(build: Build) -> None:
    for dtype in (torch.float32, torch.float64):
        loss = build()
        outputs, targets, _ = batch_for(loss, dtype=dtype)
        value, gradient = value_and_gradient(loss, outputs, targets, f"for {dtype}")
        expect(value.dtype == dtype, f"a value of {dtype}", value.dtype)
        expect(bool(gradient.any()), "a gradient that is not 0 everywhere", "0")


@loss_promises("score returns one score for each sample, and for each critical class of more than two")
def _score(build: Build) -> None:
    loss = build()
    columns = () if loss.classes == 2 else (len(getattr(loss, "critical", ())),)
    for size in (1, SIZE):
        outputs, targets, _ = batch_for(loss, size=size)
        score = loss.score(outputs)
        expect(score.shape == (size, *columns), f"scores of shape {(size, *columns)}", tuple(score.shape))
        if loss.outputs == 1:
            same = torch.equal(loss.score(outputs[:, 0]), score) and torch.equal(
                build()(outputs[:, 0], targets), build()(outputs, targets)
            )
            expect(same, "the same for outputs (B,) and (B, 1)", "a difference")


@loss_promises("a batch of one class has a finite value with a graph")
def _one_class(build: Build) -> None:
    for label in range(build().classes):
        for size in (1, 5):
            loss = build()
            outputs, _, _ = batch_for(loss, size=size)
            value_and_gradient(loss, outputs, torch.full((size,), label), f"for {size} samples of class {label}")


@loss_promises("value and gradient are finite at extreme outputs")
def _extreme(build: Build) -> None:
    for dtype in (torch.float32, torch.float64):
        for far in (30.0, 100.0, 1e4):
            loss = build()
            far = 1.0 if loss.normalised_head else far
            values = torch.tensor([far, -far, 0.98 * far, -0.99 * far, 0.0], dtype=dtype)
            if loss.classes == 2:
                outputs = torch.stack([-values, values], dim=1)[:, 2 - loss.outputs :]
            else:
                outputs = torch.stack([values.roll(number) for number in range(loss.classes)], dim=1)
            for targets in (torch.tensor([1, 1, 0, 0, 1]), torch.ones(5), torch.zeros(5)):
                value_and_gradient(loss, outputs, targets, f"at outputs of {far:g} in {dtype}")


@loss_promises("half precision is computed in float32")
def _half(build: Build) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        loss = build()
        outputs, targets, _ = batch_for(loss, dtype=dtype)
        value, _ = value_and_gradient(loss, outputs, targets, f"for {dtype}")
        expect(value.dtype == torch.float32, f"float32 for outputs of {dtype}", value.dtype)
        expected = build()(outputs.float(), targets).detach()
        expect(torch.allclose(value, expected, rtol=1e-4), f"{expected.item()} as for float32", value.item())


@loss_promises("autocast does not lower the precision")
def _autocast(build: Build) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        for given in (dtype, torch.float32):
            outputs, targets, _ = batch_for(build(), dtype=given)
            expected = build()(outputs, targets).detach()
            with torch.autocast("cpu", dtype=dtype):
                value, _ = value_and_gradient(build(), outputs, targets, f"within autocast to {dtype}")
            same = value.dtype == torch.float32 and torch.allclose(value, expected, rtol=1e-5)
            expect(same, f"{expected.item()} of outputs of {given} within autocast to {dtype}", value.item())


@loss_promises("targets may have any dtype")
def _target_types(build: Build) -> None:
    outputs, targets, _ = batch_for(build())
    expected = build()(outputs, targets)
    types = (torch.uint8, torch.int32, torch.float32, torch.float64)
    for dtype in (*types, torch.bool) if build().classes == 2 else types:
        value = build()(outputs, targets.to(dtype))
        same = value.dtype == expected.dtype and torch.equal(value, expected)
        expect(same, f"{expected.item()} for targets of {dtype}", value.item())


@loss_promises("shapes that do not match raise ValueError")
def _shapes(build: Build) -> None:
    loss = build()
    outputs, targets, _ = batch_for(loss)
    for wrong in (targets[:-1], targets[:1], targets[0], targets[:, None], targets[None, :]):
        shape = f"targets of shape {tuple(wrong.shape)}"
        expect_error(ValueError, lambda wrong=wrong: loss(outputs, wrong), shape)  # type: ignore[misc]
    wide = torch.cat([outputs, outputs, outputs], dim=1)
    for wrong in (wide, wide[:, :2] if loss.outputs == 1 else wide[:, 0], outputs[:, :, None], outputs[0, 0]):
        shape = f"outputs of shape {tuple(wrong.shape)}"
        expect_error(ValueError, lambda wrong=wrong: loss(wrong, targets), shape)  # type: ignore[misc]
        expect_error(ValueError, lambda wrong=wrong: loss.score(wrong), shape)  # type: ignore[misc]


@loss_promises("inputs are not modified")
def _inputs(build: Build) -> None:
    loss = build()
    for given in (batch_for(loss), batch_for(loss, dtype=torch.float32)):
        before = [tensor.clone() for tensor in given]
        loss(*given)
        loss.after_step()
        changed = [
            name
            for name, old, new in zip(("outputs", "targets", "indices"), before, given, strict=True)
            if not torch.equal(old, new)
        ]
        expect(not changed, "inputs left as they were", f"changed {', '.join(changed)}")


@loss_promises("the value depends on the inputs and the state alone")
def _deterministic(build: Build) -> None:
    random_state = torch.get_rng_state()
    first, second = build(), build()
    outputs, targets, _ = batch_for(first)
    values = [first(outputs, targets).item(), second(outputs, targets).item(), first(outputs, targets).item()]
    expect(len(set(values)) == 1, "one value for one batch", values)
    unchanged = torch.equal(torch.get_rng_state(), random_state)
    expect(unchanged, "the global random state unchanged", "draws from it")


@loss_promises("state_dict holds everything that a resumed run needs")
def _state(build: Build) -> None:
    loss, resumed = build(), build()
    given = batch_for(loss)
    for parameter in loss.parameters():
        parameter.data += 0.25
    for each in (loss, resumed):
        each.begin_epoch(0)
    for _ in range(3):
        expect_scalar(loss(given[0].clone().requires_grad_(), *given[1:]), "for a batch with indices")
        loss.after_step()
    resumed.load_state_dict(saved_and_loaded(loss.state_dict()))
    for step in range(2):
        values = loss(*given), resumed(*given)
        same = torch.equal(*values)
        expect(same, f"{values[0].item()} in step {step} after load_state_dict", values[1].item())
        loss.after_step()
        resumed.after_step()


@loss_promises("no shape and no branch depends on the values, and all tensors are buffers or parameters")
def _no_wait(build: Build) -> None:
    """On tensors without values, whatever waits for one fails, as it would in a CUDA graph."""
    loss = build().to("meta")
    outputs, targets, indices = (tensor.to("meta") for tensor in batch_for(loss, dtype=torch.float32))
    leaf = outputs.requires_grad_()
    value = loss(leaf, targets, indices)
    value.backward()
    loss.after_step()
    expect(leaf.grad is not None and leaf.grad.shape == leaf.shape, "a gradient of the outputs' shape", leaf.grad)


@loss_promises(ORDER)
def _order(build: Build) -> None:
    outputs, targets, _ = batch_for(build())
    order = torch.randperm(SIZE, generator=torch.Generator().manual_seed(5))
    value, gradient = value_and_gradient(build(), outputs, targets, "")
    permuted, permuted_gradient = value_and_gradient(build(), outputs[order], targets[order], "after a permutation")
    same = torch.allclose(value, permuted, rtol=1e-12, atol=1e-14) and torch.allclose(
        gradient[order], permuted_gradient, rtol=1e-11, atol=1e-14
    )
    expect(same, f"{value.item()} and the same gradients", permuted.item())
