"""Features of a frozen network in place of images: computed once, gathered by index."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


class ComputedFeatures:
    """What the last layer of a network takes, for all images of a task; stands where ``Batches`` stands.

    Args:
        features: (M, F) float32, by dataset index.
        image_size: height and width of the images that they are of: evaluation then takes batches of the same size as
            with the images, and its sums are rounded alike.
    """

    reads_ahead = False
    bytes_to_come = 0

    def __init__(self, features: Tensor, *, image_size: tuple[int, int]) -> None:
        self.features = features
        self.image_size = image_size

    def training(self, indices: Tensor) -> Tensor:
        """The features (B, F) of the images ``indices`` (B,) int64."""
        return self.features.index_select(0, indices)

    def plain(self, indices: Tensor) -> Tensor:
        """The same."""
        return self.features.index_select(0, indices)

    def ahead(self, sampler: Iterator[Tensor], steps: int) -> Iterator[Tensor]:
        """The next ``steps`` batches of indices."""
        for _ in range(steps):
            yield next(sampler)

    def in_order(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        """The features of ``indices``, ``size`` at a time."""
        for chunk in indices.split(size):
            yield self.plain(chunk)
