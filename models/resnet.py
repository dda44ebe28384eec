"""Residual networks, for small and large images.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016: the ImageNet family (resnet10, 18, 34),
with the stem that small images need below ``LARGE`` pixels, and the CIFAR family of section 4.2 (resnet20, 32).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from .heads import HeadFactory
from .image_size import check_image_size
from .initialisation import drawn_by_generator

SMALLEST_IMAGE = 8  # three stages halve the image
# From this shorter side on the ImageNet family has its own stem, which quarters the image: of 64 x 64 pixels the first
# stage sees 16 x 16, with the small stem all 64 x 64. Both are a factor of 2 from the 32 x 32 that the small
# stem was made for; of larger images the stem of ImageNet is nearer to that. docs/transfer.md has memory and time.
LARGE = 64


def _conv3x3(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)


def _conv7x7(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=7, stride=2, padding=3, bias=False)


class ZeroPaddedShortcut(nn.Module):
    """Option A of He et al.: every ``stride``-th pixel, and zeros for the new channels; no parameters."""

    def __init__(self, *, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = new_channels

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, self.new_channels))


def _shortcut(channels_in: int, channels_out: int, *, stride: int, projected: bool) -> nn.Module:
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    if not projected:
        return ZeroPaddedShortcut(stride=stride, new_channels=channels_out - channels_in)
    projection = nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(channels_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; (B, I, H, W) to (B, O, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int, projected: bool) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels_in, channels_out, stride=stride)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = _conv3x3(channels_out, channels_out)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = _shortcut(channels_in, channels_out, stride=stride, projected=projected)

    def forward(self, x: Tensor) -> Tensor:
        residual = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        residual = self.norm2(self.conv2(residual))
        return functional.relu(residual + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """Stem, stages of basic blocks, average over the pixels, head.

    Args:
        channels: channels of the images.
        widths: channels of each stage; every stage but the first halves the image.
        depths: number of blocks of each stage.
        projected: whether shortcuts that change the shape are 1x1 convolutions (option B) instead of option A.
        large: whether the stem is a 7x7 convolution and a max-pooling, which quarter the image, instead of a 3x3 one.
        head: creates the last layer.
    """

    def __init__(
        self,
        *,
        channels: int,
        widths: Sequence[int],
        depths: Sequence[int],
        projected: bool,
        large: bool = False,
        head: HeadFactory,
    ) -> None:
        super().__init__()
        self.large = large
        self.stem = _conv7x7(channels, widths[0]) if large else _conv3x3(channels, widths[0])
        self.norm = nn.BatchNorm2d(widths[0])
        blocks: list[nn.Module] = []
        channels_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(channels_in, width, stride=stride, projected=projected))
                channels_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = head(widths[-1])

    @property
    def stem_text(self) -> str:
        """The stem in words, if it is that for large images."""
        why = f"as the shorter side is at least {LARGE} pixels"
        return f"7x7 convolution with stride 2 and max-pooling, {why}" if self.large else ""

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(images)), inplace=True)
        if self.large:
            x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.blocks(x)
        outputs: Tensor = self.head(x.mean(dim=(2, 3)))  # adaptive average pooling to one pixel
        return outputs


def _family(
    *,
    name: str,
    widths: Sequence[int],
    depths: Sequence[int],
    projected: bool,
    channels: int,
    image_size: tuple[int, int],
    head: HeadFactory,
    large_from: float = math.inf,
    hidden_widths: Sequence[int] = (),  # for the dense model
) -> ResNet:
    """``large_from``: the shorter side from which the stem is that for large images."""
    check_image_size(image_size, smallest=SMALLEST_IMAGE, model=name)
    large = min(image_size) >= large_from
    return ResNet(channels=channels, widths=widths, depths=depths, projected=projected, large=large, head=head)


_imagenet = partial(_family, widths=(64, 128, 256, 512), projected=True, large_from=LARGE)
_cifar = partial(_family, widths=(16, 32, 64), projected=False)

resnet10 = drawn_by_generator(partial(_imagenet, name="resnet10", depths=(1, 1, 1, 1)))  # the paper's CIFAR experiments
resnet18 = drawn_by_generator(partial(_imagenet, name="resnet18", depths=(2, 2, 2, 2)))
resnet34 = drawn_by_generator(partial(_imagenet, name="resnet34", depths=(3, 4, 6, 3)))
resnet20 = drawn_by_generator(partial(_cifar, name="resnet20", depths=(3, 3, 3)))
resnet32 = drawn_by_generator(partial(_cifar, name="resnet32", depths=(5, 5, 5)))
