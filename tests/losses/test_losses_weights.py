"""Weighted, focal, prior-adjusted, hinge and confusion-matrix losses: what holds beyond the formula of each."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, fbeta_score, hinge_loss, recall_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision.ops import sigmoid_focal_loss

from utils.losses import (
    BCE,
    LDAM,
    LDAMDRW,
    AlphaFocal,
    AnyLoss,
    ClassBalancedFocal,
    Hinge,
    LogitAdjustment,
    Loss,
    SamplingFree,
    SquaredHinge,
    SymmetricFocal,
    VectorScaling,
    WeightedCrossEntropy,
    WeightedLogistic,
)
from utils.testing import check_loss

COUNTS = (90, 10)  # negatives, positives: the positives are the rare class
METRICS = ("f_beta", "balanced_accuracy", "geometric_mean", "accuracy")


def batch(seed: int, *, size: int = 40, outputs: int = 1) -> tuple[Tensor, Tensor]:
    """Outputs (B, K) in float64 and labels with both classes."""
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(size, outputs, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (size,), generator=generator)
    targets[:2] = torch.tensor([0, 1])
    return values, targets


def value_and_gradient(loss: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs.detach().clone().requires_grad_()
    value = loss(outputs, targets)
    (gradient,) = torch.autograd.grad(value, outputs)
    return value.detach(), gradient


def assert_same(ours: Any, theirs: Any, outputs: Tensor, targets: Tensor) -> None:
    """Values and gradients of two functions of (outputs, targets) are equal up to rounding."""
    for left, right in zip(
        value_and_gradient(ours, outputs, targets), value_and_gradient(theirs, outputs, targets), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-13)


def at(loss: Loss, score: float, target: int) -> float:
    return float(loss(torch.tensor([score], dtype=torch.float64), torch.tensor([target])))


# ---------------------------------------------------------------- where a case coincides with another implementation


@pytest.mark.parametrize("label", [None, 0, 1])
def test_weighted_cross_entropy_is_that_of_torch(label: int | None) -> None:
    outputs, targets = batch(1, outputs=2)
    targets = targets if label is None else torch.full_like(targets, label)
    weights = torch.tensor([100 / (2 * 90), 100 / (2 * 10)], dtype=torch.float64)
    loss = WeightedCrossEntropy(class_counts=COUNTS)
    assert_same(loss, lambda o, t: cross_entropy(o, t, weight=weights), outputs, targets)
    torch.testing.assert_close(loss.score(outputs).sigmoid(), outputs.softmax(dim=1)[:, 1])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_alpha_focal_is_that_of_torchvision(gamma: float, alpha: float) -> None:
    def theirs(outputs: Tensor, targets: Tensor) -> Tensor:
        value: Tensor = sigmoid_focal_loss(outputs, targets.double(), alpha=alpha, gamma=gamma, reduction="mean")
        return value

    outputs, targets = batch(2)
    assert_same(AlphaFocal(gamma=gamma, focal_alpha=alpha), theirs, outputs[:, 0], targets)


def test_special_cases_are_the_plain_losses() -> None:
    outputs, targets = batch(4)
    equal = (50, 50)
    bce = BCE()
    for loss in (
        LogitAdjustment(class_counts=COUNTS, tau=0.0),
        LogitAdjustment(class_counts=equal, tau=3.0),
        VectorScaling(class_counts=COUNTS, tau=0.0, gamma=0.0),
        VectorScaling(class_counts=equal, tau=3.0, gamma=2.0),
        ClassBalancedFocal(class_counts=COUNTS, beta=0.0, gamma=0.0),
    ):
        assert_same(loss, bce, outputs, targets)
    assert_same(AlphaFocal(gamma=0.0, focal_alpha=0.5), lambda o, t: bce(o, t) / 2, outputs, targets)
    assert_same(WeightedLogistic(class_counts=equal), lambda o, t: 2 * bce(o, t), outputs, targets)
    assert_same(ClassBalancedFocal(class_counts=COUNTS, beta=0.0), SymmetricFocal(gamma=2.0), outputs, targets)


def test_weighted_logistic_gives_both_classes_the_same_say() -> None:
    """Over the whole training set it is the sum of the two classes' mean losses."""
    scores, _ = batch(6, size=100)
    targets = (torch.arange(100) < 10).long()

    def by_classes(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = binary_cross_entropy_with_logits(outputs, targets.double(), reduction="none")
        return losses[targets == 1].mean() + losses[targets == 0].mean()

    assert_same(WeightedLogistic(class_counts=COUNTS), by_classes, scores[:, 0], targets)


@pytest.mark.parametrize("m", [0.0, 1.0, 2.5])
def test_hinges_are_those_of_scikit_learn(m: float) -> None:
    outputs, targets = batch(7)
    scores = outputs[:, 0]
    # scikit-learn has the margin 1 only: m max(0, 1 - y s / m)
    if m > 0:
        expected = m * hinge_loss(targets.numpy(), scores.numpy() / m)
    else:
        expected = float((-(2 * targets - 1) * scores).clamp(min=0).mean())
    assert float(Hinge(m=m)(scores, targets)) == pytest.approx(expected, rel=1e-12)
    squares = [max(0.0, m - (1 if y else -1) * s) ** 2 for s, y in zip(scores.tolist(), targets.tolist(), strict=True)]
    assert float(SquaredHinge(m=m)(scores, targets)) == pytest.approx(sum(squares) / len(squares), rel=1e-12)


# ---------------------------------------------------------------- the prior: which way it pushes


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_is_the_softmax_form(tau: float) -> None:
    """Of two outputs with s = z_1 - z_0, to whose logits tau log(pi_c) is added."""
    outputs, targets = batch(8, outputs=2)
    log_prior = torch.tensor([0.9, 0.1], dtype=torch.float64).log()
    loss = LogitAdjustment(class_counts=COUNTS, tau=tau)
    assert_same(
        lambda o, t: loss(o[:, 1] - o[:, 0], t), lambda o, t: cross_entropy(o + tau * log_prior, t), outputs, targets
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda counts: LogitAdjustment(class_counts=counts),
        lambda counts: VectorScaling(class_counts=counts),
        lambda counts: VectorScaling(class_counts=counts, gamma=0.0),
        lambda counts: VectorScaling(class_counts=counts, tau=0.0),
    ],
    ids=["LA", "VS", "VS-shift", "VS-scale"],
)
def test_the_rare_class_has_the_harder_task(make: Any) -> None:
    """At the same distance to the right side of 0 its sample costs more, be it the positives or the negatives."""
    for score in (0.5, 2.0, 8.0):
        assert at(make(COUNTS), score, 1) > at(BCE(), score, 1) * 1.01
        assert at(make(COUNTS), score, 1) > at(make(COUNTS), -score, 0) * 1.01
        assert at(make(COUNTS), -score, 0) <= at(BCE(), -score, 0) * (1 + 1e-12)
        assert at(make(COUNTS), score, 1) == pytest.approx(at(make(COUNTS[::-1]), -score, 0))  # mirrored


