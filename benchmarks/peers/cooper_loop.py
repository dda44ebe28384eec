"""cooper: the pairwise ranking constraint as a constrained problem, on tensors in memory.

min BCE(s) subject to q_j = 0, q_j = sum over negatives k of max(0, delta - (s_j - s_k)), for every positive j, by the
augmented Lagrangian of utils/constraints/augmented_lagrangian.py, whose penalty is divided by the pairs P*N of a batch:
the violation that acts on the model is q/(P*N) at a coefficient of mu*P*N, the one that moves the multipliers is q at a
step of mu.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cooper import CMPState, ConstrainedMinimizationProblem, Constraint, ConstraintState, ConstraintType
from cooper.formulations import AugmentedLagrangian
from cooper.multipliers import IndexedMultiplier
from cooper.optim import SimultaneousOptimizer
from cooper.penalty_coefficients import DensePenaltyCoefficient
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from benchmarks.peers.problem import (
    BATCH,
    DELTA,
    LR,
    MOMENTUM,
    MU,
    VALIDATION_BATCH,
    WEIGHT_DECAY,
    Images,
    Problem,
    measure,
)


class RankedProblem(ConstrainedMinimizationProblem):
    """Binary cross-entropy, with every positive above every negative by ``delta``."""

    def __init__(self, model: nn.Module, samples: int, *, delta: float, mu: float) -> None:
        super().__init__()
        self.model, self.delta, self.mu = model, delta, mu
        self.criterion = nn.BCEWithLogitsLoss()
        self.coefficient = DensePenaltyCoefficient(torch.tensor(mu))
        self.ranking = Constraint(
            constraint_type=ConstraintType.EQUALITY,
            formulation_type=AugmentedLagrangian,
            multiplier=IndexedMultiplier(num_constraints=samples),
            penalty_coefficient=self.coefficient,
        )

    def compute_cmp_state(self, images: Tensor, targets: Tensor, indices: Tensor) -> CMPState:
        """Loss, and the violations of the batch's positives; those of other samples are not observed."""
        scores = self.model(images).squeeze(1)
        loss = self.criterion(scores, targets.float())
        positive = targets == 1
        pairs = int(positive.sum()) * int((~positive).sum())
        if pairs == 0:
            return CMPState(loss=loss)
        gaps = scores[positive][:, None] - scores[~positive][None, :]
        violations = (self.delta - gaps).clamp(min=0).sum(dim=1)
        self.coefficient.value = torch.tensor(self.mu * pairs)
        state = ConstraintState(
            violation=violations / pairs,
            strict_violation=violations.detach(),
            constraint_features=indices[positive],
        )
        return CMPState(loss=loss, observed_constraints={self.ranking: state})


def to_tensor(images: Images, problem: Problem) -> Tensor:
    """(N, C, H, W) float32, normalised."""
    pixels = torch.as_tensor(images).view(len(images), *problem.size[1:], -1).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (problem.mean, problem.std))
    return ((pixels - mean) / std).contiguous()


def epochs(problem: Problem) -> Iterator[float]:
    """Train and validate."""
    model = problem.build()
    train, validation = to_tensor(problem.train[0], problem), to_tensor(problem.validation[0], problem)
    targets = torch.as_tensor(problem.train[1])
    cmp = RankedProblem(model, len(train), delta=DELTA, mu=MU)
    optimizer = SimultaneousOptimizer(
        cmp,
        primal_optimizers=torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
        dual_optimizers=torch.optim.SGD(cmp.dual_parameters(), lr=MU, maximize=True),
    )
    while True:
        model.train()
        for indices in torch.randperm(len(train)).split(BATCH):
            optimizer.roll({"images": train[indices], "targets": targets[indices], "indices": indices})
        model.eval()
        with torch.no_grad():
            scores = torch.cat([model(images).squeeze(1) for images in validation.split(VALIDATION_BATCH)])
        yield float(roc_auc_score(problem.validation[1], scores.numpy()))


if __name__ == "__main__":
    measure(epochs, packages=["cooper-optim"])
