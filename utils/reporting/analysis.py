"""From runs to the numbers of the report: the measures of each row, and which rows may be compared."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from ..metrics.bootstrap import Bootstrap, bootstraps
from ..metrics.intervals import auc_interval, fpr_at_tpr_interval
from ..metrics.roc import Array, Roc, auc, roc
from ..metrics.scores import Scores, averaged
from ..metrics.summary import OperatingPoint, operating_points
from ..seeding import numpy_stream
from .data_groups import data_groups
from .labels import asked, constraint, extras, objective, sort_key
from .read_seeds import Run, of_class
from .runs import Folder
from .tables import SAME, Cell, exact, exact_percent, number

RESAMPLES = 2000  # of the test samples, for differences
STREAM = "bootstrap of the ensemble"  # the same as that of results.json, so that its intervals are the same


@dataclass(frozen=True)
class Metric:
    """A column of the table: the FPR at a TPR, or the AUC (``tpr`` is None)."""

    tpr: float | None

    @property
    def key(self) -> str:
        """Its name in the CSV files."""
        return "auc" if self.tpr is None else f"fpr_at_tpr_{exact(self.tpr)}"

    @property
    def title(self) -> str:
        """Its name on the page."""
        return "AUC" if self.tpr is None else f"FPR at TPR {exact_percent(self.tpr)} %"

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.tpr is None else -1

    def of(self, scores: Scores, curve: Roc) -> float:
        """Its value in [0, 1]; ``curve`` is the ROC of the scores."""
        return auc(scores.label, scores.score) if self.tpr is None else curve.fpr_at(self.tpr)

    def text(self, value: float, *, sign: bool = False) -> str:
        """An AUC with four decimals, or an FPR in per cent with one."""
        return number(value, 4 if self.tpr is None else 1, percent=self.tpr is not None, sign=sign)

    def shown(self, value: float) -> str:
        """The same with its unit."""
        return self.text(value) if self.tpr is None else f"{self.text(value)} %"

    def cell(self, value: float, under: str = "", *, sign: bool = False, best: bool = False) -> Cell:
        """A cell of a table."""
        return Cell(self.text(value, sign=sign), value, under, best)

    def bounds(self, low: float, high: float, *, sign: bool = False) -> str:
        """An interval in brackets."""
        return f"[{self.text(low, sign=sign)}, {self.text(high, sign=sign)}]"


def metrics_for(tprs: Sequence[float]) -> tuple[Metric, ...]:
    """AUC, then FPR at each TPR."""
    return (Metric(None), *map(Metric, tprs))


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
    """A run with its numbers, each computed when it is first asked for."""

    run: Run
    name: str  # as the user gave it: in the sweep's table, or as --model_name
    extra: str  # what distinguishes it beside objective and constraint
    group: int  # from 0; rows of one group have the same data, class counts and critical class
    difference: str  # of its data from those of the first group with its critical class; "" if they are the same
    tprs: tuple[float, ...]  # where the FPR is measured
    test: Scores  # of the ensemble
    bootstrap: Bootstrap  # of ``test``; for all rows of a group the same samples were drawn

    @cached_property
    def objective(self) -> str:
        """The objective with its own options."""
        return objective(self.run.record.options)

    @cached_property
    def constraint(self) -> str:
        """ALM and its options; empty without."""
        return constraint(self.run.record.options)

    @property
    def run_name(self) -> str:
        """Its name without the critical class."""
        return self.name.removesuffix(of_class(self.run.critical))

    @property
    def label(self) -> str:
        """What the rows with and without ALM have in common."""
        return ", ".join(filter(None, (self.objective, self.extra, self._class)))

    @property
    def run_label(self) -> str:
        """The same without the critical class."""
        return ", ".join(filter(None, (self.objective, self.extra)))

    @property
    def settings(self) -> str:
        """The objective, the constraint with its numbers, and what else distinguishes the row."""
        return self._settings(self._class)

    @property
    def run_settings(self) -> str:
        """The same without the critical class."""
        return self._settings("")

    def _settings(self, of: str) -> str:
        name = f"{self.objective} + ALM" if self.constraint else self.objective
        name = ", ".join(filter(None, (name, self.extra, of)))
        return f"{name} ({self.constraint.removeprefix('ALM ')})" if self.constraint else name

    @property
    def _class(self) -> str:
        return f"class {self.run.critical}" if self.run.critical else ""

    @cached_property
    def validation(self) -> Scores:
        """The scores of the ensemble on the validation set."""
        return averaged([seed.validation for seed in self.run.seeds.values()])

    @cached_property
    def calibration(self) -> Scores | None:
        """Likewise on the calibration set; None unless every seed has one."""
        parts = [seed.calibration for seed in self.run.seeds.values() if seed.calibration is not None]
        return averaged(parts) if len(parts) == len(self.run.seeds) else None

    @cached_property
    def curve(self) -> Roc:
        """Of the test set."""
        return roc(self.test.label, self.test.score)

    @cached_property
    def validation_curve(self) -> Roc:
        """Of the validation set."""
        return roc(self.validation.label, self.validation.score)

    @cached_property
    def points(self) -> tuple[OperatingPoint, ...]:
        """At the threshold for each TPR."""
        return operating_points(self.validation_curve, self.test, self.tprs)

    def resampled(self, metric: Metric) -> Array:
        """(R,) the bootstrap values of a metric."""
        found = self.bootstrap
        return found.auc if metric.tpr is None else found.fpr_at_tpr[:, self.tprs.index(metric.tpr)]

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Of each metric by its key."""
        tests = {number: seed.test for number, seed in self.run.seeds.items()}
        curves = {number: roc(test.label, test.score) for number, test in tests.items()}
        found = {}
        for metric in metrics_for(self.tprs):
            per_seed = {number: metric.of(tests[number], curves[number]) for number in tests}
            values = list(per_seed.values())
            low, high = self._interval(metric)
            deviation = statistics.stdev(values) if len(values) > 1 else None
            ensemble = metric.of(self.test, self.curve)
            found[metric.key] = Measure(per_seed, statistics.fmean(values), deviation, ensemble, low, high)
        return found

    def _interval(self, metric: Metric) -> list[float]:
        labels, scores, groups = self.test.label, self.test.score, self.test.groups
        if metric.tpr is None:
            return auc_interval(labels, scores, generator=numpy_stream(0, STREAM), groups=groups)
        return fpr_at_tpr_interval(labels, scores, metric.tpr, groups=groups)


