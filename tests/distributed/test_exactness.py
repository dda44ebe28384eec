"""One model on W processes against one process: every loss with every constraint, every sampler."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from rank_losses import CASES, SAMPLER_CASES, Case, stream, train
from rank_processes import run_ranks
from torch import Tensor

TOLERANCE = 1e-12
Ranks = Callable[[str, int], list[Any]]


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What a function of rank_losses.py gives on each rank; run once for each number of ranks."""

    @cache
    def run(name: str, world: int) -> list[Any]:
        return run_ranks(f"rank_losses:{name}", world, tmp_path_factory.mktemp(f"{name}{world}"))

    return run


@cache
def truth(case: Case) -> dict[str, Tensor]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = train(case, ranks=False)
    torch.set_num_threads(threads)
    return found


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to what is larger than 1."""
    scale = max(1.0, other.abs().max().item())
    return ((one - other).abs().max() / scale).item()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("world", [2, 4])
def test_losses_gradients_multipliers_and_thresholds_are_those_of_one_process(
    case: Case, world: int, of_ranks: Ranks
) -> None:
    expected = truth(case)
    for found in of_ranks("train_all", world):
        assert found[str(case)].keys() == expected.keys()
        wrong = {key: distance(value, expected[key]) for key, value in found[str(case)].items()}
        assert {key: value for key, value in wrong.items() if not value <= TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_group_of_one_rank_gives_the_bits_of_one_process(case: Case, of_ranks: Ranks) -> None:
    (found,) = of_ranks("train_all", 1)
    assert all(torch.equal(value, truth(case)[key]) for key, value in found[str(case)].items())


@pytest.mark.parametrize("world", [2, 4])
def test_all_ranks_hold_the_same_bits(world: int, of_ranks: Ranks) -> None:
    first, *others = of_ranks("train_all", world)
    for other in others:
        assert all(torch.equal(first[case][key], other[case][key]) for case in first for key in first[case])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_sampler_has_the_same_global_stream(world: int, of_ranks: Ranks) -> None:
    for found in of_ranks("gathered_streams", world):
        assert len(found) == len(SAMPLER_CASES)
        for name, classes in SAMPLER_CASES:
            assert torch.equal(found[f"{name}-{classes}"], stream(name, classes)), name
