"""What every sampler shares: the contract, the position in the stream, the rows of the two classes.

Shapes: n training samples, P positives (the rare class, y = 1), N negatives, B samples in a batch; K classes of n_c
samples. A pass is ``steps_per_epoch`` batches, drawn at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar, NotRequired, TypedDict, Unpack

import torch
from torch import Tensor


class SamplerArguments(TypedDict):
    """What every sampler is built from, besides ``indices``."""

    batch_size: int
    generator: torch.Generator


class LabelledArguments(SamplerArguments):
    """The same for a sampler that distinguishes the classes."""

    labels: Tensor
    classes: NotRequired[int]


class Sampler:
    """Base of all samplers: batches of dataset indices, pass after pass. A subclass writes ``_draw_pass``.

    ``next(sampler)`` is the next batch of an endless stream. A ``for`` loop goes to the end of the pass: that is
    ``len(sampler)`` batches, or what is left of a pass begun or resumed within. So it fits torch's DataLoader::

        loader = DataLoader(dataset, batch_sampler=sampler, num_workers=2)      # indices on the CPU
        for epoch in range(epochs):
            for images, labels in loader: ...
            torch.save(sampler.state_dict(), path)

    A constraint also needs the dataset index of each sample: ``TensorDataset(images, labels, torch.arange(n))`` is a
    data set that gives it.

    A pass is drawn on the CPU, so that the order is the same on every device, and then sliced.

    Class attributes:
        facts: constructor parameters that the run supplies, not the user: ``labels``, (n,) 0 or 1, of ``indices``.
        class_facts: those that it needs besides where there are more than two classes: ``classes``, their number.
        most_classes: 2 for a sampler that knows two classes only.
        synthesises: whether the run must add synthetic positives to ``indices``.

    Args:
        indices: (n,) tensor of dataset indices to draw from, on the device where the batches are needed.
        batch_size: B, samples a batch, >= 1.
        generator: a CPU generator of this sampler's own, ``torch.Generator().manual_seed(seed)``.

    Raises:
        ValueError: there is nothing to draw, or an option is out of its range.
    """

    facts: ClassVar[tuple[str, ...]] = ()
    class_facts: ClassVar[tuple[str, ...]] = ()
    most_classes: ClassVar[int] = sys.maxsize
    synthesises: ClassVar[bool] = False

    def __init__(self, indices: Tensor, *, batch_size: int, generator: torch.Generator) -> None:
        require(batch_size >= 1, "batch_size must be >= 1", batch_size)
        is_vector = isinstance(indices, Tensor) and indices.dim() == 1
        got = tuple(indices.shape) if isinstance(indices, Tensor) else type(indices).__name__
        require(is_vector, "indices must be a tensor of shape (n,) (torch.as_tensor converts a list or an array)", got)
        if len(indices) == 0:
            raise ValueError("indices must hold at least one sample, got none")
        self.indices = indices
        self.batch_size = batch_size
        self.generator = generator
        self.steps_per_epoch = steps_for(len(indices), batch_size)
        self._step = 0  # within the pass
        self._start: dict[str, Any] | None = None  # what the pass was drawn from; None: nothing is drawn yet
        self._order = indices[:0]

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Tensor]:
        """The batches up to the end of the pass."""
        yield next(self)
        while self._step < self.steps_per_epoch:
            yield next(self)

    def __next__(self) -> Tensor:
        """(B,) dataset indices."""
        if self._start is None or self._step == self.steps_per_epoch:
            self._begin_pass()
        start, end = self._bounds(self._step)
        self._step += 1
        return self._order[start:end]

    def state_dict(self, *, step: int | None = None) -> dict[str, Any]:
        """The position in the stream: what the pass was drawn from, and the step within it.

        Args:
            step: number of batches of this pass that were used, where that is less than were drawn: the workers of a
                DataLoader draw some ahead. At the end of a pass there is no difference.

        Raises:
            ValueError: fewer batches were drawn.
        """
        step = self._step if step is None else step
        drawn = f"step must be 0..{self._step}, the batches of this pass that were drawn"
        require(0 <= step <= self._step, drawn, step)
        return {**(self._start or self._position()), "step": step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from that position of a sampler that was built with the same arguments.

        Raises:
            ValueError: it is not a position in this stream.
        """
        expected = sorted([*self._position(), "step"])
        require(sorted(state) == expected, f"the state of a {type(self).__name__} must hold {expected}", sorted(state))
        step = int(state["step"])
        require(0 <= step <= self.steps_per_epoch, f"step must lie in 0..{self.steps_per_epoch}", step)
        self.generator.set_state(state["generator"])
        self._carry_on(state)
        self._begin_pass()
        self._step = step

    def _bounds(self, step: int) -> tuple[int, int]:
        """Where a batch of the pass begins and ends; the last one may be smaller."""
        return step * self.batch_size, (step + 1) * self.batch_size

    def _begin_pass(self) -> None:
        self._start = self._position()
        with torch.device("cpu"):  # whatever torch.set_default_device says: the generator is on the CPU
            rows = self._draw_pass()
        self._order = self.indices[rows.to(self.indices.device)]
        self._step = 0

    def _position(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), **self._carried()}

    def _draw_pass(self) -> Tensor:
        """Row numbers of ``indices`` on the CPU, in the order of the next pass."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw_pass")  # pragma: no cover

    def _carried(self) -> dict[str, Any]:
        """What the next pass depends on besides the generator: numbers, and tensors of fixed shape."""
        return {}

    def _carry_on(self, state: dict[str, Any]) -> None:
        """Restore what ``_carried`` put into ``state``."""


class LabelledSampler(Sampler):
    """Base of the samplers that distinguish the classes.

    Args:
        labels: (n,) the class of each of ``indices``, 0..K-1; each must occur.
        classes: K, >= 2. With two, class 1 are the positives.
        indices, batch_size, generator: as for :class:`Sampler`.

    Attributes:
        members: K tensors (n_c,), the row numbers of each class.
        positives, negatives: (P,) and (N,), those of class 1 and 0 where there are two.
    """

    facts: ClassVar[tuple[str, ...]] = ("labels",)
    class_facts: ClassVar[tuple[str, ...]] = ("classes",)

    def __init__(
        self, indices: Tensor, *, labels: Tensor, classes: int = 2, **arguments: Unpack[SamplerArguments]
    ) -> None:
        super().__init__(indices, **arguments)
        require_classes(type(self), classes)
        expected = f"labels must be a tensor of the shape of indices, {tuple(indices.shape)}"
        got = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        require(isinstance(labels, Tensor) and labels.shape == indices.shape, expected, got)
        self.classes = classes
        of_each = labels.cpu()
        self.members = [(of_each == label).nonzero()[:, 0] for label in range(classes)]
        if sum(map(len, self.members)) < len(of_each):
            known = "0 or 1" if classes == 2 else f"0..{classes - 1}"
            raise ValueError(f"labels must be {known}, got others")
        if classes == 2:
            self.negatives, self.positives = self.members
            counts = f"{len(self.positives)} positives and {len(self.negatives)} negatives"
            require(min(map(len, self.members)) > 0, "there must be samples of both classes", counts)
        missing = [label for label, rows in enumerate(self.members) if len(rows) == 0]
        require(not missing, f"there must be samples of each of the {classes} classes", f"none of {missing[:5]}")

    def _random_rows(self, count: int, *, positive_share: float) -> Tensor:
        """(count,) rows: each of a positive with that probability, else of a negative, and any of its class."""
        is_positive = torch.rand(count, generator=self.generator, dtype=torch.float64) < positive_share
        positives, negatives = (
            rows[torch.randint(len(rows), (count,), generator=self.generator)]
            for rows in (self.positives, self.negatives)
        )
        return torch.where(is_positive, positives, negatives)

    def _random_rows_of_classes(self, count: int, shares: Tensor) -> Tensor:
        """(count,) rows: each of class c with a probability proportional to ``shares[c]``, and any of its class."""
        label = torch.multinomial(shares, count, replacement=True, generator=self.generator)
        sizes = torch.tensor([len(rows) for rows in self.members])
        places = torch.rand(count, generator=self.generator, dtype=torch.float64) * sizes[label]
        return torch.cat(self.members)[(sizes.cumsum(0) - sizes)[label] + places.long()]


def require(condition: bool, expected: str, value: object) -> None:
    """Raise ``ValueError`` with what was expected and what came, unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{expected}, got {value}")


