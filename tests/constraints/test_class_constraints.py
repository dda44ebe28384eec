"""Constraints on K classes: against loops, binary views and cooper, by hand, and on problems with a known optimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cooper.cmp import CMPState, ConstrainedMinimizationProblem
from cooper.constraints.constraint import Constraint as CooperConstraint
from cooper.constraints.constraint_state import ConstraintState
from cooper.formulations.formulations import AugmentedLagrangian as CooperFormulation
from cooper.multipliers.multipliers import IndexedMultiplier
from cooper.optim import SimultaneousOptimizer
from cooper.penalty_coefficients.penalty_coefficients import DensePenaltyCoefficient
from cooper.utils.annotations import ConstraintType
from references import ReferenceClassLagrangian, violation_of_class
from replays import RecordedStep
from torch import Tensor

from utils.constraints import AugmentedLagrangian, RateConstraint
from utils.losses.softmax import one_hot
from utils.testing import check_constraint

NUM_SAMPLES = 40
AGAINST = ("rest", "classes")
both_readings = pytest.mark.parametrize("against", AGAINST)
PROBLEMS = [(3, (1,)), (3, (2, 0)), (5, (4, 1, 2))]
every_problem = pytest.mark.parametrize("classes, critical", PROBLEMS)
Batch = tuple[Tensor, Tensor, Tensor]
pytestmark = pytest.mark.usefixtures("one_thread")


def batches(seed: int, number: int, classes: int, critical: tuple[int, ...], *, size: int = 12) -> list[Batch]:
    """Scores on a grid of 1/4: many ties, many pairs exactly at a margin. Every fourth batch is of one class."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for step in range(number):
        scores = torch.randint(-6, 7, (size, len(critical)), generator=generator).double() / 4
        targets = torch.randint(0, classes, (size,), generator=generator)
        if step % 4 == 3:
            targets = torch.full((size,), step % classes)
        found.append((scores, targets, torch.randperm(max(NUM_SAMPLES, size), generator=generator)[:size]))
    return found


