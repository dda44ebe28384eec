"""Each objective with and without ALM: differences, intervals and tests, corrected for the number of rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..metrics.bootstrap import Bootstrap, interval
from ..metrics.paired_tests import bootstrap_p, delong, holm, mcnemar, wilcoxon_p
from ..metrics.roc import roc
from ..metrics.scores import Scores, averaged
from ..metrics.summary import OperatingPoint, operating_points
from .analysis import RESAMPLES, Metric, Report, Row, resamples, values_of
from .labels import base_key

TIE = 1e-12  # smaller differences are rounding errors
CLEAR = 0.05  # a corrected p below this is called clear


@dataclass(frozen=True)
class Change:
    """The change of one metric, with ALM minus without, on the same test samples.

    Args:
        without, with_alm: values of the ensembles of the common seeds.
        difference: of these values; ``low`` and ``high`` bound its 95 % interval (paired bootstrap of test samples).
        p: from DeLong's test (AUC) or the paired bootstrap (FPR at a TPR).
        p_corrected: ``p`` after Holm's correction over the rows.
        seed_difference: mean difference over the common seeds.
        seed_p, seed_p_corrected: from Wilcoxon's signed-rank test over the common seeds.
    """

    without: float
    with_alm: float
    difference: float
    low: float
    high: float
    p: float | None
    seed_difference: float
    seed_p: float | None
    p_corrected: float | None = None
    seed_p_corrected: float | None = None


@dataclass(frozen=True)
class PointChange:
    """Test samples that only one of the two models gets wrong at the thresholds chosen on validation (McNemar).

    Args:
        negatives: (false positives without ALM only, with ALM only).
        positives: the same for false negatives.
    """

    without: OperatingPoint
    with_alm: OperatingPoint
    negatives: tuple[int, int]
    positives: tuple[int, int]
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


def compare(report: Report) -> tuple[Comparison, ...]:
    """Compare all pairs of ``report``; the p values are corrected for the number of pairs."""
    found = [_compared(base, alm, report) for base, alm in pairs(report.rows)]
    comparisons = [each for each in found if each is not None]
    for metric in report.metrics:
        _correct(comparisons, metric)
    for position in range(len(report.tprs)):
        _correct_points(comparisons, position)
    return tuple(comparisons)


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


def _compared(base: Row, alm: Row, report: Report) -> Comparison | None:
    seeds = tuple(number for number in base.run.seeds if number in alm.run.seeds)
    if not seeds:
        return None
    one, other = _ensemble(base, seeds, report), _ensemble(alm, seeds, report)
    changes = {}
    for metric in report.metrics:
        drawn = metric.resampled(other.resampled, report.tprs) - metric.resampled(one.resampled, report.tprs)
        p = delong_p(one.test, other.test) if metric.tpr is None else bootstrap_p(drawn)
        values = one.values[metric.key], other.values[metric.key]
        changes[metric.key] = _change(metric, base, alm, seeds, values, interval(drawn), p)
    points = tuple(
        _point_change(*pair, (one.test, other.test)) for pair in zip(one.points, other.points, strict=True)
    )
    return Comparison(base, alm, seeds, changes, points)


@dataclass(frozen=True)
class _Ensemble:
    """The ensemble of some seeds of a row."""

    test: Scores
    values: dict[str, float]
    resampled: Bootstrap
    points: tuple[OperatingPoint, ...]


def _ensemble(row: Row, seeds: Sequence[int], report: Report) -> _Ensemble:
    if tuple(seeds) == tuple(row.run.seeds):  # all its seeds: already measured
        values = {key: measure.ensemble for key, measure in row.measures.items()}
        return _Ensemble(row.test, values, row.resampled, row.points)
    validation, test = (
        averaged([getattr(row.run.seeds[number], part) for number in seeds]) for part in ("validation", "test")
    )
    resampled = resamples({row.run.name: test}, report.tprs, RESAMPLES)[row.run.name]
    values = values_of(test, roc(test.label, test.score), report.metrics)
    points = operating_points(roc(validation.label, validation.score), test, report.tprs)
    return _Ensemble(test, values, resampled, points)


def delong_p(first: Scores, second: Scores) -> float | None:
    """P value of DeLong's test; None if a class has a single sample."""
    try:
        return delong(first.label, first.score, second.score).p
    except ValueError:
        return None


