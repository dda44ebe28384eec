"""One suite over every registered loss: value, gradient, extremes, one-class batches, shapes, options."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from references import REFERENCES, ldam_margins
from torch import Tensor

import utils.constraints
import utils.losses
from utils.losses import LOSSES, loss_class

Options = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One loss with one set of options."""

    name: str
    options: Options = field(default_factory=dict)

    def build(self) -> Any:
        return loss_class(self.name)(**self.options)

    def reference(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return REFERENCES[self.name](outputs, targets, **self.options)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


CASES = [
    Case("BCE"),
    *(Case(name, {"m": m}) for name in ("SYM_LM", "ASYM_LM") for m in (0.0, 0.5, 4.0)),
    *(Case(name, {"m": 0.5, "eps": 1e-4}) for name in ("SYM_LM", "ASYM_LM")),
    *(Case(name, {"gamma": g}) for name in ("SYM_FL", "ASYM_FL") for g in (0.0, 0.5, 1.0, 2.0)),
    *(Case(name, {"gamma": 2.0, "eps": 1e-4}) for name in ("SYM_FL", "ASYM_FL")),
    Case("WBCE", {"c": 1.0, "ratio_pos_train": 100}),
    Case("WBCE", {"c": 0.333, "ratio_pos_train": 7}),
    Case("cb_BCE", {"beta": 0.0, "class_counts": (4410, 44)}),
    Case("cb_BCE", {"beta": 0.99, "class_counts": (4410, 44)}),
    Case("cb_BCE", {"beta": 0.9999, "class_counts": (20, 1)}),
    Case("LDAM", {"class_counts": (4410, 44)}),
    Case("LDAM", {"class_counts": (3, 70), "max_margin": 0.25, "scale": 10.0}),
    Case("MBAUC"),
    Case("MSFE"),
    Case("LOG_PW"),
]
PAIRWISE = {"MBAUC", "LOG_PW"}
LOGISTIC = {"BCE", "SYM_LM", "ASYM_LM", "SYM_FL", "ASYM_FL", "WBCE", "cb_BCE"}
every_case = pytest.mark.parametrize("case", CASES, ids=str)
first_cases = pytest.mark.parametrize("case", list({c.name: c for c in reversed(CASES)}.values()), ids=str)


def width(case: Case) -> int:
    return int(loss_class(case.name).outputs)


def batch(case: Case, seed: int, *, size: int = 12, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Random outputs (B, K) with some equal scores, and labels with both classes present."""
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(size, width(case), generator=generator, dtype=torch.float64)
    outputs[1] = outputs[0]
    if loss_class(case.name).normalised_head:
        outputs = outputs / (outputs.abs().amax() + 0.1)  # cosines
    targets = torch.randint(0, 2, (size,), generator=generator)
    targets[:2] = torch.tensor([0, 1])
    return outputs.to(dtype), targets


def value_and_gradient(function: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs.detach().clone().requires_grad_()
    value = function(outputs, targets)
    (gradient,) = torch.autograd.grad(value, outputs)
    return value.detach(), gradient


# ---------------------------------------------------------------- the register


def test_every_registered_loss_has_a_reference_and_a_case() -> None:
    assert set(LOSSES) == set(REFERENCES) == {case.name for case in CASES} == {case.name for case in HAND}
    assert len(LOSSES) == 11


def test_classes_carry_what_the_runner_reads() -> None:
    for name in LOSSES:
        cls = loss_class(name)
        assert issubclass(cls, torch.nn.Module)
        assert cls.outputs in (1, 2)
        assert isinstance(cls.normalised_head, bool)
        assert isinstance(cls.facts, tuple)
        assert set(cls.facts) <= {"class_counts", "ratio_pos_train"}
    assert (loss_class("LDAM").outputs, loss_class("LDAM").normalised_head) == (2, True)
    assert "class_counts" in loss_class("LDAM").facts
    assert "class_counts" in loss_class("cb_BCE").facts
    assert "ratio_pos_train" in loss_class("WBCE").facts
    assert isinstance(CASES[0].build().default_threshold, float)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(Exception, match="FOCAL"):
        loss_class("FOCAL")


def test_classes_are_attributes_of_the_package() -> None:
    names = ["BCE", "SymmetricMargin", "AsymmetricMargin", "SymmetricFocal", "AsymmetricFocal", "WeightedBCE",
             "ClassBalancedBCE", "LDAM", "MBAUC", "MSFE", "LogPairwise"]  # fmt: skip
    registered = {loss_class(name) for name in LOSSES}
    assert {getattr(utils.losses, name) for name in names} == registered
    with pytest.raises(AttributeError):
        utils.losses.NoSuchLoss  # noqa: B018


# ---------------------------------------------------------------- against the references


@every_case
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_equals_the_reference(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    for seed in range(12):
        outputs, targets = batch(case, seed, size=2 + seed, dtype=dtype)
        value, gradient = value_and_gradient(case.build(), outputs, targets)
        expected, expected_gradient = value_and_gradient(case.reference, outputs.double(), targets)
        assert value.dtype == dtype
        assert value.shape == ()
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance)


@every_case
def test_gradcheck(case: Case) -> None:
    outputs, targets = batch(case, 3, size=6)
    loss = case.build()
    assert torch.autograd.gradcheck(lambda o: loss(o, targets), (outputs.requires_grad_(),))


def ln(x: float) -> float:
    return math.log(x)


L3 = ln(3.0)  # sigma(L3) = 3/4, sigma(2 L3) = 9/10, sigma(0) = 1/2, sigma(-L3) = 1/4


@dataclass(frozen=True)
class Hand:
    """A batch worked by hand; targets are 1 for the first output and 0 for the others."""

    name: str
    options: Options
    outputs: list[float] | list[list[float]]
    expected: float


HAND = [
    Hand("BCE", {}, [L3, L3], (-ln(3 / 4) - ln(1 / 4)) / 2),
    Hand("SYM_LM", {"m": L3}, [2 * L3, L3], (-ln(3 / 4) - ln(1 / 10)) / 2),
    Hand("SYM_LM", {"m": L3, "eps": 0.25}, [2 * L3, L3], (-ln(3 / 4 + 1 / 4) - ln(1 / 10 + 1 / 4)) / 2),
    Hand("ASYM_LM", {"m": L3}, [2 * L3, L3], (-ln(3 / 4) - ln(1 / 4)) / 2),
    Hand("ASYM_LM", {"m": L3, "eps": 0.25}, [2 * L3, L3], (-ln(3 / 4 + 1 / 4) - ln(1 / 4 + 1 / 4)) / 2),
    Hand("SYM_FL", {"gamma": 2.0}, [L3, L3], (-(1 / 16) * ln(3 / 4) - (9 / 16) * ln(1 / 4)) / 2),
    Hand("SYM_FL", {"gamma": 1.0, "eps": 0.25}, [L3, L3], (-(1 / 4) * ln(1) - (3 / 4) * ln(1 / 2)) / 2),
    Hand("ASYM_FL", {"gamma": 2.0}, [L3, L3], (-ln(3 / 4) - (9 / 16) * ln(1 / 4)) / 2),
    Hand("ASYM_FL", {"gamma": 1.0, "eps": 0.25}, [L3, L3], (-ln(1) - (3 / 4) * ln(1 / 2)) / 2),
    Hand("WBCE", {"c": 0.5, "ratio_pos_train": 4}, [L3, L3], (-2 * ln(3 / 4) - ln(1 / 4)) / 2),
    # (1 - .5) / (1 - .5^3) = 4/7 for the three negatives, (1 - .5) / (1 - .5) = 1 for the positive
    Hand("cb_BCE", {"beta": 0.5, "class_counts": (3, 1)}, [L3, L3], (-ln(3 / 4) - (4 / 7) * ln(1 / 4)) / 2),
    # margins: 16^(-1/4) = 1/2 and 1, scaled to 1/4 and 1/2; logits 2 * (.25, .5) and 2 * (0, .25)
    Hand("LDAM", {"class_counts": (16, 1), "scale": 2.0}, [[0.25, 1.0], [0.25, 0.25]],
         (ln(1 + math.exp(-0.5)) + ln(1 + math.exp(0.5))) / 2),
    Hand("MBAUC", {}, [L3, 0.0, -L3], ((1 - 1 / 4) ** 2 + (1 - 1 / 2) ** 2) / 2),
    # FNE = (1/4)^2 / 2 = 1/32; FPE = ((1/2)^2 / 2 + (1/4)^2 / 2) / 2 = 5/64
    Hand("MSFE", {}, [L3, 0.0, -L3], (1 / 32) ** 2 + (5 / 64) ** 2),
    Hand("LOG_PW", {}, [L3, 0.0, -L3], (ln(1 + 1 / 3) + ln(1 + 1 / 9)) / 2),
]  # fmt: skip


@pytest.mark.parametrize("hand", HAND, ids=lambda h: f"{h.name}-{h.options}")
def test_worked_by_hand(hand: Hand) -> None:
    outputs = torch.tensor(hand.outputs, dtype=torch.float64)
    targets = torch.tensor([1] + [0] * (len(hand.outputs) - 1))
    loss = loss_class(hand.name)(**hand.options)
    assert float(loss(outputs, targets)) == pytest.approx(hand.expected, rel=1e-12)
    assert float(REFERENCES[hand.name](outputs, targets, **hand.options)) == pytest.approx(hand.expected, rel=1e-12)


def test_ldam_margins_by_hand() -> None:
    assert ldam_margins((16, 1)) == pytest.approx([0.25, 0.5])
    assert ldam_margins((16, 81)) == pytest.approx([0.5, 1 / 3])


@pytest.mark.parametrize("m", [0.5, 2.0, 4.0])
def test_eps_form_of_the_margins_is_the_official_formula(m: float) -> None:
    outputs, targets = batch(CASES[0], 5, size=40)
    s, y = outputs[:, 0], targets.double()
    positive = -torch.log(torch.sigmoid(s - m) + 1e-4)
    for name, shift in (("SYM_LM", m), ("ASYM_LM", 0.0)):
        negative = -torch.log(1 - torch.sigmoid(s + shift) + 1e-4)
        official = (y * positive + (1 - y) * negative).mean()
        torch.testing.assert_close(loss_class(name)(m=m, eps=1e-4)(outputs, targets), official, rtol=1e-11, atol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_eps_form_of_the_focal_losses_is_the_official_formula(gamma: float) -> None:
    outputs, targets = batch(CASES[0], 6, size=40)
    p, y = torch.sigmoid(outputs[:, 0]), targets.double()
    negative = -(p**gamma) * torch.log(1 - p + 1e-4)
    for name, factor in (("SYM_FL", (1 - p) ** gamma), ("ASYM_FL", torch.ones_like(p))):
        official = (y * -factor * torch.log(p + 1e-4) + (1 - y) * negative).mean()
        loss = loss_class(name)(gamma=gamma, eps=1e-4)
        torch.testing.assert_close(loss(outputs, targets), official, rtol=1e-11, atol=0)


# ---------------------------------------------------------------- extremes


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_finite_and_exact_at_logits_of_100(case: Case, dtype: torch.dtype) -> None:
    values = torch.tensor([100.0, -100.0, 100.0, -100.0, 0.0], dtype=dtype)
    outputs = torch.stack([values, -values], dim=1)[:, : width(case)]
    targets = torch.tensor([1, 1, 0, 0, 1])
    value, gradient = value_and_gradient(case.build(), outputs, targets)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    expected, expected_gradient = value_and_gradient(case.reference, outputs.double(), targets)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["BCE", "SYM_LM", "ASYM_LM", "SYM_FL", "ASYM_FL"])
@pytest.mark.parametrize("option", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_a_badly_wrong_positive_keeps_its_gradient(name: str, option: float, dtype: torch.dtype) -> None:
    """log(p + 1e-4) leaves 9e-10 of it; log p leaves 1. (At gamma > 0 the factor (1-p)^gamma is 1 there.)"""
    key = {"SYM_LM": "m", "ASYM_LM": "m", "SYM_FL": "gamma", "ASYM_FL": "gamma"}.get(name)
    options = {key: option} if key else {}
    _, gradient = value_and_gradient(loss_class(name)(**options), torch.tensor([-30.0], dtype=dtype), torch.tensor([1]))
    assert float(gradient) == pytest.approx(-1.0, abs=1e-4)


def test_the_official_form_does_lose_it() -> None:
    loss = loss_class("SYM_LM")(m=0.0, eps=1e-4)
    _, gradient = value_and_gradient(loss, torch.tensor([-30.0], dtype=torch.float64), torch.tensor([1]))
    assert abs(float(gradient)) < 1e-8


@pytest.mark.parametrize("name", ["SYM_FL", "ASYM_FL"])
@pytest.mark.parametrize("eps", [0.0, 1e-4])
@pytest.mark.parametrize("score", [30.0, -30.0, 100.0, -100.0, 1e4, -1e4])
@pytest.mark.parametrize("target", [0, 1])
def test_focal_with_a_root_is_finite_far_out(name: str, eps: float, score: float, target: int) -> None:
    loss = loss_class(name)(gamma=0.5, eps=eps)
    value, gradient = value_and_gradient(loss, torch.tensor([score]), torch.tensor([target]))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted(LOGISTIC))
def test_logistic_losses_push_the_right_way(name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    scores = torch.tensor([-3.0, 0.0, 3.0, -3.0, 0.0, 3.0], dtype=torch.float64)
    _, gradient = value_and_gradient(case.build(), scores, torch.tensor([1, 1, 1, 0, 0, 0]))
    assert (gradient[:3] < 0).all()
    assert (gradient[3:] > 0).all()


@every_case
def test_bfloat16_autocast_gives_float32_and_no_nan(case: Case) -> None:
    outputs, targets = batch(case, 7, size=16, dtype=torch.float32)
    if not loss_class(case.name).normalised_head:
        outputs[2:6, 0] = torch.tensor([100.0, -100.0, 30.0, -30.0])
    low = outputs.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(case.build(), low, targets)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    expected = case.reference(low.double(), targets)  # rounding of the input is not the loss's doing
    torch.testing.assert_close(value.double(), expected, rtol=2e-5, atol=1e-5)


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["f16", "bf16"])
def test_half_precision_outputs_are_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    outputs, targets = batch(case, 8, size=16, dtype=dtype)
    value = case.build()(outputs, targets)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), case.reference(outputs.double(), targets), rtol=2e-5, atol=1e-5)


# ---------------------------------------------------------------- one-class batches


@every_case
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("size", [1, 5])
def test_one_class_batches_are_defined(case: Case, label: int, size: int) -> None:
    outputs, _ = batch(case, 9, size=max(size, 2))
    outputs, targets = outputs[:size], torch.full((size,), label)
    leaf = outputs.clone().requires_grad_()
    value = case.build()(leaf, targets)
    assert value.requires_grad
    value.backward()
    assert leaf.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(leaf.grad).all()
    if case.name in PAIRWISE:
        assert value.item() == 0.0
        assert not leaf.grad.any()
    else:
        expected, expected_gradient = value_and_gradient(case.reference, outputs, targets)
        torch.testing.assert_close(value.detach(), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(leaf.grad, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(PAIRWISE))
@pytest.mark.parametrize("label", [0, 1])
def test_pairwise_losses_stay_zero_at_infinite_scores(name: str, label: int) -> None:
    """0 * (sum of scores) would be NaN here; a batch without pairs says nothing about its scores."""
    scores = torch.tensor([3e38, 3e38], dtype=torch.float32)
    value, gradient = value_and_gradient(loss_class(name)(), scores, torch.full((2,), label))
    assert float(value) == 0.0
    assert not gradient.any()


# ---------------------------------------------------------------- symmetries, types and shapes


@every_case
def test_order_does_not_matter(case: Case) -> None:
    outputs, targets = batch(case, 10, size=15)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    value, gradient = value_and_gradient(case.build(), outputs, targets)
    permuted, permuted_gradient = value_and_gradient(case.build(), outputs[order], targets[order])
    torch.testing.assert_close(value, permuted, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(gradient[order], permuted_gradient, rtol=1e-12, atol=1e-15)


@every_case
def test_a_doubled_batch_has_the_same_value(case: Case) -> None:
    outputs, targets = batch(case, 11)
    doubled = case.build()(outputs.repeat(2, 1), targets.repeat(2))
    torch.testing.assert_close(doubled, case.build()(outputs, targets), rtol=1e-13, atol=1e-15)


@every_case
def test_targets_of_any_type(case: Case) -> None:
    outputs, targets = batch(case, 12)
    expected = case.build()(outputs, targets)
    for dtype in (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64):
        value = case.build()(outputs, targets.to(dtype))
        assert value.dtype == expected.dtype
        assert torch.equal(value, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "LDAM"], ids=str)
def test_column_outputs_equal_flat_outputs(case: Case) -> None:
    for size in (1, 2, 9):
        outputs, targets = batch(case, 13, size=max(size, 2))
        outputs, targets = outputs[:size], targets[:size]
        loss = case.build()
        assert torch.equal(loss(outputs, targets), loss(outputs[:, 0], targets))


@first_cases
def test_score(case: Case) -> None:
    for size in (1, 4):
        outputs, _ = batch(case, 14, size=max(size, 2))
        outputs = outputs[:size]
        score = case.build().score(outputs)
        assert score.shape == (size,)
        assert torch.equal(score, outputs[:, -1])  # of two outputs, that of class 1
        if width(case) == 1:
            assert torch.equal(case.build().score(outputs[:, 0]), outputs[:, 0])


@first_cases
def test_indices_are_accepted_and_change_nothing(case: Case) -> None:
    outputs, targets = batch(case, 15)
    loss = case.build()
    assert torch.equal(loss(outputs, targets, indices=torch.arange(len(targets))), loss(outputs, targets))


@first_cases
def test_inputs_are_left_alone(case: Case) -> None:
    outputs, targets = batch(case, 16)
    before = outputs.clone(), targets.clone()
    case.build()(outputs, targets)
    assert torch.equal(outputs, before[0])
    assert torch.equal(targets, before[1])


@first_cases
def test_targets_of_another_length_are_refused(case: Case) -> None:
    outputs, targets = batch(case, 17)
    loss = case.build()
    for wrong in (targets[:-1], targets[:1], torch.cat([targets, targets[:1]]), targets[0]):
        with pytest.raises(ValueError, match="target"):
            loss(outputs, wrong)


@first_cases
def test_a_column_of_targets_is_refused(case: Case) -> None:
    """(B, 1) against (B,) would broadcast to (B, B) without a word."""
    outputs, targets = batch(case, 18)
    loss = case.build()
    for wrong in (targets[:, None], targets[None, :]):
        with pytest.raises(ValueError, match="target"):
            loss(outputs, wrong)
        if width(case) == 1:
            with pytest.raises(ValueError, match="target"):
                loss(outputs[:, 0], wrong)


@first_cases
def test_a_wrong_number_of_outputs_is_refused(case: Case) -> None:
    outputs, targets = batch(case, 19)
    wrongs = [torch.cat([outputs, outputs, outputs], dim=1), outputs[:, :, None], outputs[0, 0]]
    wrongs.append(torch.cat([outputs, outputs], dim=1) if width(case) == 1 else outputs[:, 0])
    wrongs.append(outputs.T)  # (1, B): a row instead of a column
    loss = case.build()
    for wrong in wrongs:
        with pytest.raises(ValueError, match="output"):
            loss(wrong, targets)
        with pytest.raises(ValueError, match="output"):
            loss.score(wrong)


# ---------------------------------------------------------------- options

NAN, INF = math.nan, math.inf
BAD_OPTIONS: list[tuple[str, Options, str, list[Any]]] = [
    ("SYM_LM", {"m": 1.0}, "m", [-0.1, NAN, INF]),
    ("ASYM_LM", {"m": 1.0}, "m", [-0.1, NAN, INF]),
    ("SYM_LM", {"m": 1.0}, "eps", [-1e-9, NAN, INF]),
    ("ASYM_LM", {"m": 1.0}, "eps", [-1e-9, NAN, INF]),
    ("SYM_FL", {"gamma": 1.0}, "gamma", [-0.1, NAN, INF]),
    ("ASYM_FL", {"gamma": 1.0}, "gamma", [-0.1, NAN, INF]),
    ("SYM_FL", {"gamma": 1.0}, "eps", [-1e-9, NAN, INF]),
    ("ASYM_FL", {"gamma": 1.0}, "eps", [-1e-9, NAN, INF]),
    ("WBCE", {"c": 1.0, "ratio_pos_train": 10}, "c", [0.0, -1.0, NAN, INF]),
    ("WBCE", {"c": 1.0, "ratio_pos_train": 10}, "ratio_pos_train", [0, -1]),
    ("cb_BCE", {"beta": 0.9, "class_counts": (9, 1)}, "beta", [-0.1, 1.0, 1.5, NAN]),
    (
        "cb_BCE",
        {"beta": 0.9, "class_counts": (9, 1)},
        "class_counts",
        [(0, 1), (9, 0), (9, -1), (9,), (9, 1, 1)],
    ),
    ("LDAM", {"class_counts": (9, 1)}, "class_counts", [(0, 1), (9, 0), (9, -1), (9,), (9, 1, 1)]),
    ("LDAM", {"class_counts": (9, 1)}, "max_margin", [-0.1, NAN, INF]),
    ("LDAM", {"class_counts": (9, 1)}, "scale", [0.0, -1.0, NAN, INF]),
]


@pytest.mark.parametrize(
    "name, good, key, value",
    [(name, good, key, value) for name, good, key, values in BAD_OPTIONS for value in values],
)
def test_options_out_of_range_are_refused(name: str, good: Options, key: str, value: Any) -> None:
    loss_class(name)(**good)
    with pytest.raises(ValueError, match=rf"\b{key}\b.*(>|<|least|between|\bin\b|two|pair)"):
        loss_class(name)(**{**good, key: value})


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        loss_class("SYM_LM")(0.5)


# ---------------------------------------------------------------- docstrings


def public_modules(package: Any) -> list[str]:
    return [f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__)]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_carries_an_example(name: str) -> None:
    assert ">>>" in (loss_class(name).__doc__ or "")


@pytest.mark.parametrize("module", [*public_modules(utils.losses), *public_modules(utils.constraints), "utils.metrics"])
def test_doctests(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
