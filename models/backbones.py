"""Architectures of torchvision and timm, by their names there: ``torchvision:resnet18``, ``timm:resnet50``.

They are built with drawn weights; ``default_weights`` says where those lie that their authors trained. timm is never
asked for a file, so that it never uses the network.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from .heads import HeadFactory, head_of
from .pretrained import DefaultWeights

CLASSES = 1000  # outputs of the last layer, which is replaced
WITHOUT_AUXILIARY = ("googlenet", "inception_v3")  # that have outputs beside the last layer's unless told otherwise
DROPPED = ("p", "drop_prob", "drop_rate")  # the rates of dropout, stochastic depth, DropPath, functional dropout
# in the source tree there is no distribution of this name that has extras
INSTALL = "pip install timm" if __package__ == "models" else "pip install 'rarecall[backbones]'"


class Backbone(nn.Module):
    """An architecture for colour images with another last layer; grey images are repeated in three channels.

    Dropout and stochastic depth are off: they draw from the global random state, so that a stopped run could not go on
    as an undisturbed one.
    """

    def __init__(self, body: nn.Module, *, channels: int) -> None:
        super().__init__()
        self.body = body
        self.channels = channels
        for module in body.modules():
            for name in DROPPED:
                rate = getattr(module, name, 0)
                if isinstance(rate, float) and 0 < rate <= 1:
                    setattr(module, name, 0.0)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.body(images.expand(-1, 3, -1, -1) if self.channels == 1 else images)
        return outputs


def torchvision_backbone(
    name: str, *, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int]
) -> nn.Module:
    """The architecture ``name`` of torchvision.models.

    Raises:
        ValueError: there is none, it does not end in a linear layer, it does not take images of this size, or it draws
            random numbers all the same.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(_unknown("torchvision", name, known, "torchvision.models.list_models()"))
    _check_channels(f"torchvision:{name}", channels)
    options: dict[str, object] = {}
    if name in WITHOUT_AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": image_size[0]}
    body = models.get_model(name, weights=None, **options)
    linear = [path for path, module in body.named_modules() if isinstance(module, nn.Linear)]
    _replace(body, linear[-1] if linear else "", f"torchvision:{name}", head)
    model = Backbone(body, channels=channels)
    _try(model, f"torchvision:{name}", channels, image_size)
    return model


def timm_backbone(
    name: str, *, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int]
) -> nn.Module:
    """The architecture ``name`` of timm, such as ``tf_efficientnet_lite0``; a tag after a dot names its weights.

    Raises:
        ValueError: timm is not installed, there is none, or see ``torchvision_backbone``.
    """
    timm = _timm()
    known = timm.list_models()
    if name.partition(".")[0] not in known:  # others, such as hf-hub:..., would make timm use the network
        raise ValueError(_unknown("timm", name, known, "timm.list_models()"))
    _check_channels(f"timm:{name}", channels)
    config = timm.get_pretrained_cfg(name)
    options = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    try:
        body = timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise ValueError(f"timm:{name} cannot be built for images of {_shown(image_size)}: {_line(error)}") from None
    last = body.get_classifier()
    _replace(body, next((path for path, module in body.named_modules() if module is last), ""), f"timm:{name}", head)
    model = Backbone(body, channels=channels)
    _try(model, f"timm:{name}", channels, image_size)
    return model


def torchvision_normalisation(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of each channel, of pixels in 0..1, that the default weights of ``name`` expect.

    Raises:
        ValueError: torchvision has no weights of it.
    """
    transforms = _torchvision_weights(name).transforms()
    return transforms.mean, transforms.std


def timm_normalisation(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The same of timm's ``name``.

    Raises:
        ValueError: timm is not installed or has no weights of it.
    """
    config = _timm_config(name)
    return config.mean, config.std


def torchvision_weights(name: str) -> DefaultWeights:
    """The default weights of torchvision's ``name``, in the cache of torch.hub.

    Raises:
        ValueError: torchvision has none.
    """
    url: str = _torchvision_weights(name).url
    path = _hub_file(url)
    return DefaultWeights(path if path.is_file() else None, url, str(path), downloads=True)


def timm_weights(name: str) -> DefaultWeights:
    """The default weights of timm's ``name``, in the cache of the Hugging Face hub or of torch.hub.

    Raises:
        ValueError: timm is not installed or has no weights of it.
    """
    config = _timm_config(name)
    if not config.hf_hub_id:
        path = _hub_file(config.url)
        return DefaultWeights(path if path.is_file() else None, config.url, str(path), downloads=False)
    names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    cached = importlib.import_module("huggingface_hub").try_to_load_from_cache  # looks at the disk only
    found = next((Path(path) for file in names if isinstance(path := cached(config.hf_hub_id, file), str)), None)
    url = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{names[0]}"
    return DefaultWeights(found, url, "any folder, and name it with --weights FILE", downloads=False)


def _torchvision_weights(name: str) -> Any:
    from torchvision import models

    try:
        return models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):
        raise ValueError(f"torchvision has no weights of {name!r}, so neither their normalisation") from None


def _timm_config(name: str) -> Any:
    config = _timm().get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise ValueError(f"timm has no weights of {name!r}, so neither their normalisation")
    return config


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise ValueError(f"timm:NAME needs timm: {INSTALL}") from None


def _hub_file(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _unknown(package: str, name: str, known: Iterable[str], listing: str) -> str:
    near = difflib.get_close_matches(name, list(known), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"{package} has no model {name!r}{hint} {listing} lists them"


def _check_channels(name: str, channels: int) -> None:
    if channels not in (1, 3):
        raise ValueError(f"{name} needs images of 1 or 3 channels, got {channels}")


def _replace(body: nn.Module, path: str, name: str, head: HeadFactory) -> None:
    """Put ``head`` in the place of the layer at ``path``, which must be the linear one that gives the classes."""
    last = body.get_submodule(path)
    if not path or not isinstance(last, nn.Linear) or last.out_features != CLASSES:
        raise ValueError(f"{name} does not end in a linear layer, so that it can have no other outputs")
    parent, _, attribute = path.rpartition(".")
    setattr(body.get_submodule(parent), attribute, head(last.in_features))


@torch.no_grad()
def _try(model: nn.Module, name: str, channels: int, image_size: tuple[int, int]) -> None:
    """Two images, to find out now that the size does not fit, that something follows the last layer, or is drawn.

    The running statistics that the pass in training mode changes are restored.
    """
    images = torch.zeros(2, channels, *image_size)  # batch norm needs two
    kept, draws = [value.clone() for value in model.buffers()], torch.get_rng_state()
    try:
        outputs = [model.train(training)(images) for training in (False, True)]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(f"{name} does not take images of {_shown(image_size)}: {_line(error)}") from None
    expected = (2, head_of(model).out_features)
    if not all(isinstance(each, Tensor) and each.shape == expected for each in outputs):
        raise ValueError(f"{name} does not end in a linear layer, so that it can have no other outputs")
    if not torch.equal(torch.get_rng_state(), draws):
        raise ValueError(
            f"{name} draws random numbers in each step, so that a stopped run could not go on as an undisturbed one;"
            " use another architecture"
        )
    for value, before in zip(model.buffers(), kept, strict=True):
        value.copy_(before)


def _shown(image_size: tuple[int, int]) -> str:
    return f"{image_size[0]} x {image_size[1]} pixels"


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:150] if text else type(error).__name__
