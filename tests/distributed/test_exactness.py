"""One model on W = 1, 2 and 4 processes against one process: every loss with every constraint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from rank_losses import CASES, SAMPLER_CASES, Case, distance, stream, truth
from rank_processes import run_ranks

pytestmark = pytest.mark.slow
TOLERANCE = 1e-12
Ranks = Callable[[str, int], list[Any]]


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What a function gives on each rank; run once for each number of ranks."""

    @cache
    def run(function: str, world: int) -> list[Any]:
        return run_ranks(function, world, tmp_path_factory.mktemp(f"world{world}"))

    return run


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("world", [2, 4])
def test_losses_gradients_multipliers_and_thresholds_are_those_of_one_process(
    case: Case, world: int, of_ranks: Ranks
) -> None:
    expected = truth(case)
    for found in of_ranks("rank_losses:train_all", world):
        assert found[str(case)].keys() == expected.keys()
        wrong = {key: distance(value, expected[key]) for key, value in found[str(case)].items()}
        assert {key: value for key, value in wrong.items() if not value <= TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_group_of_one_rank_gives_the_bits_of_one_process(case: Case, of_ranks: Ranks) -> None:
    (found,) = of_ranks("rank_losses:train_all", 1)
    assert all(torch.equal(value, truth(case)[key]) for key, value in found[str(case)].items())


@pytest.mark.parametrize("world", [2, 4])
def test_all_ranks_hold_the_same_bits(world: int, of_ranks: Ranks) -> None:
    first, *others = of_ranks("rank_losses:train_all", world)
    for other in others:
        assert all(torch.equal(first[case][key], other[case][key]) for case in first for key in first[case])


def test_four_ranks_batch_norm_and_samplers(of_ranks: Ranks) -> None:
    for found in of_ranks("rank_layers:everything", 4):
        for name, classes in SAMPLER_CASES:
            assert torch.equal(found["streams"][f"{name}-{classes}"], stream(name, classes)), name
        assert max(value for layer in found["layers"].values() for value in layer.values()) <= TOLERANCE
        assert max(found["network"].values()) <= TOLERANCE
        assert found["messages"]["plain"] == ["gloo:all_gather 120", "gloo:all_reduce 7"]
