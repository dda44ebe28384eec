"""The public contract checks: they accept a sound component, and each promise finds the component that breaks it."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from utils.constraints import CONSTRAINTS, AugmentedLagrangian
from utils.losses import Loss
from utils.losses.base import in_full_precision, mean_over
from utils.losses.softmax import SoftmaxLoss, one_hot
from utils.registry import load
from utils.samplers import NaturalSampler, Sampler
from utils.samplers.base import LabelledSampler
from utils.testing import ContractError, check_constraint, check_loss, check_model, check_sampler
from utils.testing.constraint_contract import constraint_promises
from utils.testing.loss_contract import loss_promises
from utils.testing.model_contract import model_promises
from utils.testing.promises import Promises
from utils.testing.sampler_contract import sampler_promises

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_constraint_keeps_the_contract(name: str) -> None:
    constraint = load(CONSTRAINTS, name, kind="constraint", package="utils.constraints")
    check_constraint(constraint)


def test_they_need_no_test_framework() -> None:
    code = "import sys, utils.testing as t; t.check_loss, t.check_sampler, t.check_model, t.check_constraint"
    code += "; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


# ---------------------------------------------------------------- sound components, to break in one place


class SoundLoss(Loss):
    """The mean squared distance of the scores to 0 and 1."""

    weight: Tensor

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return ((scores - targets) ** 2).mean() * self.weight.to(scores.dtype)


class Device(SoundLoss):
    def __init__(self, *, device: str = "cpu") -> None:
        super().__init__()


class Constant(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return super().forward(outputs, targets, indices).detach()


class ColumnScore(SoundLoss):
    def score(self, outputs: Tensor) -> Tensor:
        return super().score(outputs)[:, None]


class NoPositives(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return (scores * targets).sum() / targets.sum() + mean_over(scores**2, 1 - targets)


class Overflowing(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return super().forward(outputs, targets, indices) + self.score(outputs).exp().mean()


class LowPrecision(SoundLoss):
    def score(self, outputs: Tensor) -> Tensor:
        super().score(outputs)
        return outputs if outputs.dim() == 1 else outputs[:, 0]


class MatrixProduct(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return (scores - targets) @ (scores - targets) / len(scores) * self.weight.to(scores.dtype)


class IntegerTargets(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        if targets.dtype.is_floating_point:
            raise TypeError("targets must be integers")
        return super().forward(outputs, targets, indices)


class Broadcasting(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return ((self.score(outputs) - targets) ** 2).mean()


class InPlace(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        value = super().forward(outputs, targets, indices)
        targets.zero_()
        return value


class Dropout(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return super().forward(nn.functional.dropout(outputs, 0.5), targets, indices)


class Forgetful(SoundLoss):
    steps = 0

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        return super().forward(outputs, targets, indices) * (1 + self.steps)

    def after_step(self) -> None:
        self.steps += 1


class Indexing(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return (scores[targets == 1] - 1).square().sum() + scores[targets == 0].square().sum()


class Ordered(SoundLoss):
    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        first = in_full_precision(outputs.flatten()[:1]).square().sum()
        return super().forward(outputs, targets, indices) + first


LOSSES = {
    "it is a Loss": Device,
    "forward returns": Constant,
    "score returns": ColumnScore,
    "a batch of one class": NoPositives,
    "value and gradient are finite": Overflowing,
    "half precision": LowPrecision,
    "autocast": MatrixProduct,
    "targets may have": IntegerTargets,
    "shapes that do not match": Broadcasting,
    "inputs are not": InPlace,
    "the value depends": Dropout,
    "state_dict holds": Forgetful,
    "no shape and no branch": Indexing,
    "the order of": Ordered,
}


class SoundConstraint(AugmentedLagrangian):
    def __init__(self, num_samples: int) -> None:
        super().__init__(num_samples, delta=1.0)


class SoundConstraintOfClasses(AugmentedLagrangian):
    def __init__(self, num_samples: int, **options: Any) -> None:
        super().__init__(num_samples, delta=1.0, **options)


Batch = tuple[Tensor, Tensor, Tensor]


class NoGraph(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores, targets, indices).detach()


class NotANumber(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores, targets, indices) + 0 / targets.sum()


class NotZero(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores, targets, indices) + in_full_precision(scores).square().mean()


class Repeating(SoundConstraint):
    def update_multipliers(self) -> None:
        if self._collected:
            super().update_multipliers()


class Eager(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        value = super().penalty(scores, targets, indices)
        self.multipliers += 1
        return value


class HalfPenalty(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores, targets, indices).to(scores.dtype)


class MatrixPenalty(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        value = super().penalty(scores, targets, indices)
        return (value.reshape(1, 1) @ value.new_full((1, 1), 1.25))[0, 0].to(value.dtype)


class Flattening(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores.flatten(), targets.flatten(), indices.flatten())


class NoThreshold(SoundConstraint):
    threshold = 0.0  # type: ignore[assignment]


class ForgetfulConstraint(SoundConstraint):
    def get_extra_state(self) -> dict[str, Any]:
        return {**super().get_extra_state(), "mu": 0.1}


class OrderedConstraint(SoundConstraint):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        return super().penalty(scores, targets, indices) * (1 + scores[0].detach().float() ** 2)


CONSTRAINT_CLASSES = {
    "penalty returns": NoGraph,
    "a batch of one class": NotANumber,
    "the penalty of a batch": NotZero,
    "update_multipliers": Repeating,
    "penalty alone": Eager,
    "half precision": HalfPenalty,
    "autocast": MatrixPenalty,
    "shapes that do not match": Flattening,
    "threshold": NoThreshold,
    "state_dict": ForgetfulConstraint,
    "the order": OrderedConstraint,
}


class Positional(NaturalSampler):
    def __init__(self, indices: Tensor, batch_size: int, generator: torch.Generator) -> None:
        super().__init__(indices, batch_size=batch_size, generator=generator)


class Rows(NaturalSampler):
    def __next__(self) -> Tensor:
        return super().__next__()[:, None]


class GlobalState(NaturalSampler):
    def _draw_pass(self) -> Tensor:
        torch.rand(1)
        return super()._draw_pass()


class OnDefaultDevice(NaturalSampler):
    def __init__(self, indices: Tensor, **arguments: Any) -> None:
        super().__init__(indices, **arguments)
        self.rows = torch.arange(len(indices))

    def _draw_pass(self) -> Tensor:
        return self.rows[super()._draw_pass()]


class Fixed(NaturalSampler):
    def _draw_pass(self) -> Tensor:
        return torch.arange(len(self.indices))


class ByIndex(NaturalSampler):
    def _draw_pass(self) -> Tensor:
        return self.indices.argsort()[super()._draw_pass()]


class ForgetfulSampler(NaturalSampler):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "step": 0})


class Growing(NaturalSampler):
    def state_dict(self, *, step: int | None = None) -> dict[str, Any]:
        state = super().state_dict(step=step)
        return {**state, "drawn": self._order[: state["step"]]}


class AnyStep(NaturalSampler):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "step": min(max(state["step"], 0), self.steps_per_epoch)})


class Shared(NaturalSampler):
    def __deepcopy__(self, memo: Any) -> Sampler:
        return self


class AnyBatchSize(NaturalSampler):
    def __init__(self, indices: Tensor, *, batch_size: int, generator: torch.Generator) -> None:
        super().__init__(indices, batch_size=max(batch_size, 1), generator=generator)


class PositivesOnly(LabelledSampler):
    def _draw_pass(self) -> Tensor:
        return self.positives[torch.randint(len(self.positives), (len(self.indices),), generator=self.generator)]


SAMPLER_CLASSES = {
    "it is a Sampler": Positional,
    "every batch": Rows,
    "the stream follows": GlobalState,
    "the stream does not": OnDefaultDevice,
    "each pass": Fixed,
    "the batches are chosen": ByIndex,
    "a saved state": ForgetfulSampler,
    "the form": Growing,
    "a step outside": AnyStep,
    "a copy": Shared,
    "arguments": AnyBatchSize,
    "one sample": PositivesOnly,
}


class SoundModel(nn.Module):
    def __init__(self, *, channels: int, image_size: tuple[int, int], outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.convolution = nn.Conv2d(channels, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.head = nn.Linear(4, outputs)
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(self.norm(self.convolution(images)).relu().mean(dim=(2, 3)))
        return result


class Flat(SoundModel):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, 0]


class BatchStatistics(SoundModel):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(dim=0))


class Detached(SoundModel):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 0 * self.head.bias - self.head.bias


class Outside(SoundModel):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.scale = 1 + torch.rand(1, generator=options["generator"])

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.scale


class GlobalWeights(SoundModel):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.head.reset_parameters()


class MemoryOrder(SoundModel):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + images.stride(1)


MODEL_CLASSES = {
    "images": Flat,
    "evaluation": BatchStatistics,
    "the gradient": Detached,
    "state_dict": Outside,
    "the initial": GlobalWeights,
    "channels_last": MemoryOrder,
}
CONTRACTS: dict[str, tuple[Callable[..., None], Promises[Any], type, dict[str, Any]]] = {
    "loss": (check_loss, loss_promises, SoundLoss, LOSSES),
    "constraint": (check_constraint, constraint_promises, SoundConstraint, CONSTRAINT_CLASSES),
    "sampler": (check_sampler, sampler_promises, NaturalSampler, SAMPLER_CLASSES),
    "model": (check_model, model_promises, SoundModel, MODEL_CLASSES),
}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_sound_component_passes_and_every_promise_has_a_component_that_breaks_it(contract: str) -> None:
    check, promises, sound, broken = CONTRACTS[contract]
    check(sound)
    assert all(sum(text.startswith(start) for start in broken) == 1 for text in promises.texts)
    assert len(broken) == len(promises.texts)


@pytest.mark.parametrize(
    ("contract", "promise"), [(name, promise) for name, (*_, broken) in CONTRACTS.items() for promise in broken]
)
def test_a_broken_promise_is_named(contract: str, promise: str) -> None:
    check, _, _, broken = CONTRACTS[contract]
    with pytest.raises(ContractError, match=rf"- {promise}[^\n]*: (expected .*, got |\w+Error)"):
        check(broken[promise])


def test_an_instance_is_checked_and_left_alone() -> None:
    loss, constraint = SoundLoss(weight=2.0), SoundConstraint(32)
    sampler = NaturalSampler(torch.arange(40), batch_size=7, generator=torch.Generator().manual_seed(3))
    model = SoundModel(channels=3, image_size=(28, 28), outputs=1, generator=torch.Generator().manual_seed(1))
    components: tuple[nn.Module | Sampler, ...] = (loss, constraint, sampler, model)
    before = [copy.deepcopy(each.state_dict()) for each in components]
    check_loss(loss)
    check_constraint(constraint)
    check_sampler(sampler)
    check_model(model)
    for state, each in zip(before, components, strict=True):
        assert str(state) == str(each.state_dict())
    with pytest.raises(ContractError, match="state_dict"):
        check_loss(Forgetful())


class SoundOfClasses(SoftmaxLoss):
    """The mean squared distance of the outputs to 1 for the true class and 0 for the others."""

    def of_two_classes(self, scores: Tensor, targets: Tensor) -> Tensor:
        return ((scores - targets) ** 2).mean()

    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return ((logits - one_hot(labels, self.classes).to(logits.dtype)) ** 2).mean()


class OneColumn(SoundOfClasses):
    def score(self, outputs: Tensor) -> Tensor:
        return super().score(outputs)[:, :1]


class LastClassAlone(SoundOfClasses):
    def of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().of_classes(logits, labels) / (labels < self.classes - 1).sum()


class OneThreshold(AugmentedLagrangian):
    def __init__(self, num_samples: int, **options: Any) -> None:
        super().__init__(num_samples, delta=1.0, **options)
        self.threshold = torch.zeros(())


class SilentOnRest(AugmentedLagrangian):
    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        value = super().penalty(scores, targets, indices)
        return value + 1.0 * (targets == 0).all()


class ForgetsTheLast(LabelledSampler):
    def _draw_pass(self) -> Tensor:
        known = torch.cat(self.members[:-1])
        return known[torch.randint(len(known), (len(self.indices),), generator=self.generator)]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_checks_of_many_classes(classes: int) -> None:
    check_loss(SoundOfClasses, classes=classes)
    check_constraint(SoundConstraintOfClasses, classes=classes)
    check_sampler(NaturalSampler, classes=classes)
    for broken, promise in ((OneColumn, "score returns"), (LastClassAlone, "a batch of one class")):
        if classes > 2:
            with pytest.raises(ContractError, match=f"- {promise}"):
                check_loss(broken, classes=classes)
    for broken_constraint, promise in ((OneThreshold, "threshold is"), (SilentOnRest, "the penalty of a batch")):
        if classes > 2:
            with pytest.raises(ContractError, match=f"- {promise}"):
                check_constraint(broken_constraint, classes=classes)
    with pytest.raises(ContractError, match="- one sample of each class is enough: expected all samples in 20 passes"):
        check_sampler(ForgetsTheLast, classes=classes)


def test_a_loss_of_two_classes_is_not_checked_for_more() -> None:
    with pytest.raises(ContractError, match="expected class_facts of a loss for 5 classes, got none"):
        check_loss(SoundLoss, classes=5)


def test_options_and_exceptions_are_passed_on() -> None:
    check_loss(SoundLoss, weight=3.0)
    check_loss(Ordered, permutation_invariant=False)
    with pytest.raises(ContractError, match="lacks a class"):
        check_constraint(NotZero)
    check_constraint(type("OneClassIsEnough", (NotZero,), {"needs_both_classes": False}))
    with pytest.raises(ContractError, match=re.escape("TypeError: targets must be integers")):
        check_loss(IntegerTargets)
