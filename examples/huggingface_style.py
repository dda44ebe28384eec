"""A loop with the callbacks of Hugging Face's Trainer: the digits 0 and 6 among the others, 1 to 20 in training.

Run: python -m examples.huggingface_style. With the installed package, write `rarecall` for `utils` in the imports.

With transformers itself, derive from `TrainerCallback`, and from `Trainer` with `compute_loss` and
`get_train_dataloader`; let `compute_metrics` return {"auc": ...}; and set remove_unused_columns=False for the indices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader

from utils.constraints import AugmentedLagrangian, Constraint
from utils.losses import Loss, WeightedCrossEntropy
from utils.metrics.promised_thresholds import Promise, np_threshold
from utils.metrics.roc import auc, fpr_at_tpr
from utils.samplers import StratifiedSampler


class ConstraintCallback:
    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint

    def on_step_end(self, **_: Any) -> None:
        self.constraint.update_multipliers()  # with every batch since the last step of the optimizer

    def on_epoch_end(self, **_: Any) -> None:
        print(f"largest multiplier {self.constraint.multipliers.max():.4g}", end=", ")

    def on_evaluate(self, *, metrics: dict[str, float], **_: Any) -> None:
        self.constraint.end_epoch(metrics["eval_auc"])  # mu grows here
        print(f"validation AUC {metrics['eval_auc']:.4f}, mu {self.constraint.mu_value:g}")


class Trainer:
    def __init__(self, model: nn.Module, loss: Loss, constraint: Constraint) -> None:
        self.model, self.loss, self.constraint = model, loss, constraint
        self.callback = ConstraintCallback(constraint)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        logits = model(inputs["pixel_values"])  # (B, 2), as with num_labels=2
        objective: Tensor = self.loss(logits, inputs["labels"])
        return objective + self.constraint.penalty(self.loss.score(logits), inputs["labels"], inputs["indices"])

    def train(self, batches: DataLoader[Any], validation: dict[str, Tensor], *, epochs: int, accumulation: int) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        for _ in range(epochs):
            for number, inputs in enumerate(batches, start=1):
                (self.compute_loss(self.model, inputs) / accumulation).backward()
                if number % accumulation == 0 or number == len(batches):
                    optimizer.step()
                    optimizer.zero_grad()
                    self.callback.on_step_end()
            self.callback.on_epoch_end()
            scores = self.predict(validation["pixel_values"])
            self.callback.on_evaluate(metrics={"eval_auc": auc(validation["labels"].numpy(), scores)})

    def predict(self, images: Tensor) -> Any:
        with torch.no_grad():
            return self.loss.score(self.model(images)).numpy()


def main() -> None:
    pixels, digits = load_digits(return_X_y=True)
    images, targets = torch.as_tensor(pixels / 16).float(), torch.as_tensor(np.isin(digits, [0, 6])).long()
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    positives, negatives = order[targets[order] == 1], order[targets[order] == 0]
    parts = zip(positives.split([30, 40, 150, 139]), negatives.split([600, 200, 200, 438]), strict=True)
    training, validation, calibration, test = (torch.cat(part) for part in parts)
    # the constraint needs the index of each sample
    data: Any = [{"pixel_values": images[i], "labels": targets[i], "indices": i} for i in range(len(targets))]
    generator = torch.Generator().manual_seed(0)
    sampler: Any = StratifiedSampler(training, labels=targets[training], batch_size=32, generator=generator)
    batches = DataLoader(data, batch_sampler=sampler, num_workers=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    constraint = AugmentedLagrangian(len(targets), delta=1.0, mu=1e-2)
    trainer = Trainer(model, WeightedCrossEntropy(class_counts=(600, 30)), constraint)
    held_out = {"pixel_values": images[validation], "labels": targets[validation]}
    trainer.train(batches, held_out, epochs=6, accumulation=2)

    scores, labels = trainer.predict(images), targets.numpy()
    found = auc(labels[test], scores[test]), fpr_at_tpr(labels[test], scores[test], 0.98)
    print(f"test AUC {found[0]:.4f}, FPR at TPR 0.98: {found[1]:.4f}")
    threshold = np_threshold(scores[calibration][labels[calibration] == 1], Promise(tpr=0.98, risk=0.05))
    assert threshold is not None, "too few positives to calibrate on: samples_needed(1 - 0.98, 0.05) is 149"
    print(f"threshold {threshold} promises TPR >= 0.98, missed with probability <= 0.05")


if __name__ == "__main__":
    main()