@dataclass(frozen=True)
class Report:
    """All that the page shows, except the comparisons."""

    folder: Folder
    metrics: tuple[Metric, ...]
    tprs: tuple[float, ...]
    rows: tuple[Row, ...]  # those compared over test samples
    folds: tuple[Row, ...]  # those that are folds of a resampling
    trials: tuple[Row, ...]  # runs of a grid or a search, if rows follow from them: neither compared nor starred
    differences: tuple[str, ...]  # of each group from the first with its critical class, as text; "" for the first


def default_tprs(folder: Folder) -> tuple[float, ...]:
    """The ``tpr`` of the runs if they agree, otherwise its default."""
    found = {asked(run.record.options, "tpr") for run in folder.runs if run.seeds}
    only: tuple[float, ...] = found.pop() if len(found) == 1 else asked({}, "tpr")
    return only


def analyse(folder: Folder, *, tprs: Sequence[float]) -> Report:
    """Measure every run of ``folder`` that has a finished seed.

    The folds of a cross-validation are compared over the folds, the other runs over test samples.
    """
    single: list[Run] = []
    folds: list[Run] = []
    trials: list[Run] = []
    for run in folder.runs:
        if run.seeds:
            planned = folder.plan.row(run.folder)
            is_trial = planned is not None and planned.trial
            (folds if run.record.options.get("folds") else trials if is_trial else single).append(run)
    if not single:  # nothing follows yet
        single, trials = trials, []
    groups, differences = data_groups(single)
    for runs in (single, folds, trials):
        runs.sort(key=lambda run: (groups.get(run.name, 0), folder.plan.position(run.folder), *sort_key(run)))
    more, names = extras(single), given_names(folder)
    return Report(
        folder,
        metrics_for(tprs),
        tuple(tprs),
        rows_of(single, tprs, RESAMPLES, names=names, extra=more, group=groups, differences=differences),
        rows_of(folds, (), 1, names=names),  # compared over the folds, not over resamples
        rows_of(trials, tprs, 1, names=names, extra=extras(trials)),
        differences,
    )


def given_names(folder: Folder) -> dict[str, str]:
    """The name of each run in the sweep's table; without one, or if two rows share it, that of its folder.

    That of a critical class says which.
    """
    planned = {run.folder: row.name if (row := folder.plan.row(run.folder)) else "" for run in folder.runs}
    times = Counter(planned.values())
    given = {folder: name if name and times[name] == 1 else folder for folder, name in planned.items()}
    return {run.name: given[run.folder] + of_class(run.critical) for run in folder.runs}


def rows_of(
    runs: Sequence[Run],
    tprs: Sequence[float],
    resamples: int,
    *,
    names: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    group: Mapping[str, int] | None = None,
    differences: Sequence[str] = ("",),
) -> tuple[Row, ...]:
    """The row of each run. Runs with the same test labels are resampled together: the same samples are drawn."""
    tests = [averaged([seed.test for seed in run.seeds.values()]) for run in runs]
    alike: dict[bytes, list[int]] = {}
    for position, test in enumerate(tests):
        alike.setdefault(test.label.tobytes(), []).append(position)
    drawn: dict[int, Bootstrap] = {}
    for members in alike.values():
        found = bootstraps(
            tests[members[0]].label,
            [tests[position].score for position in members],
            tprs=tprs,
            thresholds=(),
            generator=numpy_stream(0, STREAM),
            resamples=resamples,
            groups=tests[members[0]].groups,
        )
        drawn.update(zip(members, found, strict=True))
    return tuple(
        Row(
            run,
            (names or {}).get(run.name, run.name),
            (extra or {}).get(run.name, ""),
            (group or {}).get(run.name, 0),
            differences[(group or {}).get(run.name, 0)],
            tuple(tprs),
            test,
            drawn[position],
        )
        for position, (run, test) in enumerate(zip(runs, tests, strict=True))
    )


def best(report: Report) -> set[tuple[str, str, str]]:
    """(run, metric, "mean" or "ensemble") of the best values of each group, ties included; none where all are equal."""
    found = set()
    for group, metric, kind in product(range(len(report.differences)), report.metrics, ("mean", "ensemble")):
        measures = {row.run.name: row.measures[metric.key] for row in report.rows if row.group == group}
        values = {name: metric.sign * getattr(measure, kind) for name, measure in measures.items()}
        names = {name for name, value in values.items() if value > max(values.values()) - SAME}
        found |= {(name, metric.key, kind) for name in names if len(names) < len(values)}
    return found