def _change(
    metric: Metric,
    base: Row,
    alm: Row,
    seeds: Sequence[int],
    ensembles: tuple[float, float],
    bounds: Sequence[float],
    p: float | None,
) -> Change:
    without, with_alm = ensembles
    ours, theirs = alm.measures[metric.key].per_seed, base.measures[metric.key].per_seed
    by_seed = [ours[number] - theirs[number] for number in seeds]
    return Change(
        without=without,
        with_alm=with_alm,
        difference=with_alm - without,
        low=bounds[0],
        high=bounds[1],
        p=p,
        seed_difference=statistics.fmean(by_seed),
        seed_p=wilcoxon_p(by_seed),
    )


def _point_change(without: OperatingPoint, with_alm: OperatingPoint, tests: tuple[Scores, Scores]) -> PointChange:
    points = without, with_alm
    labels = tests[0].label
    wrong = [(test.score >= point.threshold) != (labels == 1) for test, point in zip(tests, points, strict=True)]
    counts = []
    for side in (0, 1):
        own = labels == side
        counts.append((int((wrong[0] & ~wrong[1] & own).sum()), int((wrong[1] & ~wrong[0] & own).sum())))
    return PointChange(points[0], points[1], counts[0], counts[1], mcnemar(*counts[0]), mcnemar(*counts[1]))


def _correct(comparisons: list[Comparison], metric: Metric) -> None:
    """Set the corrected p values of one metric; the rows are the family."""
    changes = [each.changes[metric.key] for each in comparisons]
    of_samples, of_seeds = holm([each.p for each in changes]), holm([each.seed_p for each in changes])
    for each, change, p, seed_p in zip(comparisons, changes, of_samples, of_seeds, strict=True):
        each.changes[metric.key] = replace(change, p_corrected=p, seed_p_corrected=seed_p)


def _correct_points(comparisons: list[Comparison], position: int) -> None:
    points = [each.points[position] for each in comparisons]
    negatives, positives = holm([each.negatives_p for each in points]), holm([each.positives_p for each in points])
    for number, (each, point) in enumerate(zip(comparisons, points, strict=True)):
        new = replace(point, negatives_p_corrected=negatives[number], positives_p_corrected=positives[number])
        changed = (*each.points[:position], new, *each.points[position + 1 :])
        comparisons[number] = replace(each, points=changed)


@dataclass(frozen=True)
class Tally:
    """How many rows ALM improves or worsens in one metric, and how many of them clearly."""

    metric: Metric
    improved: int
    worsened: int
    clearly_improved: int
    clearly_worsened: int
    rows: int


def tally(metric: Metric, comparisons: Sequence[Comparison]) -> Tally:
    """Count the rows; a tie is neither improved nor worsened."""
    gains = [(metric.sign * each.changes[metric.key].difference, each.changes[metric.key]) for each in comparisons]

    def count(accept: Callable[[float], bool], *, clear: bool) -> int:
        return sum(
            accept(gain) and (not clear or (change.p_corrected is not None and change.p_corrected < CLEAR))
            for gain, change in gains
        )

    return Tally(
        metric,
        improved=count(lambda gain: gain > TIE, clear=False),
        worsened=count(lambda gain: gain < -TIE, clear=False),
        clearly_improved=count(lambda gain: gain > TIE, clear=True),
        clearly_worsened=count(lambda gain: gain < -TIE, clear=True),
        rows=len(comparisons),
    )
