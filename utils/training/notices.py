"""Notices to the user: numbers in, lines of text out.

Before training: sets that are too small, and images that occur twice. While a seed trains: a diverging constraint and
batches that lack a class. When a seed stops: the likely cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

USUAL_AUC = 0.9  # the AUC for which the standard error of a validation AUC is computed
LARGEST_ERROR = 0.03  # standard error without a notice; reached with about 55 images of each class
RUN_AWAY = 10.0  # times the penalty or objective of the first epoch
LARGE_SHARE = 0.25  # of the batches lack a class
ENOUGH_BATCHES = 20  # before their share is reported

Counts = Mapping[str, Mapping[str, int]]  # {"validation": {"negative": n, "positive": p}, "test": ...}


def data_notices(counts: Counts, *, tprs: Sequence[float], repeats: Mapping[str, int]) -> list[str]:
    """The notices before training.

    Args:
        counts: images of each class, at least of "validation" and "test".
        tprs: the TPRs at which the FPR is reported.
        repeats: see ``data.repeats.count_repeats``.
    """
    return [*fine_tprs(counts, tprs), *small_validation(counts), *repeated_images(counts, repeats)]


def class_notices(
    counts: Counts, *, critical: Sequence[str], tprs: Sequence[float], repeats: Mapping[str, int]
) -> list[str]:
    """The same of K classes, of which each critical one is positive against the rest.

    Args:
        counts: images of each class by its name, at least of "validation" and "test".
        critical: names of the critical classes.
        tprs, repeats: as for ``data_notices``.
    """
    lines = []
    for name in critical:
        view = {
            part: {"positive": of_class[name], "negative": sum(of_class.values()) - of_class[name]}
            for part, of_class in counts.items()
        }
        lines += [f"class {name}: {line}" for line in (*fine_tprs(view, tprs), *small_validation(view))]
    return [*lines, *repeated_images(counts, repeats)]


def fine_tprs(counts: Counts, tprs: Sequence[float]) -> list[str]:
    """TPRs that the number of positives cannot resolve.

    >>> fine_tprs({"validation": {"positive": 50}, "test": {"positive": 49}}, [0.98, 0.9])
    ['TPR 0.98 is finer than the 49 positives of the test set resolve: it asks for all of them']
    """
    return [
        f"TPR {tpr:g} is finer than the {positives} positives of the {part} set resolve: it asks for all of them"
        for part in ("validation", "test")
        for positives in [counts[part]["positive"]]
        for tpr in tprs
        if 1 - 1 / positives < tpr < 1
    ]


def small_validation(counts: Counts) -> list[str]:
    """A validation set whose AUC is too uncertain to choose an epoch by: a standard error above 0.03 at AUC 0.9."""
    negatives, positives = counts["validation"]["negative"], counts["validation"]["positive"]
    error = auc_error(USUAL_AUC, positives=positives, negatives=negatives)
    if error <= LARGEST_ERROR:
        return []
    return [
        f"the validation set has {positives} positives and {negatives} negatives: an AUC of {USUAL_AUC:g} has a "
        f"standard error of {error:.3f} there, and an FPR moves in steps of {100 / negatives:.2g} %; the best epoch "
        "and the thresholds are chosen by differences that can be chance"
    ]


def auc_error(auc: float, *, positives: int, negatives: int) -> float:
    """Standard error of an AUC from so many images, for exponential scores.

    Reference: Hanley and McNeil, Radiology 143 (1982).

    >>> round(auc_error(0.9, positives=100, negatives=100), 4)
    0.0223
    """
    one_positive, one_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc)
    variance += (positives - 1) * (one_positive - auc**2) + (negatives - 1) * (one_negative - auc**2)
    return math.sqrt(variance / (positives * negatives))


def repeated_images(counts: Counts, repeats: Mapping[str, int]) -> list[str]:
    """Images in two sets, so that one of the sets is not independent of the other."""
    lines = []
    for name, meaning in (
        ("test in train", "the test numbers are too good, by what was memorised"),
        ("test in validation", "the test numbers are not independent of the choice of the epoch"),
        ("validation in train", "the best epoch is chosen by images that were memorised"),
        ("calibration in train", "a promise counts images that were memorised, and does not hold"),
        ("calibration in validation", "a promise counts images that chose the epoch, and may not hold"),
        ("test in calibration", "the test rates at a promise's threshold are not independent of it"),
        ("calibration in calibration", "a promise counts each as one of its own, and may not hold"),
    ):
        part, _, other = name.partition(" in ")
        number = repeats.get(name, 0)
        if number:
            total = sum(counts[part].values())
            file = "training images" if other == "train" else f"{other} images"
            among = f"among the {file}" if part != other else "an earlier one of them"
            verb = "is byte for byte" if number == 1 else "are byte for byte"
            lines.append(f"{number} of the {total} {part} images {verb} {among}: {meaning}")
    return lines


class Watch:
    """Watches the epochs of one seed and gives each notice once.

    Args:
        seed: its number.
        seen: records of earlier epochs, for which notices were given before.
    """

    def __init__(self, seed: int, *, seen: Iterable[Mapping[str, Any]] = ()) -> None:
        self.seed = seed
        self._start = 0.0
        self._batches = self._one_class = 0
        self._said: set[str] = set()
        for record in seen:
            self.epoch(record)

    def epoch(self, record: Mapping[str, Any]) -> list[str]:
        """The new lines, given a record of history.jsonl."""
        found = {"run away": self._run_away(record), "one class": self._one_class_batches(record)}
        lines = [line for kind, line in found.items() if line and kind not in self._said]
        self._said |= {kind for kind, line in found.items() if line}
        return lines

    def _run_away(self, record: Mapping[str, Any]) -> str:
        """Notice if the epoch's mean penalty exceeds ten times the larger of penalty and objective in the first epoch.

        The larger of the two, since an objective near 0, as after a baseline, says nothing about the scale. An epoch
        whose batches had no pair has neither, and the next one is the first.
        """
        penalty, objective = record.get("train_penalty"), record.get("train_loss")
        quantiles = record.get("multiplier_quantiles")
        if not (_is_number(penalty) and _is_number(objective) and isinstance(quantiles, dict)):
            return ""
        start = self._start = self._start or max(penalty, objective, 0.0)
        if penalty <= RUN_AWAY * start:
            return ""
        epoch = int(record["epoch"]) if _is_number(record.get("epoch")) else "?"
        return (
            f"seed {self.seed}: the multipliers run away: in epoch {epoch} the constraint's penalty is {penalty:.3g}, "
            f"{penalty / start:.0f} times what training began with (largest multiplier "
            f"{_shown(quantiles.get('1'))}, mu {_shown(record.get('mu'))}); a lower --delta or --mu holds them"
        )

    def _one_class_batches(self, record: Mapping[str, Any]) -> str:
        one_class, steps = record.get("one_class_batches"), record.get("steps")
        if not (_is_number(one_class) and _is_number(steps)):
            return ""
        self._batches += int(steps)
        self._one_class += int(one_class)
        if self._batches < ENOUGH_BATCHES or self._one_class < LARGE_SHARE * self._batches:
            return ""
        return (
            f"seed {self.seed}: {self._one_class} of the first {self._batches} batches lack a class: in them the "
            "constraint and the pairwise objectives have no pair and give 0; a larger --bsize has fewer "
            "(one_class_batches in history.jsonl)"
        )


def training_notices(seed: int, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The notices that ``Watch`` gave while ``seed`` trained, from its history.jsonl."""
    watch = Watch(seed)
    return [line for record in records for line in watch.epoch(record)]


