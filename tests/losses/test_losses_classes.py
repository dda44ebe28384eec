"""Losses for K classes: against loops, against their binary selves at K = 2, their scores, and what they refuse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from references import CLASS_REFERENCES, ldam_margins
from torch import Tensor
from torch.nn.functional import cross_entropy

from utils.errors import UserError
from utils.losses import LDAM, LDAMDRW, LOSSES, LogitAdjustment, loss_class, many_classes
from utils.losses.softmax import SoftmaxLoss
from utils.testing import check_loss

Options = dict[str, Any]
COUNTS = {2: (90, 10), 3: (5000, 400, 60), 10: (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)}
WITH_COUNTS = {"cb_BCE", "WCE", "cb_FL", "LDAM", "LDAM_DRW", "LA", "VS"}


@dataclass(frozen=True)
class Case:
    """One loss with one set of options, in an epoch; the number of classes comes later."""

    name: str
    options: Options = field(default_factory=dict)
    epoch: int = 0

    def facts(self, classes: int) -> Options:
        return {"class_counts": COUNTS[classes]} if self.name in WITH_COUNTS else {"classes": classes}

    def build(self, classes: int, **more: Any) -> Any:
        loss = loss_class(self.name, classes=classes)(**self.options, **self.facts(classes), **more)
        loss.begin_epoch(self.epoch)
        return loss

    def reference(self, outputs: Tensor, targets: Tensor) -> Tensor:
        facts = self.facts(outputs.shape[1]) if self.name in WITH_COUNTS else {}
        epoch = {"epoch": self.epoch} if self.epoch else {}
        return CLASS_REFERENCES[self.name](outputs, targets, **self.options, **facts, **epoch)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items()), str(self.epoch)])


CASES = [
    Case("BCE"),
    *(Case("SYM_FL", {"gamma": gamma}) for gamma in (0.0, 0.5, 1.0, 2.0)),
    Case("SYM_FL", {"gamma": 2.0, "eps": 1e-4}),
    *(Case("cb_BCE", {"beta": beta}) for beta in (0.0, 0.99, 0.9999)),
    Case("WCE"),
    Case("cb_FL"),
    Case("cb_FL", {"beta": 0.9, "gamma": 0.5}),
    Case("LDAM"),
    Case("LDAM", {"max_margin": 0.25, "scale": 10.0}),
    *(Case("LDAM_DRW", epoch=epoch) for epoch in (0, 79, 80)),
    Case("LDAM_DRW", {"beta": 0.9, "drw_from": 2, "scale": 10.0}, 3),
    *(Case("LA", options) for options in ({}, {"tau": 0.0}, {"tau": 2.0})),
    *(Case("VS", options) for options in ({}, {"tau": 0.5, "gamma": 0.15}, {"tau": 0.0, "gamma": 0.0})),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
first_cases = pytest.mark.parametrize("case", list({c.name: c for c in reversed(CASES)}.values()), ids=str)


def batch(case: Case, seed: int, *, classes: int, size: int = 14) -> tuple[Tensor, Tensor]:
    """Outputs (B, K) in float64, and labels of which some are equal."""
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(size, classes, generator=generator, dtype=torch.float64)
    outputs[1] = outputs[0]
    if loss_class(case.name).normalised_head:
        outputs = outputs / (outputs.abs().amax() + 0.1)  # cosines
    return outputs, torch.randint(0, classes, (size,), generator=generator)


def value_and_gradient(function: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs.detach().clone().requires_grad_()
    value = function(outputs, targets)
    (gradient,) = torch.autograd.grad(value, outputs)
    return value.detach(), gradient


# ---------------------------------------------------------------- the register and the contract


def test_every_loss_for_many_classes_has_a_reference_and_a_case() -> None:
    assert set(many_classes()) == set(CLASS_REFERENCES) == {case.name for case in CASES}
    assert all(issubclass(loss_class(name), SoftmaxLoss) for name in many_classes())


@every_case
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_every_loss_keeps_the_contract(case: Case, classes: int) -> None:
    more = {"critical": (classes - 1, 1)} if classes > 2 else {}
    check_loss(case.build(classes, **more))
    check_loss(loss_class(case.name), classes=classes, **case.options)


# ---------------------------------------------------------------- against the references


@every_case
@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["f64", "f32"])
def test_equals_the_reference(case: Case, classes: int, dtype: torch.dtype, tolerance: float) -> None:
    for seed in range(4):
        outputs, targets = batch(case, seed, classes=classes, size=2 + 5 * seed)
        outputs = outputs.to(dtype)
        value, gradient = value_and_gradient(case.build(classes), outputs, targets)
        expected, expected_gradient = value_and_gradient(case.reference, outputs.double(), targets)
        assert value.dtype == gradient.dtype == dtype
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance)


@every_case
@pytest.mark.parametrize("label", [0, 2])
def test_one_class_batches(case: Case, label: int) -> None:
    for size in (1, 5):
        outputs, targets = batch(case, 9, classes=3, size=5)
        outputs, targets = outputs[:size], torch.full((size,), label)
        found = value_and_gradient(case.build(3), outputs, targets)
        expected = value_and_gradient(case.reference, outputs, targets)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@every_case
@pytest.mark.parametrize("classes", [3, 10])
def test_gradcheck(case: Case, classes: int) -> None:
    outputs, targets = batch(case, 3, classes=classes, size=6)
    loss = case.build(classes)
    assert torch.autograd.gradcheck(lambda o: loss(o, targets), (outputs.requires_grad_(),), fast_mode=True)


@every_case
def test_the_true_class_is_pushed_up_and_the_others_down(case: Case) -> None:
    """By no more than eps in the logarithm turns round."""
    outputs, targets = batch(case, 21, classes=5 if case.name not in WITH_COUNTS else 10, size=40)
    _, gradient = value_and_gradient(case.build(outputs.shape[1]), outputs, targets)
    is_own = torch.nn.functional.one_hot(targets, outputs.shape[1]).bool()
    assert (gradient[is_own] <= 1e-9).all()
    assert (gradient[~is_own] >= -1e-9).all()
    assert (gradient[is_own] < 0).any()


def test_what_is_far_is_exact() -> None:
    """The log-odds of the true class are 100 and -100: its log-probability is -e^-100 and -100."""
    outputs = torch.tensor([[100.0, 0.0, -1000.0], [0.0, 100.0, -1000.0]], dtype=torch.float64)
    focal = Case("SYM_FL", {"gamma": 1.0}).build(3)
    assert focal(outputs[:1], torch.tensor([0])).item() == pytest.approx(math.exp(-200), rel=1e-9)
    assert focal(outputs[1:], torch.tensor([0])).item() == pytest.approx(100.0, rel=1e-12)
    _, gradient = value_and_gradient(focal, outputs[1:], torch.tensor([0]))
    assert gradient.tolist() == [pytest.approx([-1.0, 1.0, 0.0])]


# ---------------------------------------------------------------- at K = 2: the binary self


@pytest.mark.parametrize(
    "case",
    [
        *(case for case in CASES if case.name in {"BCE", "SYM_FL", "WCE", "cb_FL", "LA"}),
        *(Case("VS", {"gamma": 0.0, "tau": tau}) for tau in (0.0, 1.0, 2.0)),
    ],
    ids=str,
)
def test_two_logits_are_one_score(case: Case) -> None:
    """s = z_1 - z_0. VS at gamma = 0: of two logits both scales act, of one score that of the true class."""
    loss = case.build(2)
    for seed in range(5):
        outputs, targets = batch(case, seed, classes=2)

        def binary(z: Tensor, y: Tensor) -> Any:
            return loss(z[:, 1] - z[:, 0], y) if loss.outputs == 1 else loss(z, y)

        ours, theirs = (value_and_gradient(each, outputs, targets) for each in (loss.of_classes, binary))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_vector_scaling_of_two_logits_where_one_is_zero() -> None:
    """Then only the scale of the true class acts, and the two forms agree at any gamma."""
    loss = Case("VS").build(2)
    for score in (-3.0, 0.5, 7.0):
        for label in (0, 1):
            one = torch.tensor([score if label else -score], dtype=torch.float64)
            two = torch.zeros(1, 2, dtype=torch.float64)
            two[0, label] = score
            target = torch.tensor([label])
            assert loss.of_classes(two, target).item() == pytest.approx(loss(one, target).item(), rel=1e-12)


@pytest.mark.parametrize("beta", [0.9, 0.9999])
def test_class_balanced_cross_entropy_of_two_logits_is_the_binary_one_over_the_mean_weight(beta: float) -> None:
    case = Case("cb_BCE", {"beta": beta})
    loss = case.build(2)
    outputs, targets = batch(case, 1, classes=2)
    weights = torch.tensor([(1 - beta) / (1 - beta**n) for n in COUNTS[2]], dtype=torch.float64)[targets]
    binary = loss(outputs[:, 1] - outputs[:, 0], targets)
    torch.testing.assert_close(loss.of_classes(outputs, targets), binary / weights.mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("case", [c for c in CASES if c.name in {"LDAM", "LDAM_DRW"}], ids=str)
def test_ldam_of_two_classes_is_the_form_for_many(case: Case) -> None:
    loss = case.build(2)
    outputs, targets = batch(case, 1, classes=2)
    assert torch.equal(loss(outputs, targets), loss.of_classes(outputs, targets))
    torch.testing.assert_close(loss(outputs, targets), case.reference(outputs, targets), rtol=1e-12, atol=0)


# ---------------------------------------------------------------- where it is another implementation


def test_balanced_softmax_is_the_cross_entropy_of_logits_plus_log_counts() -> None:
    outputs, targets = batch(Case("LA"), 2, classes=10)
    counts = torch.tensor(COUNTS[10], dtype=torch.float64)
    ours = LogitAdjustment(class_counts=COUNTS[10])(outputs, targets)
    torch.testing.assert_close(ours, cross_entropy(outputs + counts.log(), targets), rtol=1e-12, atol=0)


def test_the_weights_of_deferred_reweighting_and_the_margins() -> None:
    """16, 81 and 1 samples: margins in proportion to 1/2, 1/3 and 1. beta 1/2: weights in proportion to
    1/(1 - 2^-16), 1/(1 - 2^-81) and 1/(1 - 1/2) = 2, which sum to 3."""
    loss = LDAMDRW(class_counts=(16, 81, 1), beta=0.5, drw_from=1)
    assert loss.margins.tolist() == pytest.approx([1 / 4, 1 / 6, 1 / 2])
    assert ldam_margins((16, 81, 1)) == pytest.approx([1 / 4, 1 / 6, 1 / 2])
    assert loss.class_weights.tolist() == [1, 1, 1]
    loss.begin_epoch(1)
    raw = [1 / (1 - 2**-16), 1 / (1 - 2**-81), 2]
    assert loss.class_weights.tolist() == pytest.approx([3 * each / sum(raw) for each in raw])


# ---------------------------------------------------------------- scores


@first_cases
@pytest.mark.parametrize("classes", [3, 10])
def test_a_score_is_the_log_odds_of_its_class_against_the_rest(case: Case, classes: int) -> None:
    critical = (classes - 1, 0)
    loss = case.build(classes, critical=critical)
    assert loss.outputs == loss.classes == classes
    outputs, _ = batch(case, 5, classes=classes)
    scale = 30.0 if case.name.startswith("LDAM") else 1.0  # of the softmax that the cosines are trained in
    q = (scale * outputs).softmax(dim=1)
    for column, own in enumerate(critical):
        rest = q[:, [label for label in range(classes) if label != own]].sum(dim=1)
        torch.testing.assert_close(loss.score(outputs)[:, column], (q[:, own] / rest).log(), rtol=1e-9, atol=1e-9)
    assert loss.score(outputs.float()).dtype == torch.float32
    assert loss.score(outputs.bfloat16()).dtype == torch.float32
    assert loss.default_threshold == 0.0  # q >= 1/2


def test_a_score_far_from_one_half_is_exact() -> None:
    loss = Case("BCE").build(3, critical=(0, 2))
    scores = loss.score(torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 50.0]]))
    assert scores.tolist() == [[1e4, -2e4], pytest.approx([-50.0, 50.0 - math.log(2)])]


def test_scores_get_their_gradient() -> None:
    loss = Case("BCE").build(4, critical=(3, 1))
    outputs = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(loss.score, (outputs,))


def test_a_score_needs_the_critical_classes_and_nothing_else_does() -> None:
    loss = Case("LDAM").build(3)
    outputs, targets = batch(Case("LDAM"), 1, classes=3)
    assert loss(outputs, targets).isfinite()
    with pytest.raises(ValueError, match=r"LDAM needs critical, such as \(1, 2\), for a score of 3 classes"):
        loss.score(outputs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_a_gpu_gives_what_the_cpu_gives(case: Case) -> None:
    outputs, targets = batch(case, 8, classes=10, size=96)
    loss, found = case.build(10, critical=(9, 4)), {}
    for device in ("cpu", "cuda"):
        given = outputs.float().to(device)
        results = [*value_and_gradient(loss.to(device), given, targets.to(device)), loss.score(given)]
        found[device] = [each.cpu() for each in results]
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


# ---------------------------------------------------------------- what is refused


@first_cases
@pytest.mark.parametrize(
    "targets, got",
    [([0, 3, 1, 2], "0, 1, 2, 3"), ([-1, 0, 1, 2], "-1, 0, 1, 2"), ([0.0, 0.5, 1.0, 2.0], "0.0, 0.5, 1.0, 2.0"),
     ([0.0, 1.0, 2.0, math.nan], "0.0, 1.0, 2.0, nan"), ([0.0, 1.0, 2.0, math.inf], "0.0, 1.0, 2.0, inf")],
)  # fmt: skip
def test_targets_that_are_no_class_are_refused(case: Case, targets: list[float], got: str) -> None:
    with pytest.raises(ValueError, match=rf"^targets must be class indices 0\.\.2, got \[{got}\]$"):
        case.build(3)(torch.zeros(4, 3, requires_grad=True), torch.tensor(targets))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["LDAM", "LDAM_DRW"])
def test_outputs_of_an_ordinary_head_are_no_cosines(name: str, classes: int) -> None:
    """An ordinary head starts within -1..1 and leaves it while it trains; half precision rounds 1 to 1.0078 at most."""
    loss = loss_class(name)(class_counts=(50, 9, 3)[:classes])
    outputs, targets = torch.full((4, classes), -1.0078, requires_grad=True), torch.tensor([0, 1, 1, 0])
    assert loss(outputs, targets).isfinite()
    assert loss(torch.full((4, classes), math.nan), targets).isnan()  # told by who trains
    with pytest.raises(ValueError, match=r"^outputs must be cosines, .*NormalisedHead as the last .*, got \[1\.5\]$"):
        loss(outputs - torch.eye(4, classes) * 0.4922, targets)


@first_cases
@pytest.mark.parametrize("critical", [(3,), (-1,), (1, 1), (), (0, 1, 2, 3)])
def test_critical_classes_are_checked(case: Case, critical: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"critical must be one or more of the classes 0\.\.2, none of them twice, got"
    ):
        case.build(3, critical=critical)


def test_of_two_classes_class_1_is_the_critical_one() -> None:
    assert Case("BCE").build(2, critical=(1,)).critical == (1,)
    with pytest.raises(ValueError, match=r"critical must be \(1,\) of two classes.*, got \(0,\)"):
        Case("BCE").build(2, critical=(0,))
    assert loss_class("BCE")(classes=np.int64(3)).outputs == 3
    for classes in (1, 0, -3, 2.0, "3"):
        with pytest.raises(ValueError, match="classes must be an integer >= 2, got"):
            loss_class("BCE")(classes=classes)


BINARY: dict[str, Options] = {
    "SYM_LM": {"m": 1.0}, "ASYM_LM": {"m": 1.0}, "ASYM_FL": {"gamma": 1.0}, "WBCE": {"c": 1.0, "ratio_pos_train": 9},
    "PAUC": {"num_samples": 9}, "W_LOGISTIC": {"class_counts": (9, 1)}, "SAMPLING_FREE": {"class_counts": (9, 1)},
}  # fmt: skip
MORE = "use BCE, SYM_FL, cb_BCE, LDAM, WCE, cb_FL, LA, VS, LDAM_DRW$"


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in CLASS_REFERENCES])
def test_a_loss_of_two_classes_says_what_to_use(name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} knows two classes only, got 10; {MORE}"):
        loss_class(name, classes=10)
    loss = loss_class(name)(**BINARY.get(name, {}))
    with pytest.raises(ValueError, match=rf"needs outputs of shape \(B,\) or \(B, 1\), got \(4, 10\); two .* {MORE}"):
        loss(torch.zeros(4, 10), torch.arange(4))


@pytest.mark.parametrize("name", ["W_LOGISTIC", "SAMPLING_FREE"])
def test_counts_of_many_classes_are_refused_by_a_loss_of_two(name: str) -> None:
    with pytest.raises(ValueError, match=r"class_counts must be .* \(two classes only: for more use BCE, .*got \(9, 2"):
        loss_class(name)(class_counts=(9, 2, 1))


def test_a_loss_that_was_built_for_two_classes_says_how_to_build_it() -> None:
    with pytest.raises(ValueError, match=r"got \(4, 10\); it was built for 2 classes: build it with classes"):
        Case("BCE").build(2)(torch.zeros(4, 10), torch.arange(4))
    with pytest.raises(ValueError, match=r"LDAM needs outputs of shape \(B, 3\), got \(4, 10\)"):
        LDAM(class_counts=(3, 2, 1))(torch.zeros(4, 10), torch.arange(4))


@pytest.mark.parametrize("name", sorted(WITH_COUNTS))
def test_counts_are_checked(name: str) -> None:
    options = {"beta": 0.9} if name == "cb_BCE" else {}
    for counts in ((9, 1, 0), (9,), (), (9, -1, 3)):
        with pytest.raises(ValueError, match="class_counts must be those of at least two classes, each >= 1, got"):
            loss_class(name)(class_counts=counts, **options)
