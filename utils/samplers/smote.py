"""Natural batches of a training set with synthetic positives (SMOTE)."""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import Tensor

from .base import SamplerArguments, require, require_classes
from .natural import NaturalSampler


class SmoteSampler(NaturalSampler):
    """Every sample once an epoch, including the positives that SMOTE interpolates.

    A sampler sees no images. The run creates N - P positives with ``data.synthetic_positives.synthetic_positives``,
    appends them to the data set and adds their indices to ``indices``.

    Args:
        indices: (n,) dataset indices of all samples, including the synthetic ones.
        batch_size: B, samples a batch, >= 1.
        generator: a CPU generator of this sampler's own.
        neighbours: number of nearest positives to interpolate with, >= 1; read by the run.
        classes: 2; what is interpolated are the positives of two classes.

    Reference: Chawla, Bowyer, Hall, Kegelmeyer, "SMOTE: synthetic minority over-sampling technique", JAIR 2002.

    >>> import torch
    >>> sampler = SmoteSampler(torch.arange(4), batch_size=4, generator=torch.Generator().manual_seed(1))
    >>> sorted(next(sampler).tolist())                           # synthetic samples are drawn like the others
    [0, 1, 2, 3]
    """

    synthesises: ClassVar[bool] = True
    most_classes: ClassVar[int] = 2

    def __init__(
        self, indices: Tensor, *, neighbours: int = 5, classes: int = 2, **arguments: Unpack[SamplerArguments]
    ) -> None:
        super().__init__(indices, **arguments)
        require_classes(type(self), classes)
        require(neighbours >= 1, "neighbours must be >= 1", neighbours)
        self.neighbours = neighbours