def penalty_and_gradient(constraint: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    scores = batch[0].detach().clone().requires_grad_()
    value = constraint.penalty(scores, *batch[1:])
    (gradient,) = torch.autograd.grad(value, scores)
    return value.detach(), gradient


def lagrangian(classes: int, critical: tuple[int, ...], against: str, **options: Any) -> AugmentedLagrangian:
    """With float64 multipliers, to compare at 1e-12."""
    made: AugmentedLagrangian = AugmentedLagrangian(
        NUM_SAMPLES, classes=classes, critical=critical, against=against, **{"delta": 0.5, "mu": 0.3, **options}
    ).double()
    return made


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize(
    "kind, options",
    [
        (AugmentedLagrangian, {"delta": 0.5, "against": "rest"}),
        (AugmentedLagrangian, {"delta": 0.5, "against": "classes"}),
        (RateConstraint, {}),
        (RateConstraint, {"fpr_at_most": 0.1}),
    ],
)
def test_every_constraint_keeps_the_contract(kind: Any, options: dict[str, Any], classes: int) -> None:
    check_constraint(kind, classes=classes, **options)


# ---------------------------------------------------------------- against the loops


@both_readings
@every_problem
@pytest.mark.parametrize("p2_norm", [0.5, 1.0, 2.0])
def test_steps_side_by_side_with_the_loops(
    against: str, classes: int, critical: tuple[int, ...], p2_norm: float
) -> None:
    """Twenty batches: value, gradient and every multiplier after every one."""
    ours = lagrangian(classes, critical, against, p2_norm=p2_norm)
    loops = ReferenceClassLagrangian(
        against=against, classes=classes, critical=critical, delta=0.5, mu=0.3, p2_norm=p2_norm
    )
    for batch in batches(1, 20, classes, critical):
        for found, expected in zip(penalty_and_gradient(ours, batch), penalty_and_gradient(loops, batch), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        ours.update_multipliers()
        loops.update_multipliers()
        torch.testing.assert_close(ours.multipliers, loops.table(NUM_SAMPLES), rtol=1e-7, atol=0)
    assert ours.multipliers.any()


@both_readings
def test_a_large_batch_is_as_a_small_one(against: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch by one sort of each column, and by all pairs."""
    (batch,) = batches(2, 1, 5, (4, 1), size=60)
    found = []
    for most in (512, 8):
        monkeypatch.setattr("utils.pairwise.class_violations.DENSE_BATCH", most)
        constraint = AugmentedLagrangian(60, delta=0.5, classes=5, critical=(4, 1), against=against).double()
        constraint.multipliers.copy_(
            torch.rand(constraint.multipliers.shape, generator=torch.Generator().manual_seed(1))
        )
        found.append(penalty_and_gradient(constraint, batch))
    for dense, by_sort in zip(*found, strict=True):
        torch.testing.assert_close(dense, by_sort, rtol=1e-12, atol=1e-12)


def test_by_hand() -> None:
    """Class 1 is critical, delta 1, mu 0.5. Sample 0 at 0, class 0 at 0.5 and -2, class 2 at 1.

    q_(0,0) = 1.5 + 0, q_(0,2) = 2. Pairs 2 and 1.
    classes: 0.25 * 1.5^2 / 2 + 0.25 * 2^2 / 1 = 0.28125 + 1 = 1.28125; then 0.75 and 1: + 0.75 * 1.5 / 2 + 1 * 2.
    rest: q = 3.5, 3 pairs: 0.25 * 3.5^2 / 3; then 1.75: + 1.75 * 3.5 / 3.
    """
    batch = torch.tensor([[0.0], [0.5], [-2.0], [1.0]]), torch.tensor([1, 0, 0, 2]), torch.tensor([3, 0, 1, 2])
    course: dict[str, list[float]] = {}
    for against in AGAINST:
        constraint = AugmentedLagrangian(4, delta=1.0, mu=0.5, classes=3, critical=(1,), against=against)
        course[against] = []
        for _ in range(2):
            course[against].append(float(constraint.penalty(*batch)))
            constraint.update_multipliers()
    assert course["classes"] == [1.28125, 1.28125 + 0.5625 + 2]
    assert course["rest"] == pytest.approx([3.0625 / 3, 3.0625 / 3 + 6.125 / 3])
    assert constraint.multipliers.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1.5, 0, 2.0]]
    assert constraint.shown_multipliers(torch.tensor([3])).tolist() == [1.5, 0, 2.0]


# ---------------------------------------------------------------- at K = 2, and as binary views


@both_readings
def test_with_an_empty_third_class_it_is_the_constraint_of_two(against: str) -> None:
    binary = AugmentedLagrangian(NUM_SAMPLES, delta=0.5, mu=0.3).double()
    ours = lagrangian(3, (1,), against)
    for scores, targets, indices in batches(3, 20, 2, (1,)):
        value, gradient = penalty_and_gradient(ours, (scores, targets, indices))
        expected, expected_gradient = penalty_and_gradient(binary, (scores[:, 0], targets, indices))
        torch.testing.assert_close(value, expected, rtol=1e-13, atol=0)
        torch.testing.assert_close(gradient[:, 0], expected_gradient, rtol=1e-13, atol=1e-15)
        for each in (ours, binary):
            each.update_multipliers()
        multipliers = ours.multipliers if against == "rest" else ours.multipliers[:, 0]
        torch.testing.assert_close(multipliers, binary.multipliers, rtol=1e-13, atol=0)
    assert binary.multipliers.any()


@both_readings
def test_two_classes_take_the_code_of_two_whatever_is_said_of_the_others(against: str) -> None:
    plain, told = AugmentedLagrangian(40), AugmentedLagrangian(40, classes=2, critical=(1,), against=against)
    for scores, targets, indices in batches(3, 5, 2, (1,)):
        values = [penalty_and_gradient(each, (scores[:, 0].float(), targets, indices)) for each in (plain, told)]
        assert torch.equal(values[0][0], values[1][0])
        assert torch.equal(values[0][1], values[1][1])
        for each in (plain, told):
            each.update_multipliers()
    assert torch.equal(plain.multipliers, told.multipliers)
    assert plain.state_dict().keys() == told.state_dict().keys() == {"multipliers", "_extra_state"}


@every_problem
def test_against_the_rest_it_is_one_constraint_of_two_classes_for_each_view(
    classes: int, critical: tuple[int, ...]
) -> None:
    ours = lagrangian(classes, critical, "rest")
    views = [AugmentedLagrangian(NUM_SAMPLES, delta=0.5, mu=0.3).double() for _ in critical]
    for scores, _, indices in batches(4, 12, classes, critical):
        targets = indices % classes  # a sample keeps its class, and so its multiplier
        value, gradient = penalty_and_gradient(ours, (scores, targets, indices))
        expected = [
            penalty_and_gradient(view, (scores[:, column], (targets == own).long(), indices))
            for column, (view, own) in enumerate(zip(views, critical, strict=True))
        ]
        torch.testing.assert_close(value, torch.stack([each for each, _ in expected]).sum(), rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(gradient, torch.stack([each for _, each in expected], dim=1), rtol=1e-12, atol=1e-14)
        for each in (ours, *views):
            each.update_multipliers()
        torch.testing.assert_close(ours.multipliers, sum(view.multipliers for view in views), rtol=1e-12, atol=0)


@every_problem
@pytest.mark.parametrize("fpr_at_most", [None, 0.2])
def test_the_rate_constraint_is_one_of_two_classes_for_each_view(
    classes: int, critical: tuple[int, ...], fpr_at_most: float | None
) -> None:
    """Value, gradients in scores and thresholds, multipliers; with thresholds that move."""
    options: dict[str, Any] = {"tpr_at_least": 0.9, "fpr_at_most": fpr_at_most, "mu": 0.3}
    ours = RateConstraint(classes=classes, critical=critical, **options).double()
    views = [RateConstraint(**options).double() for _ in critical]
    for step, (scores, targets, indices) in enumerate(batches(5, 20, classes, critical)):
        leaf = scores.clone().requires_grad_()
        value = ours.penalty(leaf, targets, indices)
        gradient, slopes = torch.autograd.grad(value, (leaf, ours.threshold))
        total = torch.zeros((), dtype=torch.float64)
        for column, (view, own) in enumerate(zip(views, critical, strict=True)):
            one = scores[:, column].clone().requires_grad_()
            each = view.penalty(one, (targets == own).long(), indices)
            of_scores, slope = torch.autograd.grad(each, (one, view.threshold))
            torch.testing.assert_close(gradient[:, column], of_scores, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(slopes[column], slope, rtol=1e-12, atol=1e-14)
            total = total + each.detach()
            view.update_multipliers()
            view.threshold.data.fill_(math.sin(step + column))
        ours.update_multipliers()
        ours.threshold.data.copy_(torch.stack([view.threshold.data for view in views]))
        torch.testing.assert_close(value.detach(), total, rtol=1e-12, atol=1e-14)
        for name in ("multipliers", "running", "epoch_counts"):
            stacked = torch.stack([getattr(view, name) for view in views], dim=-1)
            torch.testing.assert_close(getattr(ours, name), stacked, rtol=1e-12, atol=0)
    assert ours.threshold.shape == (len(critical),)
    assert ours.multipliers[0].any()
    rows = 1 if fpr_at_most is None else 2
    assert ours.shown_multipliers(torch.arange(3)).tolist() == ours.multipliers[:rows].flatten().tolist()


@pytest.mark.parametrize("missed", [0, 1])
def test_mu_grows_while_one_critical_class_of_several_misses_its_rate(missed: int) -> None:
    constraint = RateConstraint(tpr_at_least=0.9, mu=0.1, classes=3, critical=(1, 2))
    scores = torch.ones(200, 2)
    targets = torch.arange(200) % 2 + 1
    scores[targets == missed + 1, missed] = -1.0
    course = []
    for _ in range(3):
        constraint.penalty(scores, targets, torch.arange(200))
        constraint.update_multipliers()
        constraint.end_epoch(0.5)
        course.append(constraint.mu_value)
    assert course == pytest.approx([0.1, 0.2, 0.4])
    assert (constraint.multipliers[0] > 0).tolist() == [missed == 0, missed == 1]


# ---------------------------------------------------------------- a problem with a known optimum


def solve(
    centres: list[float], targets: list[int], against: str, *, rounds: int
) -> tuple[list[float], AugmentedLagrangian]:
    """Method of multipliers on  min sum_i (s_i - a_i)^2  s.t. no violation at the margin 1, of class 1 of three."""
    a, y = torch.tensor(centres, dtype=torch.float64)[:, None], torch.tensor(targets)
    indices = torch.arange(len(centres))
    constraint = AugmentedLagrangian(
        len(centres), delta=1.0, mu=1.0, classes=3, critical=(1,), against=against
    ).double()
    scores = a.clone().requires_grad_()
    for _ in range(rounds):
        constraint.eval()  # the descent's batches do not count
        for _ in range(80):
            value = ((scores - a) ** 2).sum() + constraint.penalty(scores, y, indices)
            (gradient,) = torch.autograd.grad(value, scores)
            with torch.no_grad():
                scores -= 0.1 * gradient
        constraint.train()
        constraint.penalty(scores, y, indices)
        constraint.update_multipliers()
    return scores.detach()[:, 0].tolist(), constraint


def test_known_optimum() -> None:
    """One sample of class 1 at 0, one of class 0 and two of class 2 at 1: up by x, and down by y, where x + y = 2.

    min x^2 + 3 y^2: x = 3/2, y = 1/2. Against the rest, 3 pairs: 2 x = 3 lambda / 3 = 3, and 2 y = lambda / 3 = 1.
    Against each class, 1 and 2 pairs: 2 y = lambda_0 = lambda_2 / 2 = 1, and 2 x = lambda_0 + 2 lambda_2 / 2 = 3.
    """
    # the error of the multipliers falls to 1/3 in each round; they end before q is as small as rounding
    scores, constraint = solve([0.0, 1.0, 1.0, 1.0], [1, 0, 2, 2], "rest", rounds=14)
    assert scores == pytest.approx([1.5, 0.5, 0.5, 0.5], abs=1e-6)
    assert constraint.multipliers.tolist() == pytest.approx([3, 0, 0, 0], abs=1e-5)
    scores, constraint = solve([0.0, 1.0, 1.0, 1.0], [1, 0, 2, 2], "classes", rounds=14)
    assert scores == pytest.approx([1.5, 0.5, 0.5, 0.5], abs=1e-6)
    assert constraint.multipliers[0].tolist() == pytest.approx([1, 0, 2], abs=1e-5)
    assert not constraint.multipliers[1:].any()


@pytest.mark.slow
def test_known_optimum_where_one_class_is_out_of_the_way() -> None:
    """The two of class 2 at -9: only class 0 binds, x = y = 1, with a multiplier of 2 against each class; against the
    rest, 3 pairs, 2 x = lambda / 3."""
    for against, expected, rounds in (("classes", [2, 0, 0], 22), ("rest", 6, 52)):  # to 1/2, to 3/4 in each round
        scores, constraint = solve([0.0, 1.0, -9.0, -9.0], [1, 0, 2, 2], against, rounds=rounds)
        assert scores == pytest.approx([1, 0, -9, -9], abs=1e-6)
        assert constraint.multipliers[0].tolist() == pytest.approx(expected, abs=1e-5)


# ---------------------------------------------------------------- against cooper


class ClassProblem(ConstrainedMinimizationProblem):
    """min f(s)  s.t.  q_(j,m) / (P_c N_m) = 0 for the samples j of c: one constraint for each pair of classes.

    Cooper does not divide: with the violation q / w, w = P_c N_m, its penalty coefficient and its dual step are mu w
    for our terms (mu/2 q^2 + lambda q) / w and our step mu q.
    """

    def __init__(self, scores: Tensor, centres: Tensor, pairs: dict[tuple[int, int], int], critical: list[int]) -> None:
        super().__init__()
        self.scores, self.centres, self.critical = scores, centres, critical
        self.pairs = pairs  # (c, m) -> w; m = -1: the rest
        self.of_pairs = [IndexedMultiplier(num_constraints=len(centres), dtype=torch.float64) for _ in pairs]
        self.rankings = {
            pair: CooperConstraint(
                constraint_type=ConstraintType.EQUALITY,
                formulation_type=CooperFormulation,
                multiplier=multiplier,
                penalty_coefficient=DensePenaltyCoefficient(torch.tensor(MU * pairs[pair], dtype=torch.float64)),
            )
            for pair, multiplier in zip(pairs, self.of_pairs, strict=True)
        }
        for (c, m), ranking in self.rankings.items():
            setattr(self, f"ranking_{c}_{m + 1}", ranking)  # where cooper looks for them

    def compute_cmp_state(self, targets: Tensor, indices: Tensor) -> CMPState:
        scores, labels = self.scores[indices], targets.tolist()
        observed = {}
        for (c, m), ranking in self.rankings.items():
            others = [k for k in range(3) if k != c] if m < 0 else [m]
            rows = [j for j, label in enumerate(labels) if label == c]
            column = self.critical.index(c)
            q = torch.stack(
                [sum(violation_of_class(scores, labels, j, k, column, DELTA) for k in others) for j in rows]  # type: ignore[misc]
            )
            state = ConstraintState(violation=q / self.pairs[c, m], constraint_features=indices[rows])
            observed[ranking] = state
        objective = ((scores - self.centres[indices]) ** 2).mean()
        return CMPState(loss=objective, observed_constraints=observed)


MU, DELTA = 0.5, 0.75


@both_readings
def test_steps_side_by_side_with_cooper(against: str) -> None:
    """Three classes, two of them critical; every batch holds 4, 3 and 2 of the classes, so that the w are constants."""
    generator = torch.Generator().manual_seed(10)
    critical, labels = [2, 1], torch.arange(30) % 3
    centres = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    sizes = {0: 4, 1: 3, 2: 2}
    if against == "rest":
        pairs = {(c, -1): sizes[c] * (9 - sizes[c]) for c in critical}
    else:
        pairs = {(c, m): sizes[c] * sizes[m] for c in critical for m in range(3) if m != c}
    theirs = torch.nn.Parameter(centres.clone())
    problem = ClassProblem(theirs, centres, pairs, critical)
    dual = torch.optim.SGD(
        [
            {"params": list(multiplier.parameters()), "lr": MU * w}
            for multiplier, w in zip(problem.of_pairs, pairs.values(), strict=True)
        ],
        lr=MU,
        maximize=True,
    )
    primal = torch.optim.SGD([theirs], lr=0.3)
    optimizer = SimultaneousOptimizer(problem, primal_optimizers=primal, dual_optimizers=dual)

    constraint = AugmentedLagrangian(
        30, delta=DELTA, mu=MU, classes=3, critical=tuple(critical), against=against
    ).double()
    ours = torch.nn.Parameter(centres.clone())
    for _ in range(15):
        drawn = [
            (labels == c).nonzero()[:, 0][torch.randperm(10, generator=generator)[:count]] for c, count in sizes.items()
        ]
        indices = torch.cat(drawn)
        targets = labels[indices]
        rolled = optimizer.roll({"targets": targets, "indices": indices})

        scores = ours[indices]
        value = ((scores - centres[indices]) ** 2).mean() + constraint.penalty(scores, targets, indices)
        (gradient,) = torch.autograd.grad(value, ours)
        with torch.no_grad():
            ours.sub_(0.3 * gradient)
        constraint.update_multipliers()

        lagrangian = rolled.primal_lagrangian_store.lagrangian
        assert lagrangian is not None
        torch.testing.assert_close(value.detach(), lagrangian.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-10, atol=1e-12)
        for (c, m), multiplier in zip(pairs, problem.of_pairs, strict=True):
            found = constraint.multipliers if m < 0 else constraint.multipliers[:, m]
            expected = multiplier.weight.detach()[:, 0]
            torch.testing.assert_close(found[labels == c], expected[labels == c], rtol=1e-10, atol=1e-12)
    assert constraint.multipliers.any()


# ---------------------------------------------------------------- captured, and what is refused


@pytest.mark.parametrize("size", [24, 520])
@pytest.mark.parametrize("against", ["rest", "classes", "rate"])
def test_a_replayed_step_equals_an_eager_one_and_nothing_waits(against: str, size: int) -> None:
    generator = torch.Generator().manual_seed(7)
    scores, targets = torch.randn(2000, 2, generator=generator), torch.randint(0, 5, (2000,), generator=generator)

    def step_of() -> tuple[Any, Tensor, Callable[[Tensor], None]]:
        options: dict[str, Any] = {"classes": 5, "critical": (4, 1)}
        constraint: Any = RateConstraint(**options)
        if against != "rate":
            constraint = AugmentedLagrangian(2000, delta=0.5, against=against, **options)
        total = torch.zeros(())

        def step(indices: Tensor) -> None:
            leaf = scores.index_select(0, indices).requires_grad_()
            value = constraint.penalty(leaf, targets.index_select(0, indices), indices)
            (gradient,) = torch.autograd.grad(value, leaf)
            with torch.no_grad():
                total.add_(value + gradient.abs().sum())
            constraint.update_multipliers()

        return constraint, total, step

    eager, total, step = step_of()
    drawn = [torch.randperm(2000, generator=generator)[:size] for _ in range(4)]
    for indices in drawn:
        step(indices)
    replayed, replayed_total, step = step_of()
    recorded = RecordedStep(step, drawn[0])
    for indices in drawn[1:]:
        recorded.replay(indices)
    assert torch.equal(total, replayed_total)
    assert torch.equal(eager.multipliers, replayed.multipliers)
    assert eager.multipliers.any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [30, 600])
@pytest.mark.parametrize("against", ["rest", "classes", "rate"])
def test_a_gpu_gives_what_the_cpu_gives(against: str, size: int) -> None:
    found: dict[str, list[Tensor]] = {}
    for device in ("cpu", "cuda"):
        constraint: Any = RateConstraint(classes=5, critical=(4, 1))
        if against != "rate":
            constraint = AugmentedLagrangian(size, delta=0.5, classes=5, critical=(4, 1), against=against)
        constraint.to(device)
        found[device] = []
        for scores, targets, indices in batches(8, 6, 5, (4, 1), size=size):
            batch = scores.float().to(device), targets.to(device), indices.to(device)
            found[device] += [each.cpu() for each in penalty_and_gradient(constraint, batch)]
            constraint.update_multipliers()
        found[device].append(constraint.multipliers.cpu())
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


KINDS: list[Callable[..., Any]] = [lambda **options: AugmentedLagrangian(4, **options), RateConstraint]


@pytest.mark.parametrize("kind", KINDS, ids=["pairwise", "rate"])
def test_what_is_refused_is_told(kind: Callable[..., Any]) -> None:
    for critical, message in (
        (None, r"critical must be the critical ones of 3 classes, such as \(1, 2\), got None"),
        ((3,), r"critical must be one or more of the classes 0\.\.2, none of them twice, got \(3,\)"),
        ((1, 1), r"none of them twice, got \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            kind(classes=3, critical=critical)
    constraint = kind(classes=3, critical=(2, 1))
    scores, targets, indices = torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]), torch.arange(4)
    for wrong in (scores[:, 0], scores[:, :1], scores[:3], torch.zeros(4, 3)):
        with pytest.raises(
            ValueError, match=r"scores must be \(B, 2\), targets and indices \(B,\) with 3 classes, got"
        ):
            constraint.penalty(wrong, targets, indices)
    for labels in ([0, 1, 3, 0], [0, -1, 2, 0], [0, 0.5, 1, 1], [0, 1, 2, math.nan]):
        with pytest.raises(ValueError, match=r"targets must be class indices 0\.\.2, got \["):
            constraint.penalty(scores, torch.tensor(labels), indices)


def test_options_of_the_readings_are_checked() -> None:
    with pytest.raises(ValueError, match="against must be one of rest, classes, got pairs"):
        AugmentedLagrangian(4, against="pairs", classes=3, critical=(1,))
    with pytest.raises(ValueError, match=r"indices must be those of the data set, 0\.\.3 .*got 4\.\.4"):
        AugmentedLagrangian(4, classes=3, critical=(1,), against="classes").penalty(
            torch.zeros(1, 1), torch.tensor([1]), torch.tensor([4])
        )


@both_readings
def test_what_is_not_finite_moves_no_multiplier(against: str) -> None:
    constraint = lagrangian(3, (1, 2), against)
    scores = torch.zeros(3, 2, dtype=torch.float64)
    scores[1, 0] = math.inf
    value = constraint.penalty(scores.requires_grad_(), torch.tensor([1, 0, 2]), torch.arange(3))
    assert not value.isfinite()
    constraint.update_multipliers()
    assert constraint.multipliers.isfinite().all()
    assert one_hot(torch.tensor([2]), 3).tolist() == [[False, False, True]]
