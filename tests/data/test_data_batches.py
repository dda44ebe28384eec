"""Batches against a loop over images, against torchvision's transforms, and their random draws."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from utils.data.augment import draw_flips, draw_offsets
from utils.data.batches import Batches
from utils.data.raw import RawData
from utils.data.task import Task, build_task
from utils.errors import UserError
from utils.seeding import torch_stream


def small_task(channels: int = 3, height: int = 12, width: int = 10, device: str = "cpu") -> Task:
    generator = np.random.Generator(np.random.PCG64(7))
    labels = np.arange(60) % 2
    images = generator.integers(0, 256, (60, height, width, channels), dtype=np.uint8)
    raw = RawData("scans", "none", images, labels, images[::-1].copy(), labels)
    return build_task(raw, negative_classes=(0,), positive_classes=(1,), ratio_pos_train=2, device=device)


def batches_of(task: Task, augment: str, *, channels_last: bool = False, device: str = "cpu") -> Batches:
    generator = torch_stream(1, "augmentation", device)
    return Batches(task, augment=augment, device=device, channels_last=channels_last, generator=generator)


def image_by_image(task: Task, indices: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
    """The plain way: pad, cut out, mirror and normalise one image after the other, in float64."""
    result = []
    for row, (y, x), flip in zip(indices.tolist(), offsets.T.tolist(), flips.tolist(), strict=True):
        around = np.zeros((task.channels, task.height + 8, task.width + 8))
        around[:, 4:-4, 4:-4] = task.images[row].cpu().numpy()
        image = around[:, y : y + task.height, x : x + task.width]
        image = image[:, :, ::-1] if flip else image
        mean, std = (np.array(values)[:, None, None] for values in (task.mean, task.std))
        result.append(torch.from_numpy((image / 255 - mean) / std))
    return torch.stack(result)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", ["crop", "crop_flip"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_training_batches_equal_a_loop_over_the_same_draws(channels: int, augment: str, channels_last: bool) -> None:
    task = small_task(channels)
    indices = torch.randint(0, 120, (50,), generator=torch.Generator().manual_seed(3))
    batch = batches_of(task, augment, channels_last=channels_last).training(indices)
    draws = torch_stream(1, "augmentation")
    offsets = draw_offsets(50, generator=draws)
    flips = draw_flips(50, generator=draws) if augment == "crop_flip" else torch.zeros(50, dtype=torch.bool)
    assert batch.shape == (50, channels, 12, 10)
    assert batch.dtype == torch.float32
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(batch.double(), image_by_image(task, indices, offsets, flips), rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_plain_batches_equal_torchvisions_transforms(channels: int, channels_last: bool) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    task = small_task(channels)
    steps: Any = transforms.Compose([transforms.ToTensor(), transforms.Normalize(task.mean, task.std)])
    indices = torch.tensor([5, 0, 119, 5])
    expected = torch.stack([steps(task.images[i].permute(1, 2, 0).numpy()) for i in indices.tolist()])
    batches = batches_of(task, "none", channels_last=channels_last)
    torch.testing.assert_close(batches.plain(indices), expected, rtol=0, atol=2e-6)
    assert torch.equal(batches.training(indices), batches.plain(indices))


def test_all_81_offsets_and_both_flips_occur_independently_for_each_image() -> None:
    generator = torch_stream(1, "augmentation")
    offsets, flips = draw_offsets(50_000, generator=generator), draw_flips(50_000, generator=generator)
    counts = Counter(zip(offsets[0].tolist(), offsets[1].tolist(), flips.tolist(), strict=True))
    assert len(counts) == 162
    # expected 308.6 each with standard deviation 17.5
    assert min(counts.values()) > 308.6 - 5 * 17.5
    assert max(counts.values()) < 308.6 + 5 * 17.5


def test_one_image_many_times_gets_many_crops() -> None:
    batch = batches_of(small_task(), "crop_flip").training(torch.zeros(400, dtype=torch.int64))
    assert len({image.numpy().tobytes() for image in batch}) > 100


def test_draws_come_from_the_given_generator_alone() -> None:
    task = small_task()
    indices = torch.arange(20)
    before = torch.get_rng_state()
    first, second = batches_of(task, "crop_flip"), batches_of(task, "crop_flip")
    assert torch.equal(first.training(indices), second.training(indices))
    assert not torch.equal(first.training(indices), batches_of(task, "crop_flip").training(indices))
    assert torch.equal(before, torch.get_rng_state())


def test_the_tasks_images_stay_as_they_are() -> None:
    task = small_task()
    before = task.images.clone()
    batches = batches_of(task, "none")
    batches.training(torch.arange(10)).zero_()
    assert torch.equal(task.images, before)


def test_unknown_augmentation() -> None:
    with pytest.raises(UserError, match=r"augment must be one of none, crop, .* got 'auto' .*: there is no 'auto'"):
        batches_of(small_task(), "auto")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_captured_step_draws_anew_at_each_replay(channels_last: bool) -> None:
    task = small_task(device="cuda")
    indices = torch.arange(30, device="cuda")
    batches = batches_of(task, "crop_flip", channels_last=channels_last, device="cuda")
    batches.training(indices)  # loads the kernels
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(batches.generator)
    with torch.cuda.graph(graph):
        batch = batches.training(indices)
    replays = set()
    for _ in range(4):
        graph.replay()
        replays.add(batch.cpu().numpy().tobytes())
    assert len(replays) == 4
