"""Slow references written from the formulas: Python loops over samples and pairs, float64, no part of utils/.

Legend: s score (logit), y label in {0, 1}, 1 = positive; P positives, N negatives of a batch.
Losses and the penalty work on float64 torch scalars, so that autograd gives their gradients too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor

Reference = Callable[..., Tensor]
Counts = tuple[int, ...]  # training samples of each class


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


def ldam_margins(class_counts: Counts, max_margin: float = 0.5) -> list[float]:
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
    return mean(ldam_terms(outputs, labels_of(targets), ldam_margins(class_counts, max_margin), scale))


def ldam_terms(outputs: Tensor, labels: Sequence[int], margins: Sequence[float], scale: float) -> list[Tensor]:
    terms = []
    for i, y in enumerate(labels):
        true_logit = scale * (outputs[i, y].double() - margins[y])
        other_logit = scale * outputs[i, 1 - y].double()
        terms.append(-log_sigma(true_logit - other_logit))  # softmax over two classes
    return terms


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


# ---------------------------------------------------------------- weighted, adjusted and scaled logistic losses


def focal_term(toward: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p; p = sigma(toward) is the probability of the true class."""
    return -(sigma(-toward) ** gamma) * log_sigma(toward)


def normalised_effective_weights(beta: float, class_counts: Counts) -> list[float]:
    """(1 - beta) / (1 - beta^n_c), times what makes them sum to the number of classes."""
    raw = [(1 - beta) / (1 - beta**n) for n in class_counts]
    return [w * len(raw) / sum(raw) for w in raw]


def weighted_mean(terms: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Divided by the sum of the weights, not by their number, as torch's cross_entropy(weight=...) does."""
    return mean([w * t for w, t in zip(weights, terms, strict=True)]) * (len(weights) / math.fsum(weights))


def class_weighted_logistic(outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int]) -> Tensor:
    n = sum(class_counts)
    return weighted_logistic(outputs, targets, n / class_counts[1], n / class_counts[0])


def weighted_cross_entropy(outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int]) -> Tensor:
    terms, weights = [], []
    for i, y in enumerate(labels_of(targets)):
        terms.append(-log_sigma(outputs[i, y].double() - outputs[i, 1 - y].double()))  # softmax over two classes
        weights.append(sum(class_counts) / (2 * class_counts[y]))
    return weighted_mean(terms, weights)


def alpha_focal(outputs: Tensor, targets: Tensor, *, gamma: float = 2.0, focal_alpha: float = 0.25) -> Tensor:
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(focal_alpha * focal_term(s, gamma) if y == 1 else (1 - focal_alpha) * focal_term(-s, gamma))
    return mean(terms)


def class_balanced_focal(
    outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int], beta: float = 0.9999, gamma: float = 2.0
) -> Tensor:
    weights = normalised_effective_weights(beta, class_counts)
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(weights[y] * focal_term(s if y == 1 else -s, gamma))
    return mean(terms)


def logit_adjustment(outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int], tau: float = 1.0) -> Tensor:
    """Softmax cross-entropy of f_c + tau log(prior of c), with s = f_1 - f_0: only the difference counts."""
    negatives, positives = class_counts
    shift = tau * math.log(positives / negatives)
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        terms.append(-log_sigma(s + shift) if y == 1 else -log_sigma(-(s + shift)))
    return mean(terms)


def vector_scaling(
    outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int], tau: float = 1.0, gamma: float = 0.3
) -> Tensor:
    """Of two outputs, tau log(prior of the other / prior of y) stands against the true class; here in one logit."""
    terms = []
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        factor = (class_counts[y] / max(class_counts)) ** gamma
        demand = tau * math.log(class_counts[1 - y] / class_counts[y])
        terms.append(-log_sigma(factor * (s if y == 1 else -s) - demand))  # log(1 + e^demand e^(-factor * +-s))
    return mean(terms)


