"""From the scores of a set to the numbers of results.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..seeding import numpy_stream
from .calibration import BINS, calibration_error, fitted_temperature
from .groups import count_groups, one_of_each
from .intervals import auc_interval, fpr_at_tpr_interval, methods, rate_interval
from .promised_thresholds import TINY, Promise, crc_threshold, np_threshold, samples_needed, two_thresholds
from .roc import Array, Rates, Roc, auc, auprc, rates_at, roc
from .scores import Scores
from .thresholds import cost_threshold, fpr_threshold, prior_threshold, shown_threshold


@dataclass(frozen=True)
class EvaluationOptions:
    """The rates, weights and costs at which scores are evaluated.

    Args:
        tprs: true positive rates at which the FPR is read and thresholds are chosen, in (0, 1].
        alpha: weight of the TPR in the weighted rate, in [0, 1].
        default_threshold: samples with at least this score are classified as positive.
        fprs: false positive rates at which TPR and error are read and thresholds are chosen, in (0, 1].
        cost_ratio: cost of a false negative in units of a false positive, > 0.
        class_counts: (negatives, positives) of the training set, for the threshold shifted by the priors.
        promises: what thresholds are to promise about new samples.
        compared: among how many models the validation set chose the one that is evaluated.
    """

    tprs: tuple[float, ...]
    alpha: float
    default_threshold: float
    fprs: tuple[float, ...]
    cost_ratio: float
    class_counts: tuple[int, int]
    promises: tuple[Promise, ...] = ()
    compared: int = 1

    def with_compared(self, change: Callable[[int], int]) -> EvaluationOptions:
        """A copy for a model that was chosen among ``change(compared)``."""
        return replace(self, compared=change(self.compared))


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold chosen without the test set, and the confusion matrix that it gives there.

    Args:
        target: what the threshold was chosen for, such as a TPR on the validation set.
        threshold: samples with at least this score are classified as positive.
        rates: on the test set.
    """

    target: float
    threshold: float
    rates: Rates


@dataclass(frozen=True)
class RulePoint(OperatingPoint):
    """An operating point chosen by a rule of ``thresholds``, with its expected cost on the test set."""

    name: str
    cost: float


def summary(scores: Scores, *, options: EvaluationOptions) -> dict[str, Any]:
    """The numbers of one set, as they stand in results.json; rates in [0, 1]."""
    labels, values = scores.label, scores.score
    curve = roc(labels, values)
    at_default = rates_at(labels, values, options.default_threshold)
    limits = {str(fpr): curve.thresholds[curve.last_within(fpr)] for fpr in options.fprs}
    within = {fpr: rates_at(labels, values, threshold) for fpr, threshold in limits.items()}
    positives = int(labels.sum())
    return {
        "auc": auc(labels, values),
        "auprc": auprc(labels, values),
        "prior": positives / len(labels),
        "fpr_at_tpr": {str(tpr): curve.fpr_at(tpr) for tpr in options.tprs},
        "tpr_at_fpr": {fpr: rates.tpr for fpr, rates in within.items()},
        "error_at_fpr": {fpr: rates.error for fpr, rates in within.items()},
        "balanced_accuracy": at_default.balanced_accuracy,
        "weighted_rate": {"alpha": options.alpha, "value": at_default.weighted_rate(options.alpha)},
        "cost_ratio": options.cost_ratio,
        "at_default_threshold": {
            "threshold": options.default_threshold,
            "tpr": at_default.tpr,
            "fpr": at_default.fpr,
            "error": at_default.error,
            **_decision_metrics(at_default, options),
        },
        "n_positive": positives,
        "n_negative": len(labels) - positives,
        **_counted_groups(scores),
    }