def test_scales_ask_the_rare_class_for_a_larger_margin() -> None:
    """Delta = (10/90)^0.5 = 1/3: a positive at 3 s costs what a negative costs at -s."""
    loss = VectorScaling(class_counts=COUNTS, tau=0.0, gamma=0.5)
    for score in (-1.0, 1.0, 4.0):
        assert at(loss, 3 * score, 1) == pytest.approx(at(BCE(), score, 1))
        assert at(loss, -score, 0) == pytest.approx(at(BCE(), -score, 0))


def test_threshold_0_is_the_balanced_one_after_logit_adjustment() -> None:
    """Where the two classes look alike, the best score of the training set is 0, not the prior's logit."""
    scores, targets = torch.zeros(100, dtype=torch.float64), (torch.arange(100) < 10).long()
    loss = LogitAdjustment(class_counts=COUNTS)
    _, gradient = value_and_gradient(loss, scores, targets)
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-15)
    _, unadjusted = value_and_gradient(BCE(), scores, targets)
    assert float(unadjusted.sum()) > 0.3
    assert torch.equal(loss.score(scores + 1), scores + 1)
    assert loss.default_threshold == 0


def test_vector_scaling_keeps_its_digits_beyond_20() -> None:
    """log(1 + exp(21)) is 21 + 7.6e-10; torch's softplus gives 21."""
    assert at(VectorScaling(class_counts=(1, 1)), -21.0, 1) == pytest.approx(21 + math.log1p(math.exp(-21)), rel=1e-15)


# ---------------------------------------------------------------- LDAM-DRW


def drw_batch() -> tuple[Tensor, Tensor]:
    outputs, targets = batch(10, outputs=2)
    return outputs / outputs.abs().max(), targets


