"""Slow references written from the formulas: Python loops over samples and pairs, float64, no part of utils/.

Legend: s score (logit), y label in {0, 1}, 1 = positive; P positives, N negatives of a batch.
Losses and the penalty work on float64 torch scalars, so that autograd gives their gradients too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

Reference = Callable[..., Tensor]


# ---------------------------------------------------------------- scalars


def sigma(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), written for each sign so that exp never overflows."""
    if x.item() >= 0:
        return 1 / (1 + torch.exp(-x))
    return torch.exp(x) / (1 + torch.exp(x))


def log_sigma(x: Tensor) -> Tensor:
    """log of sigma(x), exact far into both tails."""
    if x.item() >= 0:
        return -torch.log1p(torch.exp(-x))
    return x - torch.log1p(torch.exp(x))


def log_probability(x: Tensor, eps: float) -> Tensor:
    """log(sigma(x) + eps); eps = 0 in the exact form. 1 - sigma(x) is sigma(-x)."""
    return log_sigma(x) if eps == 0 else torch.log(sigma(x) + eps)


def rows(outputs: Tensor) -> list[Tensor]:
    """One-output scores as a list of float64 scalars that keep their graph."""
    flat = outputs.reshape(-1)
    return [flat[i].double() for i in range(flat.numel())]


def labels_of(targets: Tensor) -> list[int]:
    return [int(t) for t in targets.reshape(-1).tolist()]


