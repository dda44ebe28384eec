"""Losses over pairs and over ranks: the fast form against the dense one, ties, variables of their own, resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from references import area_under_min, largest_share
from sklearn.metrics import roc_auc_score
from torch import Tensor

from utils.losses import AUCM, AllPairsSquare, AllPairsSquaredHinge, AUMCount, AUMRate, PartialAUC
from utils.losses.pairwise_square import dense_squared_hinge, sorted_squared_hinge, squared_hinge
from utils.losses.partial_auc import STEP, tail_weights
from utils.pairwise.violations import DENSE_BATCH

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCES = {torch.float64: 1e-12, torch.float32: 3e-6}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=["f64", "f32"])
KINDS = ["normal", "grid", "equal", "far", "met"]
SIZES = [(1, 0), (0, 3), (1, 1), (1, 9), (9, 1), (20, 70)]
LARGE = DENSE_BATCH + 88


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(kind: str, positives: int, negatives: int) -> tuple[Tensor, Tensor]:
    """Shuffled scores (B,) in float64 and targets (B,)."""
    size = positives + negatives
    targets = (torch.arange(size) < positives).double()
    scores = 2 * normal(size, seed=1) + targets
    if kind == "grid":  # multiples of 1/4: many ties and many pairs exactly at a margin
        scores = (2 * scores).round() / 4
    if kind == "equal":
        scores = torch.full((size,), 0.3).double()
    if kind == "far":  # differences of 1e-3 at 1e4, exact in float32
        scores = (1e4 + (64 * scores).round() / 1024).float().double()
    if kind == "met":
        scores = 100 * targets + scores.clamp(-3, 3)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(2))
    return scores[order], targets[order]


def value_and_gradient(function: Callable[..., Tensor], scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    leaf = scores.detach().clone().requires_grad_()
    value = function(leaf, targets)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def assert_same(ours: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for found, reference in zip(ours, expected, strict=True):
        size = float(reference.abs().max()) if reference.numel() else 1.0
        torch.testing.assert_close(found.double(), reference.double(), rtol=tolerance, atol=tolerance * size)


# ---------------------------------------------------------------- AUM


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss, rates", [(AUMRate(), True), (AUMCount(), False)], ids=["rate", "count"])
def test_aum_counts_the_errors_between_thresholds(kind: str, loss: Any, rates: bool, dtype: torch.dtype) -> None:
    for size in SIZES:
        scores, targets = batch(kind, *size)
        scores = scores.to(dtype)
        value = loss(scores, targets)
        assert value.dtype == dtype
        expected = float(area_under_min(scores, targets, rate=rates))
        assert float(value) == pytest.approx(expected, rel=TOLERANCES[dtype])


# ---------------------------------------------------------------- all-pairs squared hinge


def options(kind: str, size: int) -> dict[str, Tensor]:
    """The roots and weights that ``squared_hinge`` takes; a grid's are on the grid, so that pairs stand at a root."""
    roots, weights = (normal(size, seed=seed).abs() for seed in (5, 6))
    roots = (4 * roots).round() / 4 if kind == "grid" else roots
    roots[::3], weights[::4] = 0, 0
    return {"roots": roots, "weights": weights}


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_options", [False, True], ids=["plain", "roots-weights"])
def test_sorted_squared_hinge_equals_the_dense_one(kind: str, with_options: bool, dtype: torch.dtype) -> None:
    """In float32 against float64, so that the error is ours alone."""
    for size in SIZES:
        scores, targets = batch(kind, *size)
        scores = scores.to(dtype)
        more = options(kind, sum(size)) if with_options else {}
        for m in (0.0, 0.3, 1.0, 50.0):
            expected = value_and_gradient(
                lambda s, y, m=m, more=more: dense_squared_hinge(s, y, m=m, **more), scores.double(), targets
            )
            for form in (sorted_squared_hinge, dense_squared_hinge):
                ours = value_and_gradient(
                    lambda s, y, m=m, more=more, form=form: form(s, y.to(s.dtype), m=m, **more), scores, targets
                )
                rounded = form is dense_squared_hinge or kind == "far"  # m has no exact place beside 1e4
                assert_same(ours, expected, TOLERANCES[dtype] * (30 if rounded else 1))
            if (kind == "met" and m < 50) or 0 in size:
                assert not any(tensor.any() for tensor in ours)


