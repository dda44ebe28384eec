"""Images behind a memory map: the same batches as in memory, read ahead by one thread, in any depth."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_sets import made, write_set

from utils.data.batches import Batches
from utils.data.mapped_batches import MappedBatches, batches_of
from utils.data.mapped_images import MappedImages
from utils.data.prepared_files import read_prepared
from utils.data.task import Task, build_task
from utils.errors import UserError
from utils.samplers.natural import NaturalSampler

COUNTS = {"train": (30, 8), "validation": (6, 3), "test": (6, 3)}


def tasks(
    tmp_path: Path, *, dtype: str = "u1", shape: tuple[int, int, int] = (30, 28, 3), name: str = "scans"
) -> tuple[Task, Task]:
    """The same task in memory and on the disk."""
    files = read_prepared(write_set(tmp_path, *made(COUNTS, dtype=dtype, shape=shape), name=name))
    one, other = (
        build_task(files, negative_classes=None, positive_classes=None, ratio_pos_train="natural", mapped=mapped)
        for mapped in (False, True)
    )
    return one, other


def batches(task: Task, augment: str) -> Batches:
    return batches_of(task, augment=augment, device="cpu", generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_batches_are_those_of_images_in_memory(tmp_path: Path, dtype: str, augment: str) -> None:
    one, other = tasks(tmp_path, dtype=dtype)
    assert (one.mean, one.std, one.checksum, one.repeats) == (other.mean, other.std, other.checksum, other.repeats)
    in_memory, mapped = batches(one, augment), batches(other, augment)
    assert isinstance(mapped, MappedBatches)
    assert not isinstance(in_memory, MappedBatches)
    assert in_memory.image_size == mapped.image_size == (30, 28)
    rows = torch.from_numpy(one.split(1).train)
    samplers = [NaturalSampler(rows, batch_size=7, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    for steps in (5, 1, 9):  # epochs of other lengths than a pass
        pairs = zip(in_memory.ahead(samplers[0], steps), mapped.ahead(samplers[1], steps), strict=True)
        count = 0
        for indices, theirs in pairs:
            assert torch.equal(indices, theirs)
            assert torch.equal(in_memory.training(indices), mapped.training(theirs))
            count += 1
        assert count == steps
        ours, theirs_state = (sampler.state_dict() for sampler in samplers)
        assert (ours["step"], ours["generator"].tolist()) == (theirs_state["step"], theirs_state["generator"].tolist())
    for one_chunk, other_chunk in zip(in_memory.in_order(rows, 5), mapped.in_order(rows, 5), strict=True):
        assert torch.equal(one_chunk, other_chunk)
    assert torch.equal(in_memory.plain(rows[:4]), mapped.plain(rows[:4]))


def test_pixels_of_16_bits_arrive_as_such(tmp_path: Path) -> None:
    """v / 65535, normalised, for values above and below 32768."""
    images = np.array([[[[0]]], [[[40000]]], [[[65535]]], [[[32767]]]] * 2, dtype=np.uint16).repeat(28, 1).repeat(28, 2)
    labels = [0, 1, 0, 1] * 2
    files = read_prepared(write_set(tmp_path, images, labels, ["train"] * 4 + ["validation"] * 2 + ["test"] * 2))
    for mapped in (False, True):
        task = build_task(files, negative_classes=(0,), positive_classes=(1,), ratio_pos_train="natural", mapped=mapped)
        values = np.array([0, 40000, 65535, 32767]) / 65535
        mean, std = values.mean(), values.std()
        assert task.mean[0] == pytest.approx(mean, rel=1e-12)
        assert task.std[0] == pytest.approx(std, rel=1e-12)
        seen = batches(task, "none").plain(torch.arange(4))
        assert seen[:, 0, 5, 5].numpy() == pytest.approx((values - mean) / std, rel=1e-5)


def test_small_images_are_enlarged_as_in_memory(tmp_path: Path) -> None:
    one, other = tasks(tmp_path, shape=(9, 40, 1))
    assert one.images.shape[2:] == (32, 40)
    assert other.pixels.shape == tuple(one.images.shape)
    assert (one.mean, one.std, one.image_format) == (other.mean, other.std, other.image_format)
    rows = torch.arange(len(one.labels))
    assert torch.equal(batches(one, "none").plain(rows), batches(other, "none").plain(rows))


def test_features_are_rows_of_numbers(tmp_path: Path) -> None:
    one, other = tasks(tmp_path, dtype="f4", shape=(1, 1, 5))
    assert (one.channels, one.height, one.width, one.kind) == (5, 1, 1, "rows")
    values = one.images[:, :, 0, 0].double().numpy()
    seen = (one.original_split == "train").nonzero()[0]
    rows = torch.arange(len(values))
    expected = (values - values[seen].mean(axis=0)) / values[seen].std(axis=0)
    for task in (one, other):
        found = batches(task, "none").plain(rows)
        assert found.shape == (len(values), 5, 1, 1)
        assert found[:, :, 0, 0].numpy() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(one.images[:, :, 0, 0].double(), torch.from_numpy(values))  # normalising changes a copy


def test_one_thread_reads_the_next_batch_while_a_step_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a step has its batch, the next one is read without being asked for; none is beyond the last."""
    _, task = tasks(tmp_path)
    read, threads, done = list[list[int]](), set[int](), threading.Semaphore(0)
    original = MappedImages.read

    def watched(self: MappedImages, indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        found = original(self, indices, out)
        read.append(indices.tolist())
        threads.add(threading.get_ident())
        done.release()
        return found

    monkeypatch.setattr(MappedImages, "read", watched)
    order = [torch.tensor(rows) for rows in ([3, 1], [2, 0], [5, 4])]
    taken = batches(task, "none").ahead(iter(order), 3)
    for step in range(3):
        assert next(taken).tolist() == order[step].tolist()
        for _ in range(2 if step == 0 else 1 if step == 1 else 0):
            assert done.acquire(timeout=60)
        assert read == [rows.tolist() for rows in order[: min(step + 2, 3)]]
    assert next(taken, None) is None
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


def test_a_file_that_is_cut_short_is_one_line_and_no_signal(tmp_path: Path) -> None:
    _, task = tasks(tmp_path)
    assert isinstance(task.pixels, MappedImages)
    os.truncate(task.pixels.path, 3000)
    with pytest.raises(UserError, match=r"cannot read .*images\.npy any more: it is shorter than it was; resume with"):
        batches(task, "none").plain(torch.arange(9))


def test_mapped_images_are_passed_to_another_process_without_their_pixels(tmp_path: Path) -> None:
    _, task = tasks(tmp_path, shape=(64, 64, 3))
    assert isinstance(task.pixels, MappedImages)
    expected = task.pixels.read(np.arange(3))
    content = pickle.dumps(task.pixels)
    assert len(content) < 2000 < task.pixels.nbytes
    assert np.array_equal(pickle.loads(content).read(np.arange(3)), expected)


def test_a_deep_copy_of_the_batch_is_not_needed_for_features(tmp_path: Path) -> None:
    """Two passes over mapped features give the same numbers: the buffer is not changed in place."""
    _, task = tasks(tmp_path, dtype="f4", shape=(1, 1, 4))
    found = batches(task, "none")
    (indices,) = found.ahead(iter([torch.tensor([2, 5])]), 1)
    assert torch.equal(found.training(indices), found.training(indices))
