"""A plain PyTorch loop: DataLoader, bfloat16 autocast, and a checkpoint from which training continues exactly.

Run: python -m examples.plain_pytorch --epochs 6 --checkpoint state.pt
With the installed package, write `rarecall` for `utils` in the imports.

Task: eights and nines among the other digits, 1 to 20 in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from utils.constraints import AugmentedLagrangian
from utils.losses import BCE, Loss
from utils.metrics.promised_thresholds import Promise, np_threshold
from utils.metrics.roc import auc, fpr_at_tpr, rates_at
from utils.samplers import BalancedSampler


def load() -> tuple[Tensor, Tensor, list[Tensor]]:
    """Images, targets, and the indices of training, validation, calibration and test images."""
    images, digits = load_digits(return_X_y=True)
    targets = torch.as_tensor(np.isin(digits, [8, 9])).long()
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    positives, negatives = order[targets[order] == 1], order[targets[order] == 0]
    parts = zip(positives.split([30, 40, 150, 134]), negatives.split([600, 200, 200, 443]), strict=True)
    return torch.as_tensor(images).float().view(-1, 1, 8, 8) / 16, targets, [torch.cat(part) for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--checkpoint", type=Path, help="saved after each epoch; continued from if it exists")
    options = parser.parse_args()

    images, targets, (training, validation, calibration, test) = load()
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    model = nn.Sequential(features, nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss: Loss = BCE()
    constraint = AugmentedLagrangian(len(targets), delta=1.0, mu=1e-2)
    generator = torch.Generator().manual_seed(0)
    # Any: a batch of indices is a tensor, where the DataLoader's annotation wants a list
    sampler: Any = BalancedSampler(
        training, labels=targets[training], batch_size=32, positive_share=0.25, generator=generator
    )
    # the third tensor: each positive has a multiplier of its own, found by its index
    loader = DataLoader(TensorDataset(images, targets, torch.arange(len(targets))), batch_sampler=sampler)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "constraint": constraint, "sampler": sampler}

    def scores_of(indices: Tensor) -> Tensor:
        model.eval()
        with torch.no_grad():
            return loss.score(model(images[indices]))

    first = 0
    if options.checkpoint and options.checkpoint.exists():
        state = torch.load(options.checkpoint, weights_only=True)
        first = state["epoch"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    for epoch in range(first, options.epochs):
        model.train()
        for inputs, labels, indices in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = model(inputs)
            penalty = constraint.penalty(loss.score(outputs), labels, indices)
            optimizer.zero_grad()
            (loss(outputs, labels) + penalty).backward()
            optimizer.step()
            constraint.update_multipliers()
        validation_auc = auc(targets[validation].numpy(), scores_of(validation).numpy())
        constraint.end_epoch(validation_auc)  # mu grows here
        print(f"epoch {epoch + 1}: validation AUC {validation_auc:.4f}, mu {constraint.mu_value:g}")
        if options.checkpoint:
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"epoch": epoch + 1, **states}, options.checkpoint)

    threshold = np_threshold(scores_of(calibration)[targets[calibration] == 1].numpy(), Promise(tpr=0.98, risk=0.05))
    assert threshold is not None, "too few positives to calibrate on: samples_needed(1 - 0.98, 0.05) is 149"
    labels, scores = targets[test].numpy(), scores_of(test).numpy()
    rates = rates_at(labels, scores, threshold)
    print(f"test AUC {auc(labels, scores):.4f}, FPR at TPR 0.98: {fpr_at_tpr(labels, scores, 0.98):.4f}")
    print(f"threshold {threshold} promises TPR >= 0.98, missed with probability <= 0.05")
    print(f"on the test set TPR {rates.tpr:.4f}, FPR {rates.fpr:.4f}")


if __name__ == "__main__":
    main()
