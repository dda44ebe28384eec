"""How a model with frozen thresholds does on other data than those it was trained and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decisions import Decisions, Pair, Threshold
from .intervals import auc_interval, fpr_at_tpr_interval, rate_interval
from .roc import auc, rates_at
from .scores import Scores
from .summary import EvaluationOptions, summary


def judged(
    scores: Scores, *, decisions: Decisions, options: EvaluationOptions, generator: np.random.Generator
) -> dict[str, Any]:
    """The numbers of a set, and what each frozen threshold gives on it, with 95 % intervals.

    Args:
        scores: of the set; both classes must occur.
        decisions: the thresholds, chosen before.
        options: rates at which the set is read.
        generator: for the interval of the AUC.
    """
    result = summary(scores, options=options)
    groups = scores.groups
    result["auc_interval"] = auc_interval(scores.label, scores.score, generator=generator, groups=groups)
    result["fpr_at_tpr_interval"] = {
        str(tpr): fpr_at_tpr_interval(scores.label, scores.score, tpr, groups=groups) for tpr in options.tprs
    }
    thresholds = [item for item in decisions.thresholds if item.value is not None]
    result["thresholds"] = [at_threshold(scores, item) for item in thresholds]
    result["operating_points"] = [
        {"target_tpr": item["target"], **item} for item in result["thresholds"] if item["rule"] == "plug-in"
    ]
    result["two_thresholds"] = [at_pair(scores, pair) for pair in decisions.pairs]
    return result


def at_threshold(scores: Scores, threshold: Threshold) -> dict[str, Any]:
    """Counts, TPR and FPR of a threshold, the two with exact intervals; None where a class does not occur."""
    assert threshold.value is not None
    called, is_positive = scores.score >= threshold.value, scores.label == 1
    tp, fp = int((called & is_positive).sum()), int((called & ~is_positive).sum())
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    return {
        "rule": threshold.rule,
        "target": threshold.target,
        "threshold": threshold.value,
        "meaning": threshold.meaning,
        "tp": tp,
        "fp": fp,
        "tn": negatives - fp,
        "fn": positives - tp,
        "tpr": tp / positives if positives else None,
        "tpr_interval": rate_interval(called[is_positive], groups=scores.groups_of(1)) if positives else None,
        "fpr": fp / negatives if negatives else None,
        "fpr_interval": rate_interval(called[~is_positive], groups=scores.groups_of(0)) if negatives else None,
    }


def at_pair(scores: Scores, pair: Pair) -> dict[str, Any]:
    """What is referred, and TPR and FPR at the two thresholds."""
    referred = (scores.score >= pair.low) & (scores.score < pair.high)
    low, high = (rates_at(scores.label, scores.score, value) for value in (pair.low, pair.high))
    return {
        "meaning": pair.meaning,
        "low": pair.low,
        "high": pair.high,
        "referred_positives": float(referred[scores.label == 1].mean()),
        "referred_negatives": float(referred[scores.label == 0].mean()),
        "tpr_low": low.tpr,
        "fpr_high": high.fpr,
    }


def shift(scores: Scores, before: Scores) -> dict[str, Any]:
    """How far the scores of each class lie from those of the run's test set.

    The mean of both, and the two-sample Kolmogorov-Smirnov distance, the largest difference of the two distribution
    functions, with its p value; None where samples of either belong to groups, as it takes all for independent.
    """
    from scipy.stats import ks_2samp

    result = {}
    is_grouped = scores.groups is not None or before.groups is not None
    for name, side in (("positive", 1), ("negative", 0)):
        here, there = scores.score[scores.label == side], before.score[before.label == side]
        test = ks_2samp(here, there)
        result[name] = {
            "mean": float(here.mean()),
            "mean_in_test": float(there.mean()),
            "distance": float(test.statistic),
            "p": None if is_grouped else float(test.pvalue),
        }
    return result


def by_group(scores: Scores, values: Sequence[str], threshold: Threshold) -> list[dict[str, Any]]:
    """The same of each group, ``values`` naming that of each sample: ``at_threshold``, and the AUC where both occur.

    The group with the lowest TPR is marked as ``worst``: of equals, the one with the highest FPR.
    """
    result = []
    named = np.array(values)
    for value in sorted(set(values)):
        rows = np.flatnonzero(named == value)
        own = Scores(
            scores.index[rows],
            scores.label[rows],
            scores.score[rows],
            [scores.split[row] for row in rows],
            scores.original_class[rows],
            group=None if scores.group is None else [scores.group[row] for row in rows],
        )
        both = 0 < own.label.sum() < len(own.label)
        numbers = at_threshold(own, threshold)
        result.append({"group": value, "auc": auc(own.label, own.score) if both else None, **numbers, "worst": False})
    with_positives = [item for item in result if item["tpr"] is not None]
    if len(with_positives) > 1:
        min(with_positives, key=lambda item: (item["tpr"], -(item["fpr"] or 0)))["worst"] = True
    return result


def label_numbers(
    labels: Sequence[str], *, negative: Mapping[str, int], positive: Mapping[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) 0 or 1 of each label, and (n,) its original class, -1 of a word.

    Args:
        labels: ``positive``, ``negative``, or what an original class is called.
        negative: the original classes of the negatives by what they are called.
        positive: those of the positives.

    Raises:
        ValueError: the different labels that are neither.

    >>> label_numbers(["scar", "negative", "tumour"], negative={"scar": 3}, positive={"tumour": 7})
    (array([0, 0, 1]), array([ 3, -1,  7]))
    """
    meaning: Mapping[str, tuple[int, int]] = {
        "negative": (0, -1),
        "positive": (1, -1),
        **{name: (0, number) for name, number in negative.items()},
        **{name: (1, number) for name, number in positive.items()},
    }
    texts = [text.strip() for text in labels]
    if other := [text for text in dict.fromkeys(texts) if text not in meaning]:
        raise ValueError(", ".join(other))
    sides, classes = np.array([meaning[text] for text in texts], dtype=np.int64).reshape(-1, 2).T
    return sides, classes
