"""Runs and their seeds: of two sides, or of K classes, each critical one of which is a run of two sides too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import UserError
from ..metrics.roc import checked
from ..metrics.scores import ClassScores, Scores
from ..run_files.class_scores_csv import read_class_scores
from ..run_files.config_yaml import Record
from ..run_files.paths import CALIBRATION, SeedPaths
from ..run_files.scores_csv import read_scores

MOST_EPOCHS = 2**31  # a larger number is damage
Samples = TypeVar("Samples", Scores, ClassScores)


@dataclass(frozen=True)
class SeedRun(Generic[Samples]):
    """A seed that counts: its scores, and its epochs where they are known."""

    validation: Samples
    test: Samples
    best_epoch: int | None
    epochs: int | None  # that it was trained for
    stopped_early: bool | None  # None: not known, as of best.pt alone
    calibration: Samples | None = None  # only with --calibration_fraction


@dataclass(frozen=True)
class Run:
    """One run, ``checkpoint/<subfolder_name>/<folder>``; of K classes a critical one against the rest."""

    folder: str
    record: Record
    seeds: dict[int, SeedRun[Scores]]  # those with final scores
    curves: dict[int, dict[str, list[float | None]]]  # of each started seed the values by epoch, by the names in CURVES
    finished: str  # when its last seed ended; empty if not recorded
    default_threshold: float  # of its objective, as results.json records it
    critical: str = ""  # the class, where there are K

    @property
    def name(self) -> str:
        """No two runs of a report share it."""
        return self.folder + of_class(self.critical)


@dataclass(frozen=True)
class ClassRun:
    """One run of K classes as a whole; ``views`` are its critical classes, each against the rest.

    Args:
        folder, record, seeds, curves, finished: as of :class:`Run`.
        last: test scores at the end of the training of each seed that has them.
        default_thresholds: of each critical class.
    """

    folder: str
    record: Record
    seeds: dict[int, SeedRun[ClassScores]]
    curves: dict[int, dict[str, list[float | None]]]
    finished: str
    last: dict[int, ClassScores]
    default_thresholds: Mapping[str, float]

    @property
    def views(self) -> tuple[Run, ...]:
        """One for each critical class; one without a class where no seed has finished."""
        if not self.seeds:
            return (Run(self.folder, self.record, {}, self.curves, self.finished, 0.0),)
        first = next(iter(self.seeds.values())).test
        return tuple(
            Run(
                self.folder,
                self.record.of_class(name),
                {number: _view(seed, column) for number, seed in self.seeds.items()},
                self.curves,
                self.finished,
                self.default_thresholds[name],
                name,
            )
            for column, name in enumerate(first.views)
        )


def of_class(critical: str) -> str:
    """What follows the name of a run in that of its critical class; nothing where there are two sides."""
    return f" [class {critical}]" if critical else ""


def read_seed(files: SeedPaths, known: Mapping[str, Any]) -> SeedRun[Scores]:
    """A seed of two sides; ``known`` is the content of ``done``, or without one its block in results.json.

    Raises:
        UserError: scores are missing or damaged.
    """
    scores = {part: read_scores(files.scores(part)) for part in files.scored}
    for part, values in scores.items():
        try:
            checked(values.label, values.score)
        except ValueError as error:
            raise UserError(f"{files.scores(part)}: {error}") from None
    return _seed_run(scores, known)


def read_class_seed(files: SeedPaths, known: Mapping[str, Any], classes: tuple[str, ...]) -> SeedRun[ClassScores]:
    """The same of K ``classes``.

    Raises:
        UserError: scores are missing or damaged, or not of these classes.
    """
    scores = {part: read_class_scores(files.scores(part)) for part in reversed(files.scored)}  # test before validation
    for part, values in scores.items():
        try:
            _check(values, classes)
        except ValueError as error:
            raise UserError(f"{files.scores(part)}: {error}") from None
        if values.critical != scores["test"].critical:
            raise UserError(f"{files.scores(part)}: other critical classes than those of the test set")
    return _seed_run(scores, known)


def read_last(files: SeedPaths, test: ClassScores) -> ClassScores | None:
    """The scores of the test set at the end of training; None if the seed has none.

    Raises:
        UserError: they are damaged, or not of the samples of ``test``.
    """
    if not files.last_test.exists():
        return None
    found = read_class_scores(files.last_test)
    try:
        _check(found, test.names)
    except ValueError as error:
        raise UserError(f"{files.last_test}: {error}") from None
    if not same_samples(found, test):
        raise UserError(f"{files.last_test}: other samples than in {files.scores('test').name}")
    return found


def same_samples(first: Scores | ClassScores, second: Scores | ClassScores) -> bool:
    """Whether two files hold the same samples in the same order, and of K classes the same are critical."""
    same = np.array_equal(first.index, second.index) and np.array_equal(first.label, second.label)
    if isinstance(first, ClassScores) and isinstance(second, ClassScores):
        same = same and (first.names, first.critical) == (second.names, second.critical)
    return same and first.split == second.split


def _check(scores: ClassScores, classes: tuple[str, ...]) -> None:
    if scores.names != classes:
        raise ValueError("the classes are not those of config.yaml")
    if len(set(scores.critical)) < len(scores.critical):
        raise ValueError("a critical class stands there twice")
    for values in scores.outputs.T:
        if not np.isfinite(values).all():
            raise ValueError("an output is not a finite number")
    if missing := sorted(set(range(len(classes))) - set(scores.label.tolist())):
        raise ValueError(f"class {classes[missing[0]]} has no sample")
    for view in scores.views.values():
        checked(view.label, view.score)


def _number(known: Mapping[str, Any], name: str) -> int | None:
    return value if isinstance(value := known.get(name), int) and 0 <= value < MOST_EPOCHS else None


def _seed_run(scores: Mapping[str, Samples], known: Mapping[str, Any]) -> SeedRun[Samples]:
    stopped = known.get("stopped_early")
    return SeedRun(
        scores["validation"],
        scores["test"],
        _number(known, "best_epoch"),
        _number(known, "epochs"),
        stopped if isinstance(stopped, bool) else None,
        scores.get(CALIBRATION),
    )


def _view(seed: SeedRun[ClassScores], column: int) -> SeedRun[Scores]:
    calibration = None if seed.calibration is None else seed.calibration.view(column)
    return SeedRun(
        seed.validation.view(column),
        seed.test.view(column),
        seed.best_epoch,
        seed.epochs,
        seed.stopped_early,
        calibration,
    )
