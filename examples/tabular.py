"""A table of features: malignant among benign tumours, 1 to 10 in training, under a constraint on the rates.

Run: python -m examples.tabular. With the installed package, write `rarecall` for `utils` in the imports.

The constraint asks for TPR >= 0.98 and FPR <= 0.05 at a threshold that it learns. The threshold to operate at comes
from a calibration set all the same: training samples promise nothing about new ones.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from utils.constraints import RateConstraint
from utils.losses import BCE, Loss
from utils.metrics.promised_thresholds import Promise, np_threshold, samples_needed
from utils.metrics.roc import auc, fpr_at_tpr, rates_at
from utils.samplers import StratifiedSampler

PROMISE = Promise(tpr=0.95, risk=0.05)


def main() -> None:
    table, benign = load_breast_cancer(return_X_y=True)
    targets = torch.as_tensor(1 - benign)  # 1 is the rare class: malignant
    order = torch.as_tensor(np.random.default_rng(0).permutation(len(targets)))
    malignant, benign = order[targets[order] == 1], order[targets[order] == 0]
    # a threshold that promises a TPR of 0.95 needs 59 positives of its own
    sizes = [18, 24, samples_needed(1 - PROMISE.tpr, PROMISE.risk), 111]
    parts = zip(malignant.split(sizes), benign.split([180, 40, 37, 100]), strict=True)
    training, validation, calibration, test = (torch.cat(part) for part in parts)
    scaled = StandardScaler().fit(table[training]).transform(table)  # by the training rows alone
    rows = torch.as_tensor(scaled, dtype=torch.float32)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(rows.shape[1], 32), nn.ReLU(), nn.Linear(32, 1))
    loss: Loss = BCE()
    constraint = RateConstraint(tpr_at_least=0.98, fpr_at_most=0.05, mu=0.05)
    # this constraint has a parameter, its threshold, which is trained without weight decay
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, weight_decay=1e-3)
    optimizer.add_param_group({"params": constraint.parameters(), "weight_decay": 0.0})
    sampler = StratifiedSampler(
        training, labels=targets[training], batch_size=22, generator=torch.Generator().manual_seed(0)
    )

    def scores_of(indices: Tensor) -> Tensor:
        with torch.no_grad():
            return loss.score(model(rows[indices]))

    for epoch in range(10):
        for indices in sampler:  # a table fits in memory: no DataLoader
            outputs, labels = model(rows[indices]), targets[indices]
            penalty = constraint.penalty(loss.score(outputs), labels, indices)
            optimizer.zero_grad()
            (loss(outputs, labels) + penalty).backward()
            optimizer.step()
            constraint.update_multipliers()
        validation_auc = auc(targets[validation].numpy(), scores_of(validation).numpy())
        constraint.end_epoch(validation_auc)
        multipliers = [round(value, 2) for value in constraint.multipliers.tolist()]
        print(f"epoch {epoch + 1}: validation AUC {validation_auc:.4f}, mu {constraint.mu_value:g}, {multipliers}")

    threshold = np_threshold(scores_of(calibration)[targets[calibration] == 1].numpy(), PROMISE)
    assert threshold is not None  # there are samples_needed
    answers, scores = targets[test].numpy(), scores_of(test).numpy()
    rates = rates_at(answers, scores, threshold)
    print(f"test AUC {auc(answers, scores):.4f}, FPR at TPR 0.98: {fpr_at_tpr(answers, scores, 0.98):.4f}")
    print(f"threshold {threshold} promises TPR >= {PROMISE.tpr}, missed with probability <= {PROMISE.risk}")
    print(f"on the test set TPR {rates.tpr:.4f}, FPR {rates.fpr:.4f}")


if __name__ == "__main__":
    main()
