"""Thresholds that are chosen without the test set: from the class counts, or on a validation set.

A sample is classified as positive where score >= threshold; every threshold is finite. For the threshold that reaches a
given TPR see ``roc.threshold_at_tpr``.
"""

from __future__ import annotations

import decimal
import math

import numpy as np

from .roc import Array, Roc

SAME = 1e-12  # costs within this relative difference are equal: 0.1 * 12 and 0.1 * 2 + 1 differ in the last bit


def prior_threshold(class_counts: tuple[int, int]) -> float:
    """The threshold shifted by the class priors: positive where the posterior exceeds the prior of the training set.

    sigma(s) >= P / (P + N)    <=>    s >= log(P / N)

    For the true posterior no rule has a higher balanced accuracy, at any class mix. It is meant for scores that are
    log-odds under the training prior, such as those of plain cross-entropy with natural batches. An objective that
    weights the classes, or a sampler that balances them, has shifted the threshold already, and this shifts it again;
    for a score that is not a log-odds (a cosine, a ranking score) it is meaningless.

    Args:
        class_counts: (N, P), negatives and positives of the training set, each at least 1.

    Raises:
        ValueError: a class is missing.

    Reference: Menon, Narasimhan, Agarwal, Chawla, "On the statistical consistency of algorithms for binary
    classification under class imbalance", ICML 2013; Buda, Maki, Mazurowski, "A systematic study of the class imbalance
    problem in convolutional neural networks", Neural Networks 2018.

    >>> prior_threshold((100, 1)) == -math.log(100)    # p >= 1/101 where s >= log(1/100)
    True
    >>> prior_threshold((7, 7))
    0.0
    """
    negatives, positives = class_counts
    if min(negatives, positives) < 1:
        raise ValueError(f"class_counts must be (negatives, positives), each >= 1, got {class_counts}")
    return math.log(positives) - math.log(negatives)


def cost_threshold(curve: Roc, *, class_counts: tuple[int, int], cost_ratio: float) -> float:
    """The threshold that minimises  cost_ratio * FN + FP  on the set of ``curve``.

    Ties go to the lowest FPR, which is the highest threshold. It is optimal for the class mix of that set: for another
    share pi of positives, pass cost_ratio * (pi / P) / ((1 - pi) / N).

    Args:
        curve: ROC of the validation set.
        class_counts: (N, P), negatives and positives of that set.
        cost_ratio: cost of a false negative in units of a false positive, > 0.

    Returns:
        A score of that set, or the next float above all of them if it costs least to classify nothing as positive.

    Raises:
        ValueError: ``cost_ratio`` is not a finite number > 0.

    Reference: Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.

    Positives 3 and 1, negatives 2 and 0. Down the curve the costs are 2 c (all missed), c, c + 1, 1, 2:

    >>> tpr, fpr = np.array([0, 0.5, 0.5, 1, 1]), np.array([0, 0, 0.5, 0.5, 1])
    >>> curve = Roc(fpr=fpr, tpr=tpr, thresholds=np.array([math.inf, 3, 2, 1, 0]))
    >>> [cost_threshold(curve, class_counts=(2, 2), cost_ratio=ratio) for ratio in (10, 1, 0.5)]
    [1.0, 3.0, 3.0]
    """
    if not (math.isfinite(cost_ratio) and cost_ratio > 0):
        raise ValueError(f"cost_ratio must be a finite number > 0, got {cost_ratio}")
    negatives, positives = class_counts
    missed, alarms = np.rint((1 - curve.tpr) * positives), np.rint(curve.fpr * negatives)
    costs = cost_ratio * missed + alarms
    return _threshold(curve, int(np.argmax(costs <= costs.min() * (1 + SAME))))


def fpr_threshold(curve: Roc, fpr: float) -> float:
    """The lowest threshold whose FPR is at most ``fpr`` on the set of ``curve``; nothing is interpolated.

    Args:
        curve: ROC of the validation set.
        fpr: in [0, 1]; below 1/N no false positive is allowed.

    Returns:
        A score of that set, or the next float above all of them if the highest score has too many false positives.

    Raises:
        ValueError: ``fpr`` is not in [0, 1].

    Positives 3 and 1, negatives 2 and 0:

    >>> tpr, fpr = np.array([0, 0.5, 0.5, 1, 1]), np.array([0, 0, 0.5, 0.5, 1])
    >>> curve = Roc(fpr=fpr, tpr=tpr, thresholds=np.array([math.inf, 3, 2, 1, 0]))
    >>> [fpr_threshold(curve, rate) for rate in (0.05, 0.5, 0.99, 1)]
    [3.0, 1.0, 1.0, 0.0]
    """
    return _threshold(curve, curve.last_within(fpr))


def shown_threshold(threshold: float, *scores: Array, digits: int = 4) -> str:
    """The threshold with as few digits as classify every one of ``scores`` as the threshold itself does.

    Rounded to the nearest number if that keeps all decisions, otherwise downwards, otherwise with one more digit.

    Args:
        threshold: samples with at least this score are classified as positive; finite.
        scores: (n,) each; every set whose counts stand beside the threshold.
        digits: significant digits, at least.

    Returns:
        What ``float`` reads; all digits of the threshold where nothing shorter will do.

    To the nearest, 0.123456 becomes 0.1235, which misses the sample that it was chosen for:

    >>> shown_threshold(0.123456, np.array([0.123456, 0.9])), shown_threshold(0.123456, np.array([0.123456, 0.12345]))
    ('0.1234', '0.123456')
    """
    values = np.concatenate(scores)
    called = values >= threshold
    lowest, highest = values[~called].max(initial=-math.inf), values[called].min(initial=math.inf)
    for count in range(digits, 17):
        for rounding in (decimal.ROUND_HALF_EVEN, decimal.ROUND_FLOOR):
            rounded = decimal.Context(prec=count, rounding=rounding).create_decimal_from_float(threshold)
            text = f"{float(rounded):.{count}g}"
            if lowest < float(text) <= highest:
                return text
    return repr(threshold)


def _threshold(curve: Roc, point: int) -> float:
    """The threshold of a point; at the origin, where it is infinite, the next float above the highest score."""
    return float(curve.thresholds[point]) if point else math.nextafter(float(curve.thresholds[1]), math.inf)