def summary_with_intervals(
    validation: Scores,
    test: Scores,
    *,
    calibration: Scores | None = None,
    options: EvaluationOptions,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """``summary`` of the test set, with 95 % intervals, and what is chosen or fitted without it.

    "operating_points" and "thresholds": chosen on validation, or from the class counts; counted on test.
    "promises" and "two_thresholds": chosen on the calibration set, or else on validation; see ``promised``.
    "calibration": the temperature fitted on validation, the calibration error on test without and with it. Neither the
    costs nor the calibration carry over to another class mix than that of these sets (see ``calibration``).
    """
    result = summary(test, options=options)
    tprs = options.tprs
    curve = roc(validation.label, validation.score)
    points = operating_points(curve, test, tprs)
    groups = test.groups
    result["auc_interval"] = auc_interval(test.label, test.score, generator=generator, groups=groups)
    result["fpr_at_tpr_interval"] = {
        str(tpr): fpr_at_tpr_interval(test.label, test.score, tpr, groups=groups) for tpr in tprs
    }
    result["interval_methods"] = methods(groups)
    result["operating_points"] = [
        {"target_tpr": point.target, "rule": "plug-in", "threshold": point.threshold}
        | _counted(point.rates)
        | rate_intervals(point.threshold, test)
        for point in points
    ]
    result["thresholds"] = [
        {"rule": point.name, "target": point.target, "threshold": point.threshold, **_counted(point.rates)}
        | _decision_metrics(point.rates, options)
        | {"balanced_accuracy": point.rates.balanced_accuracy}
        for point in rule_points(curve, validation, test, options=options)
    ]
    result |= promised(validation, test, calibration=calibration, options=options)
    result["calibration"] = fitted_calibration(validation, test)
    return result


def operating_points(curve: Roc, test: Scores, tprs: Sequence[float]) -> tuple[OperatingPoint, ...]:
    """For each TPR the highest threshold that reaches it on the validation set, whose ROC is ``curve``."""
    thresholds = [curve.threshold_at(tpr) for tpr in tprs]
    return tuple(
        OperatingPoint(tpr, threshold, rates_at(test.label, test.score, threshold))
        for tpr, threshold in zip(tprs, thresholds, strict=True)
    )


def rule_points(curve: Roc, validation: Scores, test: Scores, *, options: EvaluationOptions) -> tuple[RulePoint, ...]:
    """The thresholds of the other rules: by the class priors (if there are both classes), the cost, and each FPR.

    Args:
        curve: ROC of the validation set.
        validation: the scores it is of.
        test: where the confusion matrix is counted.
        options: costs, FPRs and training class counts.
    """
    positives, trained, cost_ratio = int(validation.label.sum()), options.class_counts, options.cost_ratio
    counts = (len(validation.label) - positives, positives)
    rules = [("prior", trained[1] / sum(trained), prior_threshold(trained))] if min(trained) > 0 else []
    rules.append(("cost", cost_ratio, cost_threshold(curve, class_counts=counts, cost_ratio=cost_ratio)))
    rules += [("fpr", fpr, fpr_threshold(curve, fpr)) for fpr in options.fprs]
    return tuple(rule_point(*rule, test, options=options) for rule in rules)


def rule_point(rule: str, target: float, threshold: float, test: Scores, *, options: EvaluationOptions) -> RulePoint:
    """The point of a given threshold."""
    rates = rates_at(test.label, test.score, threshold)
    return RulePoint(target, threshold, rates, name=rule, cost=rates.expected_cost(options.cost_ratio))


def promised(
    validation: Scores, test: Scores, *, calibration: Scores | None, options: EvaluationOptions
) -> dict[str, Any]:
    """Thresholds that promise a TPR on new samples, and what they give on test (see ``metrics.promised_thresholds``).

    Where samples belong to groups, a threshold is chosen from one sample of each group, drawn at random: what is
    promised is the TPR on a random sample of a new group, whatever the sizes of groups and the likeness within them.
    On the validation set the correction is for the choice of the epoch; that the set may also have steered mu and the
    learning rate is not in it.

    "promises": two of each promise, by the rules NP and CRC; a threshold of None has too few positives, and "needed"
    says how many there must be. "two_thresholds": rule out, refer, rule in, for each promise with each FPR.
    """
    chosen_on, compared = (validation, options.compared) if calibration is None else (calibration, 1)
    positives, negatives = (units(chosen_on, side) for side in (1, 0))
    basis: dict[str, Any] = {
        "on": "validation" if calibration is None else "calibration",
        "compared": compared if compared < 2**53 else float(compared),
        "n_positive": len(positives),
        "n_negative": len(negatives),
        **({} if chosen_on.groups is None else {"unit": "group"}),
    }
    points, pairs = [], []
    for promise in options.promises:
        level = max(promise.risk / compared, TINY)
        kept = np_threshold(positives, promise, compared=compared)
        needed = {"NP": samples_needed(1 - promise.tpr, level), "CRC": math.ceil(1 / (1 - promise.tpr) - 1 - 1e-9)}
        on_average = crc_threshold(positives, promise.tpr) if compared == 1 else None
        for rule, threshold, risk in (("NP", kept, promise.risk), ("CRC", on_average, None)):
            if rule == "NP" or compared == 1:  # a mean has no correction for a choice
                point = {"rule": rule, "tpr": promise.tpr, "risk": risk, "needed": needed[rule], "threshold": threshold}
                shown = {} if threshold is None else {"shown": shown_threshold(threshold, chosen_on.score, test.score)}
                points.append(basis | point | shown | _on_test(threshold, test))
        for fpr in options.fprs if compared == 1 else ():
            pair = two_thresholds(positives, negatives, tpr=promise.tpr, fpr=fpr, risk=promise.risk)
            wanted: dict[str, Any] = {"tpr": promise.tpr, "fpr": fpr, "risk": promise.risk}
            if pair is not None:
                referred = (test.score >= pair.low) & (test.score < pair.high)
                shares = {
                    f"referred_{name}": float(referred[test.label == side].mean())
                    for name, side in (("positives", 1), ("negatives", 0))
                }
                wanted |= {"low": pair.low, "high": pair.high, **shares}
                wanted |= {f"at_{name}": _on_test(getattr(pair, name), test)["test"] for name in ("low", "high")}
                pairs.append(basis | wanted)
    return {"promises": points, "two_thresholds": pairs}


def _on_test(threshold: float | None, test: Scores) -> dict[str, Any]:
    """What a threshold gives on test, with its intervals; nothing of no threshold."""
    if threshold is None:
        return {}
    rates = rates_at(test.label, test.score, threshold)
    return {"test": _counted(rates) | rate_intervals(threshold, test)}


def units(scores: Scores, side: int) -> Array:
    """The scores of one class that are exchangeable with new ones: all, or one at random of each group."""
    values: Array = scores.score[scores.label == side]
    groups = scores.groups_of(side)
    if groups is None:
        return values
    drawn: Array = values[one_of_each(groups, generator=numpy_stream(side, "one of each group"))]
    return drawn


def _counted_groups(scores: Scores) -> dict[str, int]:
    """How many groups have a sample of each class; nothing where there are no groups."""
    found = {"n_groups_positive": scores.groups_of(1), "n_groups_negative": scores.groups_of(0)}
    return {name: count_groups(groups) for name, groups in found.items() if groups is not None}


def rate_intervals(threshold: float, scores: Scores) -> dict[str, list[float]]:
    """ "tpr_interval" and "fpr_interval" of a threshold."""
    called = scores.score >= threshold
    return {
        name: rate_interval(called[scores.label == side], groups=scores.groups_of(side))
        for name, side in (("tpr_interval", 1), ("fpr_interval", 0))
    }


def fitted_calibration(validation: Scores, test: Scores) -> dict[str, Any]:
    """The temperature fitted on validation, and the calibration error on test without and with it."""
    fitted = fitted_temperature(validation.label, validation.score)
    return {
        "temperature": fitted.value,
        "at_bound": fitted.at_bound,
        "error": calibration_error(test.label, test.score),
        "error_scaled": calibration_error(test.label, test.score, temperature=fitted.value),
        "bins": BINS,
    }


def _counted(rates: Rates) -> dict[str, Any]:
    return {"tpr": rates.tpr, "fpr": rates.fpr, "tp": rates.tp, "fp": rates.fp, "tn": rates.tn, "fn": rates.fn}


def _decision_metrics(rates: Rates, options: EvaluationOptions) -> dict[str, float]:
    cost = rates.expected_cost(options.cost_ratio)
    return {"precision": rates.precision, "f1": rates.f1, "mcc": rates.mcc, "expected_cost": cost}
