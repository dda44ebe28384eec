"""The augmented Lagrangian: penalty, multipliers, mu rule, against loops, hand-worked tables and cooper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cooper.cmp import CMPState, ConstrainedMinimizationProblem
from cooper.constraints.constraint import Constraint
from cooper.constraints.constraint_state import ConstraintState
from cooper.formulations.formulations import AugmentedLagrangian as CooperFormulation
from cooper.multipliers.multipliers import IndexedMultiplier
from cooper.optim import SimultaneousOptimizer
from cooper.penalty_coefficients.penalty_coefficients import DensePenaltyCoefficient
from cooper.utils.annotations import ConstraintType
from hypothesis import given, settings
from hypothesis import strategies as st
from references import (
    ReferenceLagrangian,
    default_mu_limit,
    in_violated_pair,
    mean_violation,
    mu_course,
    violations,
)
from torch import Tensor

from utils.constraints.augmented_lagrangian import AugmentedLagrangian
from utils.constraints.rate import RateConstraint
from utils.testing.promises import saved_and_loaded

NUM_SAMPLES = 40
DELTAS = [0.0, 0.25, 1.0]
Batch = tuple[Tensor, Tensor, Tensor]


def in_double(constraint: AugmentedLagrangian) -> AugmentedLagrangian:
    """The same constraint with float64 multipliers, to compare at 1e-12."""
    return constraint.double()


def random_batch(generator: torch.Generator, *, size: int = 12, num_samples: int = NUM_SAMPLES) -> Batch:
    """Scores on a grid of 1/4 (many ties, many pairs exactly at a margin); about 1 in 5 of one class only."""
    scores = torch.randint(-6, 7, (size,), generator=generator).double() / 4
    share = (0.0, 0.3, 0.5, 0.7, 1.0)[int(torch.randint(0, 5, (), generator=generator))]
    targets = (torch.rand(size, generator=generator) < share).long()
    indices = torch.randperm(num_samples, generator=generator)[:size]
    return scores, targets, indices


def batches(seed: int, number: int, **options: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [random_batch(generator, **options) for _ in range(number)]


def penalty_and_gradient(constraint: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    scores, targets, indices = batch
    scores = scores.detach().clone().requires_grad_()
    value = constraint.penalty(scores, targets, indices)
    assert value.requires_grad
    (gradient,) = torch.autograd.grad(value, scores)
    return value.detach(), gradient


def has_both_classes(targets: Tensor) -> bool:
    return 0 < int(targets.sum()) < len(targets)


# ---------------------------------------------------------------- against the loops


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("p2_norm", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["f64", "f32"])
def test_steps_side_by_side_with_the_loops(delta: float, p2_norm: float, dtype: torch.dtype, tolerance: float) -> None:
    """Thirty batches: value, gradient and every multiplier after every one."""
    ours = AugmentedLagrangian(NUM_SAMPLES, delta=delta, mu=0.3, p2_norm=p2_norm).to(dtype)
    loops = ReferenceLagrangian(NUM_SAMPLES, delta=delta, mu=0.3, p2_norm=p2_norm)
    for scores, targets, indices in batches(1, 30):
        value, gradient = penalty_and_gradient(ours, (scores.to(dtype), targets, indices))
        expected, expected_gradient = penalty_and_gradient(loops, (scores, targets, indices))
        assert value.dtype == gradient.dtype == dtype
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=1e-12)
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=1e-12)
        ours.update_multipliers()
        loops.update_multipliers()
        expected_multipliers = torch.tensor(loops.multipliers, dtype=torch.float64)
        # a module moved to another type may hold mu in it
        torch.testing.assert_close(ours.multipliers.double(), expected_multipliers, rtol=max(tolerance, 1e-7), atol=0)
    assert ours.multipliers.any()


def test_by_hand() -> None:
    """Positives 0 and 1, negatives 0.5 and -2, delta 1, mu 0.5:

    q_0 = (1 - (0 - 0.5)) + 0 = 1.5 and q_1 = (1 - (1 - 0.5)) + 0 = 0.5; P*N = 4.
    First:  (0.25 * 1.5^2 + 0.25 * 0.5^2) / 4 = (0.5625 + 0.0625) / 4 = 0.15625; multipliers 0.75 and 0.25.
    Second: 0.15625 + (0.75 * 1.5 + 0.25 * 0.5) / 4 = 0.15625 + 0.3125 = 0.46875; multipliers 1.5 and 0.5.
    dL/ds_0 = -(0.5 * 1.5 + 0.75) / 4 = -0.375, dL/ds_1 = -(0.25 + 0.25) / 4 = -0.125, dL/ds_(0.5) = 0.5.
    """
    constraint = AugmentedLagrangian(10, delta=1.0, mu=0.5)
    batch = torch.tensor([0.0, 0.5, 1.0, -2.0]), torch.tensor([1, 0, 1, 0]), torch.tensor([7, 0, 3, 1])
    value, _ = penalty_and_gradient(constraint, batch)
    assert float(value) == 0.15625
    assert not constraint.multipliers.any()  # penalty() alone moves none
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [0, 0, 0, 0.25, 0, 0, 0, 0.75, 0, 0]
    value, gradient = penalty_and_gradient(constraint, batch)
    assert float(value) == 0.46875
    assert gradient.tolist() == [-0.375, 0.5, -0.125, 0.0]
    constraint.update_multipliers()
    assert constraint.multipliers[[7, 3]].tolist() == [1.5, 0.5]


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_every_positive_counts(dropped: int) -> None:
    """The terms of all positives are summed: P*N times the penalty falls by just the dropped one's term."""
    scores = torch.tensor([0.0, -1.0, 0.5, 0.25, 1.0], dtype=torch.float64)
    targets, indices = torch.tensor([1, 1, 1, 0, 0]), torch.arange(5)
    kept = [i for i in range(5) if i != dropped]
    constraint = AugmentedLagrangian(5, delta=0.5, mu=0.5)
    whole = 3 * 2 * float(constraint.penalty(scores, targets, indices))
    rest = 2 * 2 * float(constraint.penalty(scores[kept], targets[kept], indices[kept]))
    q = violations(scores, targets, 0.5)[dropped].item()
    assert q > 0
    assert whole - rest == pytest.approx(0.25 * q**2, rel=1e-12)


