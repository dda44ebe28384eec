"""The global batch on two ranks: what is trained, sent and refused; and without a process group."""

from __future__ import annotations

import copy
import doctest
import importlib
import pkgutil
from typing import Any

import pytest
import torch
from rank_layers import LAYERS
from rank_losses import QUICK_CASES, SAMPLER_CASES, Case, build_sampler, distance, stream, truth
from rank_processes import run_ranks
from torch.utils.data import DataLoader, TensorDataset

import utils.distributed
from utils.distributed import ShardedSampler, gather, shard
from utils.distributed.sharding import lengths_of_parts

TOLERANCE = 1e-12
Ranks = list[dict[str, Any]]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What ``rank_layers.everything`` gives on each of two ranks."""
    return run_ranks("rank_layers:everything", 2, tmp_path_factory.mktemp("two_ranks"))


@pytest.mark.slow
@pytest.mark.parametrize("case", QUICK_CASES, ids=str)
def test_two_ranks_train_as_one_process(case: Case, two_ranks: Ranks) -> None:
    """Losses, gradients, multipliers and thresholds of each step; all combinations are in test_exactness.py."""
    expected = truth(case)
    for found in two_ranks:
        trained = found["trained"][str(case)]
        assert trained.keys() == expected.keys()
        wrong = {key: distance(value, expected[key]) for key, value in trained.items()}
        assert {key: value for key, value in wrong.items() if not value <= TOLERANCE} == {}


def test_every_sampler_has_the_same_global_stream_and_unknown_sizes_are_exchanged(two_ranks: Ranks) -> None:
    for found in two_ranks:
        assert len(found["streams"]) == len(SAMPLER_CASES)
        for name, classes in SAMPLER_CASES:
            assert torch.equal(found["streams"][f"{name}-{classes}"], stream(name, classes)), name


def test_a_step_sends_one_gather_and_the_buckets_of_ddp(two_ranks: Ranks) -> None:
    """24 samples on two ranks: 12 x (4 + 8 + 8) bytes of float32 outputs, int64 targets and indices. 7 parameters."""
    for found in two_ranks:
        messages = found["messages"]
        assert messages["plain"] == ["gloo:all_gather 240", "gloo:all_reduce 7"]
        assert messages["sizes unknown"] == ["gloo:all_gather 1", *messages["plain"]]
        # mean, variance and number of two channels forward, two sums of each backward; 33 parameters
        own = ["gloo:all_gather 5", "gloo:all_gather 240", "gloo:all_reduce 2", "gloo:all_reduce 33"]
        assert messages["batch norm"] == own


def test_what_is_no_global_batch_is_refused_on_every_rank(two_ranks: Ranks) -> None:
    for rank, found in enumerate(two_ranks):
        others = f"must be the same on every rank, got others on [1] than on 0 (this is rank {rank})"
        parts = "the ranks must have parts of one batch (see shard), of sizes such as"
        assert found["refused"] == {
            "seeds": f"the batches of the sampler {others}",
            "states": f"the batches of the sampler {others}",
            "sizes": f"{parts} [2, 2], got [1, 3]",
            "nothing": f"{parts} [0, 0], got [0, 0]",
        }


@pytest.mark.parametrize("name", LAYERS)
def test_batch_norm_of_two_ranks_is_that_of_one_process(name: str, two_ranks: Ranks) -> None:
    """Outputs, gradients and running statistics, with uneven and empty parts; one rank alone in evaluation mode."""
    assert "evaluation" in two_ranks[0]["layers"][name]
    for found in two_ranks:
        assert max(found["layers"][name].values()) <= TOLERANCE


def test_a_resnet_of_two_ranks_is_that_of_one_process(two_ranks: Ranks) -> None:
    for found in two_ranks:
        assert max(found["network"].values()) <= TOLERANCE


def test_batch_norm_keeps_digits_and_types(two_ranks: Ranks) -> None:
    """A mean of 10,000 SDs leaves 3 digits in float32; the difference of the mean square and its square has none."""
    for found in two_ranks:
        assert found["narrow"]["large"] < 1e-3
        assert found["narrow"]["half"] < 2**-8
        assert found["narrow"]["types"] == ["torch.bfloat16", "torch.bfloat16"]


# --- without a process group -------------------------------------------------------------------------------


def test_without_a_group_the_tensors_come_back_themselves() -> None:
    outputs, targets, indices = torch.zeros(3, 2), torch.zeros(3), torch.arange(3)
    found = gather(outputs, targets, indices, size=3)
    assert all(one is other for one, other in zip(found, (outputs, targets, indices), strict=True))
    assert gather(outputs, targets) == (outputs, targets, None)


@pytest.mark.parametrize("shapes", [((3,), (4,), (3,)), ((3, 1), (3,), (2,)), ((3, 2, 1), (3,), (3,)), ((), (), ())])
def test_shapes_are_checked(shapes: tuple[tuple[int, ...], ...]) -> None:
    outputs, targets, indices = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"outputs must be \(b,\) or \(b, C\), targets and indices \(b,\)"):
        gather(outputs, targets, indices)


@pytest.mark.parametrize("size", [2, 4, 0])
def test_the_size_is_that_of_the_global_batch(size: int) -> None:
    with pytest.raises(ValueError, match=rf"rank 0 of 1 must have {size} samples of a global batch of size {size}"):
        gather(torch.zeros(3), torch.zeros(3), size=size)


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 3, 8, 13])
def test_the_parts_put_together_are_the_batch(world: int, size: int) -> None:
    batch = torch.arange(100, 100 + size)
    parts = [shard(batch, rank, world) for rank in range(world)]
    assert [len(part) for part in parts] == lengths_of_parts(size, world)
    rebuilt = torch.empty_like(batch)
    for rank, part in enumerate(parts):
        for place, value in enumerate(part):
            rebuilt[rank + place * world] = value
    assert torch.equal(rebuilt, batch)


@pytest.mark.parametrize("rank, world, expected", [(2, 2, r"0\.\.1, got 2"), (-1, 2, "got -1"), (0, 0, ">= 1, got 0")])
def test_a_rank_that_is_none_is_refused(rank: int, world: int, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        shard(torch.arange(4), rank, world)


def test_the_sampler_fits_a_loader_and_resumes() -> None:
    data = TensorDataset(torch.arange(2000.0), torch.arange(2000))
    sampler = ShardedSampler(build_sampler("balanced"))
    assert len(sampler) == sampler.sampler.steps_per_epoch
    loader = DataLoader(data, sampler=sampler, batch_size=None)
    seen = [indices for _ in range(2) for _, indices in loader]
    assert torch.equal(torch.cat(seen), stream("balanced", 2))
    state = copy.deepcopy(sampler.state_dict())
    expected = [next(sampler) for _ in range(5)]
    resumed = ShardedSampler(build_sampler("balanced", seed=6))
    resumed.load_state_dict(state)
    assert all(torch.equal(next(resumed), each) for each in expected)
    assert sampler.state_dict(step=2)["step"] == 2


@pytest.mark.parametrize("module", [info.name for info in pkgutil.iter_modules(utils.distributed.__path__)])
def test_doctests(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"utils.distributed.{module}")).failed == 0