def weighted_ldam(outputs: Tensor, targets: Tensor) -> Tensor:
    """LDAM with torch's own class weights, beta 0.99."""
    raw = [0.01 / (1 - 0.99**count) for count in COUNTS]
    weights = torch.tensor([2 * value / sum(raw) for value in raw], dtype=torch.float64)
    margins = torch.tensor([0.5 * (10 / 90) ** 0.25, 0.5], dtype=torch.float64)
    logits = outputs - margins * torch.nn.functional.one_hot(targets, 2)
    return cross_entropy(30 * logits, targets, weight=weights)


@pytest.mark.parametrize("drw_from", [0, 3])
def test_drw_switches_at_its_epoch(drw_from: int) -> None:
    loss, plain = LDAMDRW(class_counts=COUNTS, beta=0.99, drw_from=drw_from), LDAM(class_counts=COUNTS)
    assert_same(loss, weighted_ldam if drw_from == 0 else plain, *drw_batch())  # before any epoch
    for epoch in range(6):
        loss.begin_epoch(epoch)
        assert_same(loss, weighted_ldam if epoch >= drw_from else plain, *drw_batch())


def test_drw_follows_from_the_epoch_alone() -> None:
    """A resumed run makes a new loss, loads its state and begins the next epoch: before, at and after the switch."""
    unbroken = LDAMDRW(class_counts=COUNTS, beta=0.99)
    for epoch in range(90):
        unbroken.begin_epoch(epoch)
        if epoch in (1, 79, 80, 89):
            resumed = LDAMDRW(class_counts=COUNTS, beta=0.99)
            resumed.load_state_dict(unbroken.state_dict())
            resumed.begin_epoch(epoch)
            assert torch.equal(resumed(*drw_batch()), unbroken(*drw_batch()))
    assert_same(unbroken, weighted_ldam, *drw_batch())
    unbroken.begin_epoch(79)
    assert_same(unbroken, LDAM(class_counts=COUNTS), *drw_batch())


def test_drw_switches_in_the_tensor_that_a_recorded_graph_reads() -> None:
    loss = LDAMDRW(class_counts=COUNTS, drw_from=1)
    address = loss.class_weights.data_ptr()
    before = loss.class_weights.clone()
    loss.begin_epoch(1)
    assert loss.class_weights.data_ptr() == address
    assert before.tolist() == [1, 1]
    assert float(loss.class_weights.sum()) == pytest.approx(2)
    assert loss.class_weights[1] > 3 * loss.class_weights[0]


# ---------------------------------------------------------------- Sampling-Free


@pytest.mark.parametrize("counts", [(3, 1), (99, 1), (10, 1000)])
def test_sampling_free_starts_at_1(counts: tuple[int, int]) -> None:
    """At the initial bias, on a batch with the training prior, with nothing to gain from moving the bias."""
    loss = SamplingFree(class_counts=counts)
    targets = (torch.arange(sum(counts)) < counts[1]).long()
    assert loss.initial_bias == pytest.approx(math.log(counts[1] / counts[0]))
    bias = torch.tensor(loss.initial_bias, dtype=torch.float64).expand(len(targets))
    value, gradient = value_and_gradient(loss, bias, targets)
    assert float(value) == pytest.approx(1, rel=1e-12)
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-13)


def test_sampling_free_is_a_multiple_of_bce() -> None:
    outputs, targets = batch(11)
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert_same(SamplingFree(class_counts=COUNTS), lambda o, t: BCE()(o, t) / entropy, outputs, targets)


# ---------------------------------------------------------------- AnyLoss


def hard_metric(name: str, targets: Any, decisions: Any, *, f_beta: float) -> float:
    if name == "f_beta":
        return float(fbeta_score(targets, decisions, beta=f_beta))
    if name == "balanced_accuracy":
        return float(balanced_accuracy_score(targets, decisions))
    if name == "geometric_mean":
        rates = [recall_score(targets, decisions, pos_label=label) for label in (0, 1)]
        return math.sqrt(rates[0] * rates[1])
    return float(accuracy_score(targets, decisions))


@pytest.mark.parametrize("name, f_beta", [*((name, 1.0) for name in METRICS), ("f_beta", 0.5), ("f_beta", 2.0)])
def test_anyloss_tends_to_the_metric_of_scikit_learn(name: str, f_beta: float) -> None:
    gaps = dict.fromkeys((10.0, 73.0, 5000.0), 0.0)  # summed over batches: in one they can cancel
    for seed in range(5):
        outputs, targets = batch(20 + seed, size=30)
        scores = outputs[:, 0] + 0.1 * outputs[:, 0].sign()  # none within 0.1 of the threshold
        hard = 1 - hard_metric(name, targets.numpy(), (scores > 0).long().numpy(), f_beta=f_beta)
        for steep in gaps:
            loss = AnyLoss(anyloss_metric=name, f_beta=f_beta if name == "f_beta" else None, amplification=steep)
            gaps[steep] += abs(float(loss(scores, targets)) - hard)
    assert gaps[10.0] > 2 * gaps[73.0] > 0.001
    assert gaps[5000.0] < 1e-11