@pytest.mark.parametrize("form", [dense_squared_hinge, sorted_squared_hinge])
def test_squared_hinge_is_the_formula_and_its_gradient(form: Callable[..., Tensor]) -> None:
    scores, targets = batch("normal", 4, 7)
    more = options("normal", 11)
    expected, pairs = 0.0, 0
    for j in range(11):
        for k in range(11):
            if targets[j] == 1 and targets[k] == 0:
                square = max(0.0, 0.7 - float(scores[j] - scores[k])) ** 2
                expected += float(more["weights"][k]) * max(0.0, square - float(more["roots"][j]) ** 2)
                pairs += 1
    assert float(form(scores, targets, m=0.7, **more)) == pytest.approx(expected / pairs, rel=1e-12)
    assert torch.autograd.gradcheck(lambda s: form(s, targets, m=0.7, **more), (scores.requires_grad_(),))


def test_one_tiny_violation_beside_large_scores_keeps_its_digits() -> None:
    """Sums of squared scores would leave nothing of it: 1e12 against 1e-24."""
    scores = torch.tensor([1.0, 1e6, 1 + 2.0**-40, -1e6, -3e5], dtype=torch.float64)
    targets = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert float(sorted_squared_hinge(scores, targets, m=0.0)) == 2.0**-80 / 6


def test_sums_of_a_large_batch_are_taken_in_float64() -> None:
    scores, targets = batch("normal", 100, 5000)
    ours = value_and_gradient(AllPairsSquaredHinge(), scores.float(), targets)
    expected = value_and_gradient(AllPairsSquaredHinge(), scores.float().double(), targets)
    assert_same(ours, expected, 2e-7)


def test_which_form_is_taken_follows_from_the_size_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.losses.pairwise_square.dense_squared_hinge", lambda *args, **more: "dense")
    monkeypatch.setattr("utils.losses.pairwise_square.sorted_squared_hinge", lambda *args, **more: "sorted")
    for size, form in ((DENSE_BATCH, "dense"), (DENSE_BATCH + 1, "sorted")):
        assert squared_hinge(torch.zeros(size), torch.zeros(size), m=1.0) == form


@pytest.mark.parametrize("loss", [AllPairsSquaredHinge(), PartialAUC(num_samples=LARGE)], ids=["all", "partial"])
def test_large_and_small_batches_agree(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, targets = batch("grid", LARGE // 10, LARGE - LARGE // 10)
    ours = value_and_gradient(loss, scores, targets)
    monkeypatch.setattr("utils.losses.pairwise_square.DENSE_BATCH", LARGE)
    assert_same(ours, value_and_gradient(loss, scores, targets), 1e-12)


# ---------------------------------------------------------------- all-pairs square


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_the_square_from_moments_equals_all_pairs(kind: str, dtype: torch.dtype) -> None:
    """At scores near 1e4 too, where moments about 0 in float32 would be off by more than the value."""

    def dense(scores: Tensor, targets: Tensor) -> Tensor:
        pairs = scores[targets == 1][:, None] - scores[targets == 0][None, :]
        return ((0.7 - pairs) ** 2).mean()

    for size in ((1, 1), (1, 9), (20, 70)):
        scores, targets = batch(kind, *size)
        scores = scores.to(dtype)
        ours = value_and_gradient(AllPairsSquare(m=0.7), scores, targets)
        assert ours[0].dtype == dtype
        assert_same(ours, value_and_gradient(dense, scores.double(), targets), 10 * TOLERANCES[dtype])


# ---------------------------------------------------------------- partial AUC


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 0.5, 1.0])
def test_partial_auc_of_a_batch_is_the_minimum_over_u(kind: str, max_fpr: float) -> None:
    scores, targets = batch(kind, 7, 25)
    loss = PartialAUC(num_samples=1, m=0.7, max_fpr=max_fpr)
    pair_losses = torch.relu(0.7 - (scores[targets == 1][:, None] - scores[targets == 0][None, :])) ** 2
    expected = sum(float(largest_share(list(losses), max_fpr)) for losses in pair_losses) / 7
    assert float(loss(scores, targets)) == pytest.approx(expected, rel=1e-12)
    if max_fpr == 1:
        all_pairs = value_and_gradient(AllPairsSquaredHinge(m=0.7), scores, targets)
        assert_same(value_and_gradient(loss, scores, targets), all_pairs, 0)
    if kind in ("normal", "met"):
        assert torch.autograd.gradcheck(lambda s: loss(s, targets), (scores.requires_grad_(),))


