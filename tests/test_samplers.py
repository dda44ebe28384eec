"""The natural sampler: every sample once an epoch, in an order that depends on its own generator alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utils.errors import UserError
from utils.samplers import SAMPLERS, NaturalSampler, sampler_class

INDICES = torch.tensor([3, 5, 8, 13, 21, 34, 55, 89, 144, 233])  # dataset indices, not row numbers


def natural(seed: int = 1, *, indices: Tensor = INDICES, batch_size: int = 4) -> NaturalSampler:
    return NaturalSampler(indices, batch_size=batch_size, generator=torch.Generator().manual_seed(seed))


def batches(sampler: NaturalSampler, number: int) -> list[list[int]]:
    return [next(sampler).tolist() for _ in range(number)]


def flat(drawn: list[list[int]]) -> list[int]:
    return [index for batch in drawn for index in batch]


def epochs(sampler: NaturalSampler, number: int) -> list[list[int]]:
    return [flat(batches(sampler, sampler.steps_per_epoch)) for _ in range(number)]


def test_every_index_once_an_epoch_and_a_smaller_last_batch() -> None:
    sampler = natural()
    assert sampler.steps_per_epoch == 3
    for _ in range(5):
        drawn = batches(sampler, 3)
        assert [len(batch) for batch in drawn] == [4, 4, 2]
        assert sorted(flat(drawn)) == INDICES.tolist()


@pytest.mark.parametrize("batch_size, steps", [(1, 10), (5, 2), (9, 2), (10, 1), (11, 1), (1000, 1)])
def test_steps_per_epoch(batch_size: int, steps: int) -> None:
    sampler = natural(batch_size=batch_size)
    assert sampler.steps_per_epoch == steps
    assert [sorted(epoch) for epoch in epochs(sampler, 2)] == [INDICES.tolist()] * 2


def test_a_fresh_order_each_epoch() -> None:
    orders = epochs(natural(), 20)
    assert len({tuple(order) for order in orders}) == 20  # 10! orders: two equal ones would be a fault
    assert INDICES.tolist() not in orders


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    assert epochs(natural(7), 3) == epochs(natural(7), 3)
    assert epochs(natural(7), 1) != epochs(natural(8), 1)


def test_the_order_does_not_depend_on_the_batch_size_or_on_the_global_state() -> None:
    expected = epochs(natural(batch_size=4), 1)
    torch.manual_seed(0)
    assert epochs(natural(batch_size=3), 1) == expected
    torch.manual_seed(1)
    assert epochs(natural(batch_size=10), 1) == expected


def test_nothing_is_drawn_from_the_global_state() -> None:
    before = torch.get_rng_state()
    epochs(natural(), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("taken", range(8))  # 0 new, 3 and 6 between two epochs, the others within one
def test_a_round_trip_of_the_state_goes_on_with_the_same_stream(taken: int) -> None:
    straight, stopped = natural(), natural()
    expected = batches(straight, taken + 10)[taken:]
    batches(stopped, taken)
    state = stopped.state_dict()
    batches(stopped, 2)  # what happens to it afterwards does not reach the state that was taken
    resumed = natural(seed=999)
    batches(resumed, 5)
    resumed.load_state_dict(state)
    assert batches(resumed, 10) == expected
    assert batches(resumed, 3) == batches(stopped_at(straight, 0), 3)


def stopped_at(sampler: NaturalSampler, steps: int) -> NaturalSampler:
    batches(sampler, steps)
    return sampler


def test_the_state_survives_a_second_round_trip() -> None:
    first = natural()
    batches(first, 4)
    second, third = natural(2), natural(3)
    second.load_state_dict(first.state_dict())
    third.load_state_dict(second.state_dict())
    assert batches(third, 9) == batches(first, 9)


def test_one_sample_is_a_legal_training_set() -> None:
    assert epochs(natural(indices=torch.tensor([42])), 3) == [[42]] * 3


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_holds_at_least_one_sample(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be >= 1, got {batch_size}"):
        natural(batch_size=batch_size)


def test_there_is_at_least_one_sample() -> None:
    with pytest.raises(ValueError, match="indices must hold at least one sample, got none"):
        natural(indices=torch.tensor([], dtype=torch.long))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_of_the_table_draws_training_indices_and_keeps_its_place(name: str) -> None:
    kind = sampler_class(name)
    one, other = (kind(INDICES, batch_size=3, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    drawn = [next(one) for _ in range(7)]
    assert all(batch.dtype == torch.long and set(batch.tolist()) <= set(INDICES.tolist()) for batch in drawn)
    other.load_state_dict(one.state_dict())
    assert [next(other).tolist() for _ in range(7)] == [next(one).tolist() for _ in range(7)]


def test_an_unknown_sampler_is_named_with_the_near_ones() -> None:
    with pytest.raises(UserError, match="natural"):
        sampler_class("naturl")