def ldam_drw(
    outputs: Tensor,
    targets: Tensor,
    *,
    class_counts: tuple[int, int],
    max_margin: float = 0.5,
    scale: float = 30.0,
    beta: float = 0.9999,
    drw_from: int = 80,
    epoch: int = 0,
) -> Tensor:
    """LDAM, each sample weighed by its class from epoch drw_from on."""
    labels = labels_of(targets)
    terms = ldam_terms(outputs, labels, ldam_margins(class_counts, max_margin), scale)
    weights = normalised_effective_weights(beta, class_counts) if epoch >= drw_from else [1.0, 1.0]
    return weighted_mean(terms, [weights[y] for y in labels])


def entropy(class_counts: tuple[int, int]) -> float:
    """Of the prior, in nats: what binary cross-entropy is, on the training set, when each score is log(P/N)."""
    return -math.fsum(n / sum(class_counts) * math.log(n / sum(class_counts)) for n in class_counts)


def sampling_free(outputs: Tensor, targets: Tensor, *, class_counts: tuple[int, int]) -> Tensor:
    return bce(outputs, targets) / entropy(class_counts)


# ---------------------------------------------------------------- hinges on the single sample


def shortfall(margin: float, gap: Tensor) -> Tensor:
    """max(0, margin - gap), without gradient from margin on."""
    return margin - gap if gap.item() < margin else 0.0 * gap


def hinge(outputs: Tensor, targets: Tensor, *, m: float = 1.0) -> Tensor:
    return mean([shortfall(m, s if y == 1 else -s) for s, y in zip(rows(outputs), labels_of(targets), strict=True)])


def squared_hinge(outputs: Tensor, targets: Tensor, *, m: float = 1.0) -> Tensor:
    terms = [shortfall(m, s if y == 1 else -s) for s, y in zip(rows(outputs), labels_of(targets), strict=True)]
    return mean([t**2 for t in terms])


# ---------------------------------------------------------------- the smoothed confusion matrix


