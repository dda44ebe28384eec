"""The table that a run prints at its end."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..metrics.class_summary import ClassEvaluation
from ..metrics.summary import EvaluationOptions
from ..run_files.paths import RunPaths
from ..run_files.results_json import rebuild
from ..system.installation import typed

SHOTS = {"many": "more than 100", "medium": "20 to 100", "few": "fewer than 20"}  # see metrics.multiclass


def table(result: dict[str, Any]) -> str:
    """The numbers of the test set as text: a line for each seed, mean and SD, and the ensemble with its intervals."""
    tprs = list(result["ensemble"]["test"]["fpr_at_tpr"])
    header = ["", "best epoch", "val AUC", "test AUC", *(f"FPR@{float(tpr) * 100:g}TPR" for tpr in tprs)]
    rows = [header]
    for seed, values in result["seeds"].items():
        rows.append([f"seed {seed}", str(values["best_epoch"]), *_row(values, tprs)])
    if result["n_seeds"] > 1:
        rows.append(["mean", "", *_row(result["mean"], tprs)])
        rows.append(["SD", "", *_row(result["std"], tprs)])
        rows.append(["ensemble", "", *_row(result["ensemble"], tprs)])
    rows.append(["  95 % interval", "", "", *_intervals(result["ensemble"]["test"], tprs)])
    lines = aligned(rows)
    test = result["ensemble"]["test"]
    counted = f"{test['n_positive']} positives, {test['n_negative']} negatives"
    if "n_groups_positive" in test:
        counted += f", in {test['n_groups_positive']} and {test['n_groups_negative']} groups, which the intervals count"
    lines.append(f"test set: {counted}; FPR in %")
    return "\n".join([*lines, "", *promises(test)])


def class_table(result: dict[str, Any]) -> str:
    """The same of K classes: accuracies and the mean AUC, then each critical class, then decisions with thresholds."""
    test = result["ensemble"]["test"]
    shots = [name for name, value in test["shots"].items() if value is not None]
    rows = [["", "best epoch", "val AUC", "test AUC", "accuracy", "balanced", *shots, "last epoch"]]
    for seed, values in result["seeds"].items():
        last = values.get("last_epoch")
        cells = [f"{last['accuracy'] * 100:.2f}"] if last else [""]
        rows.append([f"seed {seed}", str(values["best_epoch"]), *_class_row(values, shots), *cells])
    if result["n_seeds"] > 1:
        names = {"mean": "mean", "std": "SD", "ensemble": "ensemble"}
        rows += [[shown, "", *_class_row(result[name], shots), ""] for name, shown in names.items()]
    low, high = test["accuracy_interval"]
    rows.append(["  95 % interval", "", "", "", f"[{low * 100:.2f}, {high * 100:.2f}]", "", *[""] * len(shots), ""])
    groups = ", ".join(f"{name} {SHOTS[name]}" for name in shots)
    lines = [
        *aligned(rows),
        f"test set: {test['n']} samples of {len(test['recall'])} classes; accuracies in % (last epoch: at the end of"
        " training)",
        f"AUC: mean over the classes, each against the rest; {groups} training samples",
        "",
    ]
    tprs = list(next(iter(test["critical"].values()))["fpr_at_tpr"])
    rows = [["critical class", "test AUC", *(f"FPR@{float(tpr) * 100:g}TPR" for tpr in tprs), "recall"]]
    for name, block in test["critical"].items():
        rates = [f"{block['fpr_at_tpr'][tpr] * 100:.1f}" for tpr in tprs]
        rows.append([name, f"{block['auc']:.4f}", *rates, f"{test['recall'][name] * 100:.1f}"])
        rows.append(["  95 % interval", *_intervals(block, tprs), _percents(test["recall_interval"][name])])
    lines += [*aligned(rows), f"ensemble of {result['n_seeds']}, each against the rest; in %", ""]
    for point in test["decisions"]:
        lines.append(_decision_line(point, test["critical"]))
    for name, block in test["critical"].items():
        if found := promises(block):
            lines += ["", f"class {name}: {found[0]}", *found[1:]]
    return "\n".join(lines)


def _class_row(values: dict[str, Any], shots: Sequence[str]) -> list[str]:
    test = values["test"]
    rates = [test["accuracy"], test["balanced_accuracy"], *(test["shots"][name] for name in shots)]
    return [f"{values['validation']['auc']:.4f}", f"{test['auc']:.4f}", *(f"{rate * 100:.2f}" for rate in rates)]


def _decision_line(point: dict[str, Any], critical: Iterable[str]) -> str:
    """What the thresholds of one rule give, in words."""
    of_scores = "whose scores promise a TPR of" if point["rule"] == "NP" else "of validation for a recall of"
    recalls = ", ".join(f"{name} {point['recall'][name] * 100:.1f}" for name in critical)
    line = f"thresholds {of_scores} {point['tpr'] * 100:g} %: on test recall {recalls} %"
    if "error_of_others" in point:
        line += f", error of the other classes {point['error_of_others'] * 100:.1f} %"
        line += f" {_percents(point['error_of_others_interval'])}"
    return line


def _percents(interval: Sequence[float]) -> str:
    low, high = interval
    return f"[{low * 100:.1f}, {high * 100:.1f}]"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table: the first column to the left, the others to the right, a rule below the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def promises(test: dict[str, Any]) -> list[str]:
    """A line for each promised threshold, by the rule NP, and what it gave on test.

    Args:
        test: the block of the ensemble's test set in results.json.
    """
    kept = [point for point in test["promises"] if point["rule"] == "NP"]
    if not kept:
        return []
    first = kept[0]
    among = f"{first['compared']:,.0f}" if first["compared"] < 1e6 else f"{first['compared']:.2g}"
    chosen = f", which chose among {among} models" if first["compared"] > 1 else ""
    groups = "groups of " if first.get("unit") == "group" else ""
    positives = f"{first['n_positive']} {groups}{first['on']} positives"
    lines = [f"thresholds that promise a TPR on new images, from {positives}{chosen}"]
    for point in kept:
        promise = f"  TPR >= {point['tpr'] * 100:g} %, missed with probability <= {point['risk']:g}:"
        if point["threshold"] is None:
            lines.append(f"{promise} needs {point['needed']} {groups}positives")
            continue
        found, typed = point["test"], point["shown"]
        lines.append(
            f"{promise} score >= {typed}; on test TPR {found['tpr'] * 100:.1f} %, FPR {found['fpr'] * 100:.1f} %"
        )
    if first["on"] == "validation":
        lines.append("  (corrected for the choice of the epochs, not for mu and lr, which validation may steer too;")
        lines.append("  a set of its own needs neither, and fewer positives: --calibration_fraction)")
    return lines


def _row(values: dict[str, Any], tprs: Sequence[str]) -> list[str]:
    test = values["test"]
    cells = [f"{values['validation']['auc']:.4f}", f"{test['auc']:.4f}"]
    return [*cells, *(f"{test['fpr_at_tpr'][tpr] * 100:.1f}" for tpr in tprs)]


def _intervals(test: dict[str, Any], tprs: Sequence[str]) -> list[str]:
    low, high = test["auc_interval"]
    pairs = [test["fpr_at_tpr_interval"][tpr] for tpr in tprs]
    return [f"[{low:.3f}, {high:.3f}]", *(f"[{a * 100:.1f}, {b * 100:.1f}]" for a, b in pairs)]


def report(
    paths: RunPaths,
    *,
    evaluated: Mapping[int, int] = MappingProxyType({}),
    epochs: Mapping[int, int | None] = MappingProxyType({}),
    options: EvaluationOptions | ClassEvaluation,
    facts: Callable[[int], dict[str, Any]],
    warned: bool = False,
) -> None:
    """Rebuild the results (see ``rebuild``), then print the table and the paths of the files.

    Args:
        warned: whether the warnings were printed before; if not, they follow the table.
    """
    result = rebuild(paths, evaluated=evaluated, epochs=epochs, options=options, facts=facts)
    print(f"\n{class_table(result) if isinstance(options, ClassEvaluation) else table(result)}")
    for line in [] if warned else result["warnings"]:
        print(f"note: {line}")
    print(f"\nROC picture  {paths.roc}")
    if isinstance(options, ClassEvaluation):
        print(f"confusion    {paths.confusion}")
    print(f"numbers      {paths.results}")
    print(f"new images   {typed('predict', [str(paths.folder), '--images', 'new/', '--out', 'pred.csv'])}")
    print(f"TensorBoard  tensorboard --logdir {shlex.quote(str(paths.root))}")
