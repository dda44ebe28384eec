"""Each objective with and without ALM: differences, intervals and tests, corrected for the number of rows.

Tables, charts, tallies and the headline read ``Comparison`` and ``Tally``; none of them judges a difference again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..metrics.bootstrap import bootstraps, interval
from ..metrics.paired_tests import holm, mcnemar
from ..metrics.seed_tests import SeedTest, seed_test
from ..metrics.summary import OperatingPoint
from ..seeding import numpy_stream
from .analysis import RESAMPLES, Metric, Report, Row, rows_of
from .labels import base_key
from .tables import CLEAR, SAME

SEED_RESAMPLES = 500  # of the test samples, for the variance that the seeds share


@dataclass
class Change:
    """The change of one metric, with ALM minus without, on the same test samples and seeds."""

    difference: float  # mean over the common seeds
    low: float | None  # its 95 % interval on new seeds and new images; None of one seed
    high: float | None
    p: float | None  # see ``metrics.seed_tests.seed_test``
    gain: float  # the difference, positive where ALM is better
    without: float  # value of the ensemble of the common seeds
    with_alm: float
    ensemble_difference: float
    ensemble_low: float  # 95 % interval of these two ensembles on other images, from the paired bootstrap
    ensemble_high: float
    p_corrected: float | None = None  # after Holm's correction over the rows and metrics of the page

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; of one seed, which has none, the difference itself."""
        if self.low is None or self.high is None:
            return self.difference, self.difference
        return self.low, self.high

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below the level: beyond what seeds and images explain by chance."""
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
    """Compare all pairs of ``report``.

    Two families of p values, each corrected for all its members: the changes of every row and metric, and the changes
    at the chosen thresholds.
    """
    found = [each for base, alm in pairs(report.rows) if (each := _compared(base, alm, report)) is not None]
    _correct([(change, "p") for each in found for change in each.changes.values()])
    _correct([(point, name) for each in found for point in each.points for name in ("negatives_p", "positives_p")])
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
    changes, tested = {}, _seed_tests(one, other, report.metrics)
    for metric, found in zip(report.metrics, tested, strict=True):
        before, after = one.measures[metric.key], other.measures[metric.key]
        low, high = interval(other.resampled(metric) - one.resampled(metric))
        changes[metric.key] = Change(
            difference=found.difference,
            low=found.low,
            high=found.high,
            p=found.p,
            gain=metric.sign * found.difference,
            without=before.ensemble,
            with_alm=after.ensemble,
            ensemble_difference=after.ensemble - before.ensemble,
            ensemble_low=low,
            ensemble_high=high,
        )
    points = [_point_change(one, other, *points) for points in zip(one.points, other.points, strict=True)]
    return Comparison(base, alm, seeds, changes, tuple(points))


def _of_seeds(row: Row, seeds: Sequence[int]) -> Row:
    """The row of some of its seeds."""
    if tuple(seeds) == tuple(row.run.seeds):  # all of them: already measured
        return row
    run = replace(row.run, seeds={number: row.run.seeds[number] for number in seeds})
    return rows_of([run], row.tprs, RESAMPLES)[0]


def _seed_tests(one: Row, other: Row, metrics: Sequence[Metric]) -> list[SeedTest]:
    """The test of each metric; the seeds of both rows are resampled together."""
    seeds = tuple(one.run.seeds)
    scores = [row.run.seeds[number].test.score for row in (one, other) for number in seeds]
    drawn = bootstraps(
        one.test.label,
        scores,
        tprs=one.tprs,
        thresholds=(),
        generator=numpy_stream(0, "bootstrap of the seeds"),
        resamples=SEED_RESAMPLES,
    )
    found = []
    for metric in metrics:
        before, after = (row.measures[metric.key].per_seed for row in (one, other))
        values = np.stack(
            [each.auc if metric.tpr is None else each.fpr_at_tpr[:, one.tprs.index(metric.tpr)] for each in drawn],
            axis=1,
        )
        resampled = values[:, len(seeds) :] - values[:, : len(seeds)]
        found.append(seed_test(np.array([after[k] - before[k] for k in seeds]), resampled=resampled))
    return found


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


def _correct(family: Sequence[tuple[Change | PointChange, str]]) -> None:
    """Set the corrected p values; each member is an object and the name of its p."""
    for (owner, name), p in zip(family, holm([getattr(owner, name) for owner, name in family]), strict=True):
        setattr(owner, f"{name}_corrected", p)
