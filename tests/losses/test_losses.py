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
from references import REFERENCES, ldam_margins, square_pairwise
from torch import Tensor

import utils.constraints
import utils.losses
from utils.config.settings import resolve
from utils.losses import LOSSES, loss_class
from utils.run.components import build_loss
from utils.system.installation import CONFIGS
from utils.testing import check_loss

Options = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One loss with one set of options, in an epoch, and with values of its own variables."""

    name: str
    options: Options = field(default_factory=dict)
    epoch: int = 0
    variables: dict[str, float] = field(default_factory=dict)

    def build(self) -> Any:
        loss = loss_class(self.name)(**self.options)
        loss.begin_epoch(self.epoch)
        for name, value in self.variables.items():
            getattr(loss, name).data.fill_(value)
        return loss

    def reference(self, outputs: Tensor, targets: Tensor, **more: Any) -> Tensor:
        epoch = {"epoch": self.epoch} if self.epoch else {}
        return REFERENCES[self.name](outputs, targets, **{**self.options, **self.variables, **epoch, **more})

    def __str__(self) -> str:
        told = {**self.options, **self.variables, **({"epoch": self.epoch} if self.epoch else {})}
        return "-".join([self.name, *(f"{key}={value}" for key, value in told.items())])


RARE = {"class_counts": (4410, 44)}
MANY_POSITIVES = {"class_counts": (3, 70)}  # the negatives are the rare class
METRICS = ("f_beta", "balanced_accuracy", "geometric_mean", "accuracy")
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
    Case("AUM_RATE"),
    Case("AUM_COUNT"),
    *(Case(name, options) for name in ("SQ_HINGE_PW", "SQUARE_PW") for options in ({}, {"m": 0.0}, {"m": 2.5})),
    Case("AUCM"),
    Case("AUCM", variables={"a": 0.25, "b": 0.125, "alpha": 0.5}),
    Case("AUCM", {"m": 0.25}, variables={"a": -0.5, "b": 1.5, "alpha": 0.75}),
    Case("PAUC", {"num_samples": 32}),
    *(Case("PAUC", {"num_samples": 32, "max_fpr": share, "m": 4.0}) for share in (0.3, 0.5, 1.0)),
    *(Case(name, facts) for name in ("W_LOGISTIC", "WCE", "SAMPLING_FREE") for facts in (RARE, MANY_POSITIVES)),
    Case("ALPHA_FL"),
    *(Case("ALPHA_FL", {"gamma": g, "focal_alpha": alpha}) for g, alpha in ((0.0, 0.5), (0.5, 0.9), (1.0, 1.0))),
    Case("cb_FL", RARE),
    Case("cb_FL", {**MANY_POSITIVES, "beta": 0.9, "gamma": 0.5}),
    Case("cb_FL", {**RARE, "beta": 0.0, "gamma": 0.0}),
    *(Case("LA", {**facts, **options}) for facts, options in ((RARE, {}), (MANY_POSITIVES, {"tau": 2.0}))),
    Case("LA", {**RARE, "tau": 0.0}),
    Case("VS", RARE),
    Case("VS", {**MANY_POSITIVES, "tau": 0.5, "gamma": 0.15}),
    Case("VS", {**RARE, "tau": 0.0, "gamma": 0.0}),
    *(Case("LDAM_DRW", RARE, epoch) for epoch in (0, 79, 80)),
    Case("LDAM_DRW", {**MANY_POSITIVES, "max_margin": 0.25, "scale": 10.0, "beta": 0.9, "drw_from": 2}, 3),
    Case("ANYLOSS"),
    *(Case("ANYLOSS", {"anyloss_metric": metric, "amplification": 8.0}) for metric in METRICS),
    *(Case("ANYLOSS", {"anyloss_metric": metric}) for metric in METRICS),
    Case("ANYLOSS", {"f_beta": 2.0, "amplification": 20.0}),
    *(Case(name, options) for name in ("HINGE", "SQ_HINGE") for options in ({}, {"m": 0.5}, {"m": 3.0})),
]
PAIRWISE = {"MBAUC", "LOG_PW", "AUM_RATE", "AUM_COUNT", "SQ_HINGE_PW", "SQUARE_PW", "PAUC"}
# Linear in the scores between ties, with a kink at each, where the reference has the slope of one side.
KINKED_AT_TIES = {"AUM_RATE", "AUM_COUNT"}
# (1 - x)^2 rises again beyond its least value: it draws together what lies further apart than the margin.
DRAWS_TOGETHER = {"SQUARE_PW", "AUCM"}
every_case = pytest.mark.parametrize("case", CASES, ids=str)
first_cases = pytest.mark.parametrize("case", list({c.name: c for c in reversed(CASES)}.values()), ids=str)


def width(case: Case) -> int:
    return int(loss_class(case.name).outputs)


def first_case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def batch(
    case: Case, seed: int, *, size: int = 12, dtype: torch.dtype = torch.float64, ties: bool = True
) -> tuple[Tensor, Tensor]:
    """Random outputs (B, K), two of them equal if ``ties``, and labels with both classes present."""
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(size, width(case), generator=generator, dtype=torch.float64)
    if ties:
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


@every_case
def test_every_loss_keeps_the_contract(case: Case) -> None:
    check_loss(case.build())


def test_unknown_name_is_refused() -> None:
    with pytest.raises(Exception, match="FOCAL"):
        loss_class("FOCAL")


# ---------------------------------------------------------------- against the references


@every_case
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_equals_the_reference(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    for seed in range(6):
        outputs, targets = batch(case, seed, size=2 + 2 * seed, dtype=dtype, ties=case.name not in KINKED_AT_TIES)
        value, gradient = value_and_gradient(case.build(), outputs, targets)
        expected, expected_gradient = value_and_gradient(case.reference, outputs.double(), targets)
        assert value.dtype == dtype
        assert value.shape == ()
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance)


@every_case
def test_gradcheck(case: Case) -> None:
    outputs, targets = batch(case, 3, size=6, ties=case.name not in KINKED_AT_TIES)
    loss = case.build()
    assert torch.autograd.gradcheck(lambda o: loss(o, targets), (outputs.requires_grad_(),), fast_mode=True)


def ln(x: float) -> float:
    return math.log(x)


L3 = ln(3.0)  # sigma(L3) = 3/4, sigma(2 L3) = 9/10, sigma(0) = 1/2, sigma(-L3) = 1/4


@dataclass(frozen=True)
class Hand:
    """A batch worked by hand; unless told otherwise, targets are 1 for the first output and 0 for the others."""

    name: str
    options: Options
    outputs: list[float] | list[list[float]]
    expected: float
    targets: list[int] = field(default_factory=list)
    epoch: int = 0
    variables: dict[str, float] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        return Case(self.name, self.options, self.epoch, self.variables)

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        targets = self.targets or [1] + [0] * (len(self.outputs) - 1)
        return torch.tensor(self.outputs, dtype=torch.float64), torch.tensor(targets)


# LDAM's example below: margins 1/4 and 1/2; logits 2 * (.25, .5) and 2 * (0, .25): gaps .5 and -.5
LDAM_OUTPUTS, LDAM_TERMS = [[0.25, 1.0], [0.25, 0.25]], (ln(1 + math.exp(-0.5)), ln(1 + math.exp(0.5)))
# The published example: thresholds T = -s: -2, -1.5, 1, 3.5; FPR 0 .5 .5 .5 1; FNR 1 1 .5 0 0
AUM_OUTPUTS, AUM_TARGETS = [2.0, -3.5, -1.0, 1.5], [0, 0, 1, 1]
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
    # margins: 16^(-1/4) = 1/2 and 1, scaled to 1/4 and 1/2
    Hand("LDAM", {"class_counts": (16, 1), "scale": 2.0}, LDAM_OUTPUTS, sum(LDAM_TERMS) / 2),
    Hand("MBAUC", {}, [L3, 0.0, -L3], ((1 - 1 / 4) ** 2 + (1 - 1 / 2) ** 2) / 2),
    # FNE = (1/4)^2 / 2 = 1/32; FPE = ((1/2)^2 / 2 + (1/4)^2 / 2) / 2 = 5/64
    Hand("MSFE", {}, [L3, 0.0, -L3], (1 / 32) ** 2 + (5 / 64) ** 2),
    Hand("LOG_PW", {}, [L3, 0.0, -L3], (ln(1 + 1 / 3) + ln(1 + 1 / 9)) / 2),
    # widths .5, 2.5, 2.5 times min(FPR, FNR) = .5, .5, 0
    Hand("AUM_RATE", {}, AUM_OUTPUTS, 0.5 * 0.5 + 0.5 * 2.5, AUM_TARGETS),
    # widths 1 and 1; FPR 1/2, 1; FNR 1, 1
    Hand("AUM_RATE", {}, [0.0, 1.0, 2.0], 1 / 2 + 1),
    # the same with FP = 1, 1, 1 and FN = 2, 1, 0
    Hand("AUM_COUNT", {}, AUM_OUTPUTS, 1 * 0.5 + 1 * 2.5, AUM_TARGETS),
    Hand("AUM_COUNT", {}, [0.0, 1.0, 2.0], 1.0 + 1.0),  # FP 1, 2; FN 1, 1
    # gaps 1/2 and 3: 1/2 short of the margin, and 2 beyond it
    Hand("SQ_HINGE_PW", {}, [1.0, 0.5, -2.0], (1 / 4 + 0) / 2),
    Hand("SQUARE_PW", {}, [1.0, 0.5, -2.0], (1 / 4 + 4) / 2),
    Hand("SQ_HINGE_PW", {"m": 4.0}, [1.0, 0.5, -2.0], (3.5**2 + 1) / 2),
    # h = 3/4 | 1/2, 1/4: (1/2)^2 + ((3/8)^2 + (1/8)^2)/2 + 2 * 1/2 * (1 + 3/8 - 3/4) - (1/2)^2
    Hand("AUCM", {}, [L3, 0.0, -L3], 1 / 4 + 5 / 64 + 5 / 8 - 1 / 4, variables={"a": 0.25, "b": 0.125, "alpha": 0.5}),
    Hand("AUCM", {}, [L3, 0.0, -L3], 9 / 16 + (1 / 4 + 1 / 16) / 2),  # a = b = alpha = 0 at the start
    # gaps -1, 0, 1, 3: squared hinges 4, 1, 0, 0; the largest 2 of them, or 1 and a half
    Hand("PAUC", {"num_samples": 9, "max_fpr": 0.5}, [0.0, 1.0, 0.0, -1.0, -3.0], (4 + 1) / 2),
    Hand("PAUC", {"num_samples": 9, "max_fpr": 0.375}, [0.0, 1.0, 0.0, -1.0, -3.0], (4 + 0.5 * 1) / 1.5),
    Hand("PAUC", {"num_samples": 9}, [0.0, 1.0, 0.0, -1.0, -3.0], 4.0),  # 0.1 * 4 is less than one negative
    # a second positive, gaps 1, 2, 3, 5: all beyond the margin
    Hand("PAUC", {"num_samples": 9, "max_fpr": 0.5}, [0.0, 2.0, 1.0, 0.0, -1.0, -3.0], 2.5 / 2, [1, 1, 0, 0, 0, 0]),
    # weights 4/1 and 4/3
    Hand("W_LOGISTIC", {"class_counts": (3, 1)}, [L3, L3], (-4 * ln(3 / 4) - (4 / 3) * ln(1 / 4)) / 2),
    # weights 4/(2 * 1) and 4/(2 * 3), divided by their sum
    Hand("WCE", {"class_counts": (3, 1)}, [[1.0, 1 + L3], [-2.0, L3 - 2]],
         (-2 * ln(3 / 4) - (2 / 3) * ln(1 / 4)) / (2 + 2 / 3)),
    Hand("ALPHA_FL", {}, [L3, L3], (-(1 / 4) * (1 / 16) * ln(3 / 4) - (3 / 4) * (9 / 16) * ln(1 / 4)) / 2),
    # effective weights 1 and 4/7, as for cb_BCE, times 2/(11/7) = 14/11
    Hand("cb_FL", {"beta": 0.5, "gamma": 1.0, "class_counts": (3, 1)}, [L3, L3],
         (-(14 / 11) * (1 / 4) * ln(3 / 4) - (8 / 11) * (3 / 4) * ln(1 / 4)) / 2),
    # the scores move by log(1/3): to log 3 and 0; with tau = 2 twice as far
    Hand("LA", {"class_counts": (3, 1)}, [2 * L3, L3], (-ln(3 / 4) - ln(1 / 2)) / 2),
    Hand("LA", {"class_counts": (3, 1), "tau": 2.0}, [3 * L3, L3], (-ln(3 / 4) - ln(3 / 4)) / 2),
    # positive: factor (1/4)^(1/2) = 1/2, demand log 4; negative: factor 1, demand -log 4
    Hand("VS", {"class_counts": (4, 1), "gamma": 0.5}, [2 * L3, L3], (ln(1 + 4 / 3) + ln(1 + 1 / 4 * 3)) / 2),
    # effective weights 1 and (1/2) / (1 - 2^-16) = 2^15 / (2^16 - 1); how they are normalised cancels
    Hand("LDAM_DRW", {"class_counts": (16, 1), "scale": 2.0, "beta": 0.5, "drw_from": 3}, LDAM_OUTPUTS,
         (LDAM_TERMS[0] + 2**15 / (2**16 - 1) * LDAM_TERMS[1]) / (1 + 2**15 / (2**16 - 1)), epoch=3),
    Hand("LDAM_DRW", {"class_counts": (16, 1), "scale": 2.0, "beta": 0.5, "drw_from": 3}, LDAM_OUTPUTS,
         sum(LDAM_TERMS) / 2, epoch=2),
    # prior 1/4: entropy (1/4) log 4 + (3/4) log(4/3)
    Hand("SAMPLING_FREE", {"class_counts": (3, 1)}, [L3, L3],
         (-ln(3 / 4) - ln(1 / 4)) / 2 / (ln(4) / 4 + 3 / 4 * ln(4 / 3))),
    # p = 3/4 | 1/2, 1/4; 4 log 3 * (p - 1/2) = log 3 | 0, -log 3: TP 3/4, FN 1/4, FP 1/2 + 1/4, TN 1/2 + 3/4
    *(Hand("ANYLOSS", {"amplification": 4 * L3, **options}, [L3, 0.0, -L3], 1 - metric) for options, metric in (
        ({}, 2 * 3 / 4 / (2 * 3 / 4 + 1 / 4 + 3 / 4)),
        ({"f_beta": 2.0}, 5 * 3 / 4 / (5 * 3 / 4 + 4 * 1 / 4 + 3 / 4)),
        ({"anyloss_metric": "balanced_accuracy"}, (3 / 4 + 5 / 8) / 2),
        ({"anyloss_metric": "geometric_mean"}, math.sqrt(3 / 4 * 5 / 8)),
        ({"anyloss_metric": "accuracy"}, (3 / 4 + 5 / 4) / 3),
    )),
    Hand("HINGE", {}, [0.25, 0.5, -2.0], (3 / 4 + 3 / 2 + 0) / 3),
    Hand("SQ_HINGE", {}, [0.25, 0.5, -2.0], (9 / 16 + 9 / 4 + 0) / 3),
    Hand("HINGE", {"m": 3.0}, [0.25, 0.5, -2.0], (11 / 4 + 7 / 2 + 1) / 3),
]  # fmt: skip


@pytest.mark.parametrize("hand", HAND, ids=lambda h: str(h.case))
def test_worked_by_hand(hand: Hand) -> None:
    outputs, targets = hand.batch
    assert hand.case.build()(outputs, targets).item() == pytest.approx(hand.expected, rel=1e-12)
    assert float(hand.case.reference(outputs, targets)) == pytest.approx(hand.expected, rel=1e-12)


def test_ldam_margins_by_hand() -> None:
    assert ldam_margins((16, 1)) == pytest.approx([0.25, 0.5])
    assert ldam_margins((16, 81)) == pytest.approx([0.5, 1 / 3])


# ---------------------------------------------------------------- extremes


@every_case
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
@pytest.mark.parametrize("far", [1.0, 100.0])
def test_exact_at_large_logits(case: Case, far: float, dtype: torch.dtype, tolerance: float) -> None:
    """At 1e4 a gradient may be a subnormal number; its value counts there, at 100 the gradient too."""
    values = far * torch.tensor([100.0, -100.0, 98.0, -99.0, 0.0], dtype=dtype)
    outputs = torch.stack([values, -values], dim=1)[:, : width(case)]
    if loss_class(case.name).normalised_head:
        outputs = outputs / outputs.abs().amax()  # cosines
    targets = torch.tensor([1, 1, 0, 0, 1])
    value, gradient = value_and_gradient(case.build(), outputs, targets)
    assert torch.isfinite(gradient).all()
    expected, expected_gradient = value_and_gradient(case.reference, outputs.double(), targets)
    torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
    if far == 1:
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "name, options, slope",
    [
        ("BCE", {}, 1.0),
        *((name, {"m": m}, 1.0) for name in ("SYM_LM", "ASYM_LM") for m in (0.0, 2.0)),
        *((name, {"gamma": gamma}, 1.0) for name in ("SYM_FL", "ASYM_FL") for gamma in (0.0, 0.5, 2.0)),
        ("SYM_LM", {"m": 0.0, "eps": 1e-4}, 0.0),  # the official form: log(p + 1e-4) leaves 9e-10 of it
        ("W_LOGISTIC", {"class_counts": (3, 1)}, 4.0),
        ("ALPHA_FL", {}, 0.25),
        ("cb_FL", {"class_counts": (3, 1), "beta": 0.5}, 14 / 11),
        ("LA", {"class_counts": (3, 1)}, 1.0),
        ("VS", {"class_counts": (4, 1), "gamma": 0.5}, 0.5),
        ("SAMPLING_FREE", {"class_counts": (1, 1)}, 1 / ln(2)),
        ("HINGE", {}, 1.0),
        ("SQ_HINGE", {}, 62.0),
    ],
)
def test_a_badly_wrong_positive_pulls_with_its_weight(name: str, options: Options, slope: float) -> None:
    _, gradient = value_and_gradient(loss_class(name)(**options), torch.tensor([-30.0]), torch.tensor([1]))
    assert float(gradient) == pytest.approx(-slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in DRAWS_TOGETHER], ids=str)
def test_no_output_is_pushed_the_wrong_way(case: Case) -> None:
    """Up for a positive, down for a negative; of two outputs the first goes the other way."""
    outputs, targets = batch(case, 21, size=40)
    _, gradient = value_and_gradient(case.build(), outputs, targets)
    sign = torch.where(targets == 1, -1.0, 1.0)
    assert (sign * gradient[:, -1] >= -1e-9).all()  # eps in the logarithm does turn the sign, by less than this
    assert gradient.any()
    if width(case) == 2:
        torch.testing.assert_close(gradient[:, 0], -gradient[:, 1], rtol=1e-9, atol=1e-12)


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


# ---------------------------------------------------------------- one-class batches


@every_case
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_batches(case: Case, label: int) -> None:
    for size in (1, 5):
        outputs, _ = batch(case, 9, size=max(size, 2))
        outputs, targets = outputs[:size], torch.full((size,), label)
        value, gradient = value_and_gradient(case.build(), outputs, targets)
        expected, expected_gradient = value_and_gradient(case.reference, outputs, targets)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)
        assert case.name not in PAIRWISE or (value.item() == 0.0 and not gradient.any())


@pytest.mark.parametrize("name", sorted(PAIRWISE))
@pytest.mark.parametrize("label", [0, 1])
def test_pairwise_losses_stay_zero_at_infinite_scores(name: str, label: int) -> None:
    """0 * (sum of scores) would be NaN here; a batch without pairs says nothing about its scores."""
    scores = torch.tensor([3e38, 3e38], dtype=torch.float32)
    value, gradient = value_and_gradient(first_case(name).build(), scores, torch.full((2,), label))
    assert float(value) == 0.0
    assert not gradient.any()


# ---------------------------------------------------------------- symmetries, types and shapes


@pytest.mark.parametrize("name", sorted(PAIRWISE - {"MBAUC"}))  # whose sigmoid comes before the difference
@pytest.mark.parametrize("size", [12, 700])
def test_a_common_shift_does_not_matter(name: str, size: int) -> None:
    """Pairs are differences. The shift is exact; sums of squares that are not centred would show it."""
    outputs, targets = batch(Case(name), 22, size=size)
    outputs = (outputs * 2**20).round() / 2**20
    value, gradient = value_and_gradient(first_case(name).build(), outputs, targets)
    shifted, shifted_gradient = value_and_gradient(first_case(name).build(), outputs + 2.0**20, targets)
    torch.testing.assert_close(shifted, value, rtol=1e-8, atol=0)
    torch.testing.assert_close(shifted_gradient, gradient, rtol=1e-8, atol=1e-10)


@every_case
def test_a_doubled_batch_has_the_same_value(case: Case) -> None:
    outputs, targets = batch(case, 11)
    factor = 2 if case.name == "AUM_COUNT" else 1  # a sum of counts, as published; all others are means or ratios
    doubled = case.build()(outputs.repeat(2, 1), targets.repeat(2))
    torch.testing.assert_close(doubled, factor * case.build()(outputs, targets), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "PAUC"], ids=str)  # PAUC remembers: see its own tests
def test_indices_are_accepted_and_change_nothing(case: Case) -> None:
    outputs, targets = batch(case, 15)
    loss = case.build()
    assert torch.equal(loss(outputs, targets, indices=torch.arange(len(targets))), loss(outputs, targets))


# ---------------------------------------------------------------- what a single objective promises


@pytest.mark.parametrize("name", sorted(KINKED_AT_TIES))
@pytest.mark.parametrize("seed", range(6))
def test_aum_at_ties(name: str, seed: int) -> None:
    """Ties are one threshold, and each slope is the mean of those on the two sides of its kink."""
    case = Case(name)
    outputs, targets = batch(case, seed, size=14)
    outputs = outputs.round()
    assert len(outputs.unique()) < len(outputs)
    value, gradient = value_and_gradient(case.build(), outputs, targets)
    assert float(value) == pytest.approx(float(case.reference(outputs, targets)), rel=1e-12)
    for i in range(len(outputs)):
        slopes = []
        for step in (-0.25, 0.25):  # scores are whole numbers: no other kink within this distance
            moved = outputs.clone()
            moved[i] += step
            slopes.append(float(case.reference(moved, targets) - value) / step)
        assert float(gradient[i]) == pytest.approx(sum(slopes) / 2, abs=1e-12)


@pytest.mark.parametrize("name", ["AUM_RATE", "AUM_COUNT", "SQ_HINGE_PW"])
def test_zero_with_zero_gradient_where_the_ranking_is_perfect(name: str) -> None:
    """AUM has no margin: AUC = 1 is enough. The squared hinge asks for its margin."""
    gap = 1.0 if name == "SQ_HINGE_PW" else 1e-3
    scores = torch.tensor([2.0 + gap, 5.0, 2.0, -1.0, 1.5], dtype=torch.float64)
    targets = torch.tensor([1, 1, 0, 0, 0])
    value, gradient = value_and_gradient(loss_class(name)(), scores, targets)
    assert float(value) == 0.0
    assert not gradient.any()
    scores[0] -= 1e-2 + gap
    value, gradient = value_and_gradient(loss_class(name)(), scores, targets)
    assert float(value) > 0
    assert gradient[0] < 0 < gradient[2]


def test_the_square_draws_together_what_lies_beyond_its_margin() -> None:
    """And the squared hinge does not."""
    scores, targets = torch.tensor([5.0, 0.0], dtype=torch.float64), torch.tensor([1, 0])
    assert value_and_gradient(loss_class("SQUARE_PW")(), scores, targets)[1].tolist() == [8.0, -8.0]
    assert value_and_gradient(loss_class("SQ_HINGE_PW")(), scores, targets)[1].tolist() == [0.0, 0.0]


def test_aucm_at_its_saddle_is_the_square_over_pairs() -> None:
    outputs, targets = batch(Case("AUCM"), 32)
    h = torch.sigmoid(outputs[:, 0])
    a, b = float(h[targets == 1].mean()), float(h[targets == 0].mean())
    saddle = {"a": a, "b": b, "alpha": 1 + b - a}
    expected = float(square_pairwise(h, targets))
    assert float(Case("AUCM").reference(outputs, targets, **saddle)) == pytest.approx(expected, rel=1e-12)
    loss = loss_class("AUCM")().double()
    for name, best in saddle.items():
        getattr(loss, name).data.fill_(best)
    value = loss(outputs, targets)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert all(abs(getattr(loss, name).grad.item()) < 1e-12 for name in saddle)


@pytest.mark.parametrize("case", [case for case in CASES if case.name == "AUCM"], ids=str)
def test_aucm_descends_in_a_and_b_and_ascends_in_alpha(case: Case) -> None:
    """The optimizer goes down what it is given, so that the gradient of alpha comes with its sign reversed."""
    outputs, targets = batch(case, 33)
    loss = case.build()
    assert {name for name, _ in loss.named_parameters()} == {"a", "b", "alpha"}
    loss(outputs, targets).backward()
    values = {name: getattr(loss, name).item() for name in ("a", "b", "alpha")}
    variables = {name: torch.tensor(v, dtype=torch.float64, requires_grad=True) for name, v in values.items()}
    gradients = torch.autograd.grad(case.reference(outputs, targets, **variables), list(variables.values()))
    for name, gradient, sign in zip(values, gradients, (1, 1, -1), strict=True):
        assert getattr(loss, name).grad.item() == pytest.approx(sign * float(gradient), rel=1e-5, abs=1e-6)


def test_aucm_finds_its_saddle_and_keeps_alpha_at_or_above_zero() -> None:
    outputs, targets = batch(Case("AUCM"), 34)
    h = torch.sigmoid(outputs[:, 0])
    a, b = float(h[targets == 1].mean()), float(h[targets == 0].mean())
    loss = Case("AUCM", variables={"a": 1.0, "b": -1.0, "alpha": 3.0}).build()
    for _ in range(40):
        loss.zero_grad()
        loss(outputs, targets).backward()
        for parameter in loss.parameters():
            parameter.data -= 0.2 * parameter.grad
        loss.after_step()
    for name, best in (("a", a), ("b", b), ("alpha", 1 + b - a)):
        assert getattr(loss, name).item() == pytest.approx(best, abs=1e-5)
    for before, after in ((-0.25, 0.0), (0.25, 0.25)):
        for name in ("a", "b", "alpha"):
            getattr(loss, name).data.fill_(before)
        loss.after_step()
        assert [getattr(loss, name).item() for name in ("a", "b", "alpha")] == [before, before, after]


@pytest.mark.parametrize("label", [0, 1])
def test_aucm_moves_the_mean_of_a_lonely_class_only(label: int) -> None:
    """(h - a)^2 holds without the other class; what alpha weighs is a difference of both."""
    loss = Case("AUCM", variables={"a": 1.0, "b": 0.0, "alpha": 0.5}).build()
    loss(torch.zeros(3, requires_grad=True), torch.full((3,), label)).backward()
    gradients = {name: parameter.grad.item() for name, parameter in loss.named_parameters()}
    assert gradients == {"a": 1.0 * label, "b": -1.0 * (1 - label), "alpha": 0.0}


@first_cases
def test_only_sampling_free_asks_for_a_bias(case: Case) -> None:
    assert (case.build().initial_bias is None) == (case.name != "SAMPLING_FREE")


# ---------------------------------------------------------------- state, hooks and devices


@first_cases
def test_no_value_decides_a_shape_in_a_large_batch(case: Case) -> None:
    """As the contract asks of a small one: tensors without values, on which whatever waits for one fails."""
    outputs, targets = batch(case, 39, size=1400, dtype=torch.float32)
    options = {**case.options, "num_samples": 1400} if "num_samples" in case.options else case.options
    loss = Case(case.name, options).build().to("meta")
    loss(outputs.to("meta").requires_grad_(), targets.to("meta"), torch.arange(1400, device="meta")).backward()
    loss.after_step()


def test_every_loss_has_a_base_config_that_builds_it() -> None:
    facts = {"class_counts": (4410, 44), "ratio_pos_train": 100, "num_samples": 5000}
    built = set()
    for path in sorted((CONFIGS / "baseline").glob("*.yaml")):
        settings = resolve(["--name_file_bs", path.stem])
        name = settings.config.training_type
        assert type(build_loss(settings, facts)) is loss_class(name), path
        built.add(name)
    assert built == set(LOSSES)


# ---------------------------------------------------------------- options

NAN, INF = math.nan, math.inf
BAD_COUNTS: list[Any] = [(0, 1), (9, 0), (9, -1), (9,), ()]
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
    ("cb_BCE", {"beta": 0.9, "class_counts": (9, 1)}, "class_counts", BAD_COUNTS),
    ("LDAM", {"class_counts": (9, 1)}, "class_counts", BAD_COUNTS),
    ("LDAM", {"class_counts": (9, 1)}, "max_margin", [-0.1, NAN, INF]),
    ("LDAM", {"class_counts": (9, 1)}, "scale", [0.0, -1.0, NAN, INF]),
    *((name, {}, "m", [-0.1, NAN, INF]) for name in ("SQ_HINGE_PW", "SQUARE_PW", "AUCM", "HINGE", "SQ_HINGE")),
    ("PAUC", {"num_samples": 9}, "m", [-0.1, NAN, INF]),
    ("PAUC", {"num_samples": 9}, "max_fpr", [0.0, -0.1, 1.1, NAN]),
    ("PAUC", {"num_samples": 9}, "num_samples", [0, -1]),
    *(
        (name, {"class_counts": (9, 1)}, "class_counts", BAD_COUNTS)
        for name in ("W_LOGISTIC", "WCE", "cb_FL", "LA", "VS", "LDAM_DRW", "SAMPLING_FREE")
    ),
    *((name, {"class_counts": (9, 1)}, "class_counts", [(9, 1, 1)]) for name in ("W_LOGISTIC", "SAMPLING_FREE")),
    ("ALPHA_FL", {}, "gamma", [-0.1, NAN, INF]),
    ("ALPHA_FL", {}, "focal_alpha", [-0.1, 1.1, NAN]),
    ("cb_FL", {"class_counts": (9, 1)}, "beta", [-0.1, 1.0, 1.5, NAN]),
    ("cb_FL", {"class_counts": (9, 1)}, "gamma", [-0.1, NAN, INF]),
    *((name, {"class_counts": (9, 1)}, "tau", [-0.1, NAN, INF]) for name in ("LA", "VS")),
    ("VS", {"class_counts": (9, 1)}, "gamma", [-0.1, NAN, INF]),
    ("LDAM_DRW", {"class_counts": (9, 1)}, "max_margin", [-0.1, NAN, INF]),
    ("LDAM_DRW", {"class_counts": (9, 1)}, "scale", [0.0, -1.0, NAN, INF]),
    ("LDAM_DRW", {"class_counts": (9, 1)}, "beta", [-0.1, 1.0, 1.5, NAN]),
    ("LDAM_DRW", {"class_counts": (9, 1)}, "drw_from", [-1]),
    ("ANYLOSS", {}, "anyloss_metric", ["f1", ""]),
    ("ANYLOSS", {}, "f_beta", [0.0, -1.0, NAN, INF]),
    ("ANYLOSS", {}, "amplification", [0.0, -1.0, NAN, INF]),
]


@pytest.mark.parametrize(
    "name, good, key, value",
    [(name, good, key, value) for name, good, key, values in BAD_OPTIONS for value in values],
)
def test_options_out_of_range_are_refused(name: str, good: Options, key: str, value: Any) -> None:
    loss_class(name)(**good)
    with pytest.raises(ValueError, match=rf"\b{key}\b.*(>|<|least|between|\bin\b|two|pair|one of)"):
        loss_class(name)(**{**good, key: value})


# ---------------------------------------------------------------- docstrings


def public_modules(package: Any) -> list[str]:
    return [f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__)]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_carries_an_example(name: str) -> None:
    assert ">>>" in (loss_class(name).__doc__ or "")


@pytest.mark.parametrize(
    "module", [*public_modules(utils.losses), *public_modules(utils.constraints), "utils.metrics.roc"]
)
def test_doctests(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@first_cases
@pytest.mark.parametrize(
    "targets, got",
    [
        ([1, -1, 1, -1], "-1, 1"),
        ([0, 1, 2, 0], "0, 1, 2"),
        ([0.0, 0.25, 1.0, 1.0], "0.0, 0.25, 1.0"),
        ([1.0, 1.0, 1.0, math.nan], "1.0, nan"),
        ([0.0, math.inf, 1.0, 1.0], "0.0, 1.0, inf"),
    ],
)
@pytest.mark.parametrize("with_gradient", [True, False])
def test_targets_other_than_0_and_1_are_refused(
    case: Case, targets: list[float], got: str, with_gradient: bool
) -> None:
    outputs = torch.zeros(4, width(case), requires_grad=with_gradient)
    with pytest.raises(ValueError, match=rf"targets must be 0 or 1 \(1: the critical .*\), got \[{got}\]$"):
        case.build()(outputs, torch.tensor(targets), torch.arange(4))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float16, torch.bfloat16, torch.float64])
def test_targets_may_have_any_type(dtype: torch.dtype) -> None:
    value = loss_class("BCE")()(torch.tensor([2.0, 1.0]), torch.tensor([1, 0]).to(dtype))
    assert value.item() == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2, rel=1e-6)


def test_partial_auc_moves_by_every_batch_since_the_last_step() -> None:
    """max_fpr 0.5, u = 0. The positive lies below both negatives + m in the first batch: 0 - 0.5 (1 - 2) = 0.5; above
    both in the second: 0.5 - 0.5 * (1 - 0) = 0, the other way round the first is clipped at 0 and the second gives 0.5.
    """
    for scores, expected in (([0.0, 9.0], 0.0), ([9.0, 0.0], 0.5)):
        loss: Any = loss_class("PAUC")(num_samples=3, max_fpr=0.5)
        for score in scores:
            outputs = torch.tensor([score, 0.5, 0.0])
            loss(outputs, torch.tensor([1, 0, 0]), torch.arange(3))
        loss.after_step()
        assert loss.u.tolist() == [expected, 0, 0]


@first_cases
@pytest.mark.parametrize("cast", [torch.float16, torch.bfloat16])
def test_the_state_of_a_loss_stays_in_full_precision(case: Case, cast: torch.dtype) -> None:
    around = torch.nn.ModuleList([torch.nn.Linear(2, 1), case.build()]).to(cast)
    assert {each.dtype for each in around[0].parameters()} == {cast}
    kept = {each.dtype for each in [*around[1].parameters(), *around[1].buffers()]}
    assert not kept & {torch.float16, torch.bfloat16}
    outputs, targets = torch.tensor([[0.25, -0.5], [0.5, 0.125]]), torch.tensor([1, 0])
    given = outputs[:, : around[1].outputs]
    assert torch.equal(around[1](given, targets), case.build()(given, targets))


@first_cases
def test_targets_that_need_a_gradient_get_none(case: Case) -> None:
    outputs, targets = batch(case, 1)
    needing = targets.double().requires_grad_()
    value = case.build()(outputs.requires_grad_(), needing)
    value.backward()
    assert torch.equal(value, case.build()(outputs, targets))
    assert needing.grad is None


@first_cases
def test_indices_may_be_int32(case: Case) -> None:
    outputs, targets = batch(case, 1)
    values = []
    for dtype in (torch.int32, torch.int64):
        loss = case.build()
        for _ in range(2):  # after_step moves what a loss keeps of each sample
            values.append(loss(outputs.clone().requires_grad_(), targets, torch.arange(12, dtype=dtype)).item())
            loss.after_step()
    assert values[:2] == values[2:]


@first_cases
def test_a_column_of_a_wider_output_is_as_good_as_a_copy(case: Case) -> None:
    outputs, targets = batch(case, 1)
    column = torch.cat([outputs, outputs], dim=1)[:, : width(case)]  # not contiguous
    for indices in (None, torch.arange(24)[::2]):
        values = [case.build()(each.requires_grad_(), targets, indices) for each in (column.detach(), outputs)]
        assert torch.equal(*values)
