"""The numbers of an evaluation on other data as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.class_names import listed
from ..errors import one_line


def card_text(run: str, results: Mapping[str, Any]) -> str:
    """Of two sides."""
    test = results["test"]
    counted = f"{test['n_positive']} positives, {test['n_negative']} negatives"
    lines = [
        f"{run} on {results['name']}: {counted}; thresholds as they were; {_intervals(results)}",
        "; ".join(_side_text(side, results["labels_read"][side]) for side in ("positive", "negative")),
        *_of_scores(test),
        *_shift_lines(results["shift"] or {}),
    ]
    for column, groups in results["groups"].items():
        lines += [f"by {column}, at {results['groups_at']}", *_group_lines(groups)]
    return "\n".join([*lines, *_broken_line(results)]) + "\n"


def _side_text(side: str, read: Mapping[str, Any]) -> str:
    """``positive is tumour: 30 images labelled tumour``."""
    images = [f"{count} labelled {one_line(text)}" for text, count in read["images"].items()]
    return f"{side} is {listed([one_line(name) for name in read['classes']])}: {', '.join(images)}"


def _intervals(results: Mapping[str, Any]) -> str:
    """What the intervals count."""
    if results["group"] is not None:
        return f"95 % intervals by the {results['n_groups']} groups of {one_line(results['group'])}"
    warning = ", which count images, as those of the run count groups: name theirs with --group COLUMN"
    return "95 % intervals" + (warning if results["run_counts_groups"] else "")


def class_card_text(run: str, results: Mapping[str, Any]) -> str:
    """Of K classes: all of them, then each critical one against the rest, then the decisions."""
    test = results["test"]
    counts = ", ".join(f"{one_line(name)} {count}" for name, count in test["n_of_class"].items())
    rates = [f"accuracy {_rate(test['accuracy'], test['accuracy_interval'])}"]
    rates += [f"balanced accuracy {test['balanced_accuracy']:.4f}"]
    rates += [] if test["auc"] is None else [f"mean AUC {test['auc']:.4f}"]
    lines = [
        f"{run} on {results['name']}: {test['n']} images; thresholds as they were; {_intervals(results)}",
        f"images: {counts}",
        f"largest output: {', '.join(rates)}",
    ]
    lines += [
        f"  recall of {one_line(name)}: {_rate(recall, test['recall_interval'][name])}"
        for name, recall in test["recall"].items()
        if recall is not None
    ]
    for name, block in test["critical"].items():
        lines += [f"{one_line(name)} against the rest", *(f"  {line}" for line in _of_scores(block))]
        lines += [f"  {line}" for line in _shift_lines((results["shift"] or {}).get(name, {}))]
    lines += [_decision_line(point, test["critical"]) for point in test["decisions"]]
    for column, of_class in results["groups"].items():
        for name, groups in of_class.items():
            lines += [f"by {column}, {one_line(name)} at {results['groups_at'][name]}", *_group_lines(groups)]
    return "\n".join([*lines, *_broken_line(results)]) + "\n"


def _of_scores(test: Mapping[str, Any]) -> list[str]:
    """What ``metrics.external.judged`` says of scores against a rest."""
    lines = [f"AUC {_rate(test['auc'], test['auc_interval'])}"]
    for tpr, fpr in test["fpr_at_tpr"].items():
        lines.append(f"FPR at TPR {tpr}: {_rate(fpr, test['fpr_at_tpr_interval'][tpr])}")
    lines += [f"score >= {item['threshold']:.6g} ({item['meaning']}): {_rates(item)}" for item in test["thresholds"]]
    lines += [
        f"{pair['meaning']}; referred {pair['referred_positives']:.1%} of the positives, "
        f"{pair['referred_negatives']:.1%} of the negatives"
        for pair in test["two_thresholds"]
    ]
    return lines


def _decision_line(point: Mapping[str, Any], critical: Mapping[str, Any]) -> str:
    """What the thresholds of one rule give together."""
    target = "" if point["tpr"] is None else f" {point['tpr']}"
    recalls = ", ".join(
        f"{one_line(name)} {_rate(point['recall'][name], point['recall_interval'][name])}" for name in critical
    )
    line = f"decided at {point['rule']}{target}: recall {recalls}"
    if "error_of_others" in point:
        line += f"; error of the other classes {_rate(point['error_of_others'], point['error_of_others_interval'])}"
    return line


def _shift_lines(shift: Mapping[str, Any]) -> list[str]:
    lines = []
    for side, found in shift.items():
        p = "-" if found["p"] is None else f"{found['p']:.2g}"
        lines.append(
            f"scores of {side}s: mean {found['mean']:.4g}, in the run's test set {found['mean_in_test']:.4g}; "
            f"Kolmogorov-Smirnov distance {found['distance']:.3f}, p {p}"
        )
    return lines


def _group_lines(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"  {one_line(item['group'])}: {_rates(item)}{'  <- worst' * item['worst']}" for item in groups]


def _broken_line(results: Mapping[str, Any]) -> list[str]:
    broken = results["broken"]
    return [f"{len(broken)} images could not be read (results.json names them)"] if broken else []


def _rates(item: Mapping[str, Any]) -> str:
    parts = [
        f"{name.upper()} -" if item[name] is None else f"{name.upper()} {_rate(item[name], item[f'{name}_interval'])}"
        for name in ("tpr", "fpr")
    ]
    return f"{', '.join(parts)} of {item['tp'] + item['fn']} positives, {item['fp'] + item['tn']} negatives"


def _rate(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"