def any_loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    anyloss_metric: str = "f_beta",
    f_beta: float = 1.0,
    amplification: float = 73.0,
) -> Tensor:
    """1 - metric; a ratio whose denominator is 0 counts as 0, as in a batch that lacks a class."""
    tp = fp = tn = fn = torch.zeros((), dtype=torch.float64)
    for s, y in zip(rows(outputs), labels_of(targets), strict=True):
        offset = amplification * (sigma(s) - 0.5)
        called, not_called = sigma(offset), sigma(-offset)
        if y == 1:
            tp, fn = tp + called, fn + not_called
        else:
            fp, tn = fp + called, tn + not_called

    def ratio(part: Tensor, whole: Tensor) -> Tensor:
        return part / whole if whole.item() > 0 else 0.0 * outputs.double().sum()

    tpr, tnr = ratio(tp, tp + fn), ratio(tn, tn + fp)
    if anyloss_metric == "f_beta":
        weight = f_beta**2
        return 1 - ratio((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp)
    if anyloss_metric == "balanced_accuracy":
        return 1 - (tpr + tnr) / 2
    if anyloss_metric == "geometric_mean":
        product = tpr * tnr
        return 1 - product.sqrt() if product.item() > 0 else 1 + 0.0 * outputs.double().sum()
    if anyloss_metric == "accuracy":
        return 1 - (tp + tn) / len(labels_of(targets))
    raise ValueError(anyloss_metric)


# ---------------------------------------------------------------- surrogates of the AUC


def area_under_min(outputs: Tensor, targets: Tensor, *, rate: bool) -> Tensor:
    """AUM: over the thresholds T = -s, the area under the smaller of false positives and false negatives.

    Between two neighbouring scores low < high the threshold calls positive what scores at least high.
    """
    scores, labels = rows(outputs), labels_of(targets)
    n_positive, n_negative = labels.count(1), labels.count(0)
    total = 0.0 * outputs.double().sum()
    if not n_positive or not n_negative:
        return total
    of_value = {s.item(): s for s in scores}  # equal scores are one threshold
    steps = sorted(of_value)
    for low, high in pairwise(steps):
        fp = sum(y == 0 and s.item() >= high for s, y in zip(scores, labels, strict=True))
        fn = sum(y == 1 and s.item() <= low for s, y in zip(scores, labels, strict=True))
        smaller = min(fp / n_negative, fn / n_positive) if rate else min(fp, fn)
        total = total + smaller * (of_value[high] - of_value[low])
    return total


def aum_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    return area_under_min(outputs, targets, rate=True)


def aum_count(outputs: Tensor, targets: Tensor) -> Tensor:
    return area_under_min(outputs, targets, rate=False)


def squared_hinge_pairwise(outputs: Tensor, targets: Tensor, *, m: float = 1.0) -> Tensor:
    positives, negatives = by_class(rows(outputs), labels_of(targets))
    terms = [shortfall(m, p - n) ** 2 for p in positives for n in negatives]
    return mean(terms) if terms else 0.0 * outputs.double().sum()


def square_pairwise(outputs: Tensor, targets: Tensor, *, m: float = 1.0) -> Tensor:
    positives, negatives = by_class(rows(outputs), labels_of(targets))
    terms = [(m - (p - n)) ** 2 for p in positives for n in negatives]
    return mean(terms) if terms else 0.0 * outputs.double().sum()


def aucm(
    outputs: Tensor,
    targets: Tensor,
    *,
    m: float = 1.0,
    a: float | Tensor = 0.0,
    b: float | Tensor = 0.0,
    alpha: float | Tensor = 0.0,
) -> Tensor:
    """The min-max form of the mean over pairs of (m - (h_j - h_k))^2, h = sigma(s), at given a, b, alpha.

    Where they are best, a and b are the class means, alpha = m + b - a, and it is that mean. A class without samples
    has no terms, and without pairs there is nothing for alpha to weigh.
    """
    positives, negatives = by_class([sigma(s) for s in rows(outputs)], labels_of(targets))
    spread = torch.zeros((), dtype=torch.float64)
    if positives:
        spread = spread + mean([(h - a) ** 2 for h in positives])
    if negatives:
        spread = spread + mean([(h - b) ** 2 for h in negatives])
    if not positives or not negatives:
        return spread
    return spread + 2 * alpha * (m + mean(negatives) - mean(positives)) - alpha**2


def largest_share(terms: Sequence[Tensor], share: float) -> Tensor:
    """Mean of the largest share of the terms; the last one that fits only in part counts with that part (CVaR)."""
    room = share * len(terms)
    total, left = torch.zeros((), dtype=torch.float64), room
    for term in sorted(terms, key=lambda t: -t.item()):
        weight = min(1.0, left)
        if weight <= 0:
            break
        total, left = total + weight * term, left - weight
    return total / room


def partial_auc(
    outputs: Tensor,
    targets: Tensor,
    *,
    m: float = 1.0,
    max_fpr: float = 0.1,
    num_samples: int = 0,
) -> Tensor:
    """Of each positive the squared hinges against the negatives that rank highest."""
    scores, labels = rows(outputs), labels_of(targets)
    _, negatives = by_class(scores, labels)
    if not negatives or 1 not in labels:
        return 0.0 * outputs.double().sum()
    terms = []
    for s, y in zip(scores, labels, strict=True):
        if y == 1:
            hinges = [shortfall(m, s - n) ** 2 for n in negatives]
            terms.append(largest_share(hinges, max_fpr))
    return mean(terms)


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
    "AUM_RATE": aum_rate,
    "AUM_COUNT": aum_count,
    "SQ_HINGE_PW": squared_hinge_pairwise,
    "SQUARE_PW": square_pairwise,
    "AUCM": aucm,
    "PAUC": partial_auc,
    "W_LOGISTIC": class_weighted_logistic,
    "WCE": weighted_cross_entropy,
    "ALPHA_FL": alpha_focal,
    "cb_FL": class_balanced_focal,
    "LA": logit_adjustment,
    "VS": vector_scaling,
    "LDAM_DRW": ldam_drw,
    "SAMPLING_FREE": sampling_free,
    "ANYLOSS": any_loss,
    "HINGE": hinge,
    "SQ_HINGE": squared_hinge,
}