def test_anyloss_learns_from_samples_near_the_boundary() -> None:
    """At L = 73 a sample at a score of 5 has no gradient to speak of; amplification 4 leaves it some."""
    scores, targets = torch.tensor([0.0, -5.0, 0.0, 5.0], dtype=torch.float64), torch.tensor([1, 1, 0, 0])
    for name in METRICS:
        _, steep = value_and_gradient(AnyLoss(anyloss_metric=name), scores, targets)
        _, gentle = value_and_gradient(AnyLoss(anyloss_metric=name, amplification=4.0), scores, targets)
        assert (steep[:2] < 0).all()
        assert (steep[2:] > 0).all()
        assert abs(steep[0]) > 1
        assert abs(steep[1]) < 1e-9
        assert abs(gentle[1]) > 1e-4


def test_anyloss_of_no_hit_at_all_has_a_gradient_of_0() -> None:
    """Every decision is wrong, and so far that exp underflows: a root has an infinite slope there, 0/0 lies near."""
    scores, targets = torch.tensor([-5.0, -6.0, 5.0]), torch.tensor([1, 1, 0])
    for name in METRICS:
        value, gradient = value_and_gradient(AnyLoss(anyloss_metric=name, amplification=1e4), scores, targets)
        assert float(value) == 1
        assert not gradient.any()
    # and neither positives nor calls: TP + FN = TP + FP = 0
    value, gradient = value_and_gradient(AnyLoss(amplification=1e4), scores[:2], torch.tensor([0, 0]))
    assert (float(value), bool(gradient.any())) == (1, False)


@pytest.mark.parametrize("f_beta, rate", [(1e-200, "precision"), (1e200, "recall")])
def test_anyloss_takes_any_f_beta(f_beta: float, rate: str) -> None:
    """Two of three positives found, two false alarms among four calls."""
    scores, targets = torch.tensor([9.0, 9.0, -9.0, 9.0, 9.0, -9.0]), torch.tensor([1, 1, 1, 0, 0, 0])
    expected = {"precision": 1 - 2 / 4, "recall": 1 - 2 / 3}[rate]
    value, gradient = value_and_gradient(AnyLoss(f_beta=f_beta), scores, targets)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert torch.isfinite(gradient).all()


# ---------------------------------------------------------------- extreme options

EVERY = [
    WeightedLogistic(class_counts=(10_000, 1)),
    WeightedCrossEntropy(class_counts=(10_000, 1)),
    AlphaFocal(),
    AlphaFocal(gamma=0.5),
    ClassBalancedFocal(class_counts=(10_000, 1)),
    ClassBalancedFocal(class_counts=(10_000, 1), beta=1 - 1e-15, gamma=0.5),
    LogitAdjustment(class_counts=(10_000, 1), tau=3.0),
    VectorScaling(class_counts=(10_000, 1), tau=3.0, gamma=1.0),
    LDAMDRW(class_counts=(10_000, 1), drw_from=0),
    SamplingFree(class_counts=(10_000, 1)),
    *(AnyLoss(anyloss_metric=name) for name in METRICS),
    Hinge(),
    SquaredHinge(),
]


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_extreme_options_keep_the_contract(loss: Loss) -> None:
    check_loss(loss)


@pytest.mark.parametrize(
    "loss", [loss for loss in EVERY if not isinstance(loss, AnyLoss)], ids=lambda loss: type(loss).__name__
)
def test_a_badly_wrong_sample_keeps_its_gradient(loss: Loss) -> None:
    """Unlike AnyLoss, whose gradient ends where the decision is plain."""
    far = 1 if loss.normalised_head else 1e4
    for target, score in ((1, -far), (0, far)):
        outputs = torch.tensor([[-score, score]], dtype=torch.float32)[:, 2 - loss.outputs :]
        _, gradient = value_and_gradient(loss, outputs, torch.tensor([target]))
        assert float(gradient[0, -1]) * (1 - 2 * target) > 1e-8