@pytest.mark.parametrize("delta", DELTAS)
def test_which_samples_receive_gradient(delta: float) -> None:
    """Exactly those in at least one violated pair, before and after the multipliers have moved."""
    constraint = in_double(AugmentedLagrangian(NUM_SAMPLES, delta=delta, mu=0.1))
    touched = 0
    for batch in batches(2, 40):
        _, gradient = penalty_and_gradient(constraint, batch)
        assert (gradient != 0).tolist() == in_violated_pair(batch[0], batch[1], delta)
        positive = batch[1] == 1
        assert (gradient[positive] <= 0).all()
        assert (gradient[~positive] >= 0).all()
        assert float(gradient.sum()) == pytest.approx(0.0, abs=1e-12)  # differences only: a shift changes nothing
        touched += int((gradient != 0).sum())
        constraint.update_multipliers()
    assert touched > 40


def test_a_pair_at_the_margin_is_met() -> None:
    """delta = 0 and equal scores, or a gap of just delta: no violation and no gradient at any multiplier."""
    for delta, gap in ((0.0, 0.0), (0.25, 0.25)):
        constraint = AugmentedLagrangian(2, delta=delta, mu=1.0)
        constraint.multipliers.fill_(3.0)
        batch = torch.tensor([gap, 0.0]), torch.tensor([1, 0]), torch.tensor([0, 1])
        value, gradient = penalty_and_gradient(constraint, batch)
        assert float(value) == 0.0
        assert not gradient.any()


# ---------------------------------------------------------------- one-class batches


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("p2_norm", [0.5, 1.0, 2.0])
def test_one_class_batches_give_zero_and_move_nothing(label: int, size: int, p2_norm: float) -> None:
    constraint = AugmentedLagrangian(8, delta=1.0, mu=0.5, p2_norm=p2_norm)
    constraint.multipliers.copy_(torch.arange(8.0))
    scores = torch.linspace(-100, 100, size)
    value, gradient = penalty_and_gradient(constraint, (scores, torch.full((size,), label), torch.arange(size)))
    assert float(value) == 0.0
    assert gradient.shape == (size,)
    assert not gradient.any()
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == list(range(8))


# ---------------------------------------------------------------- the multipliers


def test_the_penalty_uses_the_old_multiplier_and_the_update_comes_after() -> None:
    batch = torch.tensor([0.0, 1.0]), torch.tensor([1, 0]), torch.tensor([1, 0])
    constraint = AugmentedLagrangian(2, delta=1.0, mu=0.25)  # q = 2
    course = []
    for _ in range(3):
        value, _ = penalty_and_gradient(constraint, batch)
        constraint.update_multipliers()
        course.append((float(value), float(constraint.multipliers[1])))
    # mu/2 q^2 = 0.5 each time; + lambda q with lambda = 0, 0.5, 1; lambda += 0.5
    assert course == [(0.5, 0.5), (1.5, 1.0), (2.5, 1.5)]


def test_the_update_is_with_q_of_the_batch_whatever_p2_norm() -> None:
    for p2_norm in (0.5, 1.0, 2.0):
        constraint = AugmentedLagrangian(2, delta=1.0, mu=0.25, p2_norm=p2_norm)
        constraint.penalty(torch.tensor([0.0, 1.0]), torch.tensor([1, 0]), torch.tensor([0, 1]))
        constraint.update_multipliers()
        assert constraint.multipliers.tolist() == [0.5, 0.0]


def test_multipliers_are_never_clipped_or_reset() -> None:
    constraint = AugmentedLagrangian(2, delta=1.0, mu=1e4)
    batch = torch.tensor([-1e3, 1e3]), torch.tensor([1, 0]), torch.tensor([0, 1])
    met = torch.tensor([5.0, -5.0]), batch[1], batch[2]
    for _ in range(5):
        constraint.penalty(*batch)
        constraint.update_multipliers()
    reached = float(constraint.multipliers[0])
    assert reached == pytest.approx(5 * 1e4 * 2001)
    for epoch in range(4):  # neither a met constraint nor the end of an epoch takes anything away
        constraint.penalty(*met)
        constraint.update_multipliers()
        constraint.end_epoch(0.9 - 0.1 * epoch)
    assert float(constraint.multipliers[0]) == reached


def test_an_index_that_stands_twice_is_counted_twice() -> None:
    """Oversampling: both copies use the old multiplier, and both add their q."""
    scores, targets = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1, 1, 0])
    constraint = AugmentedLagrangian(6, delta=1.0, mu=0.5)
    constraint.multipliers[4] = 1.0
    value = constraint.penalty(scores, targets, torch.tensor([4, 4, 2]))
    # q = 2 and 1.5: (0.25 * (4 + 2.25) + 1 * 3.5) / 2 = 2.53125; multiplier 1 + 0.5 * 3.5 = 2.75
    assert float(value) == 2.53125
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [0, 0, 0, 0, 2.75, 0]


def test_a_negative_with_the_index_of_a_positive_adds_nothing() -> None:
    constraint = AugmentedLagrangian(3, delta=1.0, mu=0.5)
    constraint.penalty(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1, 0, 0]), torch.tensor([1, 1, 2]))
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [0.0, 2.5, 0.0]  # q = 2 + 3


