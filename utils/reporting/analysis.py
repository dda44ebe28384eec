"""From runs to the numbers of the report: the measures of each row, and which rows may be compared."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.bootstrap import Bootstrap, bootstraps, interval
from ..metrics.roc import Array, Roc, auc, roc
from ..metrics.scores import Scores, averaged
from ..metrics.summary import OperatingPoint, operating_points
from ..seeding import numpy_stream
from .labels import constraint, extras, objective, sort_key
from .runs import Folder, Run, same_samples

RESAMPLES = 2000  # of the test samples, for differences
OWN_RESAMPLES = 1000  # the first of them give the interval of a row, equal to that in results.json


@dataclass(frozen=True)
class Metric:
    """A column of the table: AUC, or the FPR at a TPR (``tpr`` is None for the AUC)."""

    key: str
    title: str
    tpr: float | None

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.tpr is None else -1

    def resampled(self, values: Bootstrap, tprs: Sequence[float]) -> Array:
        """(R,) its bootstrap values."""
        return values.auc if self.tpr is None else values.fpr_at_tpr[:, list(tprs).index(self.tpr)]


@dataclass(frozen=True)
class Measure:
    """One metric of one row on the test set."""

    per_seed: dict[int, float]
    mean: float
    deviation: float | None  # over the seeds, n - 1; None of one seed
    ensemble: float
    low: float  # 95 % interval of the ensemble
    high: float


@dataclass(frozen=True)
class Row:
    """A run with its numbers. ``group`` counts from 0: rows of one group have the same data and class counts."""

    run: Run
    objective: str
    constraint: str
    extra: str  # what else distinguishes it
    group: int
    validation: Scores
    test: Scores
    measures: dict[str, Measure]
    points: tuple[OperatingPoint, ...]
    curve: Roc  # of the test set
    validation_curve: Roc
    resampled: Bootstrap  # of the test set: for all rows of a group the same samples were drawn

    @property
    def label(self) -> str:
        """What the rows with and without ALM have in common."""
        return f"{self.objective}, {self.extra}" if self.extra else self.objective

    @property
    def name(self) -> str:
        """The objective, whether with ALM, and what else distinguishes it."""
        name = f"{self.objective} + ALM" if self.constraint else self.objective
        return f"{name}, {self.extra}" if self.extra else name

    @property
    def full_name(self) -> str:
        """The same with the constraint's numbers."""
        return f"{self.name} ({self.constraint.removeprefix('ALM ')})" if self.constraint else self.name


@dataclass(frozen=True)
class Report:
    """All that the page shows, except the comparisons."""

    folder: Folder
    metrics: tuple[Metric, ...]
    tprs: tuple[float, ...]
    rows: tuple[Row, ...]  # those compared over test samples
    folds: tuple[Row, ...]  # those that are folds of a resampling
    differences: tuple[str, ...]  # of each group from the first, as text; "" for the first


def metrics_for(tprs: Sequence[float]) -> tuple[Metric, ...]:
    """AUC, then FPR at each TPR."""
    at = [Metric(f"fpr_at_tpr_{tpr:g}", f"FPR at TPR {tpr * 100:g} %", tpr) for tpr in tprs]
    return (Metric("auc", "AUC", None), *at)


def default_tprs(folder: Folder) -> tuple[float, ...]:
    """The ``tpr`` of the runs if they agree, otherwise 0.98 0.95 0.90."""
    asked = {run.record.options.get("tpr") for run in folder.runs if run.seeds}
    only = asked.pop() if len(asked) == 1 else None
    usable = isinstance(only, tuple) and only and all(isinstance(tpr, float) and 0 < tpr <= 1 for tpr in only)
    return only if usable and only is not None else (0.98, 0.95, 0.90)


def analyse(folder: Folder, *, tprs: Sequence[float]) -> Report:
    """Measure every run of ``folder`` that has a finished seed."""
    runs = [run for run in folder.runs if run.seeds]
    groups, differences = _groups([run for run in runs if not is_fold(run)])
    runs.sort(key=lambda run: (groups.get(run.name, 0), folder.plan.position(run.name), *sort_key(run)))
    single, folds = ([run for run in runs if is_fold(run) == wanted] for wanted in (False, True))
    more = extras(single)
    metrics = metrics_for(tprs)
    tests = {run.name: averaged([seed.test for seed in run.seeds.values()]) for run in runs}
    drawn = resamples({run.name: tests[run.name] for run in single}, tprs, RESAMPLES)
    drawn |= resamples({run.name: tests[run.name] for run in folds}, (), OWN_RESAMPLES)
    return Report(
        folder,
        metrics,
        tuple(tprs),
        tuple(
            _row(run, more[run.name], groups[run.name], metrics, tprs, tests[run.name], drawn[run.name])
            for run in single
        ),
        tuple(_row(run, "", 0, metrics[:1], (), tests[run.name], drawn[run.name]) for run in folds),
        differences,
    )