def require_classes(kind: type[Sampler], classes: int) -> None:
    """Raise ``ValueError`` unless the sampler knows so many classes."""
    require(hasattr(classes, "__index__") and classes >= 2, "classes must be an integer >= 2", classes)
    if classes > kind.most_classes:
        from . import many_classes

        more = ", ".join(many_classes())
        raise ValueError(f"{kind.__name__} knows two classes only, got classes {classes}; use one of {more}")


def require_share(positive_share: float | None, *, classes: int = 2) -> float:
    """``positive_share`` if it lies between 0 and 1; None is 1/2. It has no meaning with more than two classes."""
    if classes > 2 and positive_share is not None:
        raise ValueError(
            f"positive_share is of two classes; each of {classes} has the same share of a batch: leave it out"
        )
    share = 0.5 if positive_share is None else positive_share
    require(0 < share < 1, "positive_share must lie between 0 and 1", share)
    return share


def steps_for(samples: int, batch_size: int) -> int:
    """Number of batches for ``samples``; the last one may be smaller.

    >>> steps_for(10, 4)
    3
    """
    return -(-samples // batch_size)


def passes_in(state: dict[str, Any]) -> int:
    """Number of passes completed before the position in ``state``, for samplers with a schedule."""
    passes = int(state["passes"])
    require(passes >= 0, "passes must be >= 0", passes)
    return passes
