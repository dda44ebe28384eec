"""Images read by threads while those before are in use. Imports no torch."""

from __future__ import annotations

import collections
import concurrent.futures
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from ..system.resources import core_count
from .image_pixels import BrokenImageError

WORKERS = min(8, core_count())
BATCHES_AHEAD = 1  # that are read while another is in use

Pixels = npt.NDArray[Any]


class Images(Protocol):
    """Images with a name each."""

    @property
    def names(self) -> Sequence[str]:
        """One for each image."""
        ...

    def read(self, number: int) -> Pixels:
        """The image ``number``, (height, width, channels) as the model takes it.

        Raises:
            BrokenImageError: it cannot be read, or has another size or depth than the model's.
        """
        ...


def read_ahead(
    images: Images, *, size: int, start: int = 0, workers: int = WORKERS
) -> Iterator[tuple[range, list[Pixels | BrokenImageError]]]:
    """The images in batches of ``size`` from ``start`` on, read by threads while the batch before is in use.

    An image that cannot be read stands as its error. No more than three batches are in memory.
    """

    def read(number: int) -> Pixels | BrokenImageError:
        try:
            return images.read(number)
        except BrokenImageError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders, about damaged entries that they can do without
        ahead: collections.deque[tuple[range, list[concurrent.futures.Future[Pixels | BrokenImageError]]]]
        ahead = collections.deque()
        try:
            for first in range(start, len(images.names), size):
                numbers = range(first, min(first + size, len(images.names)))
                ahead.append((numbers, [pool.submit(read, number) for number in numbers]))
                if len(ahead) > BATCHES_AHEAD:
                    waited, futures = ahead.popleft()
                    yield waited, [future.result() for future in futures]
            for waited, futures in ahead:
                yield waited, [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a caller that stops early waits for no further image
