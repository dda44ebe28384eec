"""Sums over all pairs without forming them: the sorted forms against dense ones, both against slow float64 loops."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import ReferenceLagrangian, mean_violation
from references import auc as auc_by_loops
from references import violations as loops
from sklearn.metrics import roc_auc_score
from torch import Tensor

from utils.constraints import AugmentedLagrangian
from utils.losses import MBAUC, LogPairwise, log_pairwise
from utils.pairwise import ranking
from utils.pairwise import violations as violations_module
from utils.pairwise.ranking import auc, auc_and_mean_violation
from utils.pairwise.violations import (
    DENSE_BATCH,
    dense_masked_violations,
    masked_violations,
    sorted_masked_violations,
)

ROOT = Path(__file__).resolve().parents[2]
TOLERANCES = {torch.float64: 1e-12, torch.float32: 3e-6}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=["f64", "f32"])
DELTAS = [0.0, 0.25, 1.0, 50.0]
pytestmark = pytest.mark.usefixtures("one_thread")


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_a_grid(size: int, *, seed: int) -> Tensor:
    """Multiples of 1/4: many ties, many pairs exactly at a margin, and every sum exact."""
    return torch.randint(-6, 7, (size,), generator=torch.Generator().manual_seed(seed)).double() / 4


def two_sides(kind: str, positives: int, negatives: int) -> tuple[Tensor, Tensor]:
    if kind == "grid":
        return on_a_grid(positives, seed=1), on_a_grid(negatives, seed=2)
    if kind == "equal":
        return torch.full((positives,), 0.3).double(), torch.full((negatives,), 0.3).double()
    p, n = normal(positives, seed=1), normal(negatives, seed=2)
    if kind == "normal":
        return p + 1, n
    if kind == "extreme":
        p[0], n[-1] = 1e4, -1e4
        return p, n
    if kind == "far":  # differences of 1e-3 at 1e4
        return (1e4 + p / 1000).float().double(), (1e4 + n / 1000).float().double()
    assert kind == "met"
    return p.abs() + 60, -n.abs()


KINDS = ["normal", "grid", "equal", "extreme", "far", "met"]


def values_and_gradients(form: Callable[..., Tensor], *inputs: Tensor, **options: Any) -> list[Tensor]:
    """Of a weighted sum, with weights of both signs."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    q = form(*leaves, **options)
    weights = normal(len(q), seed=9).to(q.dtype)
    return [q.detach(), *torch.autograd.grad((q * weights).sum(), leaves)]


