"""The table that a run prints at its end."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..metrics.summary import EvaluationOptions
from ..run_files.paths import RunPaths
from ..run_files.results_json import rebuild
from ..system.installation import typed


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
    options: EvaluationOptions,
    facts: Callable[[int], dict[str, Any]],
    warned: bool = False,
) -> None:
    """Rebuild the results (see ``rebuild``), then print the table and the paths of the files.

    Args:
        warned: whether the warnings were printed before; if not, they follow the table.
    """
    result = rebuild(paths, evaluated=evaluated, epochs=epochs, options=options, facts=facts)
    print(f"\n{table(result)}")
    for line in [] if warned else result["warnings"]:
        print(f"note: {line}")
    print(f"\nROC picture  {paths.roc}\nnumbers      {paths.results}")
    print(f"new images   {typed('predict', [str(paths.folder), '--images', 'new/', '--out', 'pred.csv'])}")
    print(f"TensorBoard  tensorboard --logdir {shlex.quote(str(paths.root))}")
