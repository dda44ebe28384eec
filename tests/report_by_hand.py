"""The report's numbers, each by its slow definition, from the score files alone. Imports nothing of utils.reporting."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm
from scipy.stats import t as student

from utils.seeding import numpy_stream

Array = NDArray[np.float64]
STORED = Path(__file__).parent / "data" / "report"


def scores_of(path: Path) -> tuple[NDArray[np.int64], Array]:
    """Labels and scores of a CSV."""
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return np.array([int(row["label"]) for row in rows]), np.array([float(row["score"]) for row in rows])


def ensemble(run: str, seeds: Sequence[int], part: str, folder: Path = STORED) -> tuple[NDArray[np.int64], Array]:
    """Labels, and the mean score of the seeds."""
    parts = [scores_of(folder / run / f"seed{seed}" / f"{part}.csv") for seed in seeds]
    return parts[0][0], np.stack([scores for _, scores in parts]).mean(axis=0)


def kernel(labels: NDArray[np.int64], scores: Array) -> Array:
    """(P, N): 1 where a positive outranks a negative, 1/2 where they tie."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return np.where(gaps > 0, 1.0, np.where(gaps == 0, 0.5, 0.0))


def auc(labels: NDArray[np.int64], scores: Array) -> float:
    """The share of pairs in the right order."""
    return float(kernel(labels, scores).mean())


def threshold(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """The k-th highest positive, for the smallest k with k / P >= tpr."""
    positives = sorted(scores[labels == 1], reverse=True)
    return float(next(score for k, score in enumerate(positives, 1) if k / len(positives) >= tpr))


def fpr_at_tpr(labels: NDArray[np.int64], scores: Array, tpr: float) -> float:
    """The share of negatives at or above that threshold."""
    return float((scores[labels == 0] >= threshold(labels, scores, tpr)).mean())


def metric(labels: NDArray[np.int64], scores: Array, tpr: float | None) -> float:
    """AUC, or the FPR at a TPR."""
    return auc(labels, scores) if tpr is None else fpr_at_tpr(labels, scores, tpr)


def resampled(
    labels: NDArray[np.int64],
    scores: Array,
    tpr: float | None,
    count: int,
    stream: str = "bootstrap of the ensemble",
) -> Array:
    """The metric of ``count`` resamples, each made by copying samples."""
    generator = numpy_stream(0, stream)
    positives, negatives = scores[labels == 1], scores[labels == 0]
    values = []
    for _ in range(count // 100):
        chosen = generator.integers(0, len(positives), size=(100, len(positives)))
        others = generator.integers(0, len(negatives), size=(100, len(negatives)))
        for i, j in zip(chosen, others, strict=True):
            copies = np.concatenate([positives[i], negatives[j]])
            values.append(metric(np.repeat([1, 0], [len(i), len(j)]), copies, tpr))
    return np.array(values)


def middle(values: Array) -> tuple[float, float]:
    """The middle 95 %, between the neighbours of rank (n - 1) q in proportion."""
    ordered = sorted(values)

    def quantile(q: float) -> float:
        place = (len(ordered) - 1) * q
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))

    return quantile(0.025), quantile(0.975)


def runs(labels: NDArray[np.int64], scores: Array) -> list[list[int]]:
    """[positives, negatives] of each run of one class in ascending order; a score that both have is a run."""
    found: list[list[int]] = []
    for value in sorted(set(scores.tolist())):
        here = [int((labels[scores == value] == side).sum()) for side in (1, 0)]
        if found and 0 in here and here.index(0) == (found[-1].index(0) if 0 in found[-1] else None):
            found[-1] = [one + other for one, other in zip(found[-1], here, strict=True)]
        else:
            found.append(here)
    return found


def interval(labels: NDArray[np.int64], scores: Array, tpr: float | None) -> tuple[float, float]:
    """Of the AUC by weighted pairs of runs, of the FPR by the joint test, one order statistic at a time."""
    positives, negatives = np.sort(scores[labels == 1]), scores[labels == 0]
    n, m = len(positives), len(negatives)
    if tpr is None:
        generator, lows, highs = numpy_stream(0, "bootstrap of the ensemble"), [], []
        sizes = np.array(runs(labels, scores), dtype=np.float64)
        pairs = np.tri(len(sizes), k=-1) + np.eye(len(sizes)) / 2  # 1 where a run lies above another, 1/2 with itself
        for _ in range(20):
            heavy, light = (generator.standard_gamma(size, size=(50, len(sizes))) for size in sizes.T)
            for w, v, (a, b) in zip(heavy, light, generator.gamma(0.5, size=(50, 2)), strict=True):
                whole, right = (w.sum() + a) * (v.sum() + b), w @ pairs @ v
                lows.append(right / whole)
                highs.append((right + a * (v.sum() + b) + b * w.sum()) / whole)
        return middle(np.array(lows))[0], min(1.0, middle(np.array(highs))[1])
    ends = [-math.inf, *positives, math.inf]
    alarms = [int((negatives >= end).sum()) for end in ends]
    chances = [math.comb(n, k) * (1 - tpr) ** k * tpr ** (n - k) for k in range(n + 1)]
    radius, lower, upper = 2.1504954904, 1.0, 0.0  # tests/metrics/test_intervals.py holds it against a quadrature
    for k in range(n + 1):
        above, below = (
            max(0.0, float(norm.isf(min(1.0, math.fsum(part))))) for part in (chances[k:], chances[: k + 1])
        )
        if above < radius:
            f, tail = alarms[k + 1], norm.cdf(-1.25 * math.sqrt(radius**2 - above**2))
            lower = min(lower, float(beta.ppf(tail, f, m - f + 1)) if f else 0.0)
        if below < radius:
            f, tail = alarms[k], norm.cdf(-1.25 * math.sqrt(radius**2 - below**2))
            upper = max(upper, float(beta.isf(tail, f + 1, m - f)) if f < m else 1.0)
    return lower, upper


def seed_p(differences: Array, drawn: Array) -> float:
    """The test over seeds and images; ``drawn`` are the differences of each resample (rows) and seed (columns)."""
    seeds = len(differences)
    of_mean = drawn.mean(axis=1).var()
    shared = max(0.0, (seeds * of_mean - drawn.var(axis=0).mean()) / (seeds - 1))
    own = differences.var(ddof=1) / seeds
    if own + shared < 1e-24:
        return float(abs(differences.mean()) < 1e-12)
    size = abs(differences.mean())
    if not own:
        return float(2 * norm.sf(size / math.sqrt(shared)))
    freedom = (seeds - 1) * (own + shared) / own
    one = float(2 * student.sf(size / math.sqrt(own + shared), freedom))
    if not shared:
        return one
    steps = np.linspace(-8, 8, 4001)  # of the normal
    shifts = (size + np.outer([1, -1], steps) * math.sqrt(shared)) / math.sqrt(own)
    beyond = norm.pdf(steps) * student.sf(shifts, seeds - 1).sum(axis=0)
    return max(one, 0.75 * float(beyond.sum() * (steps[1] - steps[0])))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Both tails of a fair coin, outcomes no likelier than what came."""
    count = only_first + only_second
    chances = [math.comb(count, k) / 2**count for k in range(count + 1)]
    return min(1.0, math.fsum(chance for chance in chances if chance <= chances[only_first] * (1 + 1e-9)))
