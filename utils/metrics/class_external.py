"""How a model of K classes with frozen thresholds does on other data than those it was trained and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .class_summary import ClassEvaluation, argmax, class_summary, decided
from .decisions import Decisions, Threshold
from .external import by_group, judged, shift
from .intervals import rate_interval
from .multiclass import Labels
from .scores import ClassScores


def judged_classes(
    scores: ClassScores,
    *,
    decisions: Mapping[str, Decisions],
    options: ClassEvaluation,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The numbers of a set, and what the frozen thresholds give on it, with 95 % intervals.

    "critical" has for each critical class against the rest what ``external.judged`` says of two sides; "decisions" what
    the thresholds of all critical classes give together, for each rule and target that all of them have.

    Args:
        scores: of the set; each critical class must occur, and another class; the others may not.
        decisions: the thresholds of each critical class by its name, chosen before.
        options: rates at which the set is read.
        generator: for the intervals of the AUC.
    """
    result = class_summary(scores, options=options, partial=True)
    is_right = argmax(scores) == scores.label
    groups = scores.groups
    result["accuracy_interval"] = rate_interval(is_right, groups=groups)
    result["recall_interval"] = {}
    for label, name in enumerate(options.names):
        rows = scores.label == label
        own = None if groups is None else groups[rows]
        result["recall_interval"][name] = rate_interval(is_right[rows], groups=own) if rows.any() else None
    result["critical"] = {
        name: judged(view, decisions=decisions[name], options=options.critical[name], generator=generator)
        for name, view in scores.views.items()
    }
    result["decisions"] = [
        {
            "rule": rule,
            "tpr": target,
            "thresholds": dict(zip(decisions, values, strict=True)),
            **decided(scores, values, options=options),
        }
        for rule, target, values in common_thresholds(decisions)
    ]
    return result


def common_thresholds(decisions: Mapping[str, Decisions]) -> list[tuple[str, float | None, list[float]]]:
    """Rule, target and the value of each critical class, of those that all have: plug-in first, then promises."""
    found: list[tuple[str, float | None, list[float]]] = []
    for rule in ("plug-in", "NP", "CRC", "default"):
        first = [  # of several for one target the first, as ``Decisions.chosen`` takes it
            {item.target: item.value for item in reversed(own.thresholds) if item.rule == rule}
            for own in decisions.values()
        ]
        for item in next(iter(decisions.values())).thresholds:
            values = [each.get(item.target) for each in first]
            known = [value for value in values if value is not None]
            if item.rule == rule and len(known) == len(values) and (rule, item.target, known) not in found:
                found.append((rule, item.target, known))
    return found


def shift_of_classes(scores: ClassScores, before: ClassScores) -> dict[str, Any]:
    """Of each critical class, by its name, how far the scores of it and of the rest lie from those of the test set."""
    there = before.views
    return {name: shift(view, there[name]) for name, view in scores.views.items()}


def classes_by_group(
    scores: ClassScores, values: Sequence[str], thresholds: Mapping[str, Threshold]
) -> dict[str, list[dict[str, Any]]]:
    """Of each critical class, by its name, ``external.by_group`` at its threshold."""
    return {name: by_group(view, values, thresholds[name]) for name, view in scores.views.items()}


def class_labels(labels: Sequence[str], *, names: Sequence[str]) -> Labels:
    """(n,) 0..K-1 of each label.

    Args:
        labels: the name of a class.
        names: of the K classes.

    Raises:
        ValueError: the different labels that are none.

    >>> class_labels(["cat", " dog", "cat"], names=["dog", "cat"]).tolist()
    [1, 0, 1]
    """
    meaning = {name: label for label, name in enumerate(names)}
    texts = [text.strip() for text in labels]
    if other := [text for text in dict.fromkeys(texts) if text not in meaning]:
        raise ValueError(", ".join(other))
    return np.array([meaning[text] for text in texts], dtype=np.int64)
