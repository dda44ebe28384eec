"""Runs of K classes as wholes: what their decisions on the test set give, by the largest output and at thresholds.

Computed from the scores by the same functions as the numbers of results.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..metrics.class_summary import argmax
from ..metrics.intervals import rate_interval
from ..metrics.multiclass import (
    Labels,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    decide,
    error_of_others,
    macro_auc,
    shot_accuracies,
    thresholds_at,
)
from ..metrics.scores import ClassScores, averaged_classes
from .analysis import Report, Row
from .evidence import NP, PLUG_IN, evidence
from .read_seeds import ClassRun
from .tables import exact, exact_percent

LARGEST = "largest output"
SHOTS = ("many", "medium", "few")  # by training samples, see metrics.multiclass.shot_accuracies


@dataclass(frozen=True)
class Spread:
    """A number of each seed, of their ensemble, and the ensemble's 95 % interval, where there are such."""

    per_seed: Mapping[int, float]
    ensemble: float | None = None
    interval: Sequence[float] | None = None

    @property
    def mean(self) -> float | None:
        """Over the seeds."""
        return statistics.fmean(self.per_seed.values()) if self.per_seed else None

    @property
    def deviation(self) -> float | None:
        """Over the seeds, n - 1; None of one."""
        return statistics.stdev(self.per_seed.values()) if len(self.per_seed) > 1 else None


@dataclass(frozen=True)
class Outcome:
    """The decisions of one rule on the test set.

    Args:
        rule: the largest output, or thresholds of the critical classes by a rule (see ``evidence.Decision``).
        tpr: recall that the thresholds are meant to reach; None of the largest output.
        ensemble: (n,) the class that each sample is decided to be.
        seeds: the same of each seed; none for thresholds that the ensemble alone has.
    """

    rule: str
    tpr: float | None
    ensemble: Labels
    seeds: Mapping[int, Labels]

    @property
    def name(self) -> str:
        """In a heading."""
        if self.tpr is None:
            return self.rule
        # what is promised is the TPR of each score by itself: where several reach their thresholds, one is decided for
        return f"{'NP thresholds, TPR' if self.rule == NP else 'recall'} {exact_percent(self.tpr)} %"

    @property
    def key(self) -> str:
        """In a file."""
        return self.rule if self.tpr is None else f"{self.rule} {exact(self.tpr)}"


