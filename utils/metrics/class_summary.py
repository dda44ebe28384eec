"""From the scores of a set with K classes to the numbers of results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import rate_interval
from .multiclass import (
    Labels,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    decide,
    error_of_others,
    macro_auc,
    recalls,
    shot_accuracies,
    thresholds_at,
)
from .scores import ClassScores
from .summary import EvaluationOptions, summary, summary_with_intervals


@dataclass(frozen=True)
class ClassEvaluation:
    """How the scores of K classes are evaluated.

    Args:
        names: of the K classes.
        train_counts: training samples of each, in the same order.
        critical: of each critical class how its scores are evaluated, as positives against the rest.
    """

    names: tuple[str, ...]
    train_counts: tuple[int, ...]
    critical: Mapping[str, EvaluationOptions]

    @property
    def labels(self) -> tuple[int, ...]:
        """Those of the critical classes."""
        return tuple(self.names.index(name) for name in self.critical)

    @property
    def tprs(self) -> tuple[float, ...]:
        """The recalls at which the critical classes are decided on."""
        return next(iter(self.critical.values())).tprs

    def with_compared(self, change: Callable[[int], int]) -> ClassEvaluation:
        """A copy for a model that was chosen among ``change(compared)``."""
        changed = {name: options.with_compared(change) for name, options in self.critical.items()}
        return replace(self, critical=changed)


def class_summary(scores: ClassScores, *, options: ClassEvaluation, partial: bool = False) -> dict[str, Any]:
    """The numbers of one set; rates in [0, 1].

    "auc" is the mean over the classes, each against the rest; accuracy, recall and "confusion" (rows: the class,
    columns: what it is decided to be) are those of the largest output; "shots" has the mean recall of the classes with
    more than 100, 20 to 100, and fewer than 20 training samples. "critical" has for each critical class what a task of
    two classes has of its positives. Where the set is ``partial``, some of the other classes may have no samples: "auc"
    is None then, as are their recalls.
    """
    matrix = confusion_matrix(scores.label, argmax(scores), classes=len(options.names))
    return {
        "auc": None if partial and not matrix.sum(axis=1).all() else macro_auc(scores.label, scores.outputs),
        "accuracy": accuracy(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        "recall": named_recalls(options, matrix),
        "shots": shot_accuracies(matrix, options.train_counts),
        "confusion": matrix.tolist(),
        "n": len(scores.label),
        "n_of_class": named(options, matrix.sum(axis=1).tolist()),
        "critical": {name: summary(view, options=options.critical[name]) for name, view in scores.views.items()},
    }


def class_summary_with_intervals(
    validation: ClassScores,
    test: ClassScores,
    *,
    calibration: ClassScores | None = None,
    options: ClassEvaluation,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """``class_summary`` of the test set, with 95 % intervals, and what decisions with thresholds give on it.

    "decisions" has for each TPR what the rule "critical class c where its score reaches t_c, else the best of the
    others" gives with the thresholds that reach this TPR on validation ("plug-in"), and, where each class has enough
    positives, with those that promise it ("NP", see ``summary.promised``).
    """
    result = class_summary(test, options=options)
    is_right = argmax(test) == test.label
    result["accuracy_interval"] = rate_interval(is_right, groups=test.groups)
    result["recall_interval"] = {
        name: _interval(test, is_right, test.label == label) for label, name in enumerate(options.names)
    }
    result["critical"] = {
        name: summary_with_intervals(
            validation.view(column),
            view,
            calibration=None if calibration is None else calibration.view(column),
            options=options.critical[name],
            generator=deepcopy(generator),  # of each the numbers that a task of two classes has
        )
        for column, (name, view) in enumerate(test.views.items())
    }
    result["decisions"] = decisions(validation, test, result["critical"], options=options)
    return result


def argmax(scores: ClassScores) -> Labels:
    """(n,) the class with the largest output, of equals the first."""
    found: Labels = scores.outputs.argmax(axis=1).astype(np.int64)
    return found


def decisions(
    validation: ClassScores, test: ClassScores, critical: Mapping[str, Mapping[str, Any]], *, options: ClassEvaluation
) -> list[dict[str, Any]]:
    """The blocks of "decisions"; ``critical`` are those of the critical classes on the test set."""
    labels, rules = options.labels, []
    for tpr in options.tprs:
        chosen = thresholds_at(validation.label, validation.scores, critical=labels, tpr=tpr)
        rules.append(("plug-in", tpr, list(chosen)))
    points = [[point for point in block["promises"] if point["rule"] == "NP"] for block in critical.values()]
    rules += [  # of each promise, a point of each critical class
        ("NP", same[0]["tpr"], [point["threshold"] for point in same])
        for same in zip(*points, strict=True)
        if all(point["threshold"] is not None for point in same)
    ]
    return [
        {"rule": rule, "tpr": tpr, "thresholds": dict(zip(options.critical, thresholds, strict=True))}
        | decided(test, thresholds, options=options)
        for rule, tpr, thresholds in rules
    ]


def decided(test: ClassScores, thresholds: Sequence[float], *, options: ClassEvaluation) -> dict[str, Any]:
    """What thresholds of the critical classes give on a set: recalls, the error of the other classes, the matrix."""
    labels = options.labels
    predicted = decide(test.outputs, test.scores, critical=labels, thresholds=thresholds)
    matrix = confusion_matrix(test.label, predicted, classes=len(options.names))
    found: dict[str, Any] = {
        "recall": named_recalls(options, matrix),
        "recall_interval": {options.names[own]: _interval(test, predicted == own, test.label == own) for own in labels},
        "accuracy": accuracy(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        "confusion": matrix.tolist(),
    }
    is_other = ~np.isin(test.label, labels)
    if is_other.any():
        found["error_of_others"] = error_of_others(test.label, predicted, critical=labels)
        found["error_of_others_interval"] = _interval(test, predicted != test.label, is_other)
    return found


def named(options: ClassEvaluation, values: Sequence[Any]) -> dict[str, Any]:
    """A value for each class, by its name."""
    return dict(zip(options.names, values, strict=True))


def named_recalls(options: ClassEvaluation, matrix: NDArray[np.int64]) -> dict[str, float | None]:
    """The recall of each class, by its name; None of a class without samples."""
    return named(options, [None if np.isnan(value) else float(value) for value in recalls(matrix)])


def _interval(scores: ClassScores, called: np.ndarray[Any, np.dtype[np.bool_]], members: Any) -> list[float]:
    """The interval of the share of ``members`` (n,) that are ``called`` (n,)."""
    groups = scores.groups
    return rate_interval(called[members], groups=None if groups is None else groups[members])
