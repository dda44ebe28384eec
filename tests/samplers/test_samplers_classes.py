"""Samplers for K classes: what each of them draws, and what those of two classes refuse."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from utils.errors import UserError
from utils.samplers import SAMPLERS, many_classes, sampler_class
from utils.testing import check_sampler

SIZES = (20, 12, 7, 4)  # of 43 samples; no batch size below divides one of these
LABELS = torch.repeat_interleave(torch.arange(4), torch.tensor(SIZES))[
    torch.randperm(43, generator=torch.Generator().manual_seed(2))
]
MANY = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:43]
CLASS_OF = dict(zip(MANY.tolist(), LABELS.tolist(), strict=True))
MEMBERS = [{index for index, label in CLASS_OF.items() if label == own} for own in range(4)]
OPTIONS: dict[str, dict[str, Any]] = {"two_phase": {"natural_from": 1}, "temperature": {"cool_down": 2}}
FOR_MANY = [
    "natural",
    "weighted",
    "balanced",
    "balanced_random",
    "undersample",
    "oversample",
    "two_phase",
    "temperature",
]
SEEN = 5.0  # standard deviations: one in two million random counts lies further off; the seeds are fixed


def build(name: str, *, batch_size: int = 5, labels: Tensor = LABELS, classes: int = 4, **options: Any) -> Any:
    kind = sampler_class(name, classes=classes)
    facts: dict[str, Any] = {"labels": labels} if "labels" in kind.facts else {}
    facts |= dict.fromkeys(kind.class_facts, classes)
    generator = torch.Generator().manual_seed(1)
    given = {**OPTIONS.get(name, {}), **options}
    return kind(MANY[: len(labels)], batch_size=batch_size, generator=generator, **facts, **given)


def epoch(sampler: Any) -> list[list[int]]:
    return [next(sampler).tolist() for _ in range(sampler.steps_per_epoch)]


def flat(drawn: list[list[int]]) -> list[int]:
    return [index for batch in drawn for index in batch]


def counts_of(batch: list[int]) -> list[int]:
    """How many there are of each class."""
    found = Counter(CLASS_OF[index] for index in batch)
    return [found[own] for own in range(4)]


def assert_binomial(count: int, *, trials: int, probability: float) -> None:
    deviation = math.sqrt(trials * probability * (1 - probability))
    assert abs(count - trials * probability) < SEEN * deviation, (count, trials * probability, deviation)


def test_these_are_for_many_classes() -> None:
    assert many_classes() == FOR_MANY


@pytest.mark.parametrize("name", FOR_MANY)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_every_sampler_keeps_the_contract(name: str, classes: int) -> None:
    check_sampler(sampler_class(name), classes=classes, **OPTIONS.get(name, {}))


# --- with replacement --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, powers",
    [
        ("weighted", {}, [1, 1, 1, 1]),
        ("balanced_random", {}, [1, 1, 1, 1]),
        ("temperature", {"temperature": 1.0}, list(SIZES)),
        ("temperature", {"temperature": 2.0, "cool_down": 10**6}, [math.sqrt(size) for size in SIZES]),
    ],
)
def test_frequencies_of_what_is_drawn_with_replacement(name: str, options: dict[str, Any], powers: list[float]) -> None:
    sampler = build(name, batch_size=50, **options)
    drawn = flat([next(sampler).tolist() for _ in range(400)])
    counts, of_class = Counter(drawn), counts_of(drawn)
    for own, members in enumerate(MEMBERS):
        share = powers[own] / sum(powers)
        assert_binomial(of_class[own], trials=20_000, probability=share)
        for index in members:
            assert_binomial(counts[index], trials=20_000, probability=share / SIZES[own])


def test_weighted_draws_what_torch_draws() -> None:
    sampler = build("weighted")
    generator = torch.Generator().manual_seed(1)
    theirs = WeightedRandomSampler((1 / torch.tensor(SIZES).double())[LABELS].tolist(), 45, generator=generator)
    assert [flat(epoch(sampler)) for _ in range(3)] == [MANY[list(theirs)].tolist() for _ in range(3)]


def test_weighted_takes_more_samples_than_multinomial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.samplers.weighted.MOST_CATEGORIES", 42)
    sampler = build("weighted", batch_size=50)
    of_class = counts_of(flat([next(sampler).tolist() for _ in range(400)]))
    for count in of_class:
        assert_binomial(count, trials=20_000, probability=1 / 4)


# --- balanced ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [2, 4, 5, 7, 8, 50])
def test_every_balanced_batch_holds_equally_many_of_each_class_up_to_one(batch_size: int) -> None:
    sampler, totals = build("balanced", batch_size=batch_size), [0, 0, 0, 0]
    steps = 200
    for _ in range(steps):
        found = counts_of(next(sampler).tolist())
        assert sum(found) == batch_size
        assert max(found) - min(found) <= 1
        totals = [total + count for total, count in zip(totals, found, strict=True)]
    more = (batch_size % 4) / 4  # the probability of one more
    for total in totals:
        extra = total - steps * (batch_size // 4)
        assert abs(extra - steps * more) <= SEEN * math.sqrt(steps * more * (1 - more))


def test_no_member_of_a_class_comes_again_before_all_have_come() -> None:
    sampler = build("balanced", batch_size=7)
    counts: Counter[int] = Counter()
    for _ in range(100):
        counts.update(next(sampler).tolist())
        for members in MEMBERS:
            of_each = [counts[index] for index in members]
            assert max(of_each) - min(of_each) <= 1
    assert min(counts[index] for index in CLASS_OF) >= 3


def test_the_places_in_a_balanced_batch_do_not_tell_the_class() -> None:
    sampler = build("balanced", batch_size=4)
    first = Counter(CLASS_OF[next(sampler).tolist()[0]] for _ in range(1000))
    for own in range(4):
        assert_binomial(first[own], trials=1000, probability=1 / 4)


def test_balanced_until_a_pass_and_natural_from_there() -> None:
    sampler, balanced = build("two_phase", natural_from=2), build("balanced")
    assert [epoch(sampler) for _ in range(2)] == [epoch(balanced) for _ in range(2)]
    for _ in range(3):
        assert sorted(flat(epoch(sampler))) == sorted(MANY.tolist())


# --- under- and over-sampling ------------------------------------------------------------------------------


def test_undersampling_takes_as_many_of_each_class_as_the_smallest_has() -> None:
    sampler = build("undersample")
    assert sampler.steps_per_epoch == 4  # 16 samples in batches of 5
    passes = [flat(epoch(sampler)) for _ in range(300)]
    for drawn in passes:
        assert len(set(drawn)) == len(drawn)
        assert counts_of(drawn) == [4, 4, 4, 4]
    counts = Counter(flat(passes))
    for own, members in enumerate(MEMBERS[:3]):
        for index in members:
            assert_binomial(counts[index], trials=300, probability=4 / SIZES[own])
    places = Counter(CLASS_OF[drawn[0]] for drawn in passes)
    assert_binomial(places[3], trials=300, probability=1 / 4)  # in random order


def test_oversampling_repeats_each_class_evenly_until_it_has_as_many_as_the_largest() -> None:
    sampler = build("oversample")
    assert sampler.steps_per_epoch == 16  # 80 samples in batches of 5
    once_more: Counter[int] = Counter()
    for _ in range(300):
        drawn = flat(epoch(sampler))
        assert counts_of(drawn) == [20, 20, 20, 20]
        counts = Counter(drawn)
        for own, members in enumerate(MEMBERS):
            repeats, extra = divmod(20, SIZES[own])
            of_each = [counts[index] for index in members]
            assert sorted(of_each) == [repeats] * (SIZES[own] - extra) + [repeats + 1] * extra
        once_more.update(index for index in MEMBERS[1] if counts[index] == 2)
    for index in MEMBERS[1]:
        assert_binomial(once_more[index], trials=300, probability=8 / 12)


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in FOR_MANY])
def test_a_sampler_of_two_classes_says_what_to_use(name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} knows two classes only, got 4; use natural, weighted, balanced, "):
        sampler_class(name, classes=4)
    kind: Any = sampler_class(name)
    facts: dict[str, Any] = {"labels": LABELS} if "labels" in kind.facts else {}
    with pytest.raises(
        ValueError, match=f"{kind.__name__} knows two classes only, got classes 4; use one of natural, "
    ):
        kind(MANY, batch_size=5, generator=torch.Generator(), classes=4, **facts)


@pytest.mark.parametrize("name", ["balanced", "balanced_random", "two_phase"])
def test_a_share_of_positives_is_of_two_classes(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"positive_share is of two classes; each of 4 has the same share .* leave it out"
    ):
        build(name, positive_share=0.5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": LABELS + 1}, r"labels must be 0\.\.3, got others"),
        ({"labels": LABELS - 1}, r"labels must be 0\.\.3, got others"),
        ({"labels": LABELS.clamp(max=2)}, r"samples of each of the 4 classes, got none of \[3\]"),
        ({"labels": LABELS * 0}, r"samples of each of the 4 classes, got none of \[1, 2, 3\]"),
        ({"classes": 1}, "classes must be an integer >= 2, got 1"),
    ],
)
def test_labels_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("weighted", **change)
