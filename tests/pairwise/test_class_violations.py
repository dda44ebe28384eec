"""Violations of each critical class against each other class: all pairs, one sort a column, and loops."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from references import violation_of_class
from torch import Tensor

from utils.pairwise import class_violations as module
from utils.pairwise.class_violations import class_violations, dense_class_violations, sorted_class_violations
from utils.pairwise.violations import masked_violations

FORMS = {"dense": dense_class_violations, "sorted": sorted_class_violations}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
PROBLEMS = [(3, (1,)), (3, (2, 0)), (5, (4, 1, 2)), (4, (0, 1, 2, 3)), (10, (9, 8, 3))]
every_problem = pytest.mark.parametrize("classes, critical", PROBLEMS)


def column_of(classes: int, critical: tuple[int, ...]) -> Tensor:
    columns = torch.full((classes,), -1)
    columns[list(critical)] = torch.arange(len(critical))
    return columns


def batch(
    seed: int, classes: int, critical: tuple[int, ...], *, size: int = 30, on_grid: bool = True
) -> tuple[Tensor, Tensor]:
    """Scores on a grid of 1/4, many of them equal or just at a margin; some classes may be missing."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size, len(critical))
    if on_grid:
        scores = torch.randint(-8, 9, shape, generator=generator).double() / 4
    else:
        scores = torch.randn(shape, generator=generator, dtype=torch.float64)
    return scores, torch.randint(0, classes - seed % 2, (size,), generator=generator)


def by_loops(scores: Tensor, labels: Tensor, *, column_of: Tensor, delta: float) -> Tensor:
    rows = []
    for j, label in enumerate(labels.tolist()):
        column = int(column_of[label])
        zero = torch.zeros((), dtype=torch.float64)
        rows.append([
            violation_of_class(scores, labels.tolist(), j, m, column, delta) if column >= 0 and m != label else zero
            for m in range(len(column_of))
        ])  # fmt: skip
    return torch.stack([torch.stack(row) for row in rows])


def value_and_gradient(form: Any, scores: Tensor, labels: Tensor, weights: Tensor, **options: Any) -> list[Tensor]:
    leaf = scores.detach().clone().requires_grad_()
    q = form(leaf, labels, **options)
    (gradient,) = torch.autograd.grad((q * weights + q**2).sum(), leaf)
    return [q.detach(), gradient]


def test_doctests() -> None:
    found = doctest.testmod(module)
    assert (found.failed, bool(found.attempted)) == (0, True)


@every_form
@every_problem
@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_equals_the_loops(form: Any, classes: int, critical: tuple[int, ...], delta: float) -> None:
    """At ties and at margins too, where a pair has no gradient."""
    options = {"column_of": column_of(classes, critical), "delta": delta}
    for seed in range(4):
        scores, labels = batch(seed, classes, critical)
        weights = torch.rand(len(labels), classes, generator=torch.Generator().manual_seed(seed)).double()
        found = value_and_gradient(form, scores, labels, weights, **options)
        expected = value_and_gradient(by_loops, scores, labels, weights, **options)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        assert found[0].any()


@every_form
def test_gradcheck(form: Any) -> None:
    scores, labels = batch(1, 5, (4, 1), size=12, on_grid=False)
    columns = column_of(5, (4, 1))
    assert torch.autograd.gradcheck(lambda s: form(s, labels, column_of=columns, delta=0.7), (scores.requires_grad_(),))


@every_form
def test_two_classes_and_an_empty_third_are_the_binary_violations(form: Any) -> None:
    scores, labels = batch(3, 2, (1,), size=40)
    q = form(scores, labels, column_of=column_of(3, (1,)), delta=0.5)
    expected = masked_violations(scores[:, 0], labels, delta=0.5)
    torch.testing.assert_close(q[:, 0], expected, rtol=1e-14, atol=0)
    assert not q[:, 1:].any()


