"""A module with the hooks of PyTorch Lightning: the digits 3 and 8 among the others, 1 to 20 in training.

Run: python -m examples.lightning_style. With the installed package, write `rarecall` for `utils` in the imports.

With Lightning itself, derive from `LightningModule` and replace `fit` by
`Trainer(max_epochs=6, precision="bf16-mixed", num_sanity_val_steps=0).fit(module, train_loader, val_loader)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from utils.constraints import AugmentedLagrangian
from utils.losses import LogitAdjustment, Loss
from utils.metrics.promised_thresholds import Promise, np_threshold
from utils.metrics.roc import auc, fpr_at_tpr
from utils.samplers import NaturalSampler


class RareDigits(nn.Module):
    def __init__(self, num_samples: int, class_counts: tuple[int, int]) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        self.loss: Loss = LogitAdjustment(class_counts=class_counts)
        self.constraint = AugmentedLagrangian(num_samples, delta=1.0, mu=1e-2)  # moved and saved with the module
        self.validated: list[tuple[Tensor, Tensor]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.loss.score(self.model(inputs))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        inputs, targets, indices = batch
        outputs = self.model(inputs)
        objective: Tensor = self.loss(outputs, targets)
        return objective + self.constraint.penalty(self.loss.score(outputs), targets, indices)

    def on_train_batch_end(self, outputs: Any, batch: list[Tensor], batch_idx: int) -> None:
        self.constraint.update_multipliers()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.validated.append((batch[1], self(batch[0])))

    def on_train_epoch_end(self) -> None:  # Lightning validates before it
        targets, scores = (torch.cat(each).numpy() for each in zip(*self.validated, strict=True))
        self.validated.clear()
        self.constraint.end_epoch(auc(targets, scores))  # mu grows here
        print(f"validation AUC {auc(targets, scores):.4f}, mu {self.constraint.mu_value:g}")


def fit(module: RareDigits, train_loader: DataLoader[Any], val_loader: DataLoader[Any], *, max_epochs: int) -> None:
    optimizer = module.configure_optimizers()
    for _ in range(max_epochs):
        module.train()
        for number, batch in enumerate(train_loader):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                total = module.training_step(batch, number)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            module.on_train_batch_end(total, batch, number)
        module.eval()
        with torch.no_grad():
            for number, batch in enumerate(val_loader):
                module.validation_step(batch, number)
        module.on_train_epoch_end()


def main() -> None:
    pixels, digits = load_digits(return_X_y=True)
    images, targets = torch.as_tensor(pixels / 16).float(), torch.as_tensor(np.isin(digits, [3, 8])).long()
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    positives, negatives = order[targets[order] == 1], order[targets[order] == 0]
    parts = zip(positives.split([30, 40, 150, 137]), negatives.split([600, 200, 200, 440]), strict=True)
    training, validation, calibration, test = (torch.cat(part) for part in parts)
    data = TensorDataset(images, targets, torch.arange(len(targets)))  # each sample with its index
    sampler: Any = NaturalSampler(training, batch_size=64, generator=torch.Generator().manual_seed(0))
    train_loader = DataLoader(data, batch_sampler=sampler)  # annotated for lists of indices; these are tensors
    torch.manual_seed(0)
    module = RareDigits(len(targets), class_counts=(600, 30))
    fit(module, train_loader, DataLoader(TensorDataset(*data[validation]), batch_size=256), max_epochs=6)
    scores, labels = module(images).detach().numpy(), targets.numpy()
    found = auc(labels[test], scores[test]), fpr_at_tpr(labels[test], scores[test], 0.98)
    print(f"test AUC {found[0]:.4f}, FPR at TPR 0.98: {found[1]:.4f}")
    threshold = np_threshold(scores[calibration][labels[calibration] == 1], Promise(tpr=0.98, risk=0.05))
    assert threshold is not None, "too few positives to calibrate on: samples_needed(1 - 0.98, 0.05) is 149"
    print(f"threshold {threshold} promises TPR >= 0.98, missed with probability <= 0.05")


if __name__ == "__main__":
    main()
