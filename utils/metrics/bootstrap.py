"""Bootstrap of AUC and rates: samples are drawn with replacement within each class.

Where samples belong to groups, such as the images of a patient, groups are drawn instead, with all their samples:
those with positives alone, with negatives alone and with both each keep their number.

Legend: P positives, N negatives, R resamples, G distinct scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .groups import Groups
from .roc import Array, checked

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """Resampled values, each with R rows; take ``interval`` of a column."""

    auc: Array  # (R,)
    fpr_at_tpr: Array  # (R, len(tprs))
    tpr_at_threshold: Array  # (R, len(thresholds))
    fpr_at_threshold: Array  # (R, len(thresholds))


def bootstrap(
    labels: NDArray[np.int64],
    scores: Array,
    *,
    tprs: Sequence[float],
    thresholds: Sequence[float],
    generator: np.random.Generator,
    resamples: int = 1000,
    groups: Groups | None = None,
) -> Bootstrap:
    """Resample positives and negatives, each class with replacement, its size kept."""
    (result,) = bootstraps(
        labels, [scores], tprs=tprs, thresholds=thresholds, generator=generator, resamples=resamples, groups=groups
    )
    return result


def bootstraps(
    labels: NDArray[np.int64],
    several: Sequence[Array],
    *,
    tprs: Sequence[float],
    thresholds: Sequence[float],
    generator: np.random.Generator,
    resamples: int = 1000,
    groups: Groups | None = None,
) -> list[Bootstrap]:
    """``bootstrap`` of several scores of the same samples: row by row of the results, the same samples were drawn.

    Samples are counted, not copied: scores are sorted once, and each resample is a row of counts.
    """
    curves = [_Curves.of(labels, scores) for scores in several]
    labels = np.asarray(labels)
    draw = _Samples(labels) if groups is None else _Groups(labels, groups)
    parts: list[list[tuple[Array, ...]]] = [[] for _ in curves]
    for start in range(0, resamples, 100):
        rows = min(100, resamples - start)
        positives, negatives = draw.counts(rows, generator)
        for curve, part in zip(curves, parts, strict=True):
            columns = curve.columns(thresholds)
            for few in (slice(row, row + 25) for row in range(0, rows, 25)):  # what the cache holds
                tpr, fpr = curve.positives.resampled(positives[few]), curve.negatives.resampled(negatives[few])
                part.append((_area(fpr, tpr), _fpr_at(fpr, tpr, tprs), tpr[:, columns], fpr[:, columns]))
    return [Bootstrap(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in parts]


def interval(values: Array) -> list[float]:
    """The middle 95 % of resampled values, as [low, high]."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


@dataclass(frozen=True)
class _Side:
    """One class on the curve."""

    order: NDArray[np.int64]  # its samples in descending order of score
    reached: NDArray[np.int64]  # (G + 1,) how many of them lie at or above each distinct score, from 0 to all

    def resampled(self, counts: NDArray[np.int32]) -> Array:
        """(R, G + 1) share of the class at or above each distinct score, given how often each sample was drawn."""
        sums = np.zeros((len(counts), counts.shape[1] + 1), dtype=np.int32)
        np.cumsum(counts.take(self.order, axis=1), axis=1, out=sums[:, 1:])
        curve: Array = sums.take(self.reached, axis=1) / sums[:, -1:]
        return curve


@dataclass(frozen=True)
class _Curves:
    """What the resamples of one set of scores share."""

    distinct: Array  # (G,) negated scores, ascending
    positives: _Side
    negatives: _Side

    @classmethod
    def of(cls, labels: NDArray[np.int64], scores: Array) -> _Curves:
        labels, scores = checked(labels, scores)
        distinct, group = np.unique(-scores, return_inverse=True)  # descending scores
        sides = []
        for side in (1, 0):
            own = group[labels == side]
            reached = np.concatenate([[0], np.bincount(own, minlength=len(distinct)).cumsum()])
            sides.append(_Side(own.argsort(kind="stable"), reached))
        return cls(distinct, *sides)

    def columns(self, thresholds: Sequence[float]) -> list[int]:
        """Where on the curve each threshold lies."""
        return [int(np.searchsorted(self.distinct, -threshold, side="right")) for threshold in thresholds]


class _Samples:
    """Draws the samples of each class."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._sizes = [int((labels == side).sum()) for side in (1, 0)]

    def counts(self, rows: int, generator: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """How often each positive (rows, P) and each negative (rows, N) is drawn in each of ``rows`` resamples."""
        positives, negatives = (_drawn(count, rows, generator) for count in self._sizes)
        return positives, negatives


class _Groups:
    """Draws groups, each with all its samples."""

    def __init__(self, labels: NDArray[np.int64], groups: Groups) -> None:
        number = np.unique(groups, return_inverse=True)[1]
        has = [np.bincount(number[labels == side], minlength=number.max() + 1) > 0 for side in (1, 0)]
        kind = has[0] + 2 * has[1]
        self._strata = [np.flatnonzero(kind == each) for each in np.unique(kind)]
        self._of_class = [number[labels == side] for side in (1, 0)]
        self._groups = len(kind)

    def counts(self, rows: int, generator: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """As ``_Samples.counts``."""
        drawn = np.empty((rows, self._groups), dtype=np.int32)
        for stratum in self._strata:
            drawn[:, stratum] = _drawn(len(stratum), rows, generator)
        positives, negatives = (drawn[:, groups] for groups in self._of_class)
        return positives, negatives


def _drawn(count: int, rows: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """(rows, count) how often each of ``count`` samples is drawn in each of ``rows`` resamples."""
    cells = generator.integers(0, count, size=(rows, count)) + np.arange(rows)[:, None] * count
    return np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count).astype(np.int32)


def _area(fpr: Array, tpr: Array) -> Array:
    parts = np.diff(fpr, axis=1)
    heights = tpr[:, 1:] + tpr[:, :-1]
    parts *= heights
    parts /= 2
    area: Array = parts.sum(axis=1)
    return area


def _fpr_at(fpr: Array, tpr: Array, targets: Sequence[float]) -> Array:
    at = [np.take_along_axis(fpr, (tpr >= target).argmax(axis=1)[:, None], axis=1) for target in targets]
    return np.concatenate(at, axis=1) if at else np.zeros((len(fpr), 0))
