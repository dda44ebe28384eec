"""The long-tailed protocols: how many samples of each class they keep."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction
from itertools import pairwise

import pytest

import utils.data.imbalance as module
from utils.data.imbalance import imbalance_profile


@pytest.mark.parametrize(
    "classes, largest, inverse, total",
    [
        (10, 5000, 100, 12406),
        (10, 5000, 50, 13996),
        (10, 5000, 10, 20431),
        (100, 500, 100, 10847),
        (100, 500, 50, 12608),
    ],
)
def test_the_published_sets_have_as_many_images(classes: int, largest: int, inverse: int, total: int) -> None:
    """The numbers of CIFAR-10-LT and CIFAR-100-LT as the literature counts them."""
    counts = imbalance_profile("exp", largest=largest, classes=classes, factor=1 / inverse)
    assert sum(counts) == total
    assert (counts[0], counts[-1]) == (largest, largest // inverse)
    assert all(one >= other for one, other in pairwise(counts))


def test_every_count_is_the_whole_number_below() -> None:
    """n^(K - 1) <= n_max^(K - 1) f^i < (n + 1)^(K - 1), in whole numbers."""
    counts = imbalance_profile("exp", largest=5000, classes=10, factor=0.01)
    for label, count in enumerate(counts):
        power = Fraction(5000) ** 9 * Fraction(1, 100) ** label
        assert count**9 <= power < (count + 1) ** 9


def test_steps() -> None:
    assert imbalance_profile("step", largest=500, classes=10, factor=0.1) == (500,) * 5 + (50,) * 5
    assert imbalance_profile("step", largest=500, classes=3, factor=0.1) == (500, 500, 50)
    assert imbalance_profile("exp", largest=7, classes=2, factor=1.0) == (7, 7)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "linear"}, "the kind of imbalance must be one of exp, step, got linear"),
        ({"largest": 0}, "largest must be >= 1 and classes >= 2, got 0 and 10"),
        ({"classes": 1}, "largest must be >= 1 and classes >= 2, got 500 and 1"),
        ({"factor": 0.0}, r"the imbalance factor must be in \(0, 1\], .*, got 0.0"),
        ({"factor": 100.0}, r"the imbalance factor must be in \(0, 1\], .*, got 100.0"),
        ({"factor": math.nan}, r"the imbalance factor must be in \(0, 1\], .*, got nan"),
        ({"factor": 0.001}, "the smallest class must keep at least 1 of 500 samples, got 0.5"),
    ],
)
def test_what_is_refused_is_told(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"kind": "exp", "largest": 500, "classes": 10, "factor": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        imbalance_profile(given.pop("kind"), **given)  # type: ignore[arg-type]


def test_doctests() -> None:
    assert doctest.testmod(module).failed == 0
