"""Rows beside their reference, each objective with and without ALM or all beside one row: differences and tests.

Tables, charts, tallies and the headline read ``Comparison`` and ``Tally``; none of them judges a difference again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from ..errors import UserError
from ..metrics.bootstrap import bootstraps, interval
from ..metrics.paired_tests import holm, mcnemar, mcnemar_by_groups
from ..metrics.seed_tests import SeedTest, seed_test
from ..metrics.summary import OperatingPoint
from ..seeding import numpy_stream
from .analysis import RESAMPLES, Metric, Report, Row, rows_of
from .labels import base_key
from .tables import CLEAR, SAME, cut

MOST_LETTERS = 30  # of a row's name in a heading
SEED_RESAMPLES = 500  # of the test samples, for the variance that the seeds share


@dataclass(frozen=True)
class Contrast:
    """What is compared, in words."""

    heading: str
    difference: str  # what the sign of a difference means
    before: str  # the reference
    after: str  # the row
    better: str  # the direction of an arrow
    than: str  # follows "better" and "higher"


WITH_ALM = Contrast("With and without ALM", "with ALM minus without", "without", "with ALM", "ALM better", "with ALM")


def beside(baseline: Sequence[Row]) -> Contrast:
    """All rows beside one, or those of each critical class beside that of one run."""
    name = baseline[0].name if len(baseline) == 1 else baseline[0].run_name
    short = cut(name, MOST_LETTERS)
    return Contrast(f"Compared with {name}", f"row minus {short}", short, "row", "row better", f"than {name}")


@dataclass
class Change:
    """The change of one metric, row minus reference, on the same test samples and seeds."""

    difference: float  # mean over the common seeds
    low: float | None  # its 95 % interval on new seeds and new images; None of one seed
    high: float | None
    p: float | None  # see ``metrics.seed_tests.SeedTest``
    gain: float  # the difference, positive where the row is better
    before: float  # value of the reference's ensemble of the common seeds
    after: float  # of the row's
    ensemble_difference: float
    ensemble_low: float  # 95 % interval of these two ensembles on other images, from the paired bootstrap
    ensemble_high: float
    tested: SeedTest
    p_corrected: float | None = None  # after Holm's correction over the rows and metrics of the page
    needed: int | None = None  # seeds for a clear difference, see ``SeedTest.seeds_needed``; None of one seed too

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
    negatives: tuple[int, int]  # false positives of the reference only, of the row only
    positives: tuple[int, int]  # false negatives likewise
    negatives_p: float
    positives_p: float
    negatives_p_corrected: float | None = None
    positives_p_corrected: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A row and its reference."""

    base: Row
    row: Row
    words: Contrast
    seeds: tuple[int, ...]  # common to both
    changes: dict[str, Change]
    points: tuple[PointChange, ...]


@dataclass(frozen=True)
class Tally:
    """How many rows are better or worse than their reference in one metric, and how many of them clearly."""

    metric: Metric
    words: Contrast
    improved: int
    worsened: int
    clearly_improved: int
    clearly_worsened: int
    rows: int


def compare(report: Report, baseline: Sequence[Row] = ()) -> tuple[Comparison, ...]:
    """Compare each row with ALM with the same row without; given a ``baseline``, each other row of its data with it.

    Rows of a critical class are only compared with rows of the same.

    Two families of p values, each corrected for all its members: the changes of every row and metric, and the changes
    at the chosen thresholds.

    Raises:
        UserError: no row can be compared with the baseline.
    """
    words = beside(baseline) if baseline else WITH_ALM
    compared = pairs_with(baseline, report.rows) if baseline else pairs(report.rows)
    found = [each for base, row in compared if (each := _compared(base, row, report, words)) is not None]
    if baseline and not found:
        raise UserError(
            f"nothing to compare with {baseline[0].run_name}: no other row has its data and one of its seeds"
        )
    changes = [change for each in found for change in each.changes.values()]
    _correct([(change, "p") for change in changes])
    _correct([(point, name) for each in found for point in each.points for name in ("negatives_p", "positives_p")])
    tested = [change for change in changes if change.p is not None]
    for change in tested:  # at the level of Bonferroni, which Holm's is never below
        change.needed = change.tested.seeds_needed(risk=CLEAR / len(tested))
    return tuple(found)


def rows_named(rows: Sequence[Row], name: str) -> list[Row]:
    """The row of that name, or else that of the folder ``name``; of a run with K classes, one for each critical class.

    Raises:
        UserError: there is none.
    """
    for of in (attrgetter("name"), attrgetter("run.name"), attrgetter("run_name"), attrgetter("run.folder")):
        if found := [row for row in rows if of(row) == name]:
            return found if found[0].run.critical else found[:1]
    raise UserError(f"--baseline must be one of the rows {', '.join(row.name for row in rows)}; got {name}")


def pairs_with(baseline: Sequence[Row], rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(row of the baseline, row) for each row of another run with the same data and critical class."""
    of_group = {row.group: row for row in baseline}
    return [(of_group[row.group], row) for row in rows if row.group in of_group and row is not of_group[row.group]]


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
        found.append(
            Tally(
                metric, comparisons[0].words, len(improved), len(worsened), sum(improved), sum(worsened), len(changes)
            )
        )
    return found


def _compared(base: Row, row: Row, report: Report, words: Contrast) -> Comparison | None:
    seeds = tuple(number for number in base.run.seeds if number in row.run.seeds)
    if not seeds:
        return None
    one, other = _of_seeds(base, seeds), _of_seeds(row, seeds)
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
            before=before.ensemble,
            after=after.ensemble,
            ensemble_difference=after.ensemble - before.ensemble,
            ensemble_low=low,
            ensemble_high=high,
            tested=found,
        )
    points = [_point_change(one, other, *points) for points in zip(one.points, other.points, strict=True)]
    return Comparison(base, row, words, seeds, changes, tuple(points))


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
        groups=one.test.groups,
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


def _point_change(one: Row, other: Row, before: OperatingPoint, after: OperatingPoint) -> PointChange:
    labels = one.test.label
    first, second = (
        (row.test.score >= point.threshold) != (labels == 1) for row, point in ((one, before), (other, after))
    )
    alone = [(first & ~second & (labels == side), second & ~first & (labels == side)) for side in (0, 1)]
    negatives, positives = ((int(one.sum()), int(other.sum())) for one, other in alone)
    groups = one.test.groups
    if groups is None:
        return PointChange(before.target, negatives, positives, mcnemar(*negatives), mcnemar(*positives))
    return PointChange(before.target, negatives, positives, *(mcnemar_by_groups(*pair, groups) for pair in alone))


def _correct(family: Sequence[tuple[Change | PointChange, str]]) -> None:
    """Set the corrected p values; each member is an object and the name of its p."""
    for (owner, name), p in zip(family, holm([getattr(owner, name) for owner, name in family]), strict=True):
        setattr(owner, f"{name}_corrected", p)
