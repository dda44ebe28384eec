"""Every loss with every constraint, trained for a few steps: in one process, and by the ranks of a process group.

The one process is the truth: plain PyTorch on the global batch, without anything of utils/distributed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.heads import head_factory
from utils.constraints import AugmentedLagrangian, Constraint, RateConstraint
from utils.distributed import ShardedSampler, gather, shard
from utils.losses import LOSSES, Loss, loss_class, many_classes
from utils.samplers import SAMPLERS, sampler_class

SAMPLES, FEATURES = 600, 6
COUNTS = {2: (500, 100), 3: (400, 150, 50), 10: (150, 120, 90, 70, 50, 40, 30, 20, 20, 10)}
CRITICAL = {2: (1,), 3: (2, 1), 10: (9, 0, 4)}
OPTIONS: dict[str, dict[str, float]] = {
    "SYM_LM": {"m": 0.5},
    "ASYM_LM": {"m": 0.5},
    "SYM_FL": {"gamma": 1.0},
    "ASYM_FL": {"gamma": 1.0},
    "WBCE": {"c": 1.0},
    "cb_BCE": {"beta": 0.99},
    "LDAM": {"scale": 3.0},
    "LDAM_DRW": {"scale": 3.0, "drw_from": 0, "beta": 0.99},
    "ANYLOSS": {"amplification": 8.0},
    "PAUC": {"max_fpr": 0.3},
}
CONSTRAINTS = {2: ("none", "pairwise", "rate"), 3: ("none", "rest", "classes", "rate")}
CONSTRAINTS[10] = CONSTRAINTS[3]


@dataclass(frozen=True)
class Case:
    """One loss for K classes with one constraint."""

    loss: str
    classes: int
    constraint: str

    def __str__(self) -> str:
        return f"{self.loss}-{self.classes}-{self.constraint}"

    def build_loss(self) -> Loss:
        kind = loss_class(self.loss, classes=self.classes)
        known: dict[str, Any] = {"class_counts": COUNTS[self.classes], "ratio_pos_train": 5.0, "num_samples": SAMPLES}
        known |= {"classes": self.classes, "critical": CRITICAL[self.classes]}
        names = (*kind.facts, *(kind.class_facts if self.classes > 2 else ()))
        if "class_counts" in names:
            names = tuple(name for name in names if name != "classes")
        loss: Loss = kind(**{name: known[name] for name in names}, **OPTIONS.get(self.loss, {}))
        return loss.double()

    def build_constraint(self) -> Constraint | None:
        classes: dict[str, Any] = {"classes": self.classes, "critical": CRITICAL[self.classes]}
        match self.constraint:
            case "none":
                return None
            case "rate":
                return RateConstraint(tpr_at_least=0.9, fpr_at_most=0.2, mu=0.05, **classes).double()
            case "pairwise":
                return AugmentedLagrangian(SAMPLES, delta=1.0, mu=0.05, **classes).double()
            case against:
                return AugmentedLagrangian(SAMPLES, delta=1.0, mu=0.05, against=against, **classes).double()


CASES = [Case(loss, 2, constraint) for loss in LOSSES for constraint in CONSTRAINTS[2]]
CASES += [Case(loss, k, constraint) for k in (3, 10) for loss in many_classes() for constraint in CONSTRAINTS[k]]
# each loss for two and for ten classes, the constraints in turn
QUICK_CASES = [Case(loss, 2, CONSTRAINTS[2][turn % 3]) for turn, loss in enumerate(LOSSES)]
QUICK_CASES += [Case(loss, 10, CONSTRAINTS[10][turn % 4]) for turn, loss in enumerate(many_classes())]


def features() -> Tensor:
    return torch.randn(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def labels_of(classes: int) -> Tensor:
    """(SAMPLES,) labels with ``COUNTS``, mixed."""
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(COUNTS[classes]))
    return labels[torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(2))]


def batches(classes: int) -> list[Tensor]:
    """Global batches: common and uneven ones, parts without a class or without a sample, a large one that is sorted."""
    labels = labels_of(classes)
    rare = torch.isin(labels, torch.tensor(CRITICAL[classes]))
    positives, negatives = rare.nonzero()[:, 0], (~rare).nonzero()[:, 0]
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(3))
    odd_ranks_lack_positives = torch.stack([positives[:12], negatives[:12]], dim=1).flatten()
    return [
        order[:24],
        odd_ranks_lack_positives,
        order[24:47],  # 23: the last rank has one less
        order[47:50],  # of four ranks the last has none
        order[50:51],
        negatives[12:36],
        torch.cat([order[:20], order[:5]]),  # samples that occur twice
        order[:521],
    ]


def build_model(outputs: int, *, normalised: bool) -> nn.Module:
    head = head_factory(outputs=outputs, normalised=normalised)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), head(8)).double()
    generator = torch.Generator().manual_seed(4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return model


def train(case: Case, *, ranks: bool) -> dict[str, Tensor]:
    """Losses, gradients, multipliers and thresholds of each step, and all that has a state at the end."""
    inputs, labels = features(), labels_of(case.classes)
    loss, constraint = case.build_loss(), case.build_constraint()
    model = build_model(loss.outputs, normalised=loss.normalised_head)
    parameters = dict(model.named_parameters())
    network = DistributedDataParallel(model) if ranks else model
    of_loss = {f"loss.{name}": each for name, each in loss.named_parameters()}
    of_constraint = {f"constraint.{name}": each for name, each in constraint.named_parameters()} if constraint else {}
    parameters |= of_loss | of_constraint
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9)
    found: dict[str, Tensor] = {}
    for step, batch in enumerate(batches(case.classes)):
        own = shard(batch) if ranks else batch
        outputs, targets, indices = network(inputs[own]), labels[own], own
        if ranks:
            outputs, targets, indices = gather(outputs, targets, indices, size=len(batch))
        value = loss(outputs, targets, indices)
        penalty = constraint.penalty(loss.score(outputs), targets, indices) if constraint else value * 0
        optimizer.zero_grad()
        (value + penalty).backward()
        found |= {f"{step} loss": value.detach(), f"{step} penalty": penalty.detach(), f"{step} indices": indices}
        found |= {f"{step} gradient of {name}": each.grad.clone() for name, each in parameters.items()}  # type: ignore[union-attr]
        optimizer.step()
        loss.after_step()
        if constraint:
            constraint.update_multipliers()
            found[f"{step} multipliers"] = constraint.multipliers.clone()
            found[f"{step} threshold"] = constraint.threshold.detach().clone()
    found |= {f"end {name}": each.detach() for name, each in parameters.items()}
    for part in (loss, constraint) if constraint else (loss,):
        found |= {f"end {type(part).__name__}.{name}": each.double() for name, each in part.named_buffers()}
    return found


@cache
def truth(case: Case) -> dict[str, Tensor]:
    """The case in one process, with the one thread of the ranks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = train(case, ranks=False)
    torch.set_num_threads(threads)
    return found


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to what is larger than 1; infinite where the shapes differ."""
    if one.shape != other.shape:
        return float("inf")
    if other.numel() == 0:
        return 0.0
    return ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()


def train_all() -> dict[str, dict[str, Tensor]]:
    """Every case by the ranks of the process group."""
    return {str(case): train(case, ranks=True) for case in CASES}


def train_some() -> dict[str, dict[str, Tensor]]:
    """The quick ones."""
    return {str(case): train(case, ranks=True) for case in QUICK_CASES}


SAMPLER_PASSES, SAMPLER_BATCH = 2, 13


def build_sampler(name: str, *, classes: int = 2, seed: int = 5) -> Any:
    kind = sampler_class(name, classes=classes)
    facts = {"labels": labels_of(classes)[:101], "classes": classes}
    names = (*kind.facts, *(kind.class_facts if classes > 2 else ()))
    generator = torch.Generator().manual_seed(seed)
    options = {each: facts[each] for each in names}
    return kind(torch.arange(1000, 1101), batch_size=SAMPLER_BATCH, generator=generator, **options)


SAMPLER_CASES = [
    (name, classes) for name in SAMPLERS for classes in (2, 3) if sampler_class(name).most_classes >= classes
]


def stream(name: str, classes: int) -> Tensor:
    """The indices of two passes in one process."""
    sampler = build_sampler(name, classes=classes)
    return torch.cat([batch for _ in range(SAMPLER_PASSES) for batch in sampler])


def gathered_streams() -> dict[str, Tensor]:
    """The same of each sampler, put together from the parts of the ranks, which do not know the sizes."""
    found = {}
    for name, classes in SAMPLER_CASES:
        sampler = ShardedSampler(build_sampler(name, classes=classes))
        parts = [part for _ in range(SAMPLER_PASSES) for part in sampler]
        found[f"{name}-{classes}"] = torch.cat([gather(part.double(), part)[1] for part in parts])
    return found