def test_multipliers_are_a_buffer_and_no_graph_hangs_on_them() -> None:
    constraint = AugmentedLagrangian(3, delta=1.0)
    assert not list(constraint.parameters())
    assert {"multipliers", "mu"} <= dict(constraint.named_buffers()).keys()
    scores = torch.tensor([0.0, 1.0], requires_grad=True)
    constraint.penalty(scores, torch.tensor([1, 0]), torch.tensor([0, 2])).backward()
    constraint.update_multipliers()
    assert not constraint.multipliers.requires_grad


# ---------------------------------------------------------------- types and shapes


@pytest.mark.parametrize("p2_norm", [0.5, 1.0, 2.0])
def test_gradcheck(p2_norm: float) -> None:
    """Away from the kinks of the hinge."""
    constraint = in_double(AugmentedLagrangian(8, delta=0.35, mu=0.7, p2_norm=p2_norm))
    constraint.multipliers.copy_(torch.linspace(0, 1, 8))
    scores = torch.tensor([0.1, -0.8, 1.3, 0.6, -0.4, 2.2, 0.9, -1.5], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 0, 1, 0, 1, 0, 0, 1])
    assert torch.autograd.gradcheck(lambda s: constraint.penalty(s, targets, torch.arange(8)), (scores,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["f16", "bf16"])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_scores_are_computed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    """q_j of 60 pairs with gaps near 300 is about 2e4 and its square 3e8: beyond float16."""
    generator = torch.Generator().manual_seed(5)
    scores = (300 * torch.randn(64, generator=generator)).to(dtype)
    targets = (torch.arange(64) % 16 == 0).long()
    ours, loops = AugmentedLagrangian(64, delta=0.25, mu=0.5), ReferenceLagrangian(64, delta=0.25, mu=0.5)
    for _ in range(3):
        leaf = scores.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            value = ours.penalty(leaf, targets, torch.arange(64))
        expected, _ = penalty_and_gradient(loops, (scores.double(), targets, torch.arange(64)))
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
        ours.update_multipliers()
        loops.update_multipliers()
        assert ours.multipliers.dtype == torch.float32
        torch.testing.assert_close(
            ours.multipliers.double(), torch.tensor(loops.multipliers, dtype=torch.float64), rtol=1e-5, atol=0
        )


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64])
def test_targets_of_any_type(dtype: torch.dtype) -> None:
    scores, targets = torch.tensor([0.0, 0.5, 1.0, -2.0]), torch.tensor([1, 0, 1, 0]).to(dtype)
    constraint = AugmentedLagrangian(4, delta=1.0, mu=0.5)
    value = constraint.penalty(scores, targets, torch.arange(4))
    assert value.dtype == torch.float32
    assert float(value) == 0.15625


BAD_OPTIONS: list[tuple[str, list[Any]]] = [
    ("delta", [-0.1, math.nan, math.inf]),
    ("mu", [0.0, -1.0, math.nan, math.inf]),
    ("rho", [0.0, 0.5, -2.0, math.nan, math.inf]),
    ("p2_norm", [0.25, 0.0, -1.0, math.nan, math.inf]),  # below 1/2 the slope at q = 0 is infinite
    ("introd_ALM_from", [-1]),
    ("mu_limit", [0.05, 0.0, math.nan]),  # below mu, 0.1
]


@pytest.mark.parametrize("key, value", [(key, value) for key, values in BAD_OPTIONS for value in values])
def test_options_out_of_range_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"\b{key}\b.*>"):
        AugmentedLagrangian(3, **{key: value})


def test_number_of_samples_is_checked() -> None:
    with pytest.raises(ValueError, match="num_samples"):
        AugmentedLagrangian(0)


# ---------------------------------------------------------------- in anybody's loop

BOTH: list[Callable[[], Any]] = [
    lambda: AugmentedLagrangian(NUM_SAMPLES, delta=1.0, mu=0.5),
    lambda: RateConstraint(tpr_at_least=0.9, fpr_at_most=0.1, mu=0.5),
]
both_kinds = pytest.mark.parametrize("build", BOTH, ids=["pairwise", "rate"])
ONE_BATCH = torch.tensor([0.0, 0.5, 1.0, -2.0]), torch.tensor([1, 0, 1, 0]), torch.tensor([7, 0, 3, 1])


@both_kinds
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("batches_before", [0, 1])
def test_a_score_that_is_not_finite_moves_no_multiplier_for_good(
    build: Callable[[], Any], bad: float, place: int, batches_before: int
) -> None:
    """Float16 outputs overflow; the penalty shows it, a GradScaler skips the step, and training goes on."""
    constraint = build()
    for _ in range(batches_before):  # gradient accumulation: the other batch counts
        constraint.penalty(*ONE_BATCH)
    scores = ONE_BATCH[0].clone()
    scores[place] = bad
    constraint.penalty(scores, *ONE_BATCH[1:])
    constraint.update_multipliers()
    constraint.end_epoch(0.5)
    assert all(value.isfinite().all() for value in constraint.state_dict().values() if isinstance(value, Tensor))
    moved = constraint.multipliers.clone()
    value, gradient = penalty_and_gradient(constraint, ONE_BATCH)
    assert value.isfinite()
    assert gradient.isfinite().all()
    constraint.update_multipliers()
    assert (constraint.multipliers > moved).any()


def test_the_multipliers_of_a_scaler_that_skips_its_step() -> None:
    """By hand, delta 1 and mu 0.5: q_7 = 1.5 and q_3 = 0.5 of the good batch; an infinite negative gives no number."""
    constraint = BOTH[0]()
    weight = torch.nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for scores in (torch.tensor([0.0, math.inf, 1.0, -2.0]), ONE_BATCH[0]):
        before = weight.item()
        scaler.scale(constraint.penalty(weight * scores, *ONE_BATCH[1:])).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        constraint.update_multipliers()
        assert (weight.item() == before) == bool(scores.isinf().any())
    assert constraint.multipliers[[7, 3]].tolist() == [0.75, 0.25]


