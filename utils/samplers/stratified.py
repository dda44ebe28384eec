"""Every sample once an epoch, and positives in every batch."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor

from .base import LabelledArguments, LabelledSampler, require, steps_for


class StratifiedSampler(LabelledSampler):
    """Every sample exactly once a pass, and at least ``least_positives`` positives in every batch.

    k random positives are set aside for each batch; what remains of both classes fills it up at random. A pass is
    S = ceil(n / B) batches of n / S samples, rounded up or down: a small last batch would give its k positives, in the
    mean over the batch, many times the weight of the others. None can have its k unless S k <= P.

    Args:
        indices, labels, batch_size, generator: as for :class:`~.base.LabelledSampler`.
        least_positives: k, >= 1.

    Raises:
        ValueError: there are too few positives for so many batches; the text says which batch size would do, and
            which k.

    Reference: Zhao, Zhang, "Accelerating minibatch stochastic gradient descent using stratified sampling",
    arXiv 1405.3080, 2014.

    >>> sampler = StratifiedSampler(
    ...     torch.arange(6),
    ...     labels=torch.tensor([1, 1, 0, 0, 0, 0]),
    ...     batch_size=3,
    ...     generator=torch.Generator().manual_seed(1),
    ... )
    >>> both = torch.stack([next(sampler), next(sampler)])
    >>> (both < 2).sum(dim=1).tolist(), sorted(both.flatten().tolist())
    ([1, 1], [0, 1, 2, 3, 4, 5])
    """

    most_classes: ClassVar[int] = 2

    def __init__(self, indices: Tensor, *, least_positives: int = 1, **arguments: Unpack[LabelledArguments]) -> None:
        super().__init__(indices, **arguments)
        require(least_positives >= 1, "least_positives must be >= 1", least_positives)
        check_least_positives(len(indices), len(self.positives), self.batch_size, least_positives)
        self.least_positives = least_positives

    def _draw_pass(self) -> Tensor:
        k, steps, n = self.least_positives, self.steps_per_epoch, len(self.indices)
        sizes = torch.tensor([end - start for start, end in map(self._bounds, range(steps))])
        positives = self.positives[torch.randperm(len(self.positives), generator=self.generator)]
        set_aside, others = positives[: steps * k], torch.cat([positives[steps * k :], self.negatives])
        others = others[torch.randperm(len(others), generator=self.generator)]
        batch_of_each = torch.cat(
            [
                torch.arange(steps).repeat_interleave(k),
                torch.arange(steps).repeat_interleave(sizes - k),  # k <= n / steps, as k * steps <= P < n
            ]
        )
        # sorted by batch, and within a batch at random
        places = (batch_of_each + torch.rand(n, generator=self.generator, dtype=torch.float64)).argsort()
        return torch.cat([set_aside, others])[places]

    def _bounds(self, step: int) -> tuple[int, int]:
        n, steps = len(self.indices), self.steps_per_epoch
        return step * n // steps, (step + 1) * n // steps


def check_least_positives(samples: int, positives: int, batch_size: int, least_positives: int) -> None:
    """Raise ``ValueError`` with what would do, unless every batch of a pass can hold so many positives."""
    n, k = samples, least_positives
    if positives < k:
        raise ValueError(f"least_positives must be at most the number of positives, {positives}, got {k}")
    if k <= largest_least_positives(n, positives, batch_size):
        return
    larger = next(size for size in range(batch_size + 1, n + 1) if k <= largest_least_positives(n, positives, size))
    largest = largest_least_positives(n, positives, batch_size)
    remedy = f"a batch size of {larger} (--bsize) would do" + (f", or least_positives {largest}" if largest else "")
    raise ValueError(
        f"least_positives {k} is too many for {positives} positives in {steps_for(n, batch_size)} batches of"
        f" {batch_size}: {remedy}"
    )


def largest_least_positives(samples: int, positives: int, batch_size: int) -> int:
    """How many positives every batch of a pass can hold.

    >>> largest_least_positives(101, 50, 20)    # six batches of 16 or 17, 50 // 6 = 8 each
    8
    """
    return positives // steps_for(samples, batch_size)