def assert_same(ours: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for found, reference in zip(ours, expected, strict=True):
        size = float(reference.abs().max()) if reference.numel() else 1.0
        torch.testing.assert_close(found.double(), reference, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("module", [violations_module, ranking])
def test_examples(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert (found.failed, bool(found.attempted)) == (0, True)


# ---------------------------------------------------------------- violations


def batch_of(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and targets, the positives first."""
    return torch.cat([positives, negatives]), (torch.arange(len(positives) + len(negatives)) < len(positives)).long()


def masked_batch(size: int, share: float, kind: str) -> tuple[Tensor, Tensor]:
    targets = (torch.rand(size, generator=torch.Generator().manual_seed(4)) < share).long()
    if share in (0.0, 1.0):
        targets[:] = int(share)
    return torch.where(targets == 1, *two_sides(kind, size, size)), targets


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_sorted_violations_equal_the_dense_ones(kind: str, share: float, dtype: torch.dtype) -> None:
    """In float32 against float64, so that the error is ours alone."""
    for size in (1, 2, 33, 700):
        scores, targets = masked_batch(size, share, kind)
        scores = scores.to(dtype)
        for delta in DELTAS:
            ours = values_and_gradients(sorted_masked_violations, scores, targets=targets, delta=delta)
            expected = values_and_gradients(dense_masked_violations, scores.double(), targets=targets, delta=delta)
            assert {found.dtype for found in ours} == {dtype}
            assert_same(ours, expected, TOLERANCES[dtype])
            assert not ours[0][targets == 0].any()
            if kind == "grid" and dtype == torch.float64:
                assert torch.equal(ours[0], expected[0])
            if kind == "met" and delta < 50:
                assert not any(found.any() for found in ours)


@pytest.mark.parametrize("form", [dense_masked_violations, sorted_masked_violations])
def test_violations_equal_the_loops(form: Callable[..., Tensor]) -> None:
    """On a grid of 1/4 every sum is exact: ties, pairs at the margin and all."""
    for delta in DELTAS:
        scores, targets = masked_batch(40, 0.2, "grid")
        q = form(scores, targets, delta=delta)
        assert q[targets == 1].tolist() == [value.item() for value in loops(scores, targets, delta)]


def test_every_difference_counts_relative_to_itself() -> None:
    """No cancellation: one tiny violation beside large scores keeps its digits."""
    positives = torch.tensor([1.0, 1e6], dtype=torch.float64)
    negatives = torch.tensor([1 + 2.0**-40, -1e6, -3e5], dtype=torch.float64)
    for sides in ((positives, negatives), (positives[:1], negatives), (positives, negatives[:1])):
        assert sorted_masked_violations(*batch_of(*sides), delta=0.0)[0].item() == 2.0**-40


@pytest.mark.parametrize("delta", [0.0, 0.7])
def test_gradcheck(delta: float) -> None:
    scores, targets = masked_batch(17, 0.3, "normal")
    assert torch.autograd.gradcheck(
        lambda s: sorted_masked_violations(s, targets, delta=delta), (scores.requires_grad_(),)
    )


def test_inputs_that_are_not_contiguous_and_expanded_gradients() -> None:
    scores, targets = masked_batch(40, 0.3, "normal")
    gradients = []
    for form in (sorted_masked_violations, dense_masked_violations):
        leaf = scores[:, None].repeat(1, 3).requires_grad_()
        q = form(leaf[:, 1], targets, delta=0.5)
        gradients.append(torch.autograd.grad(q.sum(), leaf)[0])  # an expanded 1
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    assert gradients[0].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_scores_are_widened(dtype: torch.dtype) -> None:
    scores, targets = masked_batch(14, 0.4, "normal")
    scores = scores.to(dtype)
    q = masked_violations(scores, targets, delta=0.5)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q, dense_masked_violations(scores.float(), targets, delta=0.5))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (6, 50), (50, 6)])
def test_a_score_that_is_not_finite_is_not_hidden(bad: float, size: tuple[int, int]) -> None:
    """Where a sum over the pairs gives NaN or infinity, so does the sorted form, somewhere."""
    for side in (0, 1):
        positives, negatives = sides = two_sides("normal", *size)
        sides[side][-1] = bad
        visible = not torch.relu(0.5 - (positives[:, None] - negatives)).sum(dim=1).isfinite().all()
        found = sorted_masked_violations(*batch_of(*sides), delta=0.5)
        assert not (visible and found.isfinite().all())


def test_wrong_shapes_are_refused() -> None:
    for call in (lambda s, t: masked_violations(s, t, delta=1.0), auc):
        with pytest.raises(ValueError, match=r"one shape \(B,\), got \(3,\) and \(2,\)"):
            call(torch.zeros(3), torch.zeros(2))


scores_of_a_side = st.lists(
    st.one_of(st.floats(-50, 50, width=32), st.integers(-8, 8).map(lambda n: n / 4)), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=60)
@given(positives=scores_of_a_side, negatives=scores_of_a_side, delta=st.sampled_from([0.0, 0.25, 2.0, 1e3]))
def test_any_scores(positives: list[float], negatives: list[float], delta: float) -> None:
    """Gaps of float32 numbers and these deltas are exact in float64, so the same pairs count in all forms."""
    scores, targets = batch_of(torch.tensor(positives).double(), torch.tensor(negatives).double())
    exact = all(abs(x) > 2.0**-20 or x == 0 for x in positives + negatives)
    dense, ours = (
        values_and_gradients(form, scores, targets=targets, delta=delta)
        for form in (dense_masked_violations, sorted_masked_violations)
    )
    assert_same(ours if exact else ours[:1], dense if exact else dense[:1], 1e-12)
    expected = torch.stack(loops(scores, targets, delta))
    torch.testing.assert_close(ours[0][: len(positives)], expected, rtol=1e-12, atol=1e-11)


def test_a_batch_up_to_512_keeps_its_bits() -> None:
    """Small batches are computed by the expression that made the published numbers of this project."""
    for size in (64, 512):
        scores, targets = masked_batch(size, 0.05, "normal")
        scores = scores.float().requires_grad_()
        positive = targets.float()
        hinges = torch.relu(0.3 - (scores[:, None] - scores[None, :]))
        expected = (hinges * (1 - positive)).sum(dim=1) * positive
        ours = masked_violations(scores, targets, delta=0.3)
        assert torch.equal(ours, expected)
        gradients = [torch.autograd.grad((q**2).sum(), scores)[0] for q in (ours, expected)]
        assert torch.equal(*gradients)
    scores, targets = masked_batch(513, 0.05, "normal")
    above = sorted_masked_violations(scores, targets, delta=0.3)
    assert torch.equal(masked_violations(scores, targets, delta=0.3), above)


def test_no_shape_of_the_masked_forms_depends_on_the_data() -> None:
    """The meta device has shapes and no data: whatever asks for data fails there."""
    scores, targets = torch.zeros(2000, device="meta"), torch.zeros(2000, dtype=torch.long, device="meta")
    q = sorted_masked_violations(scores.requires_grad_(), targets, delta=0.5)
    (gradient,) = torch.autograd.grad(q.sum(), scores)
    assert q.shape == gradient.shape == (2000,)
    assert all(value.shape == () for value in auc_and_mean_violation(scores, targets, delta=0.5))
    loss = LogPairwise()(scores, targets)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert (loss.shape, gradient.shape) == ((), (2000,))


# ---------------------------------------------------------------- the penalty


@DTYPES
def test_penalty_and_multipliers_of_a_large_batch_equal_the_dense_ones(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices = torch.randperm(5000, generator=torch.Generator().manual_seed(6))[:4096]
    batches = [(normal(4096, seed=seed), (torch.arange(4096) % 50 == seed).long(), indices) for seed in (10, 11)]
    found = []
    for dense in (False, True):
        monkeypatch.setattr(violations_module, "DENSE_BATCH", 10**6 if dense else DENSE_BATCH)
        constraint = AugmentedLagrangian(5000, delta=0.5, mu=1e-3).to(torch.float64 if dense else dtype)
        values: list[Tensor] = []
        for scores, targets, places in batches * 2:
            leaf = scores.to(dtype).to(torch.float64 if dense else dtype).requires_grad_()
            penalty = constraint.penalty(leaf, targets, places)
            values += [penalty.detach()[None], *torch.autograd.grad(penalty, leaf)]
            constraint.update_multipliers()
        found.append([*values, constraint.multipliers.clone()])
    assert found[0][-1].any()
    assert_same(found[0], found[1], 2e-5 if dtype == torch.float32 else 1e-12)


def test_penalty_of_a_large_batch_equals_the_loops() -> None:
    scores, targets = masked_batch(DENSE_BATCH + 40, 0.01, "grid")
    indices = torch.arange(len(scores))
    ours = AugmentedLagrangian(len(scores), delta=0.25, mu=0.1).double()
    loops = ReferenceLagrangian(len(scores), delta=0.25, mu=0.1)
    for _ in range(2):
        results = []
        for constraint in (ours, loops):
            leaf = scores.clone().requires_grad_()
            penalty = constraint.penalty(leaf, targets, indices)
            results.append([penalty.detach()[None], *torch.autograd.grad(penalty, leaf)])
            constraint.update_multipliers()
        assert_same(results[0], results[1], 1e-12)
    torch.testing.assert_close(ours.multipliers, torch.tensor(loops.multipliers).double(), rtol=1e-7, atol=0)


def test_one_class_batches_of_any_size_give_zero_with_a_graph() -> None:
    for label in (0, 1):
        scores = normal(2000, seed=7).requires_grad_()
        targets = torch.full((2000,), label)
        constraint = AugmentedLagrangian(2000, delta=1.0, mu=1.0)
        for value in (constraint.penalty(scores, targets, torch.arange(2000)), LogPairwise()(scores, targets)):
            (gradient,) = torch.autograd.grad(value, scores)
            assert value.item() == 0
            assert not gradient.any()
        constraint.update_multipliers()
        assert not constraint.multipliers.any()


# ---------------------------------------------------------------- whole sets


@DTYPES
@pytest.mark.parametrize("kind", ["normal", "grid", "equal", "extreme"])
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (50, 3000)], ids=str)
def test_auc_and_violation_of_a_set(kind: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    positives, negatives = (side.to(dtype) for side in two_sides(kind, *size))
    order = torch.randperm(sum(size), generator=torch.Generator().manual_seed(8))
    scores = torch.cat([positives, negatives])[order]
    targets = (torch.arange(sum(size)) < size[0]).long()[order]
    area, violation = auc_and_mean_violation(scores, targets, delta=0.25)
    assert (area.shape, area.dtype, violation.dtype) == ((), torch.float64, torch.float64)
    assert area.item() == pytest.approx(roc_auc_score(targets.numpy(), scores.double().numpy()), abs=1e-15)
    expected = torch.relu(0.25 - (positives.double()[:, None] - negatives.double())).mean()
    assert violation.item() == pytest.approx(expected.item(), rel=1e-12)
    assert auc(scores, targets) == area
    if sum(size) < 50:
        assert violation.item() == pytest.approx(mean_violation(scores, targets, 0.25), rel=1e-12)
        assert area.item() == pytest.approx(auc_by_loops(targets.tolist(), scores.tolist()), abs=1e-12)


def test_a_met_constraint_measures_exactly_zero() -> None:
    _, violation = auc_and_mean_violation(*masked_batch(500, 0.1, "met"), delta=0.25)
    assert violation == 0


def test_only_what_counts_is_counted() -> None:
    scores, targets = normal(300, seed=11), (torch.arange(300) % 7 == 0).long()
    counted = torch.arange(300) % 3 != 0
    holes = scores.masked_fill(~counted, torch.nan)
    ours = auc_and_mean_violation(holes, targets, delta=0.5, counted=counted)
    assert ours == auc_and_mean_violation(scores[counted], targets[counted], delta=0.5)
    assert all(math.isnan(value) for value in auc_and_mean_violation(holes, targets, delta=0.5))


@pytest.mark.parametrize("targets", [[], [1], [0], [1, 1], [0, 0, 0]])
def test_a_set_that_lacks_a_class_has_no_number(targets: list[int]) -> None:
    ours = auc_and_mean_violation(torch.zeros(len(targets)), torch.tensor(targets, dtype=torch.long), delta=0.5)
    assert all(math.isnan(value) for value in ours)


def test_auc_of_infinite_scores() -> None:
    scores = torch.tensor([math.inf, -math.inf, 0.0, -math.inf, math.inf, 1.0])
    targets = torch.tensor([1, 1, 0, 0, 0, 0])  # inf: 3 and a tie of 4; -inf: a tie
    assert auc(scores, targets).item() == (3.5 + 0.5) / 8


# ---------------------------------------------------------------- the pairwise losses


@DTYPES
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_log_pairwise_in_blocks_equals_all_pairs(
    share: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, targets = masked_batch(900, share, "normal")
    everywhere = torch.arange(900)
    sides: list[Callable[[Tensor], tuple[Tensor, Tensor]]] = [
        log_pairwise._sides,
        lambda _: (everywhere, everywhere),  # as on other devices
    ]
    for size in (100, 10_000, 10**8):
        for side in sides:
            monkeypatch.setattr(log_pairwise, "BLOCK_PAIRS", size)
            monkeypatch.setattr(log_pairwise, "_sides", side)
            monkeypatch.setattr(log_pairwise, "DENSE_BATCH", DENSE_BATCH)
            ours = values_and_gradients(lambda s: LogPairwise()(s, targets)[None], scores.to(dtype))
            monkeypatch.setattr(log_pairwise, "DENSE_BATCH", 10**6)
            expected = values_and_gradients(
                lambda s: LogPairwise()(s, targets)[None], scores.to(dtype).to(torch.float64)
            )
            assert_same(ours, expected, 1e-12 if dtype == torch.float64 else 3e-6)


def test_log_pairwise_in_blocks_far_out() -> None:
    """Torch's softplus is linear from 20 on: from there the two forms differ by up to exp(-20)."""
    scores, targets = masked_batch(900, 0.1, "extreme")
    ours = values_and_gradients(lambda s: LogPairwise()(s, targets)[None], scores)
    assert all(bool(value.isfinite().all()) for value in ours)
    gaps = scores[targets == 1][:, None] - scores[targets == 0]
    expected = torch.nn.functional.softplus(-gaps).mean() * 1.0
    torch.testing.assert_close(ours[0][0], expected, rtol=1e-12, atol=0)


def test_log_pairwise_gradcheck_and_without_a_graph() -> None:
    scores, targets = masked_batch(DENSE_BATCH + 8, 0.01, "normal")
    with torch.inference_mode():
        value = LogPairwise()(scores, targets)
    leaf = scores[:40].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: LogPairwise()(torch.cat([s, scores[40:]]), targets), (leaf,))
    assert value.item() == LogPairwise()(scores, targets).item()


def test_log_pairwise_up_to_512_keeps_its_bits() -> None:
    scores, targets = masked_batch(512, 0.05, "normal")
    scores = scores.float()
    is_pair = torch.outer(targets.float(), 1 - targets.float())
    costs = torch.nn.functional.softplus(-(scores[:, None] - scores[None, :]))
    assert torch.equal(LogPairwise()(scores, targets), (costs * is_pair).sum() / is_pair.sum())


# ---------------------------------------------------------------- repeats and memory


def test_the_same_bits_each_time() -> None:
    scores, targets = masked_batch(3000, 0.1, "normal")
    calls: list[Callable[[], list[Tensor]]] = [
        lambda: values_and_gradients(sorted_masked_violations, scores.float(), targets=targets, delta=0.5),
        lambda: values_and_gradients(lambda s: LogPairwise()(s, targets)[None], scores.float()),
    ]
    for call in calls:
        for first, second in zip(call(), call(), strict=True):
            assert torch.equal(first, second)


MEMORY = """
import re, torch
from pathlib import Path
from utils.constraints import AugmentedLagrangian
from utils.losses import MBAUC, LogPairwise
from utils.pairwise.ranking import auc_and_mean_violation

def peak_mib():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)

def everything(p, n, log_pairwise):
    scores = torch.randn(p + n, generator=generator).requires_grad_()
    targets = (torch.arange(p + n) < p).long()
    constraint = AugmentedLagrangian(p + n, delta=0.5, mu=1e-6)
    constraint.penalty(scores, targets, torch.arange(p + n)).backward()
    auc_and_mean_violation(scores, targets, delta=0.5)
    MBAUC()(scores, targets).backward()
    half = scores[p - log_pairwise:], targets[p - log_pairwise:]
    LogPairwise()(*half).backward()

everything(40, 600, 4)
before = peak_mib()
everything(3000, 300_000, 40)
print(peak_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_the_samples_not_with_the_pairs() -> None:
    """3000 x 300,000 pairs of four bytes are 3.4 GiB. A sample may cost some hundred bytes."""
    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 100


def test_mbauc_costs_no_pairs() -> None:
    """2^22 samples: pairs of them would need 16 TiB."""
    scores = torch.linspace(-3, 3, 2**22).requires_grad_()
    MBAUC()(scores, (torch.arange(2**22) % 100 == 0).long()).backward()
    assert scores.grad is not None
    assert np.isfinite(scores.grad.sum().item())
