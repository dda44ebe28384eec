"""Samplers: what all of them promise, and what each of them draws; positives made up by SMOTE."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from utils.data.synthetic_positives import nearest, synthetic_positives
from utils.errors import UserError
from utils.run_files.checkpoints import check_like
from utils.samplers import SAMPLERS, NaturalSampler, Sampler, sampler_class
from utils.samplers.cycle import Cycle
from utils.samplers.stratified import largest_least_positives
from utils.testing import check_sampler
from utils.training.training_data import samples_to_make

INDICES = torch.tensor([3, 5, 8, 13, 21, 34, 55, 89, 144, 233])  # dataset indices, not row numbers
# 43 samples of which 9 are positive; no batch size below divides one of these
LABELS = (torch.arange(43) % 5 == 1).long()
MANY = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:43]
POSITIVES, NEGATIVES = set(MANY[LABELS == 1].tolist()), set(MANY[LABELS == 0].tolist())
# so that schedules change and cycles end within the three passes that are looked at
OPTIONS: dict[str, dict[str, Any]] = {
    "balanced": {"positive_share": 0.4},
    "balanced_random": {"positive_share": 0.4},
    "two_phase": {"natural_from": 1},
    "temperature": {"cool_down": 2},
}
SEEN = 5.0  # standard deviations: one in two million random counts lies further off; the seeds are fixed


def build(
    name: str, *, seed: int = 1, batch_size: int = 5, indices: Tensor = MANY, labels: Tensor = LABELS, **options: Any
) -> Any:
    kind = sampler_class(name)
    facts: dict[str, Any] = {"labels": labels} if "labels" in kind.facts else {}
    generator = torch.Generator().manual_seed(seed)
    return kind(indices, batch_size=batch_size, generator=generator, **facts, **{**OPTIONS.get(name, {}), **options})


def natural(seed: int = 1, *, indices: Tensor = INDICES, batch_size: int = 4) -> NaturalSampler:
    return NaturalSampler(indices, batch_size=batch_size, generator=torch.Generator().manual_seed(seed))


def batches(sampler: Sampler, number: int) -> list[list[int]]:
    return [next(sampler).tolist() for _ in range(number)]


def flat(drawn: list[list[int]]) -> list[int]:
    return [index for batch in drawn for index in batch]


def epochs(sampler: Sampler, number: int) -> list[list[int]]:
    return [flat(batches(sampler, sampler.steps_per_epoch)) for _ in range(number)]


def positives_of(drawn: list[int]) -> list[int]:
    return [index for index in drawn if index in POSITIVES]


def negatives_of(drawn: list[int]) -> list[int]:
    return [index for index in drawn if index in NEGATIVES]


def assert_binomial(count: int, *, trials: int, probability: float) -> None:
    """Whether ``count`` is what so many trials give."""
    deviation = math.sqrt(trials * probability * (1 - probability))
    assert abs(count - trials * probability) < SEEN * deviation, (count, trials * probability, deviation)


# --- all of them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_keeps_the_contract(name: str) -> None:
    check_sampler(sampler_class(name), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_is_accepted_as_a_part_of_last_pt(name: str) -> None:
    sampler = build(name)
    fresh = sampler.state_dict()
    batches(sampler, 2 * sampler.steps_per_epoch + 1)
    check_like(sampler.state_dict(), fresh)


@pytest.mark.parametrize("name", ["weighted", "balanced", "balanced_random", "temperature"])
def test_batches_are_full(name: str) -> None:
    assert {len(batch) for batch in batches(build(name), 30)} == {5}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"indices": MANY[:0], "labels": LABELS[:0]}, "indices must hold at least one sample, got none"),
        ({"indices": MANY.tolist()}, r"indices must be a tensor of shape \(n,\) .*, got list"),
        ({"indices": MANY.numpy()}, r"indices must be a tensor of shape \(n,\) .*, got ndarray"),
        ({"indices": MANY[:, None]}, r"indices must be a tensor of shape \(n,\) .*, got \(43, 1\)"),
        ({"labels": LABELS[1:]}, r"labels must be a tensor of the shape of indices, \(43,\), got \(42,\)"),
        ({"labels": LABELS.tolist()}, r"labels must be a tensor of the shape of indices, \(43,\), got list"),
        ({"labels": LABELS.numpy()}, r"labels must be a tensor of the shape of indices, \(43,\), got ndarray"),
        ({"labels": 2 * LABELS}, "labels must be 0 or 1"),
        ({"labels": LABELS * 0}, "samples of both classes, got 0 positives and 43 negatives"),
        ({"labels": LABELS * 0 + 1}, "samples of both classes, got 43 positives and 0 negatives"),
    ],
)
def test_what_is_refused_is_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("weighted", **change)
    sampler = build("weighted")
    for foreign in (dict[str, Any](), build("balanced").state_dict()):
        with pytest.raises(ValueError, match=r"the state of a WeightedSampler must hold \['generator', 'step'\], got"):
            sampler.load_state_dict(foreign)
    with pytest.raises(ValueError, match=r"step must lie in 0\.\.9, got -1"):
        sampler.load_state_dict({**sampler.state_dict(), "step": -1})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_order_is_the_same_on_a_gpu(name: str) -> None:
    on_gpu = build(name, indices=MANY.cuda(), labels=LABELS.cuda())
    assert next(on_gpu).is_cuda
    rest = [next(on_gpu).tolist() for _ in range(2 * on_gpu.steps_per_epoch - 1)]
    assert rest == batches(build(name), 2 * on_gpu.steps_per_epoch)[1:]


@pytest.mark.parametrize("module", ["base", "cycle", *sorted({target.split(":")[0] for target in SAMPLERS.values()})])
def test_doctests(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"utils.samplers.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def loader_of(sampler: Sampler, workers: int = 0) -> DataLoader[tuple[Tensor, ...]]:
    """Of a data set whose sample i is i itself."""
    return DataLoader(TensorDataset(torch.arange(1000)), batch_sampler=cast(Any, sampler), num_workers=workers)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loader_ends_with_the_pass_and_goes_on_with_the_next(name: str) -> None:
    """Three epochs of a loader are three passes of the stream."""
    expected, sampler = epochs(build(name), 3), build(name)
    loader = loader_of(sampler)
    assert len(loader) == len(sampler) == sampler.steps_per_epoch
    for number in range(3):
        drawn = [batch.tolist() for (batch,) in loader]
        assert len(drawn) == len(loader)
        assert flat(drawn) == expected[number]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loader_resumes_within_a_pass(name: str) -> None:
    steps = build(name).steps_per_epoch
    expected = batches(build(name), 2 * steps)
    for taken in range(steps + 1):
        stopped, resumed = build(name), build(name, seed=9)
        for _ in zip(range(taken), loader_of(stopped), strict=False):
            pass
        resumed.load_state_dict(stopped.state_dict())
        rest = [batch.tolist() for _ in range(2) for (batch,) in loader_of(resumed)]
        assert rest == (expected[taken:] + (batches(build(name), 3 * steps)[2 * steps :] if taken == steps else []))


def test_workers_draw_ahead_and_the_state_of_what_was_used_is_exact() -> None:
    """Two workers draw four batches ahead; at the end of a pass they have drawn no more than was used."""
    expected = batches(natural(indices=MANY), 22)  # two passes of 11
    sampler, resumed = natural(indices=MANY), natural(seed=9, indices=MANY)
    loader = loader_of(sampler, workers=2)
    used = []
    for (batch,) in loader:
        used.append(batch.tolist())
        if len(used) == 3:
            state = sampler.state_dict(step=3)
            assert sampler.state_dict()["step"] > 3
    assert used == expected[:11]
    resumed.load_state_dict(state)
    assert [batch.tolist() for (batch,) in loader_of(resumed, workers=2)] == expected[3:11]
    resumed.load_state_dict(sampler.state_dict())
    assert [batch.tolist() for (batch,) in loader_of(resumed)] == expected[11:]
    for step in (-1, 12):
        with pytest.raises(ValueError, match=rf"step must be 0..11, the batches .* were drawn, got {step}"):
            sampler.state_dict(step=step)


def test_an_unknown_sampler_is_named_with_the_near_ones() -> None:
    with pytest.raises(UserError, match="natural"):
        sampler_class("naturl")


# --- natural -----------------------------------------------------------------------------------------------


def test_every_index_once_an_epoch_and_a_smaller_last_batch() -> None:
    sampler = natural()
    assert sampler.steps_per_epoch == 3
    for _ in range(5):
        drawn = batches(sampler, 3)
        assert [len(batch) for batch in drawn] == [4, 4, 2]
        assert sorted(flat(drawn)) == INDICES.tolist()


def test_the_natural_stream_is_one_permutation_after_the_other() -> None:
    generator = torch.Generator().manual_seed(1)
    for drawn in epochs(natural(), 4):
        assert drawn == INDICES[torch.randperm(10, generator=generator)].tolist()


def test_the_natural_state_is_the_one_that_older_files_hold() -> None:
    sampler = natural()
    batches(sampler, 5)
    state = sampler.state_dict()
    assert state.keys() == {"generator", "step"}
    generator = torch.Generator()
    generator.set_state(state["generator"])
    order = INDICES[torch.randperm(10, generator=generator)].tolist()  # of the second epoch, whose state it is
    assert (state["step"], next(sampler).tolist()) == (2, order[8:])


@pytest.mark.parametrize("batch_size, steps", [(1, 10), (5, 2), (9, 2), (10, 1), (11, 1), (1000, 1)])
def test_steps_per_epoch(batch_size: int, steps: int) -> None:
    sampler = natural(batch_size=batch_size)
    assert sampler.steps_per_epoch == steps
    assert [sorted(epoch) for epoch in epochs(sampler, 2)] == [INDICES.tolist()] * 2


def test_one_sample_is_a_legal_training_set() -> None:
    assert epochs(natural(indices=torch.tensor([42])), 3) == [[42]] * 3


# --- weighted, balanced at random, temperature -------------------------------------------------------------


def test_weighted_takes_more_samples_than_multinomial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.samplers.weighted.MOST_CATEGORIES", 42)
    counts = Counter(flat(batches(build("weighted"), 4000)))
    assert_binomial(sum(counts[index] for index in POSITIVES), trials=20_000, probability=0.5)
    for index in MANY.tolist():
        assert_binomial(counts[index], trials=20_000, probability=0.5 / (9 if index in POSITIVES else 34))


def test_weighted_draws_what_torch_draws() -> None:
    sampler = build("weighted")
    counts = torch.bincount(LABELS)
    generator = torch.Generator().manual_seed(1)
    theirs = WeightedRandomSampler((1 / counts.double())[LABELS].tolist(), 45, generator=generator)
    assert epochs(sampler, 3) == [MANY[list(theirs)].tolist() for _ in range(3)]


@pytest.mark.parametrize(
    "name, share, options",
    [
        ("weighted", 0.5, {}),
        ("balanced_random", 0.5, {"positive_share": 0.5}),
        ("balanced_random", 0.1, {"positive_share": 0.1}),
        ("balanced_random", 0.9, {"positive_share": 0.9}),
        ("temperature", 9 / 43, {"temperature": 1.0}),
    ],
)
def test_frequencies_of_what_is_drawn_with_replacement(name: str, share: float, options: dict[str, Any]) -> None:
    sampler = build(name, batch_size=50, **options)
    assert sampler.steps_per_epoch == 1
    drawn = batches(sampler, 400)
    counts = Counter(flat(drawn))
    assert_binomial(sum(counts[index] for index in POSITIVES), trials=20_000, probability=share)
    for index in POSITIVES:
        assert_binomial(counts[index], trials=20_000, probability=share / 9)
    for index in NEGATIVES:
        assert_binomial(counts[index], trials=20_000, probability=(1 - share) / 34)
    # the number in a batch varies as that of 50 independent draws
    variance = np.var([len(positives_of(batch)) for batch in drawn])
    expected = 50 * share * (1 - share)
    assert abs(variance - expected) < SEEN * expected * math.sqrt(2 / 399)


def test_a_batch_balanced_at_random_can_lack_a_class() -> None:
    drawn = batches(build("balanced_random", batch_size=3, positive_share=0.5), 100)
    assert {len(positives_of(batch)) for batch in drawn} == {0, 1, 2, 3}


def test_the_temperature_falls_to_one_and_stays_there() -> None:
    labels = (torch.arange(20_000) % 100 == 0).long()  # 200 and 19,800
    sampler = build(
        "temperature", indices=torch.arange(20_000), labels=labels, batch_size=20_000, temperature=9.0, cool_down=4
    )
    for temperature in (9.0, 7.0, 5.0, 3.0, 1.0, 1.0):
        powers = [count ** (1 / temperature) for count in (200, 19_800)]
        positives = int(labels[next(sampler)].sum())
        assert_binomial(positives, trials=20_000, probability=powers[0] / sum(powers))


# --- balanced ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch_size, share, positives",
    [(5, 0.4, 2), (8, 0.5, 4), (7, 0.25, 2), (2, 0.5, 1), (10, 0.01, 1), (10, 0.99, 9), (100, 0.5, 50)],
)
def test_every_balanced_batch_holds_its_share(batch_size: int, share: float, positives: int) -> None:
    sampler = build("balanced", batch_size=batch_size, positive_share=share)
    for batch in batches(sampler, 4 * sampler.steps_per_epoch):
        assert (len(positives_of(batch)), len(negatives_of(batch))) == (positives, batch_size - positives)


def assert_cycles(drawn: list[int], members: set[int]) -> None:
    """Whether each comes once before any comes again, in fresh orders."""
    size = len(members)
    cycles = [drawn[start : start + size] for start in range(0, len(drawn) - size + 1, size)]
    assert len(cycles) >= 2
    assert all(set(cycle) == members for cycle in cycles)
    assert size == 1 or len({tuple(cycle) for cycle in cycles}) == len(cycles)


def test_a_cycle_takes_every_number_before_any_comes_again_whatever_is_taken_at_once() -> None:
    cycle, generator = Cycle(9), torch.Generator().manual_seed(1)
    taken = [cycle.take(count, generator).tolist() for count in (1, 7, 3, 0, 40, 9, 9, 3)]
    assert [len(each) for each in taken] == [1, 7, 3, 0, 40, 9, 9, 3]
    assert_cycles(flat(taken), set(range(9)))


@pytest.mark.parametrize("batch_size", [2, 6, 7])
def test_no_member_of_a_class_comes_again_before_all_have_come(batch_size: int) -> None:
    sampler = build("balanced", batch_size=batch_size, positive_share=0.5)
    drawn = batches(sampler, 6 * sampler.steps_per_epoch)
    for members in (POSITIVES, NEGATIVES):
        counts = dict.fromkeys(members, 0)
        for batch in drawn:
            for index in members.intersection(batch):
                counts[index] += batch.count(index)
            assert max(counts.values()) - min(counts.values()) <= 1
        assert min(counts.values()) >= 3


def test_with_one_positive_it_is_in_every_batch() -> None:
    labels = torch.zeros(43, dtype=torch.long)
    labels[17] = 1
    drawn = batches(build("balanced", labels=labels, batch_size=6, positive_share=0.5), 40)
    assert {batch.count(int(MANY[17])) for batch in drawn} == {3}


def test_the_places_in_a_balanced_batch_do_not_tell_the_class() -> None:
    drawn = torch.tensor(batches(build("balanced", batch_size=4, positive_share=0.5), 1000))
    of_positives = torch.isin(drawn, torch.tensor(sorted(POSITIVES))).sum(dim=0)
    for count in of_positives.tolist():
        assert_binomial(count, trials=1000, probability=0.5)


@pytest.mark.parametrize("name", ["balanced", "balanced_random", "two_phase"])
@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_a_share_of_positives_leaves_room_for_both(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"positive_share must lie between 0 and 1, got {share}"):
        build(name, positive_share=share)


@pytest.mark.parametrize("name", ["balanced", "two_phase"])
def test_a_balanced_batch_is_of_two_at_least(name: str) -> None:
    with pytest.raises(ValueError, match="batch_size must be >= 2, so that a batch holds both classes, got 1"):
        build(name, batch_size=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda cycle: cycle.update(left=-1),
        lambda cycle: cycle.update(left=10),
        lambda cycle: cycle.update(order=torch.zeros(9, dtype=torch.long)),
        lambda cycle: cycle.update(order=torch.arange(1, 10)),
        lambda cycle: cycle.update(order=torch.arange(8)),
    ],
)
def test_a_state_whose_cycle_is_none(change: Callable[[dict[str, Any]], None]) -> None:
    sampler = build("balanced")
    state = copy.deepcopy(sampler.state_dict())
    change(state["positives"])
    with pytest.raises(ValueError, match=r"a cycle must be an order of 0\.\.8"):
        sampler.load_state_dict(state)


# --- stratified --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size, least", [(5, 1), (11, 2), (20, 3), (11, 1), (22, 4), (43, 9), (100, 9)])
def test_stratified_every_sample_once_and_positives_in_every_batch(batch_size: int, least: int) -> None:
    sampler = build("stratified", batch_size=batch_size, least_positives=least)
    assert sampler.steps_per_epoch == -(-43 // batch_size)
    numbers = set()
    for _ in range(20):
        drawn = batches(sampler, sampler.steps_per_epoch)
        assert sorted(flat(drawn)) == sorted(MANY.tolist())
        numbers |= {len(positives_of(batch)) for batch in drawn}
    assert min(numbers) == least
    # what is not set aside lies anywhere
    assert len(numbers) > 1 or least * sampler.steps_per_epoch == 9


@pytest.mark.parametrize("n, batch_size", [(25, 8), (24, 8), (23, 8), (7, 8), (24_961, 128)])
def test_no_stratified_batch_is_much_smaller_than_another(n: int, batch_size: int) -> None:
    """One positive alone in the last batch would weigh as much as all of another batch."""
    labels = (torch.arange(n) < n // 5).long()
    sampler = build("stratified", indices=torch.arange(n), labels=labels, batch_size=batch_size)
    drawn = [next(sampler) for _ in range(sampler.steps_per_epoch)]
    sizes = [len(batch) for batch in drawn]
    assert len(sizes) == -(-n // batch_size)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert min(int(labels[batch].sum()) for batch in drawn) >= 1
    assert sorted(torch.cat(drawn).tolist()) == list(range(n))


def test_a_stratified_batch_is_in_random_order() -> None:
    drawn = torch.tensor(batches(build("stratified", batch_size=43, least_positives=9), 1000))
    of_positives = torch.isin(drawn, torch.tensor(sorted(POSITIVES))).sum(dim=0)
    for count in of_positives.tolist():
        assert_binomial(count, trials=1000, probability=9 / 43)


def test_any_sample_can_come_in_any_stratified_batch() -> None:
    sampler = build("stratified", batch_size=5, least_positives=1)
    first = Counter(flat([batches(sampler, sampler.steps_per_epoch)[0] for _ in range(600)]))
    for index in MANY.tolist():
        assert_binomial(first[index], trials=600, probability=1 / 9 if index in POSITIVES else 4 / 34)


def test_what_the_error_of_stratified_proposes_would_do_and_nothing_between() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        n, batch_size = int(rng.integers(2, 60)), int(rng.integers(1, 20))
        positives = int(rng.integers(1, n))
        least = int(rng.integers(1, positives + 1))
        indices, labels = torch.arange(n), (torch.arange(n) < positives).long()

        def holds(size: int, least: int, indices: Tensor = indices, labels: Tensor = labels) -> bool:
            sampler = build("stratified", indices=indices, labels=labels, batch_size=size, least_positives=least)
            drawn = batches(sampler, sampler.steps_per_epoch)
            return min(sum(int(labels[index]) for index in batch) for batch in drawn) >= least

        try:
            assert holds(batch_size, least)
            seen.add("fits")
        except ValueError as error:
            found = re.search(r"a batch size of (\d+) \(--bsize\) would do(?:, or least_positives (\d+))?$", str(error))
            assert found
            larger, fewer = int(found[1]), int(found[2] or 0)
            assert holds(larger, least)
            assert all(largest_least_positives(n, positives, size) < least for size in range(batch_size, larger))
            assert fewer < least
            seen.add("fewer" if fewer else "larger")
            if fewer:
                assert holds(batch_size, fewer)
            with pytest.raises(ValueError, match=f"least_positives {fewer + 1} is too many"):
                holds(batch_size, fewer + 1)
    assert seen == {"fits", "fewer", "larger"}


def test_the_errors_of_stratified() -> None:
    with pytest.raises(ValueError, match="least_positives 2 is too many for 9 positives in 9 batches of 5: "):
        build("stratified", batch_size=5, least_positives=2)
    with pytest.raises(ValueError, match="least_positives must be at most the number of positives, 9, got 10"):
        build("stratified", batch_size=43, least_positives=10)
    with pytest.raises(ValueError, match="least_positives must be >= 1, got 0"):
        build("stratified", least_positives=0)


# --- under- and over-sampling ------------------------------------------------------------------------------


def test_undersampling_takes_all_positives_and_as_many_other_negatives_in_each_pass() -> None:
    sampler = build("undersample")
    assert sampler.steps_per_epoch == 4  # 18 samples in batches of 5
    passes = epochs(sampler, 300)
    for drawn in passes:
        assert len(drawn) == len(set(drawn)) == 18
        assert set(positives_of(drawn)) == POSITIVES
    counts = Counter(flat([negatives_of(drawn) for drawn in passes]))
    for index in NEGATIVES:
        assert_binomial(counts[index], trials=300, probability=9 / 34)


def test_oversampling_takes_all_negatives_once_and_repeats_all_positives_evenly() -> None:
    sampler = build("oversample")
    assert sampler.steps_per_epoch == 14  # 68 samples in batches of 5
    once_more = Counter[int]()
    for drawn in epochs(sampler, 300):
        assert sorted(negatives_of(drawn)) == sorted(NEGATIVES)
        counts = Counter(positives_of(drawn))
        assert sorted(counts.values()) == [3] * 2 + [4] * 7  # 34 = 9 * 3 + 7
        once_more.update(index for index, count in counts.items() if count == 4)
    for index in POSITIVES:
        assert_binomial(once_more[index], trials=300, probability=7 / 9)


@pytest.mark.parametrize("name", ["undersample", "oversample"])
def test_where_positives_are_not_rare_nothing_is_left_out_and_nothing_repeated(name: str) -> None:
    for labels in (1 - LABELS, (torch.arange(42) < 21).long()):
        sampler = build(name, indices=MANY[: len(labels)], labels=labels)
        assert sampler.steps_per_epoch == 9
        assert sorted(epochs(sampler, 1)[0]) == sorted(MANY[: len(labels)].tolist())


# --- two phases --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("natural_from", [0, 1, 3])
def test_balanced_until_a_pass_and_natural_from_there(natural_from: int) -> None:
    sampler, balanced = build("two_phase", natural_from=natural_from), build("balanced", positive_share=0.5)
    steps = sampler.steps_per_epoch
    assert batches(sampler, natural_from * steps) == batches(balanced, natural_from * steps)
    for _ in range(3):
        drawn = batches(sampler, steps)
        assert [len(batch) for batch in drawn] == [5] * 8 + [3]
        assert sorted(flat(drawn)) == sorted(MANY.tolist())


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("two_phase", {"natural_from": -1}, "natural_from must be >= 0 passes, got -1"),
        ("temperature", {"temperature": 0.5}, "temperature must be a finite number >= 1, got 0.5"),
        ("temperature", {"temperature": math.nan}, "temperature must be a finite number >= 1, got nan"),
        ("temperature", {"temperature": math.inf}, "temperature must be a finite number >= 1, got inf"),
        ("temperature", {"cool_down": 0}, "cool_down must be >= 1 passes, got 0"),
        ("smote", {"neighbours": 0}, "neighbours must be >= 1, got 0"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name", ["two_phase", "temperature"])
def test_a_number_of_passes_is_not_below_nothing(name: str) -> None:
    sampler = build(name)
    with pytest.raises(ValueError, match="passes must be >= 0, got -1"):
        sampler.load_state_dict({**sampler.state_dict(), "passes": -1})


# --- SMOTE -------------------------------------------------------------------------------------------------


def pictures(number: int, *, seed: int = 0, highest: int = 255) -> Any:
    return np.random.default_rng(seed).integers(0, highest + 1, size=(number, 3, 4, 4)).astype(np.uint8)


def made(images: Any, *, count: int, neighbours: int, seed: int = 1) -> Any:
    return synthetic_positives(images, count=count, neighbours=neighbours, generator=np.random.default_rng(seed))


def test_smote_makes_images_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(30)
    whole = made(images, count=100, neighbours=3)
    monkeypatch.setattr("utils.data.synthetic_positives._IMAGES_AT_ONCE", 7)
    np.testing.assert_array_equal(made(images, count=100, neighbours=3), whole)


def test_smote_stays_between_neighbours() -> None:
    """Two groups of one-pixel images, far apart: nothing is made between them."""
    images = np.array([[0], [10], [20], [200], [220], [240]], dtype=np.uint8)
    values = made(images, count=3000, neighbours=2).ravel()
    assert set(values.tolist()) == {*range(21), *range(200, 241)}
    # u is uniform: over the lines 0-10, 0-20, 10-20 and back, 10 is the mean
    low = values[values < 100].astype(float)
    assert_binomial(len(low), trials=3000, probability=0.5)
    assert abs(low.mean() - 10) < SEEN * low.std() / math.sqrt(len(low))


def test_smote_is_a_function_of_its_generator_and_changes_nothing() -> None:
    images = pictures(9)
    before = images.copy()
    first = made(images, count=20, neighbours=4)
    assert (first.shape, first.dtype) == ((20, 3, 4, 4), np.uint8)
    np.testing.assert_array_equal(made(images, count=20, neighbours=4), first)
    assert (made(images, count=20, neighbours=4, seed=2) != first).any()
    np.testing.assert_array_equal(images, before)
    strided = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)  # channels last in memory
    np.testing.assert_array_equal(made(strided, count=20, neighbours=4), first)


def test_equal_images_are_neighbours_and_none_is_its_own() -> None:
    images = np.array([[5], [5], [5], [9]], dtype=np.float64)
    assert nearest(images, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    pixels = pictures(300).reshape(300, -1).astype(np.float64)
    found = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(pixels).kneighbors()
    clear = np.diff(found[0], axis=1).min(axis=1) > 1e-9  # without equal distances
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(nearest(pixels, 5)[clear], found[1][clear, :5])


class DrawsOfImbalancedLearn:
    """A ``RandomState`` that is asked as a ``Generator``."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def integers(self, high: int, *, size: int) -> Any:
        return self.state.randint(low=0, high=high, size=size)

    def random(self, size: int) -> Any:
        return self.state.uniform(size=size)


