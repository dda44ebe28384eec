"""The contract of a sampler: what the epoch, an exact resume and a CUDA graph rely on."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..samplers.base import Sampler
from .promises import ContractError, Promises, expect, expect_error, name_of, saved_and_loaded

# 43 samples of which 9 are positive, under dataset indices that are no row numbers; 5 divides none of these numbers
INDICES = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:43]
LABELS = (torch.arange(43) % 5 == 1).long()
SHARES = torch.tensor([1 / (label + 1) for label in range(20)])  # of the classes where there are more than two
BATCH_SIZE = 5
PASSES = 3


@dataclass(frozen=True)
class Builder:
    """Builds a sampler of a class; of an instance it makes copies."""

    sampler: type[Sampler] | Sampler
    options: dict[str, Any]
    classes: int
    labels: Tensor

    @property
    def is_class(self) -> bool:
        return isinstance(self.sampler, type)

    def __call__(
        self, *, seed: int = 1, indices: Tensor = INDICES, labels: Tensor | None = None, batch_size: int = BATCH_SIZE
    ) -> Sampler:
        if not isinstance(self.sampler, type):
            return copy.deepcopy(self.sampler)
        facts: dict[str, Any] = {}
        if "labels" in self.sampler.facts:
            facts["labels"] = self.labels if labels is None else labels
        if self.classes > 2:
            facts |= dict.fromkeys(self.sampler.class_facts, self.classes)
        generator = torch.Generator().manual_seed(seed)
        return self.sampler(indices, batch_size=batch_size, generator=generator, **facts, **self.options)


sampler_promises = Promises[Builder]()


def check_sampler(sampler: type[Sampler] | Sampler, *, classes: int = 2, **options: Any) -> None:
    """Check the contract of a sampler.

    Args:
        sampler: a class, built over 43 samples with ``options``; or an instance, which is copied and not changed. What
            concerns the constructor is checked of a class only.
        classes: number of classes that a class is built for, 2 to 20.
        **options: constructor arguments of a class, besides indices, labels, batch_size and generator.

    Raises:
        ContractError: a promise is broken; the text lists every one.

    >>> from ..samplers.natural import NaturalSampler
    >>> check_sampler(NaturalSampler)
    """
    sampler_promises.check(name_of(sampler), Builder(sampler, options, classes, labels_for(classes)))


def labels_for(classes: int) -> Tensor:
    """(43,) labels with samples of all classes, of later ones fewer; of two classes ``LABELS``."""
    if classes == 2:
        return LABELS
    more = torch.arange(43 - classes) / (43 - classes)  # after one sample of each class
    shares = SHARES[:classes].cumsum(0) / SHARES[:classes].sum()
    labels = torch.cat([torch.arange(classes), torch.searchsorted(shares, more, right=True)])
    return labels[torch.randperm(43, generator=torch.Generator().manual_seed(1))]


def stream(sampler: Sampler, batches: int) -> list[list[int]]:
    """The next batches as lists of dataset indices."""
    return [next(sampler).tolist() for _ in range(batches)]


def form_of(state: Any) -> Any:
    """The keys, types and shapes of a state, without its values."""
    if isinstance(state, dict):
        return {key: form_of(value) for key, value in state.items()}
    return (state.dtype, tuple(state.shape)) if isinstance(state, Tensor) else type(state)


@sampler_promises("it is a Sampler with a length, and its options are keyword-only")
def _class(build: Builder) -> None:
    sampler = build()
    expect(isinstance(sampler, Sampler), "a subclass of rarecall.samplers.Sampler", type(sampler).__mro__)
    steps = sampler.steps_per_epoch
    expect(isinstance(steps, int) and steps >= 1, "steps_per_epoch, an integer >= 1", steps)
    parameters = list(inspect.signature(type(sampler)).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    expect(not named, "keyword-only parameters after indices", named)


@sampler_promises("every batch is a 1-d tensor of indices of the training set, on their device, of two sizes at most")
def _batches(build: Builder) -> None:
    for batch_size in (BATCH_SIZE, 7, 42, 43, 44, 100) if build.is_class else (BATCH_SIZE,):
        sampler = build(batch_size=batch_size)
        known, drawn = sampler.indices, [next(sampler) for _ in range(PASSES * sampler.steps_per_epoch)]
        for batch in drawn:
            expect(batch.dim() == 1 and batch.dtype == known.dtype, f"(B,) of {known.dtype}", batch)
            expect(batch.device == known.device, f"a batch on {known.device}", batch.device)
            expect(1 <= len(batch) <= sampler.batch_size, f"1 to {sampler.batch_size} samples", len(batch))
        strangers = set(torch.cat(drawn).tolist()) - set(known.tolist())
        expect(not strangers, "indices of the training set", sorted(strangers))
        sizes = sorted({len(batch) for batch in drawn})
        expect(len(sizes) <= 2, "two batch sizes at most", sizes)


@sampler_promises("the stream follows from the generator alone")
def _generator(build: Builder) -> None:
    random_state = torch.get_rng_state()
    steps = PASSES * build().steps_per_epoch
    expect(stream(build(), steps) == stream(build(), steps), "one stream for one seed", "two")
    unchanged = torch.equal(torch.get_rng_state(), random_state)
    expect(unchanged, "the global random state unchanged", "draws from it")
    if build.is_class:
        expect(stream(build(), steps) != stream(build(seed=2), steps), "another stream for another seed", "the same")


@sampler_promises("the stream does not depend on torch's default device")
def _default_device(build: Builder) -> None:
    steps = PASSES * build().steps_per_epoch
    expected = stream(build(), steps)
    with torch.device("meta"):  # like torch.set_default_device
        sampler = build()
        got = stream(sampler, steps)
        sampler.load_state_dict(sampler.state_dict())
    expect(got == expected, f"{expected[:3]}", got[:3])


@sampler_promises("each pass is drawn afresh")
def _passes(build: Builder) -> None:
    sampler = build()
    passes = [stream(sampler, sampler.steps_per_epoch) for _ in range(4)]
    different = len({str(each) for each in passes})
    expect(different == 4, "four different passes", different)


@sampler_promises("the batches are chosen by row, whatever dataset indices stand in the rows")
def _rows(build: Builder) -> None:
    if build.is_class:
        rows, sampler = build(indices=torch.arange(len(INDICES))), build()
        for _ in range(sampler.steps_per_epoch):
            expected, got = INDICES[next(rows)].tolist(), next(sampler).tolist()
            expect(expected == got, f"{expected}", got)


@sampler_promises("a saved state continues the stream from every step")
def _resume(build: Builder) -> None:
    steps = build().steps_per_epoch
    expected = stream(build(), (PASSES + 2) * steps)
    stopped = build()
    for taken in range(PASSES * steps + 1):
        resumed = build(seed=999)
        stream(resumed, taken % 4)  # what it did before plays no part
        state = stopped.state_dict()
        resumed.load_state_dict(saved_and_loaded(state))
        got = stream(resumed, 2 * steps)
        expect(got == expected[taken : taken + 2 * steps], f"the same stream after {taken} batches", got[:3])
        next(stopped)
        again = build(seed=999)
        again.load_state_dict(state)
        expect(stream(again, steps) == got[:steps], "a state that later batches leave alone", "another stream")


@sampler_promises("the form of the state never changes")
def _form(build: Builder) -> None:
    sampler = build()
    fresh = form_of(sampler.state_dict())
    for step in range(PASSES * sampler.steps_per_epoch):
        next(sampler)
        form = form_of(sampler.state_dict())
        expect(form == fresh, f"{fresh} after {step + 1} batches", form)


@sampler_promises("a step outside the pass raises ValueError")
def _step(build: Builder) -> None:
    for step in (-1, 10**9):
        sampler = build()
        state = {**sampler.state_dict(), "step": step}
        expect_error(ValueError, lambda sampler=sampler, state=state: sampler.load_state_dict(state), f"step {step}")  # type: ignore[misc]


@sampler_promises("a copy is independent")
def _copy(build: Builder) -> None:
    for taken in (0, 3):
        sampler = build()
        stream(sampler, taken)
        copied = copy.deepcopy(sampler)
        steps = 2 * sampler.steps_per_epoch
        expect(stream(copied, steps) == stream(sampler, steps), "the stream of the original", "another")


@sampler_promises("arguments that do not fit raise ValueError")
def _arguments(build: Builder) -> None:
    if not build.is_class:
        return
    for batch_size in (0, -1):
        expect_error(ValueError, lambda size=batch_size: build(batch_size=size), f"batch_size {batch_size}")  # type: ignore[misc]
    good = build.labels
    expect_error(ValueError, lambda: build(indices=INDICES[:0], labels=good[:0]), "no samples")
    if "labels" in build.sampler.facts:
        wrong = {
            "one label too few": good[1:],
            "labels other than 0 and 1": build.classes * good,
            "no positives": 0 * good,
            "no negatives": good.clamp(min=1),
        }
        for what, labels in wrong.items():
            expect_error(ValueError, lambda labels=labels: build(labels=labels), what)  # type: ignore[misc]


@sampler_promises("one sample of each class is enough")
def _two_samples(build: Builder) -> None:
    if build.is_class:
        labels = torch.arange(build.classes)
        indices = 42 - 35 * labels if build.classes == 2 else 42 + labels
        sampler = build(indices=indices, labels=labels, batch_size=2)
        drawn = {index for batch in stream(sampler, 20 * sampler.steps_per_epoch) for index in batch}
        if drawn != set(indices.tolist()):
            raise ContractError(f"expected all samples in 20 passes, got {sorted(drawn)}")
