"""Sizes, shapes, initialisation and gradients of every architecture."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import MODELS, build_model
from models.heads import HeadFactory, LinearHead, NormalisedHead
from models.initialisation import initialise
from models.lenet import lenet5
from models.resnet import resnet20
from utils.testing import check_model

ALL = sorted(MODELS)
SLOW, DEEP = pytest.mark.slow, {"resnet18", "resnet34"}
CONVOLUTIONAL = sorted(set(MODELS) - {"linear", "dense"})


def build(
    name: str,
    *,
    channels: int = 3,
    size: int | tuple[int, int] = 32,
    outputs: int = 1,
    normalised_head: bool = False,
    seed: int = 0,
) -> nn.Module:
    return build_model(
        name,
        channels=channels,
        image_size=(size, size) if isinstance(size, int) else size,
        outputs=outputs,
        normalised_head=normalised_head,
        hidden_widths=(50, 20),
        generator=torch.Generator().manual_seed(seed),
    )


def images(count: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(7))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# --- parameter counts, as published ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channels", "size", "outputs", "known"),
    [
        ("resnet10", 3, 32, 1, 4_898_625),  # 4.90 M
        ("resnet18", 3, 32, 10, 11_173_962),
        ("resnet34", 3, 32, 10, 21_282_122),
        ("resnet20", 3, 32, 10, 269_722),
        ("resnet32", 3, 32, 10, 464_154),
        ("lenet5", 1, 28, 10, 61_706),
        ("lenet5", 1, 32, 10, 61_706),
        ("lenet5", 1, 28, 1, 60_941),
        ("linear", 1, 28, 1, 785),
        ("dense", 3, 32, 2, 3 * 32 * 32 * 50 + 50 + 50 * 20 + 20 + 20 * 2 + 2),
    ],
)
def test_number_of_parameters(name: str, channels: int, size: int, outputs: int, known: int) -> None:
    assert count(build(name, channels=channels, size=size, outputs=outputs)) == known


def test_normalised_head_has_no_bias() -> None:
    plain, normalised = build("resnet10", outputs=2), build("resnet10", outputs=2, normalised_head=True)
    assert count(plain) - count(normalised) == 2


# --- shapes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name in DEEP else ()) for name in ALL])
def test_every_model_keeps_the_contract(name: str) -> None:
    check_model(partial(build_model, name))


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_resnet32_has_a_cosine_for_each_class(classes: int) -> None:
    """As for LDAM: no bias, so 464,154 - 10 parameters with ten classes, and 64 more or fewer for each class."""
    model = build("resnet32", outputs=classes, normalised_head=True)
    assert count(model) == 464_154 - 10 + 64 * (classes - 10)
    outputs = model(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert outputs.shape == (4, classes)
    assert outputs.abs().max() <= 1 + 1e-6
    assert len(model.get_submodule("blocks")) == 15  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet20", "lenet5", "linear", "dense"])
def test_every_model_takes_a_normalised_head(name: str) -> None:
    check_model(partial(build_model, name, normalised_head=True), outputs=(2,))
    with torch.inference_mode():
        cosines = build(name, outputs=2, normalised_head=True)(images(4, 3, 32, 32))
    assert cosines.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_smallest_image_works_and_one_pixel_less_does_not(name: str) -> None:
    smallest = 18 if name == "lenet5" else 8
    assert build(name, size=smallest)(images(2, 3, smallest, smallest)).shape == (2, 1)
    message = f"{name} needs images of at least {smallest} x {smallest} pixels, got"
    with pytest.raises(ValueError, match=message):
        build(name, size=(smallest, smallest - 1))


def test_resnet_output_does_not_depend_on_the_declared_image_size() -> None:
    batch = images(2, 3, 40, 40)
    torch.testing.assert_close(build("resnet10", size=32)(batch), build("resnet10", size=40)(batch))


# --- what the layers compute -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")  # torchvision's import is not ours to keep free of warnings
def test_resnet18_equals_torchvision_with_its_stem_replaced() -> None:
    import torchvision

    reference = torchvision.models.resnet18(num_classes=10)
    reference.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    reference.maxpool = nn.Identity()
    ours = build("resnet18", outputs=10)
    # both lie in the order of computation: the names differ, the tensors correspond one by one
    theirs = list(reference.state_dict().values())
    assert [t.shape for t in theirs] == [t.shape for t in ours.state_dict().values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs, strict=True)))
    batch = images(4, 3, 32, 32)
    for training in (True, False):  # the batch statistics move in the first pass and are used in the second
        torch.testing.assert_close(ours.train(training)(batch), reference.train(training)(batch))


def test_option_a_shortcut_takes_every_second_pixel_and_adds_zeros() -> None:
    block = build("resnet20").get_submodule("blocks.3")
    nn.init.zeros_(block.get_parameter("norm2.weight"))  # silences the residual branch
    x = images(2, 16, 8, 8).abs()
    result = block(x)
    assert result.shape == (2, 32, 4, 4)
    assert torch.equal(result[:, :16], x[:, :, ::2, ::2])
    assert not result[:, 16:].any()


@pytest.mark.parametrize("size", [28, 32])
def test_lenet5_is_the_original_chain_of_layers(size: int) -> None:
    model = build("lenet5", channels=1, size=size)
    plain = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2 if size == 28 else 0),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 1),
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    batch = images(3, 1, size, size)
    torch.testing.assert_close(model(batch), plain(batch))


@pytest.mark.parametrize("size", [28, 32, 52, 64])  # 20 x 20 and 26 x 26 before the last pooling
def test_lenet5_pooling_is_adaptive_pooling(size: int) -> None:
    model = build("lenet5", channels=1, size=size)
    batch = images(2, 1, size, size)
    seen: list[Tensor] = []
    model.get_submodule("dense1").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(batch)
    x = nn.functional.avg_pool2d(model.get_submodule("conv1")(batch).relu(), 2)
    x = nn.functional.adaptive_avg_pool2d(model.get_submodule("conv2")(x).relu(), 5)
    torch.testing.assert_close(seen[0], x.flatten(1))


def test_normalised_head_gives_cosines() -> None:
    head = NormalisedHead(4, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0, 0, 0], [0, 3.0, 4.0, 0]]))
    features = torch.tensor([[5.0, 0, 0, 0], [0, 0, 0.1, 0], [-1.0, 1.0, 0, 0], [0, 0, 0, 0]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1.0, 0], [0, 0.8], [-half, 0.6 * half], [0, 0]])
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(1000 * features), expected)


@pytest.mark.parametrize("kind", [LinearHead, NormalisedHead])
def test_outputs_stay_float32_under_autocast(kind: type[nn.Linear]) -> None:
    head = kind(64, 1)
    features = images(500, 64, 1, 1).flatten(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = head(features)
    assert result.dtype == torch.float32
    assert torch.equal(result, head(features))


# --- initial weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet10", "lenet5", "dense"])
def test_initial_weights_are_torchs_defaults(name: str) -> None:
    model = build(name)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert module.weight.abs().max() <= bound
            if module.weight.numel() >= 1000:  # the variance of a uniform distribution
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            if module.bias is not None:
                assert module.bias.abs().max() <= bound
                assert module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()


def test_normalised_head_starts_with_unit_vectors_in_all_directions() -> None:
    head = NormalisedHead(512, 200)
    head.initialise(torch.Generator().manual_seed(0))
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(200))
    assert (head.weight.mean() * math.sqrt(head.weight.numel() * 512)).abs() < 4  # standard errors


def test_layer_that_nobody_initialises_is_an_error() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(TypeError, match=r"layer '1' \(Scaled\) has parameters, so it must have a method"):
        initialise(nn.Sequential(nn.Linear(2, 2), Scaled()), generator=torch.Generator())


class Pretrained(nn.Module):
    """Layers of every kind, whose weights are all loaded, and a head of its own."""

    def __init__(self, channels: int, head: HeadFactory) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(8))  # of a kind that nobody knows how to draw
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.PReLU(), nn.AdaptiveAvgPool2d(1))
        self.adapter = nn.Linear(8, 6)
        self.head = head(6)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.adapter(self.body(x).flatten(1) + self.token))
        return outputs


def load_into(model: nn.Module, *, parts: tuple[str, ...]) -> nn.Module:
    """``model`` with every tensor of these parts counting up from 0, as if loaded from a file."""
    for name, value in model.state_dict().items():
        if name.startswith(parts):
            value.copy_((0.01 * torch.arange(value.numel())).view_as(value))
    return model


def own_network(*, channels: int, head: HeadFactory, **_: object) -> nn.Module:
    return load_into(Pretrained(channels, head), parts=("body", "token"))


@wraps(lenet5)
def our_lenet(**given: Any) -> nn.Module:
    return load_into(lenet5(**given), parts=("conv1", "conv2"))


def our_frozen_resnet(**given: Any) -> nn.Module:
    return load_into(resnet20(**given), parts=("stem", "norm", "blocks")).requires_grad_(False)


BROUGHT = {own_network: ("body", "token"), our_lenet: ("conv1", "conv2"), our_frozen_resnet: ("stem", "norm", "blocks")}


@pytest.mark.parametrize("builder", BROUGHT, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("normalised_head", [False, True])
def test_weights_that_a_builder_loads_are_kept_and_the_rest_follows_the_seed(
    monkeypatch: pytest.MonkeyPatch, builder: Callable[..., nn.Module], normalised_head: bool
) -> None:
    monkeypatch.setitem(MODELS, "ours", "lenet:ours")
    monkeypatch.setattr("models.lenet.ours", builder, raising=False)
    random_state = torch.get_rng_state()
    first, again, other = (
        build("ours", outputs=2, normalised_head=normalised_head, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
        if name.startswith(BROUGHT[builder]):
            assert torch.equal(value, (0.01 * torch.arange(value.numel())).view_as(value).to(value.dtype)), name
        else:
            assert not torch.equal(value, other[name]), name


# --- state, names, bad input -------------------------------------------------------------------------------


def test_unknown_name_lists_the_known_ones() -> None:
    known = "resnet10, .*dense, torchvision:NAME, timm:NAME"
    with pytest.raises(ValueError, match=f"model must be one of {known}, got 'resnet11'"):
        build("resnet11")


@pytest.mark.parametrize("outputs", [0, -1])
def test_outputs_below_one(outputs: int) -> None:
    with pytest.raises(ValueError, match=f"outputs of a model must be at least 1, got {outputs}"):
        build("linear", outputs=outputs)


def test_channels_and_sides_below_one() -> None:
    with pytest.raises(ValueError, match="channels of the images must be at least 1, got 0"):
        build("linear", channels=0)
    with pytest.raises(ValueError, match="width of the images must be at least 1, got 0"):
        build("linear", size=(28, 0))


@pytest.mark.parametrize("hidden_widths", [(), (10, 0)])
def test_dense_without_widths(hidden_widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="hidden_widths of the dense model must be one or more integers"):
        build_model(
            "dense",
            channels=1,
            image_size=(8, 8),
            hidden_widths=hidden_widths,
            generator=torch.Generator(),
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ALL)
def test_cpu_and_cuda_agree(name: str) -> None:
    model, batch = build(name).eval(), images(4, 3, 32, 32)
    with torch.inference_mode():
        expected = model(batch)
        result = model.to("cuda", memory_format=torch.channels_last)(batch.cuda())  # type: ignore[call-overload]
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-3, atol=1e-3)


def backbone(name: str, *, size: int = 64, channels: int = 3, seed: int = 1, outputs: int = 1) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build_model(
        f"torchvision:{name}", channels=channels, image_size=(size, size), outputs=outputs, generator=generator
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_backbone_has_our_last_layer_and_its_weights_follow_the_seed(name: str) -> None:
    one, same, other = (backbone(name, outputs=2, seed=seed) for seed in (1, 1, 2))
    images = torch.rand(2, 3, 64, 64)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        first, second, third = (model.eval()(images) for model in (one, same, other))
    assert first.shape == (2, 2)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(torch.random.get_rng_state(), before)
    (head,) = (module for module in one.modules() if isinstance(module, LinearHead))
    assert head.out_features == 2


def test_a_backbone_repeats_grey_images() -> None:
    model = backbone("resnet18", channels=1).eval()
    grey = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(grey), model.body(grey.repeat(1, 3, 1, 1)))  # type: ignore[operator]


def test_a_backbone_draws_nothing_in_training() -> None:
    model = backbone("mobilenet_v3_small").train()
    assert any(isinstance(module, torch.nn.Dropout) for module in model.modules())
    images, before = torch.rand(4, 3, 64, 64), torch.random.get_rng_state()
    model(images)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet81"}, "torchvision has no model 'resnet81'; did you mean resnet18"),
        ({"name": "squeezenet1_0"}, "does not end in a linear layer"),
        ({"name": "alexnet", "size": 32}, "torchvision:alexnet does not take images of 32 x 32 pixels"),
        ({"name": "resnet18", "channels": 2}, "needs images of 1 or 3 channels, got 2"),
    ],
)
def test_what_a_backbone_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbone(**options)
