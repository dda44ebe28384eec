"""Classes drawn in proportion to a power of their size that approaches 1."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, passes_in, require


class TemperatureSampler(LabelledSampler):
    """Each place in a batch is of class c with probability proportional to n_c^(1/T), then any of that class.

        T = temperature + (1 - temperature) * min(p / cool_down, 1)    in pass p = 0, 1, 2, ...

    All with replacement. At T = 1 the classes come as often as they are; as T grows, equally often. A pass is
    ceil(n / B) batches, all of B samples.

    Args:
        indices, labels, batch_size, generator, classes: as for :class:`~.base.LabelledSampler`.
        temperature: T at first, >= 1.
        cool_down: passes until T is 1, >= 1.

    Reference: Arivazhagan et al., "Massively multilingual neural machine translation in the wild: findings and
    challenges", arXiv 1907.05019, 2019 (T fixed); Li, Xu, Tan, Murray, Khashabi, "Upsample or upweight? Balanced
    training on heavily imbalanced datasets", NAACL 2025 (T falls).

    >>> sampler = TemperatureSampler(
    ...     torch.arange(5),
    ...     labels=torch.tensor([1, 0, 0, 0, 0]),
    ...     batch_size=2,
    ...     generator=torch.Generator().manual_seed(1),
    ...     temperature=4,
    ...     cool_down=2,
    ... )
    >>> [sampler.temperature_in(number) for number in range(4)]
    [4.0, 2.5, 1.0, 1.0]
    """

    def __init__(
        self, indices: Tensor, *, temperature: float = 10.0, cool_down: int = 80, **arguments: Unpack[LabelledArguments]
    ) -> None:
        super().__init__(indices, **arguments)
        require(1 <= temperature < math.inf, "temperature must be a finite number >= 1", temperature)
        require(cool_down >= 1, "cool_down must be >= 1 passes", cool_down)
        self.temperature = temperature
        self.cool_down = cool_down
        self._passes = 0  # that were drawn

    def temperature_in(self, number: int) -> float:
        """T in the pass of that number, counted from 0."""
        return self.temperature + (1 - self.temperature) * min(number / self.cool_down, 1.0)

    def _draw_pass(self) -> Tensor:
        size, temperature = self.steps_per_epoch * self.batch_size, self.temperature_in(self._passes)
        self._passes += 1
        if self.classes == 2:
            share = positive_probability(len(self.positives), len(self.negatives), temperature)
            return self._random_rows(size, positive_share=share)
        largest = max(map(len, self.members))
        shares = torch.tensor([len(rows) / largest for rows in self.members], dtype=torch.float64)
        return self._random_rows_of_classes(size, shares ** (1 / temperature))

    def _carried(self) -> dict[str, Any]:
        return {"passes": self._passes}

    def _carry_on(self, state: dict[str, Any]) -> None:
        self._passes = passes_in(state)


def positive_probability(positives: int, negatives: int, temperature: float) -> float:
    """P^(1/T) / (P^(1/T) + N^(1/T)).

    >>> positive_probability(1, 16, 2)       # 1 / (1 + 4)
    0.2
    """
    return 1 / (1 + math.pow(negatives / positives, 1 / temperature))
