"""What model.pt and best.pt say of how a model is evaluated, and of K classes; checked as they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.class_summary import ClassEvaluation
from ..metrics.decisions import Decisions
from ..metrics.summary import EvaluationOptions

LARGEST_MASK = 2**26  # critical classes times classes: an objective keeps a byte for each pair


@dataclass(frozen=True)
class ClassContent:
    """K classes: the original class of each label, the C critical labels, and of each critical one its thresholds."""

    classes: tuple[int, ...]
    critical: tuple[int, ...]
    decisions: dict[str, Decisions]
    evaluation: ClassEvaluation

    @property
    def columns(self) -> tuple[int, ...]:
        """The shape of a sample's scores: () of two classes, (C,) of more."""
        return (len(self.critical),) if len(self.classes) > 2 else ()


def class_content(content: Mapping[str, Any], class_names: Sequence[str] | None) -> ClassContent:
    """The entries ``classes``, ``decisions`` and ``evaluation`` of a model of K classes.

    Raises:
        TypeError, ValueError, KeyError, IndexError, AttributeError: they are not those of such a model.
    """
    classes, critical = tuple(content["classes"]["labels"]), tuple(content["classes"]["critical"])
    _check_integers(*classes, *critical)
    if len(classes) < 2 or len(set(classes)) < len(classes) or min(classes) < 0:
        raise ValueError("classes that are not at least two different ones")
    if not critical or len(set(critical)) < len(critical) or not 0 <= min(critical) <= max(critical) < len(classes):
        raise ValueError("critical classes that are not some of the classes")
    if len(classes) == 2 and critical != (1,):
        raise ValueError("of two classes the second is the critical one")
    if len(classes) * len(critical) > LARGEST_MASK:
        raise ValueError(f"{len(classes)} classes")
    names = tuple(str(number) if class_names is None else class_names[number] for number in classes)
    evaluation = class_evaluation(content["evaluation"])
    chosen = [names[label] for label in critical]
    if evaluation.names != names or len(set(names)) < len(names):
        raise ValueError("other names of the classes")
    if list(evaluation.critical) != chosen or list(content["decisions"]) != chosen:
        raise ValueError("thresholds of other classes than the critical ones")
    decisions = {name: Decisions.from_dict(content["decisions"][name]) for name in chosen}
    return ClassContent(classes, critical, decisions, evaluation)


def class_evaluation(content: Mapping[str, Any]) -> ClassEvaluation:
    """What ``model_pt.evaluation_dict`` gave of K classes; errors as of ``class_content``."""
    names, counts = tuple(content["names"]), tuple(content["train_counts"])
    _check_integers(*counts)
    if len(counts) != len(names) or min(counts) < 1:
        raise ValueError("train_counts that are not those of the classes")
    return ClassEvaluation(
        names, counts, {str(name): evaluation_options(each) for name, each in content["critical"].items()}
    )


def evaluation_options(content: Mapping[str, Any]) -> EvaluationOptions:
    """What ``model_pt.evaluation_dict`` gave of two sides; errors as of ``class_content``."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    options = EvaluationOptions(**given)
    rates = (*options.tprs, *options.fprs)
    _check_numbers(*rates, options.alpha, options.cost_ratio, options.default_threshold)
    _check_integers(*options.class_counts)
    if not rates or not 0 < min(rates) <= max(rates) <= 1 or not 0 <= options.alpha <= 1 or options.cost_ratio <= 0:
        raise ValueError("rates that are not in (0, 1]")
    if len(options.class_counts) != 2 or min(options.class_counts) < 0:
        raise ValueError("class_counts that are not those of two classes")
    return options


def check_facts(facts: Mapping[str, Any], found: ClassContent) -> None:
    """Check what the objective of a seed is told of its data.

    Raises:
        TypeError, ValueError, KeyError: it does not fit the classes.
    """
    counts = facts["class_counts"]
    _check_integers(facts["classes"], *facts["critical"], *counts)
    _check_numbers(facts["ratio_pos_train"])
    if facts["classes"] != len(found.classes) or tuple(facts["critical"]) != found.critical:
        raise ValueError("facts of other classes")
    if len(counts) != len(found.classes) or min(counts) < 1:
        raise ValueError("class_counts that are not those of the classes")


def _check_integers(*values: object) -> None:
    for value in values:
        if type(value) is not int or abs(value) > 2**53:
            raise ValueError(f"{value!r:.40} for an integer")


def _check_numbers(*values: object) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{value!r:.40} for a number")