# ---------------------------------------------------------------- the objectives for K classes


def softmax_terms(row: Sequence[Tensor], y: int) -> tuple[Tensor, Tensor]:
    """(log q_y, 1 - q_y) of one row of logits; q_c = exp(z_c) / sum_m exp(z_m)."""
    top = max(z.item() for z in row)
    total = torch.zeros((), dtype=torch.float64)
    others = torch.zeros((), dtype=torch.float64)
    for c, z in enumerate(row):
        total = total + torch.exp(z - top)
        if c != y:
            others = others + torch.exp(z - top)
    return row[y] - top - torch.log(total), others / total


def class_rows(outputs: Tensor) -> list[list[Tensor]]:
    return [[outputs[i, c].double() for c in range(outputs.shape[1])] for i in range(outputs.shape[0])]


def cross_entropies(logits: Sequence[Sequence[Tensor]], labels: Sequence[int]) -> list[Tensor]:
    return [-softmax_terms(row, y)[0] for row, y in zip(logits, labels, strict=True)]


def class_bce(outputs: Tensor, targets: Tensor) -> Tensor:
    return mean(cross_entropies(class_rows(outputs), labels_of(targets)))


def class_focal_terms(outputs: Tensor, targets: Tensor, gamma: float, eps: float = 0.0) -> list[Tensor]:
    terms = []
    for row, y in zip(class_rows(outputs), labels_of(targets), strict=True):
        log_q, missing = softmax_terms(row, y)
        terms.append(-(missing**gamma) * (log_q if eps == 0 else torch.log(torch.exp(log_q) + eps)))
    return terms


def class_focal(outputs: Tensor, targets: Tensor, *, gamma: float, eps: float = 0.0) -> Tensor:
    return mean(class_focal_terms(outputs, targets, gamma, eps))


def class_balanced_cross_entropy(outputs: Tensor, targets: Tensor, *, beta: float, class_counts: Counts) -> Tensor:
    labels = labels_of(targets)
    weights = [(1 - beta) / (1 - beta ** class_counts[y]) for y in labels]
    return weighted_mean(cross_entropies(class_rows(outputs), labels), weights)


def balanced_cross_entropy(outputs: Tensor, targets: Tensor, *, class_counts: Counts) -> Tensor:
    labels = labels_of(targets)
    weights = [sum(class_counts) / (len(class_counts) * class_counts[y]) for y in labels]
    return weighted_mean(cross_entropies(class_rows(outputs), labels), weights)


def class_balanced_class_focal(
    outputs: Tensor, targets: Tensor, *, class_counts: Counts, beta: float = 0.9999, gamma: float = 2.0
) -> Tensor:
    weights = normalised_effective_weights(beta, class_counts)
    terms = class_focal_terms(outputs, targets, gamma)
    return mean([weights[y] * term for y, term in zip(labels_of(targets), terms, strict=True)])


def class_ldam_terms(outputs: Tensor, labels: Sequence[int], margins: Sequence[float], scale: float) -> list[Tensor]:
    logits = []
    for row, y in zip(class_rows(outputs), labels, strict=True):
        logits.append([scale * (z - (margins[c] if c == y else 0.0)) for c, z in enumerate(row)])
    return cross_entropies(logits, labels)


def class_ldam(
    outputs: Tensor, targets: Tensor, *, class_counts: Counts, max_margin: float = 0.5, scale: float = 30.0
) -> Tensor:
    return mean(class_ldam_terms(outputs, labels_of(targets), ldam_margins(class_counts, max_margin), scale))


def class_ldam_drw(
    outputs: Tensor,
    targets: Tensor,
    *,
    class_counts: Counts,
    max_margin: float = 0.5,
    scale: float = 30.0,
    beta: float = 0.9999,
    drw_from: int = 80,
    epoch: int = 0,
) -> Tensor:
    labels = labels_of(targets)
    terms = class_ldam_terms(outputs, labels, ldam_margins(class_counts, max_margin), scale)
    weights = normalised_effective_weights(beta, class_counts) if epoch >= drw_from else [1.0] * len(class_counts)
    return weighted_mean(terms, [weights[y] for y in labels])


