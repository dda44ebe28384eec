"""Numbers from labels and scores: arrays in, numbers out. Imports no torch."""

# of a validation set with K classes, each a number in [0, 1], higher is better: what can choose the best epoch
SELECTIONS: tuple[str, ...] = ("auc", "critical_auc", "accuracy", "balanced_accuracy")