def mean(terms: Sequence[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for term in terms:
        total = total + term
    return total / len(terms)


def by_class(scores: Sequence[Tensor], labels: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    positives = [s for s, y in zip(scores, labels, strict=True) if y == 1]
    negatives = [s for s, y in zip(scores, labels, strict=True) if y == 0]
    return positives, negatives


# ---------------------------------------------------------------- the objectives


def weighted_logistic(outputs: Tensor, targets: Tensor, positive_weight: float, negative_weight: float) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(-positive_weight * log_sigma(s) if y == 1 else -negative_weight * log_sigma(-s))
    return mean(terms)


def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    return weighted_logistic(outputs, targets, 1.0, 1.0)


def symmetric_margin(outputs: Tensor, targets: Tensor, *, m: float, eps: float = 0.0) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(-log_probability(s - m, eps) if y == 1 else -log_probability(-(s + m), eps))
    return mean(terms)


def asymmetric_margin(outputs: Tensor, targets: Tensor, *, m: float, eps: float = 0.0) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(-log_probability(s - m, eps) if y == 1 else -log_probability(-s, eps))
    return mean(terms)


def symmetric_focal(outputs: Tensor, targets: Tensor, *, gamma: float, eps: float = 0.0) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        toward = s if y == 1 else -s  # sigma(toward) = probability of the true class
        terms.append(-(sigma(-toward) ** gamma) * log_probability(toward, eps))
    return mean(terms)


def asymmetric_focal(outputs: Tensor, targets: Tensor, *, gamma: float, eps: float = 0.0) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        if y == 1:
            terms.append(-log_probability(s, eps))
        else:
            terms.append(-(sigma(s) ** gamma) * log_probability(-s, eps))
    return mean(terms)


def weighted_bce(outputs: Tensor, targets: Tensor, *, c: float, ratio_pos_train: int) -> Tensor:
    return weighted_logistic(outputs, targets, c * ratio_pos_train, 1.0)


def class_balanced_bce(outputs: Tensor, targets: Tensor, *, beta: float, class_counts: tuple[int, int]) -> Tensor:
    weights = [(1 - beta) / (1 - beta**n) for n in class_counts]
    return weighted_logistic(outputs, targets, weights[1], weights[0])


def ldam_margins(class_counts: tuple[int, int], max_margin: float = 0.5) -> list[float]:
    """C / n^(1/4) with C such that the largest margin is max_margin."""
    raw = [n ** (-0.25) for n in class_counts]
    return [max_margin * r / max(raw) for r in raw]


def ldam(
    outputs: Tensor,
    targets: Tensor,
    *,
    class_counts: tuple[int, int],
    max_margin: float = 0.5,
    scale: float = 30.0,
) -> Tensor:
    margins = ldam_margins(class_counts, max_margin)
    terms = []
    for i, y in enumerate(labels_of(targets)):
        true_logit = scale * (outputs[i, y].double() - margins[y])
        other_logit = scale * outputs[i, 1 - y].double()
        terms.append(-log_sigma(true_logit - other_logit))  # softmax over two classes
    return mean(terms)


def mbauc(outputs: Tensor, targets: Tensor) -> Tensor:
    positives, negatives = by_class(rows(outputs), labels_of(targets))
    terms = [(1 - (sigma(p) - sigma(n))) ** 2 for p in positives for n in negatives]
    return mean(terms) if terms else 0.0 * outputs.double().sum()


def msfe(outputs: Tensor, targets: Tensor) -> Tensor:
    positives, negatives = by_class(rows(outputs), labels_of(targets))
    total = torch.zeros((), dtype=torch.float64)
    if negatives:
        total = total + mean([0.5 * sigma(s) ** 2 for s in negatives]) ** 2
    if positives:
        total = total + mean([0.5 * sigma(-s) ** 2 for s in positives]) ** 2  # (1 - sigma(s))^2
    return total


def log_pairwise(outputs: Tensor, targets: Tensor) -> Tensor:
    positives, negatives = by_class(rows(outputs), labels_of(targets))
    terms = [-log_sigma(p - n) for p in positives for n in negatives]
    return mean(terms) if terms else 0.0 * outputs.double().sum()


REFERENCES: dict[str, Reference] = {
    "BCE": bce,
    "SYM_LM": symmetric_margin,
    "ASYM_LM": asymmetric_margin,
    "SYM_FL": symmetric_focal,
    "ASYM_FL": asymmetric_focal,
    "WBCE": weighted_bce,
    "cb_BCE": class_balanced_bce,
    "LDAM": ldam,
    "MBAUC": mbauc,
    "MSFE": msfe,
    "LOG_PW": log_pairwise,
}


# ---------------------------------------------------------------- the constraint


def violation(positive: Tensor, negatives: Sequence[Tensor], delta: float) -> Tensor:
    """q_j; a pair exactly at the margin is satisfied and has no gradient."""
    total = torch.zeros((), dtype=torch.float64)
    for negative in negatives:
        shortfall = delta - (positive - negative)
        if shortfall.item() > 0:
            total = total + shortfall
    return total


def violations(scores: Tensor, targets: Tensor, delta: float) -> list[Tensor]:
    positives, negatives = by_class(rows(scores), labels_of(targets))
    return [violation(p, negatives, delta) for p in positives]


def mean_violation(scores: Tensor, targets: Tensor, delta: float) -> float:
    """Mean over positives of q_j / N."""
    n_negative = labels_of(targets).count(0)
    q = [v.item() for v in violations(scores, targets, delta)]
    return math.fsum(q) / len(q) / n_negative


def in_violated_pair(scores: Tensor, targets: Tensor, delta: float) -> list[bool]:
    """For every sample of the batch: is it in at least one strictly violated pair?"""
    s, y = scores.double().tolist(), labels_of(targets)
    touched = [False] * len(s)
    for j in range(len(s)):
        for k in range(len(s)):
            if y[j] == 1 and y[k] == 0 and delta - (s[j] - s[k]) > 0:
                touched[j] = touched[k] = True
    return touched


class ReferenceLagrangian:
    """Penalty and multiplier update with one Python float for each dataset index."""

    def __init__(self, num_samples: int, *, delta: float, mu: float, p2_norm: float = 1.0) -> None:
        self.delta, self.mu, self.p2_norm = delta, mu, p2_norm
        self.multipliers = [0.0] * num_samples
        self.seen: list[tuple[int, float]] = []

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        s, y = rows(scores), labels_of(targets)
        positives, negatives = by_class(s, y)
        self.seen = []
        if not positives or not negatives:
            return 0.0 * scores.double().sum()
        total = torch.zeros((), dtype=torch.float64)
        for score, label, index in zip(s, y, indices.tolist(), strict=True):
            if label == 0:
                continue
            q = violation(score, negatives, self.delta)
            if q.item() > 0:  # both terms are 0 at q = 0, with gradient 0 through q
                total = total + self.mu / 2 * q ** (2 * self.p2_norm) + self.multipliers[index] * q
            self.seen.append((index, q.item()))
        return total / (len(positives) * len(negatives))

    def update_multipliers(self) -> None:
        for index, q in self.seen:
            self.multipliers[index] += self.mu * q
        self.seen = []


def default_mu_limit(mu: float, rho: float) -> float:
    return mu * rho**3 if mu >= 1e-3 else mu * rho**5


def mu_course(
    aucs: Sequence[float],
    *,
    mu: float,
    rho: float,
    mu_limit: float | None = None,
    cap_mu: bool = True,
    introd_ALM_from: int = 0,
    unconditional_step: bool = True,
) -> list[float]:
    """mu after each epoch 0, 1, 2, ..., one branch of the rule a line."""
    limit = default_mu_limit(mu, rho) if mu_limit is None else mu_limit
    course: list[float] = []
    stopped = False
    for epoch, auc in enumerate(aucs):
        e = epoch - introd_ALM_from
        if e >= 2 and not stopped:
            fell = auc < aucs[epoch - 1] - 0.05
            if cap_mu and auc == 1:
                stopped = True
            elif rho * mu > limit:
                mu, stopped = limit, True
            elif (e == 2 and unconditional_step) or fell:
                mu = rho * mu
        course.append(mu)
    return course


# ---------------------------------------------------------------- metrics


def auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Share of the (positive, negative) pairs in the right order, a tie counting one half."""
    pairs = [(p, n) for p, yp in zip(scores, labels, strict=True) if yp == 1
             for n, yn in zip(scores, labels, strict=True) if yn == 0]  # fmt: skip
    halves = sum(2 if p > n else 1 if p == n else 0 for p, n in pairs)
    return float(Fraction(halves, 2 * len(pairs)))


def counts_at(labels: Sequence[int], scores: Sequence[float], threshold: float) -> tuple[int, int, int, int]:
    """(tp, fp, tn, fn) when score >= threshold is called positive."""
    tp = fp = tn = fn = 0
    for y, s in zip(labels, scores, strict=True):
        if s >= threshold:
            tp, fp = tp + (y == 1), fp + (y == 0)
        else:
            tn, fn = tn + (y == 0), fn + (y == 1)
    return tp, fp, tn, fn


def threshold_at_tpr(labels: Sequence[int], scores: Sequence[float], tpr: float) -> float:
    """The highest score that, as threshold, reaches the TPR (the decimal meant, not its nearest double)."""
    target = Fraction(repr(float(tpr)))
    for threshold in sorted(set(scores), reverse=True):
        tp, _, _, fn = counts_at(labels, scores, threshold)
        if Fraction(tp, tp + fn) >= target:
            return threshold
    raise AssertionError("the lowest score has TPR 1")


def fpr_at_tpr(labels: Sequence[int], scores: Sequence[float], tpr: float) -> float:
    """FPR at the first threshold, from the top, that reaches the TPR."""
    _, fp, tn, _ = counts_at(labels, scores, threshold_at_tpr(labels, scores, tpr))
    return fp / (fp + tn)


def average_precision(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Sum over the thresholds, from the top, of precision times the gain in recall."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        tp, fp, _, fn = counts_at(labels, scores, threshold)
        area += (tp / (tp + fn) - recall) * tp / (tp + fp)
        recall = tp / (tp + fn)
    return area