def is_fold(run: Run) -> bool:
    """Whether the run is one fold of a cross-validation: those are compared over the folds, not over test samples."""
    return bool(run.record.options.get("folds"))


def _row(
    run: Run,
    extra: str,
    group: int,
    metrics: Sequence[Metric],
    tprs: Sequence[float],
    test: Scores,
    resampled: Bootstrap,
) -> Row:
    validation = averaged([seed.validation for seed in run.seeds.values()])
    curve, validation_curve = (roc(scores.label, scores.score) for scores in (test, validation))
    ensemble = values_of(test, curve, metrics)
    per_seed = {
        number: values_of(seed.test, roc(seed.test.label, seed.test.score), metrics)
        for number, seed in run.seeds.items()
    }
    return Row(
        run,
        objective(run.record.options),
        constraint(run.record.options),
        extra,
        group,
        validation,
        test,
        {
            metric.key: _measure(
                {number: values[metric.key] for number, values in per_seed.items()},
                ensemble[metric.key],
                metric.resampled(resampled, tprs)[:OWN_RESAMPLES],
            )
            for metric in metrics
        },
        operating_points(validation_curve, test, tprs),
        curve,
        validation_curve,
        resampled,
    )


def values_of(scores: Scores, curve: Roc, metrics: Sequence[Metric]) -> dict[str, float]:
    """Each metric of one set of scores, in [0, 1], by its key; ``curve`` is their ROC."""
    return {
        metric.key: auc(scores.label, scores.score) if metric.tpr is None else curve.fpr_at(metric.tpr)
        for metric in metrics
    }


def resamples(tests: Mapping[str, Scores], tprs: Sequence[float], count: int) -> dict[str, Bootstrap]:
    """Bootstrap of each of ``tests``, all from one stream: row by row of the results, the same samples were drawn."""
    alike: dict[bytes, list[str]] = {}
    for name, test in tests.items():
        alike.setdefault(test.label.tobytes(), []).append(name)
    found: dict[str, Bootstrap] = {}
    for names in alike.values():
        drawn = bootstraps(
            tests[names[0]].label,
            [tests[name].score for name in names],
            tprs=tprs,
            thresholds=(),
            generator=numpy_stream(0, "bootstrap of the ensemble"),
            resamples=count,
        )
        found.update(zip(names, drawn, strict=True))
    return found


def _measure(per_seed: dict[int, float], ensemble: float, resampled: Array) -> Measure:
    low, high = interval(resampled)
    values = list(per_seed.values())
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Measure(per_seed, statistics.fmean(values), deviation, ensemble, low, high)


def _groups(runs: Sequence[Run]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Runs with the same data, class counts and test samples form a group; the largest is group 0."""
    heads: list[Run] = []
    member: dict[str, int] = {}
    for run in runs:
        for position, head in enumerate(heads):
            if not difference_of_data(head, run):
                member[run.name] = position
                break
        else:
            member[run.name] = len(heads)
            heads.append(run)
    sizes = Counter(member.values())
    order = sorted(range(len(heads)), key=lambda position: (-sizes[position], position))
    renumbered = {old: new for new, old in enumerate(order)}
    first = heads[order[0]] if heads else None
    texts = tuple(difference_of_data(first, heads[old]) if first else "" for old in order)
    return {name: renumbered[old] for name, old in member.items()}, texts


def difference_of_data(first: Run, second: Run) -> str:
    """How the data of the second run differ from those of the first, as text; '' if they are the same."""
    parts = []
    if first.record.checksum != second.record.checksum:
        parts.append(f"data checksum {second.record.checksum[:12]}, not {first.record.checksum[:12]}")
    for part in ("train", "validation", "test"):
        ours, theirs = first.record.class_counts[part], second.record.class_counts[part]
        if ours != theirs:
            parts.append(f"{part} set {_ratio(theirs)}, not {_ratio(ours)}")
    one, other = (next(iter(run.seeds.values())) for run in (first, second))
    if not parts and not (same_samples(one.test, other.test) and same_samples(one.validation, other.validation)):
        parts.append("other test or validation samples")
    return "; ".join(parts)


def _ratio(counts: dict[str, int]) -> str:
    return f"{counts['negative']} : {counts['positive']}"


def group_letter(group: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + group) if group < 26 else f"#{group + 1}"


def best(report: Report, metric: Metric, *, of_ensemble: bool, group: int) -> set[str]:
    """The names of the runs with the best value of a group, ties included; none where all are equal."""
    measures = {row.run.name: row.measures[metric.key] for row in report.rows if row.group == group}
    values = {
        name: metric.sign * (measure.ensemble if of_ensemble else measure.mean) for name, measure in measures.items()
    }
    top = max(values.values(), default=0.0)
    names = {name for name, value in values.items() if np.isclose(value, top, rtol=0, atol=1e-12)}
    return names if len(names) < len(values) else set()
