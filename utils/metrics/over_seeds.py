"""Mean and standard deviation over the seeds of the blocks of results.json."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

Combine = Callable[[list[float]], float | None]
SETS = ("validation", "test")
DECISION_METRICS = ("precision", "f1", "mcc", "expected_cost")


def combined(blocks: Sequence[dict[str, Any]], combine: Combine) -> dict[str, Any]:
    """``combine`` over the seeds for every number but intervals, thresholds and counts."""
    result: dict[str, Any] = {}
    for part in SETS:
        parts = [block[part] for block in blocks]
        values = _each(parts, combine, "auc", "auprc", "balanced_accuracy")
        for name in ("fpr_at_tpr", "tpr_at_fpr", "error_at_fpr"):
            values[name] = _each([p[name] for p in parts], combine, *parts[0][name])
        rates = [p["weighted_rate"] for p in parts]
        values["weighted_rate"] = {"alpha": rates[0]["alpha"], **_each(rates, combine, "value")}
        values["cost_ratio"] = parts[0]["cost_ratio"]
        defaults = [p["at_default_threshold"] for p in parts]
        values["at_default_threshold"] = _each(defaults, combine, "tpr", "fpr", "error", *DECISION_METRICS)
        result[part] = values
    tests = [block["test"] for block in blocks]
    result["test"]["thresholds"] = [
        {"rule": points[0]["rule"], "target": points[0]["target"]}
        | _each(points, combine, "tpr", "fpr", *DECISION_METRICS, "balanced_accuracy")
        for points in zip(*(test["thresholds"] for test in tests), strict=True)
    ]
    calibrations = [test["calibration"] for test in tests]
    result["test"]["calibration"] = _each(calibrations, combine, "error", "error_scaled")
    return result


def combined_classes(blocks: Sequence[dict[str, Any]], combine: Combine) -> dict[str, Any]:
    """The same of runs with K classes."""
    result: dict[str, Any] = {}
    for part in SETS:
        parts = [block[part] for block in blocks]
        result[part] = {
            **_each(parts, combine, "auc", "accuracy", "balanced_accuracy"),
            "recall": _each([p["recall"] for p in parts], combine, *parts[0]["recall"]),
            "shots": {name: _of_known([p["shots"][name] for p in parts], combine) for name in parts[0]["shots"]},
        }
    for name in blocks[0]["test"]["critical"]:
        views = [{part: block[part]["critical"][name] for part in SETS} for block in blocks]
        for part, values in combined(views, combine).items():
            result[part].setdefault("critical", {})[name] = values
    of_rules = [[d for d in block["test"]["decisions"] if d["rule"] == "plug-in"] for block in blocks]
    result["test"]["decisions"] = [
        {"rule": each[0]["rule"], "tpr": each[0]["tpr"]}
        | _each(each, combine, "accuracy", "balanced_accuracy")
        | {"recall": _each([d["recall"] for d in each], combine, *each[0]["recall"])}
        | ({"error_of_others": combine([d["error_of_others"] for d in each])} if "error_of_others" in each[0] else {})
        for each in zip(*of_rules, strict=True)
    ]
    return result


def sample_deviation(values: list[float]) -> float | None:
    """Standard deviation with n - 1; None of a single seed."""
    return statistics.stdev(values) if len(values) > 1 else None


def _each(blocks: Sequence[dict[str, Any]], combine: Combine, *keys: str) -> dict[str, Any]:
    return {key: combine([block[key] for block in blocks]) for key in keys}


def _of_known(values: Sequence[float | None], combine: Combine) -> float | None:
    """Of values that are None in all seeds or in none."""
    known = [value for value in values if value is not None]
    return combine(known) if known else None
