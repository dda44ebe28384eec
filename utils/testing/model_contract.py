"""The contract of an architecture: what the training step, evaluation and best.pt rely on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .promises import Promises, expect, name_of, saved_and_loaded

SIZES = ((28, 28), (32, 32), (40, 33))


@dataclass(frozen=True)
class Builder:
    """Builds a model with ``rarecall.models.build_model``'s keywords; of an instance it makes copies."""

    model: Callable[..., nn.Module] | nn.Module
    channels: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    outputs: tuple[int, ...]

    @property
    def is_class(self) -> bool:
        return not isinstance(self.model, nn.Module)

    def __call__(
        self,
        *,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        outputs: int | None = None,
        seed: int = 0,
    ) -> nn.Module:
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        return self.model(
            channels=channels or self.channels[0],
            image_size=size or self.sizes[0],
            outputs=outputs or self.outputs[0],
            generator=torch.Generator().manual_seed(seed),
        )

    def images(self, *, channels: int | None = None, size: tuple[int, int] | None = None, number: int = 4) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        return torch.randn(number, channels or self.channels[0], *(size or self.sizes[0]), generator=generator)


model_promises = Promises[Builder]()


def check_model(
    model: Callable[..., nn.Module] | nn.Module,
    *,
    channels: tuple[int, ...] = (3, 1),
    sizes: tuple[tuple[int, int], ...] = SIZES,
    outputs: tuple[int, ...] = (1, 2),
) -> None:
    """Check the contract of an architecture.

    Args:
        model: a function of channels, image_size, outputs and generator that builds the model, as
            ``partial(rarecall.models.build_model, "resnet10")``; or an instance, which is copied and not changed.
        channels, sizes, outputs: what it is to be built for; of an instance, what it was built for, one of each.

    Raises:
        ContractError: a promise is broken; the text lists every one.
    """
    if isinstance(model, nn.Module):
        channels, sizes, outputs = channels[:1], sizes[:1], outputs[:1]
    model_promises.check(name_of(model), Builder(model, channels, sizes, outputs))


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that differ."""
    return [name for name in before if not torch.equal(before[name], after[name])]


@model_promises("images (B, channels, height, width) give outputs (B, outputs) in float32")
def _shapes(build: Builder) -> None:
    first = build.channels[0], build.sizes[0], build.outputs[0]
    kinds = [first, *((first[0], size, first[2]) for size in build.sizes[1:])]
    kinds += [(channels, *first[1:]) for channels in build.channels[1:]]
    kinds += [(*first[:2], outputs) for outputs in build.outputs[1:]]
    for channels, size, outputs in kinds:
        model = build(channels=channels, size=size, outputs=outputs).eval()
        with torch.inference_mode():
            result = model(build.images(channels=channels, size=size, number=2))
        what = f"for {channels} channels of {size[0]} x {size[1]} pixels"
        expect(result.shape == (2, outputs), f"outputs of shape (2, {outputs}) {what}", tuple(result.shape))
        expect(result.dtype == torch.float32, f"float32 {what}", result.dtype)
        expect(bool(result.isfinite().all()), f"finite outputs {what}", result.tolist())


@model_promises("evaluation is deterministic, changes no state, and treats each image by itself")
def _evaluation(build: Builder) -> None:
    model, images = build().eval(), build.images()
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        first, second, single = model(images), model(images), model(images[:1])
    expect(torch.equal(first, second), "the same outputs for the same images", "others")
    moved = changed(before, model.state_dict())
    expect(not moved, "a state that evaluation leaves alone", f"changed {', '.join(moved)}")
    expect(torch.allclose(single, first[:1], rtol=1e-4, atol=1e-5), "the same output alone and in a batch", "another")


@model_promises("the gradient reaches every parameter")
def _gradients(build: Builder) -> None:
    model, images = build().train(), build.images()
    before = images.clone()
    outputs = model(images)
    (outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        expect(gradient is not None and bool(gradient.isfinite().all()), f"a finite gradient of {name}", gradient)
        expect(gradient is not None and bool(gradient.any()), f"a gradient of {name}", "0 everywhere")
    expect(torch.equal(images, before), "images left as they were", "a change")


@model_promises("state_dict holds the whole model")
def _state(build: Builder) -> None:
    model, copied = build().train(), build(seed=1)
    model(build.images())  # moves the batch statistics
    for parameter in model.parameters():
        parameter.data += 0.01
    copied.load_state_dict(saved_and_loaded(model.state_dict()))
    images = build.images()
    with torch.inference_mode():
        expect(torch.equal(model.eval()(images), copied.eval()(images)), "the same outputs after loading", "others")


@model_promises("the initial weights come from the generator alone")
def _initial(build: Builder) -> None:
    random_state = torch.get_rng_state()
    first, again = build().state_dict(), build().state_dict()
    unchanged = torch.equal(torch.get_rng_state(), random_state)
    expect(unchanged, "the global random state unchanged", "draws from it")
    expect(not changed(first, again), "one model for one seed", changed(first, again))
    if build.is_class:
        expect(bool(changed(first, build(seed=1).state_dict())), "another model for another seed", "the same")


@model_promises("channels_last gives the same outputs")
def _channels_last(build: Builder) -> None:
    images = build.images()
    expected = build().train()(images)
    model: nn.Module = build().train().to(memory_format=torch.channels_last)
    result = model(images.to(memory_format=torch.channels_last))
    expect(torch.allclose(result, expected, rtol=1e-4, atol=1e-4), "the same outputs", (result - expected).abs().max())
