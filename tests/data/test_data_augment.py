"""Random changes of images against torchvision's functions, one image after the other, and their draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from replays import RecordedStep
from torch import Tensor

from utils.data import AUGMENTS, TRANSFORMS, augment_name, transforms_of
from utils.data.augment import augmented
from utils.data.batches import Batches
from utils.data.raw import RawData
from utils.data.task import Task, build_task
from utils.seeding import torch_stream

SIZES = [(12, 12), (11, 18)]


def images_of(channels: int, size: tuple[int, int], *, bits: int = 8, number: int = 9) -> Tensor:
    """Smooth images with some noise, as gathered: uint8, or 16 bits as int32."""
    generator = torch_stream(3, "images of the test")
    coarse = torch.rand((number, channels, 3, 3), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0.05, 0.95)
    images: Tensor = smooth * (2**bits - 1)
    return images.to(torch.uint8 if bits == 8 else torch.int32)


def one_by_one(images: Tensor, transforms: tuple[str, ...], *, full: int) -> Tensor:
    """The same draws, applied image by image by torchvision's functions."""
    v2: Any = pytest.importorskip("torchvision.transforms.v2.functional")
    draws, number = torch_stream(1, "augmentation"), len(images)
    flips = torch.randint(0, 2, (number,), generator=draws).bool() if "flip" in transforms else torch.zeros(number)
    rows = [name for name in transforms if name not in ("crop", "flip")]
    at = [index for name in rows for index in ([name, "shift_x"] if name == "shift" else [name])]
    u = dict(zip(at, torch.rand((len(at), number), generator=draws), strict=True))
    height, width = images.shape[2:]
    found = []
    for i, image in enumerate(images.double() / full):
        drawn = {name: float(values[i]) for name, values in u.items()}
        image = v2.horizontal_flip(image) if flips[i] else image
        image = v2.vertical_flip(image) if drawn.get("flip_vertical", 1) < 0.5 else image
        if {"rotate", "scale", "shift"} & drawn.keys():
            image = v2.affine(
                image,
                angle=10 * (2 * drawn.get("rotate", 0.5) - 1),
                translate=[
                    (2 * drawn.get("shift_x", 0.5) - 1) * width / 16,
                    (2 * drawn.get("shift", 0.5) - 1) * height / 16,
                ],
                scale=1.1 ** (2 * drawn.get("scale", 0.5) - 1),
                shear=[0, 0],
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        if "brightness" in drawn:
            image = v2.adjust_brightness(image, 0.85 + 0.3 * drawn["brightness"])
        if "contrast" in drawn:  # torchvision weighs the channels by their luminance in the mean, so: grey ones
            factor = 0.85 + 0.3 * drawn["contrast"]
            image = v2.adjust_contrast(image, factor) if len(image) == 1 else blended(image, factor)
        if "gamma" in drawn:
            image = v2.adjust_gamma(image, math.exp((2 * drawn["gamma"] - 1) * math.log(1.25)))
        if drawn.get("autocontrast", 1) < 0.5:
            image = v2.autocontrast(image)
        found.append(image * full)
    return torch.stack(found)


def blended(image: Tensor, factor: float) -> Tensor:
    mean = image.mean()
    return (mean + factor * (image - mean)).clamp(0, 1)


ALL = ",".join(name for name in TRANSFORMS if name != "crop")


@pytest.mark.parametrize("augment", [*(name for name in TRANSFORMS if name != "crop"), "light", "medical", ALL])
@pytest.mark.parametrize("bits, channels", [(8, 1), (8, 3), (16, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_each_image_is_changed_as_by_torchvision(augment: str, bits: int, channels: int, size: tuple[int, int]) -> None:
    images, transforms, full = images_of(channels, size, bits=bits), transforms_of(augment), 2**bits - 1
    found = augmented(images, transforms, full=full, generator=torch_stream(1, "augmentation"))
    expected = one_by_one(images, transforms, full=full)
    assert found.shape == images.shape
    assert found.dtype == (images.dtype if augment in ("flip", "flip_vertical") else torch.float32)
    torch.testing.assert_close(found.double() / full, expected / full, rtol=0, atol=1e-5)
    assert found.min() >= 0
    assert found.max() <= full
    assert not torch.equal(found.float(), images.float())


def test_a_constant_image_has_no_range_to_stretch() -> None:
    images = torch.full((40, 1, 4, 4), 7, dtype=torch.uint8)
    assert (augmented(images, ("autocontrast",), full=255, generator=torch_stream(1, "augmentation")) == 7).all()


def test_what_comes_from_outside_is_black() -> None:
    images = torch.full((200, 1, 8, 8), 255, dtype=torch.uint8)
    found = augmented(images, ("shift",), full=255, generator=torch_stream(1, "augmentation"))
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], torch.full((200, 1, 4, 4), 255.0))  # at most 8 / 16 of a pixel
    assert found[:, :, 0].min() < 255 * 0.6
    assert found.min() >= 0


def test_draws_are_of_the_given_generator_and_differ_from_image_to_image() -> None:
    images = images_of(1, (8, 8), number=1).expand(300, -1, -1, -1)
    before = torch.get_rng_state()
    one, other = (
        augmented(images, AUGMENTS["medical"], full=255, generator=torch_stream(1, "augmentation")) for _ in range(2)
    )
    assert torch.equal(one, other)
    assert len({image.numpy().tobytes() for image in one}) == 300
    assert torch.equal(before, torch.get_rng_state())


def test_names() -> None:
    for name, transforms in AUGMENTS.items():
        assert transforms_of(name) == transforms
        assert list(transforms) == sorted(transforms, key=TRANSFORMS.index)
        assert augment_name(name) == name
    assert transforms_of("medical,autocontrast") == (*AUGMENTS["medical"], "autocontrast")
    assert augment_name("scale , flip") == "flip,scale"
    for wrong, words in (("none,flip", "none stands alone"), ("flop", "did you mean flip"), ("", "there is no ''")):
        with pytest.raises(ValueError, match=words):
            transforms_of(wrong)


def small_batches(augment: str) -> tuple[Task, Batches]:
    generator = np.random.Generator(np.random.PCG64(7))
    labels = np.arange(40) % 2
    pixels = generator.integers(0, 256, (40, 10, 12, 3), dtype=np.uint8)
    raw = RawData("scans", "none", pixels, labels, pixels[::-1].copy(), labels)
    task = build_task(raw, negative_classes=(0,), positive_classes=(1,), ratio_pos_train=2)
    draws = torch_stream(1, "augmentation")
    return task, Batches(task, augment=augment, device="cpu", channels_last=True, generator=draws)


def test_a_batch_is_cropped_then_changed_and_normalised() -> None:
    task, first = small_batches(f"crop,{ALL}")
    _, cropping = small_batches("crop")
    indices = torch.randint(0, 80, (16,), generator=torch_stream(2, "indices of the test"))
    windows = (cropping.training(indices) * _view(task.std) + _view(task.mean)) * 255  # draws what the crop draws
    changed = augmented(windows.round(), transforms_of(ALL), full=255, generator=cropping.generator)
    expected = (changed / 255 - _view(task.mean)) / _view(task.std)
    batch = first.training(indices)
    torch.testing.assert_close(batch, expected, rtol=0, atol=2e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_a_captured_step_draws_anew_at_each_replay() -> None:
    """Fixed shapes, and nothing waits."""
    _, eager = small_batches(f"crop,{ALL}")
    _, replayed = small_batches(f"crop,{ALL}")
    result = torch.zeros(16, 3, 10, 12)

    def step(indices: Tensor) -> None:
        result.copy_(replayed.training(indices))

    batches = torch.randint(0, 80, (4, 16), generator=torch_stream(2, "indices of the test"))
    recorded = RecordedStep(step, batches[0])
    assert torch.equal(result, eager.training(batches[0]))
    for indices in batches[1:]:
        recorded.replay(indices)
        assert torch.equal(result, eager.training(indices))


def _view(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
