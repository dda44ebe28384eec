"""What a model sees of the images: resized, in as many channels as it takes, normalised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.data.image_format import ImageFormat, resized

CPU, LAST = "cpu", torch.channels_last


def pictures(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.filterwarnings("default")  # of torchvision's import
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (48, 33), (160, 160)])
def test_resized_as_torchvision_does_it(size: tuple[int, int]) -> None:
    from torchvision.transforms.v2 import functional

    images = pictures(3, 3, 33, 32)
    expected = functional.resize(images.float(), list(size), antialias=True)
    torch.testing.assert_close(resized(images.float(), size), expected)
    # on uint8 torchvision rounds, and so differs by half a grey level, and 1 where its integer arithmetic does
    assert (functional.resize(images, list(size), antialias=True).float() - expected).abs().max() < 1.01


def test_images_of_that_size_are_left_alone() -> None:
    images = pictures(2, 3, 32, 32).float()
    assert resized(images, (32, 32)) is images


def test_a_pixel_between_two_is_their_mean() -> None:
    """By hand: 2 pixels to 4, centres at 1/4, 3/4, 5/4, 7/4 minus 1/2 of the old ones: 0, 1/4, 3/4, 1 of the way."""
    form = ImageFormat(1, 1, 2, mean=(0.0,), std=(1.0,), image_size=(1, 4))
    found = form.normalised(CPU, LAST)(torch.tensor([[[[0, 100]]]], dtype=torch.uint8))
    torch.testing.assert_close(found.flatten() * 255, torch.tensor([0.0, 25.0, 75.0, 100.0]))


def test_a_grey_image_is_repeated_and_each_channel_has_its_own_normalisation() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    form = ImageFormat(1, 8, 8, mean=mean, std=std, image_size=(8, 8))
    assert (form.channels, form.input_channels, form.input_size) == (1, 3, (8, 8))
    images = pictures(2, 1, 8, 8)
    found = form.normalised(CPU, LAST)(images)
    assert found.is_contiguous(memory_format=LAST)
    for channel in range(3):
        by_hand = (images[:, 0].numpy().astype(np.float64) / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(found[:, channel].numpy(), by_hand, rtol=1e-5, atol=1e-6)


def test_without_an_image_size_short_sides_are_enlarged_as_before() -> None:
    form = ImageFormat(3, 8, 40, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert form.input_size == (32, 40)
    assert form.as_dict()["image_size"] is None
