"""What rates mean where the share of positives is another than in the set that they were counted on.

Legend: pi prevalence, the share of positives, in (0, 1).
"""

from __future__ import annotations


def ppv(prevalence: float, *, tpr: float, fpr: float) -> float | None:
    """Positive predictive value: pi TPR / (pi TPR + (1 - pi) FPR); None where nothing is called positive.

    >>> round(ppv(0.01, tpr=0.98, fpr=0.1), 4)    # 98 true and 990 false alarms in 10,000
    0.0901
    """
    found, alarms = prevalence * tpr, (1 - prevalence) * fpr
    return found / (found + alarms) if found + alarms else None


def npv(prevalence: float, *, tpr: float, fpr: float) -> float | None:
    """Negative predictive value: (1 - pi) (1 - FPR) / ((1 - pi) (1 - FPR) + pi (1 - TPR)); None where all are positive.

    >>> round(npv(0.01, tpr=0.98, fpr=0.1), 6)    # 8,910 right of 8,912
    0.999776
    """
    cleared, missed = (1 - prevalence) * (1 - fpr), prevalence * (1 - tpr)
    return cleared / (cleared + missed) if cleared + missed else None


def net_benefit(prevalence: float, *, tpr: float, fpr: float, threshold_probability: float) -> float:
    """Net benefit in true positives a sample: pi TPR - (1 - pi) FPR p / (1 - p).

    p / (1 - p) is what one false alarm costs, in units of what one positive that is found is worth. To call everything
    positive has TPR = FPR = 1, to call nothing positive 0.

    Reference: Vickers and Elkin, "Decision curve analysis", Medical Decision Making 26 (2006).

    >>> round(net_benefit(0.1, tpr=0.9, fpr=0.2, threshold_probability=0.2), 6)    # 0.09 - 0.18 / 4
    0.045
    """
    if not 0 <= threshold_probability < 1:
        raise ValueError(f"a threshold probability must lie in [0, 1), got {threshold_probability}")
    cost = threshold_probability / (1 - threshold_probability)
    return prevalence * tpr - (1 - prevalence) * fpr * cost