def test_an_index_outside_the_data_set_is_told_and_leaves_nothing_behind() -> None:
    constraint = AugmentedLagrangian(4)
    for wrong in (4, -1):
        with pytest.raises(ValueError, match=rf"indices must be those of the data set, 0\.\.3 .*got .*{wrong}"):
            constraint.penalty(torch.zeros(2), torch.tensor([1, 0]), torch.tensor([2, wrong]))
    with pytest.raises(RuntimeError, match="got none since the last update"):
        constraint.update_multipliers()


@both_kinds
def test_a_state_is_restored_exactly_and_drops_what_waits(build: Callable[[], Any]) -> None:
    constraint, restored = build(), build()
    for epoch in range(3):
        constraint.penalty(*ONE_BATCH)
        constraint.update_multipliers()
        constraint.end_epoch(0.9 - 0.1 * epoch)
    state = constraint.state_dict()
    restored.penalty(*ONE_BATCH)  # waits for its update
    assert str(restored.load_state_dict(state)) == "<All keys matched successfully>"
    for name, value in restored.state_dict().items():
        assert torch.equal(value, state[name]) if isinstance(value, Tensor) else value == state[name], name
    assert restored.mu_value == constraint.mu_value > 0.5
    with pytest.raises(RuntimeError, match="got none since the last update"):
        restored.update_multipliers()


@both_kinds
def test_a_foreign_state_is_refused(build: Callable[[], Any]) -> None:
    constraint = build()
    state = constraint.state_dict()
    extra = state["_extra_state"]
    (other,) = (each().state_dict() for each in BOTH if type(each()) is not type(constraint))
    name = type(constraint).__name__
    refusals: list[tuple[dict[str, Any], type[Exception], str]] = [
        (other, ValueError, f"the state of a {name} must hold .*, got .'"),
        ({**state, "_extra_state": None}, ValueError, f"the state of a {name} must hold .*, got None"),
        ({**state, "_extra_state": {**extra, "mu": math.nan}}, ValueError, "mu in the state must be a finite number"),
        ({**state, "_extra_state": {**extra, "mu": 0.0}}, ValueError, "mu in the state must be a finite number"),
        ({**state, "multipliers": torch.zeros(3)}, RuntimeError, "size mismatch for multipliers"),
        ({**state, "surprise": torch.zeros(3)}, RuntimeError, "Unexpected key"),
        ({key: value for key, value in state.items() if key != "_extra_state"}, RuntimeError, "Missing key"),
        ({key: value for key, value in state.items() if key != "multipliers"}, RuntimeError, "Missing key"),
    ]
    for wrong, error, message in refusals:
        with pytest.raises(error, match=message):
            constraint.load_state_dict(wrong)
        assert constraint.mu_value == 0.5


@both_kinds
def test_a_constraint_within_a_model_follows_it(build: Callable[[], Any]) -> None:
    """Saved and loaded with it, through a file; set to eval() with it, which collects nothing."""
    model = torch.nn.ModuleDict({"layer": torch.nn.Linear(2, 1), "constraint": build()})
    constraint: Any = model["constraint"]
    constraint.penalty(*ONE_BATCH)
    constraint.update_multipliers()
    model.eval()
    constraint.penalty(*ONE_BATCH)
    with pytest.raises(RuntimeError, match="got none since the last update"):
        constraint.update_multipliers()
    loaded = torch.nn.ModuleDict({"layer": torch.nn.Linear(2, 1), "constraint": build()})
    loaded.load_state_dict(saved_and_loaded(model.state_dict()))
    restored: Any = loaded["constraint"]
    assert torch.equal(restored.multipliers, constraint.multipliers)
    assert restored.multipliers.any()


# ---------------------------------------------------------------- the mu rule


def course(constraint: AugmentedLagrangian, aucs: list[float]) -> list[float]:
    values = []
    for auc in aucs:
        constraint.end_epoch(auc)
        values.append(float(constraint.mu))
    return values


def independent_course(aucs: list[float], *, first_epoch: int = 0, **options: Any) -> list[float]:
    """The reference's rule; where training continues from a baseline, its epochs are counted but have no AUC."""
    if first_epoch:
        options |= {"introd_ALM_from": first_epoch - 1, "unconditional_step": False}
    return mu_course([math.nan] * first_epoch + aucs, **options)[first_epoch:]


