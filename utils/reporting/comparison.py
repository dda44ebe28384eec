"""Each objective with and without ALM: differences, intervals and tests, corrected for the number of rows.

Tables, charts, tallies and the headline read ``Comparison`` and ``Tally``; none of them judges a difference again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..metrics.bootstrap import interval
from ..metrics.paired_tests import bootstrap_p, delong, holm, mcnemar, wilcoxon_p
from ..metrics.scores import Scores
from ..metrics.summary import OperatingPoint
from .analysis import RESAMPLES, Metric, Report, Row, rows_of
from .labels import base_key
from .tables import CLEAR, SAME


@dataclass
class Change:
    """The change of one metric, with ALM minus without, on the same test samples and seeds."""

    without: float  # value of the ensemble of the common seeds
    with_alm: float
    difference: float
    low: float  # 95 % interval of the difference, from the paired bootstrap of test samples
    high: float
    gain: float  # the difference, positive where ALM is better
    p: float | None  # from DeLong's test (AUC) or the paired bootstrap (FPR at a TPR)
    seed_difference: float  # mean over the common seeds
    seed_p: float | None  # from Wilcoxon's signed-rank test over them
    p_corrected: float | None = None  # after Holm's correction over the rows
    seed_p_corrected: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below the level."""
        return self.p_corrected is not None and self.p_corrected < CLEAR


@dataclass
class PointChange:
    """Test samples that only one of the two models gets wrong at the thresholds chosen on validation (McNemar)."""

    target: float
    negatives: tuple[int, int]  # false positives without ALM only, with ALM only
    positives: tuple[int, int]  # false negatives likewise
    negatives_p: float
    positives_p: float
    negatives_p_corrected: float | None = None
    positives_p_corrected: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A row with ALM and the matching row without."""

    base: Row
    alm: Row
    seeds: tuple[int, ...]  # common to both
    changes: dict[str, Change]
    points: tuple[PointChange, ...]


@dataclass(frozen=True)
class Tally:
    """How many rows ALM improves or worsens in one metric, and how many of them clearly."""

    metric: Metric
    improved: int
    worsened: int
    clearly_improved: int
    clearly_worsened: int
    rows: int


def compare(report: Report) -> tuple[Comparison, ...]:
    """Compare all pairs of ``report``; the p values are corrected for the number of pairs."""
    found = [each for base, alm in pairs(report.rows) if (each := _compared(base, alm, report)) is not None]
    for metric in report.metrics:
        _correct([each.changes[metric.key] for each in found], "p", "seed_p")
    for position in range(len(report.tprs)):
        _correct([each.points[position] for each in found], "negatives_p", "positives_p")
    return tuple(found)


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(without, with ALM) for each row with ALM that has a partner with the same data, objective and other options."""
    bases: dict[tuple[object, ...], Row] = {}
    for row in rows:
        if not row.constraint:
            bases.setdefault(base_key(row.run), row)
    return [
        (bases[key], row)
        for row in rows
        if row.constraint and (key := base_key(row.run)) in bases and bases[key].group == row.group
    ]


def tallies(report: Report, comparisons: Sequence[Comparison]) -> list[Tally]:
    """One for each metric; a tie is neither improved nor worsened. None without comparisons."""
    found = []
    for metric in report.metrics if comparisons else ():
        changes = [each.changes[metric.key] for each in comparisons]
        improved = [change.clear for change in changes if change.gain > SAME]
        worsened = [change.clear for change in changes if change.gain < -SAME]
        found.append(Tally(metric, len(improved), len(worsened), sum(improved), sum(worsened), len(changes)))
    return found


def _compared(base: Row, alm: Row, report: Report) -> Comparison | None:
    seeds = tuple(number for number in base.run.seeds if number in alm.run.seeds)
    if not seeds:
        return None
    one, other = _of_seeds(base, seeds), _of_seeds(alm, seeds)
    changes = {}
    for metric in report.metrics:
        before, after = one.measures[metric.key], other.measures[metric.key]
        drawn = other.resampled(metric) - one.resampled(metric)
        by_seed = [after.per_seed[number] - before.per_seed[number] for number in seeds]
        difference = after.ensemble - before.ensemble
        low, high = interval(drawn)
        changes[metric.key] = Change(
            without=before.ensemble,
            with_alm=after.ensemble,
            difference=difference,
            low=low,
            high=high,
            gain=metric.sign * difference,
            p=delong_p(one.test, other.test) if metric.tpr is None else bootstrap_p(drawn),
            seed_difference=statistics.fmean(by_seed),
            seed_p=wilcoxon_p(by_seed),
        )
    points = [_point_change(one, other, *points) for points in zip(one.points, other.points, strict=True)]
    return Comparison(base, alm, seeds, changes, tuple(points))


def _of_seeds(row: Row, seeds: Sequence[int]) -> Row:
    """The row of some of its seeds."""
    if tuple(seeds) == tuple(row.run.seeds):  # all of them: already measured
        return row
    run = replace(row.run, seeds={number: row.run.seeds[number] for number in seeds})
    return rows_of([run], row.tprs, RESAMPLES)[0]


def delong_p(first: Scores, second: Scores) -> float | None:
    """P value of DeLong's test; None if a class has a single sample."""
    try:
        return delong(first.label, first.score, second.score).p
    except ValueError:
        return None


def _point_change(one: Row, other: Row, without: OperatingPoint, with_alm: OperatingPoint) -> PointChange:
    labels = one.test.label
    first, second = (
        (row.test.score >= point.threshold) != (labels == 1) for row, point in ((one, without), (other, with_alm))
    )
    negatives, positives = (
        (int((first & ~second & (labels == side)).sum()), int((second & ~first & (labels == side)).sum()))
        for side in (0, 1)
    )
    return PointChange(without.target, negatives, positives, mcnemar(*negatives), mcnemar(*positives))


def _correct(rows: Sequence[Change] | Sequence[PointChange], *names: str) -> None:
    """Set the corrected p values; the rows are the family."""
    for name in names:
        for row, p in zip(rows, holm([getattr(row, name) for row in rows]), strict=True):
            setattr(row, f"{name}_corrected", p)