def likely_cause(
    *, lr: float, multipliers: Sequence[float] = (), mu: float = 0.0, delta: float = 0.0, sound_weights: bool = True
) -> str:
    """Why a number was not finite, and what to try.

    Args:
        lr: the learning rate.
        multipliers: of the training positives, where there is a constraint.
        mu, delta: of the constraint.
        sound_weights: whether all weights are finite.

    A multiplier is the gradient with which the constraint raises the score of a positive; that of BCE is at most 1. So
    a mean above 1 points to the constraint, and anything else to the learning rate. NaN is ignored: it comes from the
    bad batch.
    """
    parts = [] if sound_weights else ["an update made weights that are not finite"]
    known = [value for value in multipliers if not math.isnan(value)]
    mean = sum(known) / len(known) if known else 0.0
    remedy = f"Try a lower --lr (now {lr:g})" + (f", --mu or --delta (now {delta:g})" if multipliers else "")
    if mean > 1:
        largest = f"largest {max(known):.3g}, mean {mean:.3g}"
        parts.append(f"the multipliers run away ({largest}, mu {mu:g}, delta {delta:g})")
    else:
        parts.append("the learning rate is too high")
    return f"Likely cause: {' and '.join(parts)}. {remedy}"


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value from a file is a number within the range of a float; NaN is not."""
    return isinstance(value, (int, float)) and -1e300 < value < 1e300


def _shown(value: Any) -> str:
    return f"{value:.3g}" if _is_number(value) else "?"