def test_tied_negatives_share_the_border() -> None:
    scores = torch.tensor([5.0, 2.0, 2.0, 2.0, 0.0, 9.0])
    targets = torch.tensor([0, 0, 0, 0, 0, 1])
    weights = tail_weights(scores, targets, share=0.6)  # three of five: the first, two thirds of each of the next
    torch.testing.assert_close(weights[:5], torch.tensor([1, 2 / 3, 2 / 3, 2 / 3, 0]))


@pytest.mark.parametrize("start", [0.0, 20.0])
def test_u_reaches_the_quantile_of_each_positive(start: float) -> None:
    scores, targets = batch("normal", 6, 200)
    scores = scores / 2
    loss = PartialAUC(num_samples=300, m=1.0, max_fpr=0.1)
    loss.u.fill_(start)
    indices = torch.randperm(300, generator=torch.Generator().manual_seed(4))[:206]
    for _ in range(400):
        loss(scores, targets, indices)
        loss.after_step()
    pair_losses = torch.relu(1 - (scores[targets == 1][:, None] - scores[targets == 0][None, :])) ** 2
    quantiles = pair_losses.quantile(0.9, dim=1).float()
    assert quantiles.max() > 4
    torch.testing.assert_close(loss.u[indices[targets == 1]], quantiles, rtol=0.1, atol=0.1)
    assert torch.count_nonzero(loss.u != start) == torch.count_nonzero(quantiles != start) == 6
    assert float(loss(scores, targets, indices)) == pytest.approx(float(loss(scores, targets)), rel=0.01)


def test_u_moves_by_the_subgradient() -> None:
    """Against a loop over the pairs, in batches with copies of samples and with positives that have met the margin."""
    loss = PartialAUC(num_samples=40, m=1.0, max_fpr=0.3)
    expected, labels, copied = loss.u.clone().double(), torch.arange(40) < 12, 0
    for step in range(30):
        indices = torch.randint(0, 40, (24,), generator=torch.Generator().manual_seed(step))
        scores, y = normal(24, seed=100 + step) + 2 * labels[indices], labels[indices]
        loss(scores, y.long(), indices)
        loss.after_step()
        for index in indices[y].unique():
            copies = scores[indices == index]
            above = torch.relu(1 - (copies[:, None] - scores[~y][None, :])) ** 2 > expected[index]
            slope = 1 - above.double().mean() / 0.3
            expected[index] = max(0.0, float(expected[index] - STEP * 0.3 * slope))
            copied += len(copies) > 1
        torch.testing.assert_close(loss.u.double(), expected, rtol=1e-5, atol=1e-6)
    assert copied > 10
    assert 0 < int((expected == 0)[labels].sum()) < 12