@every_problem
def test_the_sum_over_the_classes_is_the_binary_violation_against_the_rest(
    classes: int, critical: tuple[int, ...]
) -> None:
    scores, labels = batch(2, classes, critical, size=60)
    q = class_violations(scores, labels, column_of=column_of(classes, critical), delta=0.5)
    for column, own in enumerate(critical):
        expected = masked_violations(scores[:, column], (labels == own).long(), delta=0.5)
        torch.testing.assert_close(q.sum(dim=1)[labels == own], expected[labels == own], rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [512, 513])
def test_a_large_batch_is_sorted_and_forms_no_pairs(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def watched(name: str, form: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            used.append(name)
            return form(*given, **options)

        return call

    for name, form in FORMS.items():
        monkeypatch.setattr(module, f"{name}_class_violations", watched(name, form))
    scores, labels = batch(1, 5, (4, 1), size=size)
    class_violations(scores, labels, column_of=column_of(5, (4, 1)), delta=0.5)
    assert used == ["dense" if size == 512 else "sorted"]


def test_a_sorted_batch_of_100000_needs_no_memory_for_pairs() -> None:
    """100,000^2 numbers are 80 GB."""
    scores, labels = batch(1, 10, (9, 3), size=100_000, on_grid=False)
    leaf = scores.float().requires_grad_()
    q = class_violations(leaf, labels, column_of=column_of(10, (9, 3)), delta=0.5)
    q.sum().backward()
    assert q.shape == (100_000, 10)
    assert leaf.grad is not None
    some = torch.randperm(100_000, generator=torch.Generator().manual_seed(0))[:20]
    for j in some.tolist():
        column = {9: 0, 3: 1}.get(int(labels[j]))
        for m in range(10) if column is not None else ():
            others = leaf.detach()[labels == m, column].double()
            expected = (0.5 - (leaf.detach()[j, column].double() - others)).clamp(min=0).sum() * (m != labels[j])
            assert q[j, m].item() == pytest.approx(float(expected), rel=1e-6)


@every_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_neither_autocast_nor_narrow_scores_lower_the_precision(form: Any, dtype: torch.dtype) -> None:
    scores, labels = batch(4, 5, (4, 1), on_grid=False)
    narrow, columns = (100 * scores).to(dtype), column_of(5, (4, 1))
    expected = form(narrow.double(), labels, column_of=columns, delta=0.5)
    for given in (narrow, narrow.float()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            q = form(given.float(), labels, column_of=columns, delta=0.5)
            whole = class_violations(given, labels, column_of=columns, delta=0.5)
        assert q.dtype == whole.dtype == torch.float32
        torch.testing.assert_close(q.double(), expected, rtol=1e-6, atol=0)


@every_form
def test_no_value_decides_a_shape(form: Any) -> None:
    """On tensors without values, on which whatever waits for one fails."""
    scores, labels = batch(1, 5, (4, 1))
    leaf = scores.to("meta").requires_grad_()
    q = form(leaf, labels.to("meta"), column_of=column_of(5, (4, 1)).to("meta"), delta=0.5)
    q.sum().backward()
    assert q.shape == (30, 5)


@every_form
def test_a_batch_without_critical_samples_has_none(form: Any) -> None:
    scores, _ = batch(1, 5, (4, 1))
    leaf = scores.requires_grad_()
    q = form(leaf, torch.full((30,), 2), column_of=column_of(5, (4, 1)), delta=0.5)
    q.sum().backward()
    assert not q.any()
    assert leaf.grad is not None
    assert not leaf.grad.any()


@every_form
def test_a_score_that_is_not_finite_shows(form: Any) -> None:
    scores, labels = batch(1, 3, (1,))
    for bad in (float("nan"), float("inf")):
        broken = scores.clone()
        broken[labels == 0] = bad
        q = form(broken, labels, column_of=column_of(3, (1,)), delta=0.5)
        assert not q[labels == 1, 0].isfinite().any()