M, S = 1e-2, 1e-5  # limits: 1e-2 * 2^3 = 0.08 and 1e-5 * 2^5 = 3.2e-4
FALLING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
TABLES: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("rising", {"mu": M}, [0.5, 0.6, 0.7, 0.8, 0.9], [M, M, 2 * M, 2 * M, 2 * M]),
    ("falling to the limit rho^3", {"mu": M}, FALLING,
     [M, M, 2 * M, 4 * M, 8 * M, 8 * M, 8 * M, 8 * M, 8 * M]),
    ("falling to the limit rho^5", {"mu": S}, FALLING,
     [S, S, 2 * S, 4 * S, 8 * S, 16 * S, 32 * S, 32 * S, 32 * S]),
    ("rho^3 at mu = 1e-3 itself", {"mu": 1e-3}, FALLING[:6], [1e-3, 1e-3, 2e-3, 4e-3, 8e-3, 8e-3]),
    ("a fall by less than .05 does not count", {"mu": M}, [0.9, 0.9, 0.86, 0.82, 0.78],
     [M, M, 2 * M, 2 * M, 2 * M]),
    ("against the epoch before, not the best", {"mu": M}, [0.9, 0.9, 0.9, 0.8, 0.8, 0.9, 0.8],
     [M, M, 2 * M, 4 * M, 4 * M, 4 * M, 8 * M]),
    ("e = 0 is not remembered", {"mu": M}, [1.0, 0.5, 0.5, 0.5], [M, M, 2 * M, 2 * M]),
    ("AUC 1 at e = 2 stops for ever", {"mu": M}, [0.5, 0.5, 1.0, 0.5, 0.1], [M] * 5),
    ("AUC 1 later stops for ever", {"mu": M}, [0.9, 0.9, 0.9, 1.0, 0.5, 0.1],
     [M, M, 2 * M, 2 * M, 2 * M, 2 * M]),
    ("AUC 1 before e = 2 does not", {"mu": M}, [1.0, 1.0, 0.9, 0.8], [M, M, 2 * M, 4 * M]),
    ("AUC 1 with cap_mu off", {"mu": M, "cap_mu": False}, [0.5, 0.5, 1.0, 0.5, 0.1],
     [M, M, 2 * M, 4 * M, 8 * M]),
    ("three epochs later", {"mu": M, "introd_ALM_from": 3}, [1.0, 0.1, 1.0, 0.9, 0.9, 0.9, 0.8, 0.8],
     [M, M, M, M, M, 2 * M, 4 * M, 4 * M]),
    ("continued, rising: no free step", {"mu": M, "first_epoch": 4}, [0.5, 0.6, 0.7, 0.8], [M] * 4),
    ("continued, falling", {"mu": M, "first_epoch": 4}, [0.9, 0.9, 0.8, 0.8, 0.7], [M, M, 2 * M, 2 * M, 4 * M]),
    ("continued: introd_ALM_from does not delay", {"mu": M, "first_epoch": 4, "introd_ALM_from": 9},
     [0.9, 0.8, 0.7], [M, 2 * M, 4 * M]),
    ("a limit between the steps is reached whatever the AUC", {"mu": M, "mu_limit": 0.03},
     [0.5, 0.6, 0.7, 0.8, 0.9], [M, M, 0.02, 0.03, 0.03]),
    ("a limit equal to mu", {"mu": M, "mu_limit": M}, FALLING, [M] * 9),
    ("the limit comes before the free step", {"mu": M, "mu_limit": 0.015}, [0.5, 0.6, 0.7, 0.8],
     [M, M, 0.015, 0.015]),
    ("another rho", {"mu": M, "rho": 3.0}, FALLING,
     [M, M, 3 * M, 9 * M, 27 * M, 27 * M, 27 * M, 27 * M, 27 * M]),
    ("rho = 1", {"mu": M, "rho": 1.0}, FALLING, [M] * 9),
]  # fmt: skip


@pytest.mark.parametrize("options, aucs, expected", [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_mu_by_hand(options: dict[str, Any], aucs: list[float], expected: list[float]) -> None:
    assert course(AugmentedLagrangian(1, **options), aucs) == pytest.approx(expected, rel=1e-9)
    assert independent_course(aucs, **{"rho": 2.0, **options}) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=150)
@given(
    aucs=st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.72, 0.9, 0.97, 1.0]), min_size=1, max_size=14),
    mu=st.sampled_from([1e-9, 1e-5, 9.99e-4, 1e-3, 1e-2, 0.1]),
    rho=st.sampled_from([1.0, 1.1, 1.5, 2.0, 10.0]),
    limit_factor=st.sampled_from([None, 1.0, 1.7, 5.0, 1e3]),
    cap_mu=st.booleans(),
    start=st.integers(0, 3),
    first_epoch=st.integers(0, 4),
)
def test_mu_equals_the_independent_rule(
    aucs: list[float],
    mu: float,
    rho: float,
    limit_factor: float | None,
    cap_mu: bool,
    start: int,
    first_epoch: int,
) -> None:
    limit = None if limit_factor is None else mu * limit_factor
    options: dict[str, Any] = {
        "mu": mu,
        "rho": rho,
        "mu_limit": limit,
        "cap_mu": cap_mu,
        "introd_ALM_from": start,
        "first_epoch": first_epoch,
    }
    ours = course(AugmentedLagrangian(1, **options), aucs)
    assert ours == pytest.approx(independent_course(aucs, **options), rel=1e-9)
    assert max(ours) <= (default_mu_limit(mu, rho) if limit is None else limit) * (1 + 1e-9)


def test_the_new_mu_acts_in_penalty_and_update() -> None:
    constraint = AugmentedLagrangian(2, delta=1.0, mu=0.25)
    batch = torch.tensor([0.0, 1.0]), torch.tensor([1, 0]), torch.tensor([0, 1])  # q = 2
    course(constraint, [0.5, 0.5, 0.5])  # mu = 0.5
    assert float(constraint.penalty(*batch)) == 1.0
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [1.0, 0.0]


# ---------------------------------------------------------------- whole sets


def test_penalty_of_the_whole_set_agrees_with_its_mean_violation() -> None:
    """At mu = 1 and p2_norm 1/2 the penalty is 1/(P N) * sum q_j / 2: half the mean violation."""
    for scores, targets, indices in batches(9, 20):
        if has_both_classes(targets):
            constraint = in_double(AugmentedLagrangian(NUM_SAMPLES, delta=0.25, mu=1.0, p2_norm=0.5))
            half = float(constraint.penalty(scores, targets, indices))
            assert 2 * half == pytest.approx(mean_violation(scores, targets, 0.25), rel=1e-12)


# ---------------------------------------------------------------- against cooper


