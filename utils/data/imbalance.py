"""How many samples of each class the long-tailed protocols keep."""

from __future__ import annotations

import math

PROFILES = ("exp", "step")


def imbalance_profile(kind: str, *, largest: int, classes: int, factor: float) -> tuple[int, ...]:
    """The number of samples n_0 >= n_1 >= ... of each of K classes.

    exp:   n_i = int(n_max f^(i / (K - 1)))
    step:  n_max of the first ceil(K / 2) classes, int(n_max f) of the others

    Args:
        kind: exp or step.
        largest: n_max, samples of the largest class, >= 1.
        classes: K, >= 2.
        factor: f, of the smallest class in units of the largest, in (0, 1]; 1/100 is what is called "100".

    Raises:
        ValueError: a value is out of its range, or the smallest class would have no sample.

    Reference: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019 (exp); Buda, Maki,
    Mazurowski, "A systematic study of the class imbalance problem in convolutional neural networks", Neural Networks
    2018 (step).

    >>> imbalance_profile("exp", largest=5000, classes=10, factor=0.01)
    (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    >>> imbalance_profile("step", largest=5000, classes=4, factor=0.01)
    (5000, 5000, 50, 50)
    """
    if kind not in PROFILES:
        raise ValueError(f"the kind of imbalance must be one of {', '.join(PROFILES)}, got {kind}")
    if largest < 1 or classes < 2:
        raise ValueError(f"largest must be >= 1 and classes >= 2, got {largest} and {classes}")
    if not (math.isfinite(factor) and 0 < factor <= 1):
        raise ValueError(f"the imbalance factor must be in (0, 1], the smallest class over the largest, got {factor}")
    if kind == "exp":
        counts = [_whole(largest * factor ** (label / (classes - 1))) for label in range(classes)]
    else:
        counts = [largest if 2 * label < classes else _whole(largest * factor) for label in range(classes)]
    if min(counts) < 1:
        raise ValueError(f"the smallest class must keep at least 1 of {largest} samples, got {largest * factor:g}")
    return tuple(counts)


def _whole(value: float) -> int:
    """The whole number below; that of 49.999999999, which rounding makes of 5000/100, is 50."""
    return math.floor(value + 1e-9)