def class_logit_adjustment(outputs: Tensor, targets: Tensor, *, class_counts: Counts, tau: float = 1.0) -> Tensor:
    log_prior = [math.log(n / sum(class_counts)) for n in class_counts]
    logits = [[z + tau * log_prior[c] for c, z in enumerate(row)] for row in class_rows(outputs)]
    return mean(cross_entropies(logits, labels_of(targets)))


def class_vector_scaling(
    outputs: Tensor, targets: Tensor, *, class_counts: Counts, tau: float = 1.0, gamma: float = 0.3
) -> Tensor:
    log_prior = [math.log(n / sum(class_counts)) for n in class_counts]
    scales = [(n / max(class_counts)) ** gamma for n in class_counts]
    logits = [[scales[c] * z + tau * log_prior[c] for c, z in enumerate(row)] for row in class_rows(outputs)]
    return mean(cross_entropies(logits, labels_of(targets)))


CLASS_REFERENCES: dict[str, Reference] = {
    "BCE": class_bce,
    "SYM_FL": class_focal,
    "cb_BCE": class_balanced_cross_entropy,
    "WCE": balanced_cross_entropy,
    "cb_FL": class_balanced_class_focal,
    "LDAM": class_ldam,
    "LDAM_DRW": class_ldam_drw,
    "LA": class_logit_adjustment,
    "VS": class_vector_scaling,
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


def violation_of_class(scores: Tensor, labels: Sequence[int], j: int, m: int, column: int, delta: float) -> Tensor:
    """q_(j,m): of sample j against the samples of class m, by the scores of one column."""
    others = [scores[k, column].double() for k, label in enumerate(labels) if label == m]
    return violation(scores[j, column].double(), others, delta)


class ReferenceClassLagrangian:
    """K classes: penalty and multiplier update with one Python float for each dataset index, and class if so read."""

    def __init__(
        self, *, against: str, classes: int, critical: Sequence[int], delta: float, mu: float, p2_norm: float = 1.0
    ) -> None:
        self.against, self.classes, self.critical = against, classes, list(critical)
        self.delta, self.mu, self.p2_norm = delta, mu, p2_norm
        self.multipliers: dict[tuple[int, int], float] = {}  # (index, class); class -1: the rest
        self.seen: list[tuple[tuple[int, int], float]] = []

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        labels, of_index = labels_of(targets), indices.tolist()
        self.seen = []
        total = 0.0 * scores.double().sum()
        for j, c in enumerate(labels):
            if c not in self.critical:
                continue
            column = self.critical.index(c)
            by_class = {
                m: violation_of_class(scores, labels, j, m, column, self.delta) for m in range(self.classes) if m != c
            }
            pairs = {m: labels.count(c) * labels.count(m) for m in by_class}
            if self.against == "rest":
                rest = torch.zeros((), dtype=torch.float64)
                for q in by_class.values():
                    rest = rest + q
                by_class, pairs = {-1: rest}, {-1: sum(pairs.values())}
            for m, q in by_class.items():
                key = (of_index[j], m)
                if q.item() > 0:
                    term = self.mu / 2 * q ** (2 * self.p2_norm) + self.multipliers.get(key, 0.0) * q
                    total = total + term / pairs[m]
                self.seen.append((key, q.item()))
        return total

    def update_multipliers(self) -> None:
        for key, q in self.seen:
            self.multipliers[key] = self.multipliers.get(key, 0.0) + self.mu * q
        self.seen = []

    def table(self, num_samples: int) -> Tensor:
        """(num_samples,) against the rest, (num_samples, K) against each class."""
        columns = [-1] if self.against == "rest" else range(self.classes)
        rows = [[self.multipliers.get((index, m), 0.0) for m in columns] for index in range(num_samples)]
        values = torch.tensor(rows, dtype=torch.float64)
        return values[:, 0] if self.against == "rest" else values


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