class PairwiseProblem(ConstrainedMinimizationProblem):
    """min P N f(s)  s.t.  q_j(s) = 0: P N times our Lagrangian, as cooper does not divide the constraints."""

    def __init__(self, scores: Tensor, centres: Tensor, delta: float, mu: float) -> None:
        super().__init__()
        self.scores, self.centres, self.delta = scores, centres, delta
        self.multiplier = IndexedMultiplier(num_constraints=len(scores), dtype=torch.float64)
        self.ranking = Constraint(
            constraint_type=ConstraintType.EQUALITY,
            formulation_type=CooperFormulation,
            multiplier=self.multiplier,
            penalty_coefficient=DensePenaltyCoefficient(torch.tensor(mu, dtype=torch.float64)),
        )

    def compute_cmp_state(self, targets: Tensor, indices: Tensor) -> CMPState:
        scores = self.scores[indices]
        q = torch.stack(violations(scores, targets, self.delta))
        pairs = len(q) * (len(targets) - len(q))
        objective = ((scores - self.centres[indices]) ** 2).mean()
        state = ConstraintState(violation=q, constraint_features=indices[targets == 1])
        return CMPState(loss=pairs * objective, observed_constraints={self.ranking: state})


def assert_near(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("delta, mu", [(0.25, 0.5), (1.0, 0.1), (0.0, 2.0)])
def test_steps_side_by_side_with_cooper(delta: float, mu: float) -> None:
    """Simultaneous updates: both read the old multiplier, and the dual step (rate mu) adds mu * q."""
    generator = torch.Generator().manual_seed(10)
    centres = torch.randn(NUM_SAMPLES, generator=generator, dtype=torch.float64)
    labels = (torch.arange(NUM_SAMPLES) % 3 == 0).long()
    theirs = torch.nn.Parameter(centres.clone())
    problem = PairwiseProblem(theirs, centres, delta, mu)
    primal = torch.optim.SGD([theirs], lr=1.0)
    dual = torch.optim.SGD(problem.dual_parameters(), lr=mu, maximize=True)
    optimizer = SimultaneousOptimizer(problem, primal_optimizers=primal, dual_optimizers=dual)

    constraint = in_double(AugmentedLagrangian(NUM_SAMPLES, delta=delta, mu=mu))
    ours = torch.nn.Parameter(centres.clone())
    moved = 0
    for _ in range(25):
        indices = torch.randperm(NUM_SAMPLES, generator=generator)[:10]
        targets = labels[indices]
        if not has_both_classes(targets):
            continue
        pairs = int(targets.sum()) * int((1 - targets).sum())
        primal.param_groups[0]["lr"] = 0.3 / pairs  # of P N times the Lagrangian
        rolled = optimizer.roll({"targets": targets, "indices": indices})

        scores = ours[indices]
        value = ((scores - centres[indices]) ** 2).mean() + constraint.penalty(scores, targets, indices)
        (gradient,) = torch.autograd.grad(value, ours)
        with torch.no_grad():
            ours.sub_(0.3 * gradient)
        constraint.update_multipliers()

        lagrangian = rolled.primal_lagrangian_store.lagrangian
        assert lagrangian is not None
        assert theirs.grad is not None
        assert_near(value.detach() * pairs, lagrangian.detach())
        assert_near(gradient * pairs, theirs.grad)
        assert_near(constraint.multipliers, problem.multiplier.weight.detach()[:, 0])
        assert_near(ours.detach(), theirs.detach())
        moved += int((constraint.multipliers > 0).sum())
    assert moved > 0


# ---------------------------------------------------------------- a problem with a known optimum


def solve(centres: list[float], targets: list[int], *, rounds: int, delta: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    """Method of multipliers on  min sum_i (s_i - a_i)^2  s.t. q_j(s) = 0: gradient descent, then one update.

    The step 0.15 is below 1/curvature (2 + |dq/ds|^2 / (P N) <= 5), so the descent never jumps the kink,
    and the rounds end well before q is as small as rounding.
    """
    a, y = torch.tensor(centres, dtype=torch.float64), torch.tensor(targets)
    indices = torch.arange(len(centres))
    constraint = in_double(AugmentedLagrangian(len(centres), delta=delta, mu=1.0))
    scores = a.clone().requires_grad_()
    trace = []
    for _ in range(rounds):
        constraint.eval()  # the descent's batches do not count
        for _ in range(70):
            value = ((scores - a) ** 2).sum() + constraint.penalty(scores, y, indices)
            (gradient,) = torch.autograd.grad(value, scores)
            with torch.no_grad():
                scores -= 0.15 * gradient
        constraint.train()
        constraint.penalty(scores, y, indices)
        constraint.update_multipliers()
        trace.append(constraint.multipliers.clone())
    return scores.detach(), trace


def assert_geometric(values: list[float], limit: float, factor: float) -> None:
    """lambda after round n is limit * (1 - factor^n)."""
    assert values == pytest.approx([limit * (1 - factor ** (n + 1)) for n in range(len(values))], abs=1e-6)


def test_known_optimum_of_one_pair() -> None:
    """a = (0; 1), delta 1: the gap must grow by 2, each score moves by x = 1. Multiplier: 2 x = lambda, so 2.

    With mu = 1 the inner optimum has 2 x = lambda + q and q = 2 - 2 x, so q = (2 - lambda) / 2: half the way
    to 2 in each round.
    """
    scores, trace = solve([0.0, 1.0], [1, 0], rounds=22)
    assert_geometric([float(multipliers[0]) for multipliers in trace], 2.0, 1 / 2)
    assert scores.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_known_optimum_of_one_positive_and_two_negatives() -> None:
    """a = (0; 1, 1), delta 1: positive up by x, negatives down by y, x + y = 2, min x^2 + 2 y^2.

    So x = 4/3, y = 2/3. d/ds_j: 2 x = 1/(P N) * lambda * N = lambda, hence 8/3; d/ds_k: 2 y = lambda / 2.
    Rounds: 2 x = lambda + q, 2 y = (lambda + q) / 2, q = 2 (2 - x - y), so q = 3/5 of 8/3 - lambda.
    """
    scores, trace = solve([0.0, 1.0, 1.0], [1, 0, 0], rounds=17)
    assert_geometric([float(multipliers[0]) for multipliers in trace], 8 / 3, 2 / 5)
    assert scores.tolist() == pytest.approx([4 / 3, 1 / 3, 1 / 3], abs=1e-6)
    assert not trace[-1][1:].any()


def test_known_optimum_with_a_negative_that_is_far_away() -> None:
    """a = (0; 1, -5): only the first pair binds, x = 1 for both of it, the far one stays.

    2 x = lambda / (P N) = lambda / 2, so 4. Rounds: 2 x = (lambda + q) / 2, q = 2 - 2 x = (4 - lambda) / 3.
    """
    scores, trace = solve([0.0, 1.0, -5.0], [1, 0, 0], rounds=38)
    assert_geometric([float(multipliers[0]) for multipliers in trace], 4.0, 2 / 3)
    assert scores.tolist() == pytest.approx([1.0, 0.0, -5.0], abs=1e-6)


def test_known_optimum_of_two_positives_and_one_negative() -> None:
    """a = (0, 0; 1): both up by x, the negative down by y, x + y = 2, min 2 x^2 + y^2: x = 2/3, y = 4/3.

    2 x = lambda_j / 2, so 8/3 for each. Rounds: x = (lambda + q) / 4, y = (lambda + q) / 2, q = 2 - x - y.
    """
    scores, trace = solve([0.0, 0.0, 1.0], [1, 1, 0], rounds=27)
    for j in (0, 1):
        assert_geometric([float(multipliers[j]) for multipliers in trace], 8 / 3, 4 / 7)
    assert scores.tolist() == pytest.approx([2 / 3, 2 / 3, -1 / 3], abs=1e-6)


def test_a_problem_that_meets_its_constraint_stays_where_it_is() -> None:
    scores, trace = solve([2.0, 0.0, 1.0], [1, 0, 0], rounds=2)
    assert scores.tolist() == [2.0, 0.0, 1.0]
    assert not trace[-1].any()


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("targets", [[1, -1, 1, -1], [0, 1, 2, 0], [0.0, 0.5, 1.0, 1.0], [0.0, 1.0, 1.0, math.nan]])
@pytest.mark.parametrize("constraint", [AugmentedLagrangian(4, delta=1.0), RateConstraint()], ids=["pairwise", "rate"])
def test_targets_other_than_0_and_1_are_refused(constraint: Any, targets: list[float]) -> None:
    with pytest.raises(ValueError, match=r"targets must be 0 or 1 \(1: the critical .*\), got \["):
        constraint.penalty(torch.zeros(4), torch.tensor(targets), torch.arange(4))


# ---------------------------------------------------------------- several batches before one update


CONSTRAINTS = {
    "pairwise": lambda: AugmentedLagrangian(NUM_SAMPLES, delta=1.0, mu=0.3),
    "TPR": lambda: RateConstraint(tpr_at_least=0.9, mu=0.3),
    "TPR and FPR": lambda: RateConstraint(tpr_at_least=0.9, fpr_at_most=0.2, mu=0.3),
}
every_constraint = pytest.mark.parametrize("build", CONSTRAINTS.values(), ids=CONSTRAINTS)


def test_an_update_takes_every_batch_by_hand() -> None:
    """delta 1, mu 0.5. First batch: sample 0 at 0 against 0.5, q = 1.5. Second: sample 0 at 0 against 0.25, q = 1.25,

    and sample 2 at 1 against 0.25, q = 0.25. So 0.5 (1.5 + 1.25) = 1.375 for sample 0 and 0.125 for sample 2.
    """
    constraint = AugmentedLagrangian(4, delta=1.0, mu=0.5)
    indices = torch.tensor([0, 1])  # a buffer that the loop fills anew
    constraint.penalty(torch.tensor([0.0, 0.5]), torch.tensor([1, 0]), indices)
    indices.copy_(torch.tensor([3, 3]))
    constraint.penalty(torch.tensor([0.0, 0.25, 1.0]), torch.tensor([1, 0, 1]), torch.tensor([0, 1, 2]))
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [1.375, 0, 0.125, 0]


def test_an_update_of_the_rate_takes_every_batch_by_hand() -> None:
    """TPR >= 0.75, mu 0.5. Errors 1 of 2, then 0 of 1: max(0, 0.5 (0.5 - 0.25)) = 0.125, max(0, 0.125 - 0.125) = 0."""
    constraint = RateConstraint(tpr_at_least=0.75, mu=0.5)
    constraint.penalty(torch.tensor([0.5, -1.5]), torch.tensor([1, 1]), torch.arange(2))
    constraint.penalty(torch.tensor([-1.0, -1.0]), torch.tensor([1, 1]), torch.arange(2))
    constraint.penalty(torch.tensor([2.0]), torch.tensor([1]), torch.arange(1))
    constraint.update_multipliers()
    assert constraint.multipliers.tolist() == [0.375, 0]  # 0.125 + 0.5 (1 - 0.25) - 0.5 * 0.25
    assert constraint.epoch_counts.tolist() == [[3, 0], [5, 0]]


@every_constraint
def test_one_update_after_several_batches_is_one_after_each(build: Callable[[], Any]) -> None:
    together, apart = build(), build()
    for number in range(5):
        several = [(scores.float(), *rest) for scores, *rest in batches(number, 1 + number)]
        for batch in several:
            together.penalty(*batch)
            apart.penalty(*batch)
            apart.update_multipliers()
        together.update_multipliers()
        for name, value in apart.state_dict().items():
            assert name == "_extra_state" or torch.equal(together.state_dict()[name], value), (number, name)
    assert together.multipliers.any()


@every_constraint
def test_what_is_only_looked_at_does_not_count(build: Callable[[], Any]) -> None:
    constraint, alone = build(), build()
    targets, indices = torch.tensor([1, 0, 1]), torch.tensor([4, 9, 2])
    seen = torch.tensor([0.0, 0.5, -1.0]), targets, indices
    looked_at = torch.tensor([-3.0, 2.0, -2.0]), targets, indices
    alone.penalty(*seen)
    constraint.penalty(*seen)
    with torch.no_grad():
        constraint.penalty(*looked_at)
    with torch.inference_mode():
        constraint.penalty(*looked_at)
    constraint.eval().penalty(*looked_at)
    constraint.train()
    for each in (constraint, alone):
        each.update_multipliers()
    assert constraint.multipliers.any()
    assert torch.equal(constraint.multipliers, alone.multipliers)
    constraint.eval().penalty(*seen)
    with pytest.raises(RuntimeError, match=r"needs a call of penalty\(\) before it.*eval\(\) do not count"):
        constraint.update_multipliers()


@every_constraint
def test_memory_is_bounded_where_no_update_comes(build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.constraints.augmented_lagrangian.MOST_COLLECTED", 4)
    together, apart = build(), build()
    for batch in batches(1, 30):
        together.penalty(*batch)
        apart.penalty(*batch)
        apart.update_multipliers()
        assert len(together._collected) <= 4
    together.update_multipliers()
    torch.testing.assert_close(together.multipliers, apart.multipliers, rtol=1e-5, atol=0)


@pytest.mark.parametrize("cast", ["half", "bfloat16"])
def test_multipliers_grow_on_where_the_model_around_is_cast_to_half_precision(cast: str) -> None:
    """3,000 batches of a positive that violates by 1: multiplier 3,000 mu; bfloat16 would stay at 256 mu."""
    pairwise = AugmentedLagrangian(2, delta=1.0, mu=0.5, mu_limit=0.5)
    rate = RateConstraint(tpr_at_least=0.5, mu=0.5, mu_limit=0.5)
    around = torch.nn.ModuleList([torch.nn.Linear(2, 1), pairwise, rate])
    getattr(around, cast)()
    targets, indices = torch.tensor([1, 0]), torch.arange(2)
    for _ in range(3000):
        pairwise.penalty(torch.zeros(2, requires_grad=True), targets, indices)  # q = 1 - (0 - 0)
        pairwise.update_multipliers()
        rate.penalty(-torch.ones(2, requires_grad=True), targets, indices)  # missed, so g = 1 - 0.5
        rate.update_multipliers()
    assert next(around[0].parameters()).dtype == getattr(torch, cast)
    assert pairwise.multipliers.tolist() == [1500.0, 0.0]
    assert rate.multipliers.tolist() == [750.0, 0.0]
    assert rate.epoch_counts.tolist() == [[3000.0, 0.0], [3000.0, 3000.0]]
    around.double()
    assert pairwise.multipliers.dtype == torch.float64


@pytest.mark.parametrize("auc", [math.nan, 98.5, -0.1, torch.tensor(math.nan)])
def test_an_auc_that_is_none_is_refused(auc: Any) -> None:
    constraint = AugmentedLagrangian(2)
    constraint.end_epoch(0.9)
    with pytest.raises(ValueError, match=r"validation_auc must be in \[0, 1\], got "):
        constraint.end_epoch(auc)


@pytest.mark.parametrize("constraint", [AugmentedLagrangian(4, delta=1.0), RateConstraint()], ids=["pairwise", "rate"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_targets_get_no_gradient_and_indices_may_be_int32(constraint: Any, dtype: torch.dtype) -> None:
    scores, targets = torch.zeros(4, requires_grad=True), torch.tensor([1.0, 0.0, 0.0, 1.0], requires_grad=True)
    constraint.penalty(scores, targets, torch.arange(4, dtype=dtype)).backward()
    constraint.update_multipliers()
    assert scores.grad is not None
    assert targets.grad is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "build",
    [
        lambda: AugmentedLagrangian(4, delta=1.0, mu=0.5),
        lambda: RateConstraint(tpr_at_least=0.5, mu=0.5),
        lambda: RateConstraint(tpr_at_least=0.5, fpr_at_most=0.25, mu=0.5),
    ],
    ids=["pairwise", "TPR", "TPR and FPR"],
)
def test_a_batch_that_is_not_finite_leaves_no_trace(build: Callable[[], Any], bad: float) -> None:
    """As where a gradient scaler skips the step: the batches after it count as without it."""
    targets, indices = torch.tensor([1, 0, 1, 0]), torch.arange(4)
    skipping, without = build(), build()
    for number in range(4):
        scores = torch.tensor([-2.0, 0.5, 0.25, -0.5]) * number
        for constraint in (skipping, without):
            constraint.penalty(scores.clone().requires_grad_(), targets, indices)
            constraint.update_multipliers()
        # one penalty more, of scores of which a positive and a negative are broken
        broken = torch.tensor([bad, bad, 1.0, 1.0], requires_grad=True)
        assert not skipping.penalty(broken, targets, indices).isfinite() or isinstance(skipping, RateConstraint)
        skipping.update_multipliers()
    kept = [each for each in skipping.state_dict().values() if isinstance(each, Tensor)]
    assert all(each.isfinite().all() for each in kept)
    if isinstance(skipping, AugmentedLagrangian):
        assert skipping.multipliers[0] == without.multipliers[0]
    value = skipping.penalty(torch.zeros(4, requires_grad=True), targets, indices)
    assert value.isfinite()