@pytest.mark.filterwarnings("ignore")  # of its own code, under newer versions of what it stands on
def test_smote_is_that_of_imbalanced_learn() -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling", reason="needs imbalanced-learn, which is optional")
    images = pictures(60)
    positives = images.reshape(60, -1).astype(np.float64)
    both = np.concatenate([positives, np.full((2, positives.shape[1]), 1000.0)])  # it asks for two classes
    smote = over_sampling.SMOTE(sampling_strategy={1: 260}, k_neighbors=5, random_state=3)
    theirs, labels = smote.fit_resample(both, np.repeat([1, 0], [60, 2]))
    assert (labels[62:] == 1).all()
    ours = synthetic_positives(images, count=200, neighbours=5, generator=cast(Any, DrawsOfImbalancedLearn(3)))
    np.testing.assert_array_equal(ours.reshape(200, -1), np.rint(theirs[62:]).astype(np.uint8))


@pytest.mark.parametrize("number", [0, 1])
def test_smote_needs_two_positives(number: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 positives .* got {number}; lower ratio_pos_train or use"):
        made(pictures(number), count=1, neighbours=1)


@pytest.mark.parametrize("neighbours", [0, 3, 5])
def test_smote_has_fewer_neighbours_than_positives(neighbours: int) -> None:
    with pytest.raises(ValueError, match=rf"neighbours must lie in 1\.\.2, .* got {neighbours}"):
        made(pictures(3), count=1, neighbours=neighbours)


def test_what_smote_refuses_else() -> None:
    with pytest.raises(ValueError, match="count must be >= 0 images, got -1"):
        made(pictures(3), count=-1, neighbours=1)
    with pytest.raises(ValueError, match=r"must be \(P, \.\.\.\) of uint8, uint16 or float32, got \(3, 3, 4, 4\) of"):
        made(pictures(3) / 255, count=1, neighbours=1)


def test_nothing_to_make_is_made_of_anything() -> None:
    assert made(pictures(1), count=0, neighbours=5).shape == (0, 3, 4, 4)


def test_the_sampler_of_smote_is_natural_over_what_it_is_given() -> None:
    assert epochs(build("smote"), 3) == epochs(build("natural"), 3)
    assert [name for name in SAMPLERS if sampler_class(name).synthesises] == ["smote"]
    assert sampler_class("smote").facts == ()


@pytest.mark.parametrize("negatives, positives, count", [(30, 5, 25), (5, 30, 0), (1, 1, 0)])
def test_positives_are_made_until_they_are_as_many_as_the_negatives(negatives: int, positives: int, count: int) -> None:
    counts = (negatives, positives)
    assert samples_to_make("smote", counts) == count
    assert {samples_to_make(name, counts) for name in SAMPLERS if name != "smote"} == {0}


def test_doctests_of_smote() -> None:
    result = doctest.testmod(importlib.import_module("utils.data.synthetic_positives"))
    assert result.attempted > 0
    assert result.failed == 0