def test_the_order_of_copies_changes_no_bit() -> None:
    indices = torch.tensor([3, 3, 3, 3, 3, 7, 7, 0, 1, 2])
    targets = (indices > 2).long()
    scores = normal(10, seed=8)
    results = []
    for seed in range(5):
        loss, order = PartialAUC(num_samples=9), torch.randperm(10, generator=torch.Generator().manual_seed(seed))
        for _ in range(3):
            loss(scores[order], targets[order], indices[order])
            loss.after_step()
        results.append(loss.u)
    assert results[0][[3, 7]].all()
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("label", [0, 1])
def test_a_batch_of_one_class_moves_no_u(label: int) -> None:
    loss = PartialAUC(num_samples=5)
    loss.u.fill_(0.5)
    value, gradient = value_and_gradient(
        lambda s, y: loss(s, y, torch.arange(4)), torch.randn(4, generator=torch.Generator()), torch.full((4,), label)
    )
    loss.after_step()
    assert float(value) == 0
    assert not gradient.any()
    assert loss.u.tolist() == [0.5] * 5


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_validation_leaves_u_alone_and_is_exact(mode: Callable[[], Any]) -> None:
    scores, targets = batch("normal", 5, 30)
    loss = PartialAUC(num_samples=35)
    with mode():
        value = loss(scores, targets, torch.arange(35))
        assert torch.equal(value, loss(scores, targets))
    loss.after_step()
    assert not loss.u.any()
    loss(scores, targets, torch.arange(35))
    with mode():  # between a step's forward pass and its end
        loss(scores, targets, torch.arange(35).flip(0))
    loss.after_step()
    assert torch.equal(loss.u > 0, targets == 1)
    loss.u.fill_(0.25)
    loss.after_step()  # nothing since
    assert (loss.u == 0.25).all()


def test_indices_of_another_shape_are_refused() -> None:
    loss = PartialAUC(num_samples=9)
    for wrong in (torch.arange(3), torch.arange(4)[:, None]):
        with pytest.raises(ValueError, match=r"indices must have shape \(4,\)"):
            loss(torch.zeros(4), torch.tensor([0, 1, 0, 1]), wrong)


# ---------------------------------------------------------------- all of them


LOSSES: list[Callable[[int], Any]] = [
    lambda n: AUMRate(),
    lambda n: AUMCount(),
    lambda n: AllPairsSquaredHinge(),
    lambda n: AllPairsSquare(),
    lambda n: AUCM(),
    lambda n: PartialAUC(num_samples=n),
]
EACH = pytest.mark.parametrize(
    "build", LOSSES, ids=["AUMRate", "AUMCount", "AllPairsSquaredHinge", "AllPairsSquare", "AUCM", "PartialAUC"]
)


@EACH
def test_a_large_batch_is_finite_at_scores_of_1e4(build: Callable[[int], Any]) -> None:
    size = LARGE
    targets = torch.arange(size) % 4 == 0
    for signs in (1.0, -1.0):
        scores = signs * 1e4 * (2 * targets.float() - 1) + torch.linspace(-3, 3, size)
        for indices in (None, torch.arange(size)):
            loss = build(size)
            value, gradient = value_and_gradient(lambda s, y, i=indices, f=loss: f(s, y.long(), i), scores, targets)
            loss.after_step()
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()
            assert all(torch.isfinite(tensor).all() for tensor in loss.state_dict().values())


@EACH
def test_a_few_steps_raise_the_auc(build: Callable[[int], Any]) -> None:
    """Two Gaussians at 1:10 and a linear model that starts the wrong way round; of the epochs the best, as in a run.

    The last one may be any for AUM: without a margin its least value is at weights of 0, around which it hovers.
    """
    generator = torch.Generator().manual_seed(0)
    targets = (torch.arange(440) < 40).long()
    points = torch.randn(440, 2, generator=generator) + 1.5 * targets[:, None] * torch.tensor([1.0, -0.5])
    model, loss = torch.nn.Linear(2, 1), build(440)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.5, 0.5]]))
        model.bias.zero_()
    aucs = [roc_auc_score(targets, model(points).detach()[:, 0])]
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.005, momentum=0.9)
    for _ in range(12):
        for indices in torch.randperm(440, generator=generator).split(44):
            optimizer.zero_grad()
            loss(model(points[indices]), targets[indices], indices).backward()
            optimizer.step()
            loss.after_step()
        aucs.append(roc_auc_score(targets, model(points).detach()[:, 0]))
    assert aucs[0] < 0.3
    assert max(aucs) > 0.8
