"""Weights of a file in a model: what is matched, what is kept, what is refused; stems for large images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import build_model, default_weights, own_normalisation
from models.heads import head_of
from models.pretrained import take_over

pytestmark = pytest.mark.filterwarnings("default")  # of the imports of torchvision and timm
SMALL = "torchvision:shufflenet_v2_x0_5"


def build(name: str, *, size: int = 32, seed: int = 1, channels: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build_model(name, channels=channels, image_size=(size, size), generator=generator)


def of_torchvision(name: str) -> dict[str, Tensor]:
    """A state dict as torchvision's files hold it: 1,000 classes, its own names."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        quiet = {"init_weights": False} if name == "googlenet" else {}  # it warns where nothing is said
        model = torchvision.models.get_model(name, weights=None, **quiet)
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
        return dict(model.state_dict())


# --- matching ----------------------------------------------------------------------------------------------


WRAPPED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "both": lambda state: {"model": {f"module.backbone.{name}": value for name, value in state.items()}},
    "of 10 classes": lambda state: {
        name: value[:10] if name.startswith("fc.") else value for name, value in state.items()
    },
    "without head": lambda state: {name: value for name, value in state.items() if not name.startswith("fc.")},
    "without counters": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    "in another order": lambda state: dict(reversed(state.items())),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_all_but_the_head_are_the_files(wrapped: str) -> None:
    state, model = of_torchvision("shufflenet_v2_x0_5"), build(SMALL)
    head = {name: value.clone() for name, value in head_of(model).state_dict().items()}
    assert take_over(model, WRAPPED[wrapped](state)) == "names"
    for name, value in model.state_dict().items():
        if name.startswith("body.fc."):
            assert torch.equal(value, head[name.removeprefix("body.fc.")])
        elif "num_batches" not in name:
            assert torch.equal(value, state[name.removeprefix("body.")]), name


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other names, whose last parts are kept: as another program would call the same layers."""
    return {f"layer{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(state.items())}


@pytest.mark.parametrize("head", [2, 1, 0])
def test_other_names_are_matched_by_order(head: int) -> None:
    state, model = of_torchvision("shufflenet_v2_x0_5"), build(SMALL)
    kept = dict(list(state.items())[: len(state) - 2 + head])  # with weight and bias of the head, its weight, neither
    assert take_over(model, renamed(kept)) == "order"
    for name, value in model.state_dict().items():
        if not name.startswith("body.fc."):
            assert torch.equal(value, state[name.removeprefix("body.")]), name


def test_the_network_computes_what_the_files_own_network_computes() -> None:
    import torchvision

    state, model = of_torchvision("shufflenet_v2_x0_5"), build(SMALL).eval()
    take_over(model, renamed(state))
    theirs = torchvision.models.shufflenet_v2_x0_5().eval()
    theirs.load_state_dict(state)
    theirs.fc = nn.Identity()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(model(images), head_of(model)(theirs(images)))


def test_order_is_not_enough_where_weight_and_bias_change_places() -> None:
    state = renamed(of_torchvision("shufflenet_v2_x0_5"))
    names = list(state)
    bias = next(i for i, name in enumerate(names) if name.endswith(".bias"))
    assert state[names[bias]].shape == state[names[bias - 1]].shape  # of a batch norm: the shapes alone would fit
    names[bias - 1], names[bias] = names[bias], names[bias - 1]
    with pytest.raises(ValueError, match="weights of another network"):
        take_over(build(SMALL), {name: state[name] for name in names})


def test_weights_of_another_network_say_how_much_fits() -> None:
    model = build("torchvision:resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = of_torchvision("resnet18")
    state["layer4.0.conv1.weight"] = torch.zeros(512, 256, 1, 1)
    words = (
        r"weights of another network: 119 of the model's 120 tensors fit, the file has 122; first mismatch: "
        r"layer4.0.conv1.weight \(512, 256, 3, 3\) has \(512, 256, 1, 1\)"
    )
    with pytest.raises(ValueError, match=words):
        take_over(model, state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "content, words",
    [
        (
            lambda: of_torchvision("resnet34"),
            "120 of the model's 120 tensors fit, the file has 218; first mismatch: la",
        ),
        (
            lambda: of_torchvision("shufflenet_v2_x0_5"),
            "0 of the model's 120 tensors fit, .* conv1.weight .* is not in the file",
        ),
        (lambda: [1, 2], "must hold a state dict, names and tensors, got list"),
        (dict, "must hold a state dict, names and tensors, got dict"),
        (lambda: {"a": 1}, "must hold a state dict, names and tensors, but 'a' is no tensor"),
        (lambda: {"a": torch.zeros(())}, "0 of the model's 120 tensors fit"),
    ],
)
def test_what_is_no_state_dict_of_the_model(content: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        take_over(build("torchvision:resnet18"), content())


def test_auxiliary_outputs_in_a_file_are_left_out() -> None:
    state = of_torchvision("googlenet")
    assert any(name.startswith("aux1.") for name in state)
    model = build("torchvision:googlenet")
    assert take_over(model, state) == "names"
    assert torch.equal(model.state_dict()["body.conv1.conv.weight"], state["conv1.conv.weight"])


# --- default weights ---------------------------------------------------------------------------------------


def test_default_weights_lie_in_the_cache_of_torch_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = default_weights("torchvision:resnet18")
    assert found.path is None
    assert found.url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    place = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    assert found.place == str(place)
    place.parent.mkdir()
    place.touch()
    assert default_weights("torchvision:resnet18").path == place


def test_normalisation_of_the_default_weights() -> None:
    assert own_normalisation("torchvision:resnet18") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with pytest.raises(
        ValueError, match="resnet10 has no normalisation of its own; only torchvision:NAME and timm:NAME"
    ):
        own_normalisation("resnet10")


# --- timm --------------------------------------------------------------------------------------------------


def test_timm_has_our_last_layer_and_follows_the_seed() -> None:
    pytest.importorskip("timm")
    name = "timm:mobilenetv3_small_050"
    one, same, other = (build(name, seed=seed).eval() for seed in (1, 1, 2))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    before = torch.random.get_rng_state()
    with torch.no_grad():
        first, second, third = (model(images) for model in (one, same, other))
    assert first.shape == (2, 1)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    one.train()(images)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_timm_says_its_normalisation_and_where_its_weights_are_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    assert own_normalisation("timm:tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    found = default_weights("timm:tf_efficientnet_lite0")
    assert found.url == "https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors"
    assert not found.downloads


@pytest.mark.parametrize(
    "name, words",
    [
        ("timm:resnet1111", "timm has no model 'resnet1111'; did you mean "),
        ("timm:hf-hub:timm/resnet18.a1_in1k", "timm has no model 'hf-hub:timm/resnet18.a1_in1k'"),
    ],
)
def test_what_timm_does_not_have(name: str, words: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=words):
        build(name)


def test_timm_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm:NAME needs timm: pip install timm$"):
        build("timm:resnet18")


# --- dropout -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "torchvision:efficientnet_b0",  # Dropout and StochasticDepth
        "timm:ghostnet_050",  # a rate that the forward pass hands to a function
        "timm:fasternet_t1",  # DropPath
    ],
)
def test_a_backbone_draws_nothing_when_it_trains(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    model = build(name)
    assert all(int(value) == 0 for key, value in model.named_buffers() if key.endswith("num_batches_tracked"))
    before = torch.get_rng_state()
    model.train()(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), before)


class Drawing(nn.Module):
    """Drops features at a rate that nothing can set."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 1000)

    def forward(self, images: Tensor) -> Tensor:
        features = nn.functional.dropout(images.mean(dim=(2, 3)), 0.5, self.training)
        outputs: Tensor = self.fc(features)
        return outputs


def test_a_backbone_that_draws_all_the_same_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: Drawing())
    words = "torchvision:resnet18 draws random numbers in each step, so that a stopped run could not go on"
    with pytest.raises(ValueError, match=words):
        build("torchvision:resnet18")


# --- stems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, stem", [(63, (64, 3, 3, 3)), (64, (64, 3, 7, 7)), (224, (64, 3, 7, 7))])
@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34"])
def test_the_stem_follows_the_shorter_side(name: str, size: int, stem: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    for image_size in ((size, size), (size, 300), (300, size)):
        model = build_model(name, channels=3, image_size=image_size, generator=generator)
        assert model.state_dict()["stem.weight"].shape == stem
    assert build("resnet20", size=224).state_dict()["stem.weight"].shape == (16, 3, 3, 3)


def test_resnet18_for_large_images_is_that_of_torchvision() -> None:
    import torchvision

    reference = torchvision.models.resnet18(num_classes=1)
    ours = build("resnet18", size=64)
    assert sum(parameter.numel() for parameter in ours.parameters()) == 11_177_025
    theirs = list(reference.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs, strict=True)))
    images = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(images), reference.train(training)(images))
