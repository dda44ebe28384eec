"""The file of ``--weights``: found, read without executing anything in it, and taken over by a model."""

from __future__ import annotations

import re
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..config.options import Config
from ..errors import UserError, one_line
from ..system.files import sha256
from ..system.installation import IN_TREE
from .architectures import default_weights, take_over
from .components import built

DEFAULT = "default"  # the value of --weights that stands for the weights of torchvision or timm
INSTALL = "pip install safetensors" if IN_TREE else "pip install 'rarecall[backbones]'"


@dataclass(frozen=True)
class WeightsFile:
    """Weights that a run starts from.

    ``matched`` says whether they were matched with the model by the ``names`` or by the ``order`` of their tensors; ''
    before they were.
    """

    path: Path
    sha256: str
    matched: str = ""

    def as_dict(self) -> dict[str, str]:
        """As config.yaml, best.pt and model.pt record it; of the path the name of the file."""
        return {**asdict(self), "path": self.path.name}


def find_weights(config: Config) -> WeightsFile | None:
    """The file that a run starts from, if it starts from one. An evaluation needs none: best.pt holds the weights.

    Raises:
        UserError: it is not there, and may not or cannot be downloaded.
    """
    if not config.weights or not config.train:
        return None
    path = _default(config) if config.weights == DEFAULT else Path(config.weights)
    if not path.is_file():
        raise UserError(f"weights must be a file, but {path} is not there (--weights)")
    try:
        return WeightsFile(path, sha256(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error} (--weights)") from None


def load_weights(file: WeightsFile, model: nn.Module) -> WeightsFile:
    """Copy the weights into ``model``, all but its last layer; returns ``file`` with how they were matched.

    Raises:
        UserError: the file changed, cannot be read, or holds the weights of another network.
    """
    if sha256(file.path) != file.sha256:
        raise UserError(f"{file.path} has changed since this run started; start again (--weights)")
    try:
        content = _read(file.path)
    except ImportError:
        raise UserError(f"{file.path} needs safetensors: {INSTALL}") from None
    except Exception as error:  # a damaged or foreign file can fail in any way
        reason = one_line(str(error))[:100]
        raise UserError(
            f"{file.path} must hold a state dict (.pt, .pth, .safetensors) that can be read without running code in "
            f"it, but it cannot ({type(error).__name__}: {reason}) (--weights)"
        ) from None
    try:
        return replace(file, matched=take_over(model, content))
    except ValueError as error:
        raise UserError(f"{file.path} does not fit: {error} (--weights)") from None


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise ValueError("parts that are compressed or overlap")
    content: object = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _default(config: Config) -> Path:
    """The default weights of a backbone, downloaded where torch.hub may.

    Raises:
        UserError: there are none, or they are neither on this machine nor to be downloaded.
    """
    found = built(lambda: default_weights(config.resnet_type))
    if found.path:
        return found.path
    reason = "they are not on this machine"
    if found.downloads and config.download:
        place = Path(found.place)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            digits = re.search(r"-([0-9a-f]{8,})\.", place.name)  # of the file's SHA-256, as torchvision names it
            torch.hub.download_url_to_file(found.url, str(place), digits and digits[1], progress=False)
            return place
        except Exception as error:  # of urllib, sockets and disks
            reason = f"the download failed ({one_line(str(error))[:80]})"
    raise UserError(
        f"weights default needs the weights of {config.resnet_type}, but {reason}: fetch {found.url} and put it into "
        f"{found.place}"
    )