@dataclass(frozen=True)
class ClassRow:
    """A run of K classes.

    Args:
        run: its scores.
        views: the rows of its critical classes, in the order of these.
        data: number of its data, from 0; rows with one number have the same class sizes and samples.
    """

    run: ClassRun
    views: tuple[Row, ...]
    data: int

    @property
    def name(self) -> str:
        """As the user gave it."""
        return self.views[0].run_name

    @property
    def settings(self) -> str:
        """See ``Row.settings``."""
        return self.views[0].run_settings

    @property
    def classes(self) -> tuple[str, ...]:
        """The names."""
        return self.test.names

    @property
    def critical(self) -> tuple[int, ...]:
        """Labels of the critical classes."""
        return self.test.critical

    @property
    def train_counts(self) -> tuple[int, ...]:
        """Training samples of each class."""
        return tuple(self.run.record.sizes["train"].values())

    @cached_property
    def test(self) -> ClassScores:
        """Scores of the ensemble on the test set."""
        return averaged_classes([seed.test for seed in self.run.seeds.values()])

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """By the largest output, at the thresholds of validation for each TPR, and at promised ones."""
        tests = {number: seed.test for number, seed in self.run.seeds.items()}
        validations = {number: seed.validation for number, seed in self.run.seeds.items()}
        of_ensemble = averaged_classes(list(validations.values()))
        found = [Outcome(LARGEST, None, argmax(self.test), {k: argmax(test) for k, test in tests.items()})]
        for tpr in self.views[0].tprs:
            seeds = {k: decided(tests[k], chosen(validations[k], tpr)) for k in tests}
            found.append(Outcome(PLUG_IN, tpr, decided(self.test, chosen(of_ensemble, tpr)), seeds))
        promised = [[each for each in evidence(view).decisions if each.rule == NP] for view in self.views]
        for points in zip(*promised, strict=True):
            given = [point.threshold for point in points if point.threshold is not None]
            if len(given) == len(points):
                found.append(Outcome(NP, points[0].tpr, decided(self.test, given), {}))
        return tuple(found)

    def matrix(self, predicted: Labels) -> NDArray[np.int64]:
        """(K, K) see ``metrics.multiclass.confusion_matrix``."""
        return confusion_matrix(self.test.label, predicted, classes=len(self.classes))

    @cached_property
    def measures(self) -> dict[str, Spread]:
        """Of the largest output: accuracy, balanced accuracy, AUC, recalls of many, medium and few, where they are."""
        scores = {number: seed.test for number, seed in self.run.seeds.items()}
        ensemble, seeds = self._numbers(self.test), {number: self._numbers(each) for number, each in scores.items()}
        interval = rate_interval(argmax(self.test) == self.test.label, groups=self.test.groups)
        return {
            name: Spread(
                {number: each[name] for number, each in seeds.items()},
                ensemble[name],
                interval if name == "accuracy" else None,
            )
            for name in ensemble
        }

    @cached_property
    def last_measures(self) -> dict[str, Spread]:
        """The same at the end of the training of the seeds that have scores of it."""
        seeds = {number: self._numbers(scores) for number, scores in self.run.last.items()}
        return {name: Spread({number: each[name] for number, each in seeds.items()}) for name in self.measures}

    def _numbers(self, scores: ClassScores) -> dict[str, float]:
        matrix = self.matrix(argmax(scores))
        shots = shot_accuracies(matrix, self.train_counts)
        return {
            "accuracy": accuracy(matrix),
            "balanced_accuracy": balanced_accuracy(matrix),
            "auc": macro_auc(scores.label, scores.outputs),
            **{name: value for name, value in shots.items() if value is not None},
        }

    def recall(self, outcome: Outcome, label: int) -> Spread:
        """Share of a class that is decided rightly."""
        own = self.test.label == label
        groups = self.test.groups
        interval = rate_interval(outcome.ensemble[own] == label, groups=None if groups is None else groups[own])
        seeds = {number: float((each[own] == label).mean()) for number, each in outcome.seeds.items()}
        return Spread(seeds, float((outcome.ensemble[own] == label).mean()), interval)

    def error_of_others(self, outcome: Outcome) -> Spread | None:
        """Share of the samples of the other classes that are decided wrongly; None where all classes are critical."""
        labels, groups = self.test.label, self.test.groups
        others = ~np.isin(labels, self.critical)
        if not others.any():
            return None
        wrong = outcome.ensemble != labels
        interval = rate_interval(wrong[others], groups=None if groups is None else groups[others])
        of = {number: error_of_others(labels, each, critical=self.critical) for number, each in outcome.seeds.items()}
        return Spread(of, error_of_others(labels, outcome.ensemble, critical=self.critical), interval)


def chosen(validation: ClassScores, tpr: float) -> tuple[float, ...]:
    """The plug-in thresholds of the critical classes."""
    return thresholds_at(validation.label, validation.scores, critical=validation.critical, tpr=tpr)


def decided(test: ClassScores, thresholds: Sequence[float]) -> Labels:
    """See ``metrics.multiclass.decide``."""
    return decide(test.outputs, test.scores, critical=test.critical, thresholds=thresholds)


def class_rows(report: Report, *, folds: bool = False) -> tuple[ClassRow, ...]:
    """The runs of K classes among the rows of a report, or among its folds, in the order of these."""
    views: dict[str, list[Row]] = {}
    for row in report.folds if folds else report.rows:
        if row.run.critical:
            views.setdefault(row.run.folder, []).append(row)
    runs = {run.folder: run for run in report.folder.class_runs}
    data: list[ClassRun] = []
    found = []
    for folder, rows in views.items():
        run = runs[folder]
        number = next((place for place, other in enumerate(data) if _same_data(run, other)), len(data))
        data += [run] if number == len(data) else []
        order = list(next(iter(run.seeds.values())).test.views)
        rows.sort(key=lambda row: order.index(row.run.critical))
        found.append(ClassRow(run, tuple(rows), number))
    return tuple(found)


def _same_data(first: ClassRun, second: ClassRun) -> bool:
    one, other = (next(iter(run.seeds.values())) for run in (first, second))
    return (
        (first.record.checksum, first.record.sizes) == (second.record.checksum, second.record.sizes)
        and np.array_equal(one.test.index, other.test.index)
        and np.array_equal(one.test.label, other.test.label)
        and one.test.split == other.test.split
    )
