"""On a CUDA device: everything that computes gives what it gives on the CPU, and runs resume exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import OPTIONS_OF, assert_same_run, run, start_of
from torch import Tensor

from models import build_model
from utils.constraints.augmented_lagrangian import AugmentedLagrangian
from utils.losses import LOSSES
from utils.pairwise.ranking import auc_and_mean_violation
from utils.seeding import torch_stream
from utils.training.step import TrainingSteps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = "--device cuda --deterministic 1"


def batch(size: int, *, rare: int) -> tuple[Tensor, Tensor]:
    """Scores and targets with ``rare`` positives."""
    scores = torch.randn(size, generator=torch_stream(5, "scores of the test"))
    return scores, (torch.arange(size) < rare).long()


@pytest.mark.parametrize("training_type", sorted(LOSSES))
def test_losses_and_their_gradients_equal_those_of_the_cpu(tmp_path: Path, training_type: str) -> None:
    _, state, _ = start_of(tmp_path, f"--training_type {training_type} {OPTIONS_OF.get(training_type, '')}")
    found = {}
    for device in ("cpu", "cuda"):
        scores, targets = batch(96, rare=7)
        outputs = torch.stack([-scores, scores], dim=1)[:, 2 - state.loss.outputs :].to(device).requires_grad_()
        loss = state.loss.to(device)(outputs, targets.to(device), torch.arange(96, device=device))
        loss.backward()
        assert outputs.grad is not None
        found[device] = (loss.detach().cpu(), outputs.grad.cpu())
    for ours, reference in zip(found["cuda"], found["cpu"], strict=True):
        torch.testing.assert_close(ours, reference, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("size, rare", [(64, 3), (64, 0), (2048, 40)])
def test_the_constraint_equals_that_of_the_cpu(size: int, rare: int) -> None:
    """In its dense and its sorted form: penalty, gradient, multipliers, violation."""
    found = {}
    for device in ("cpu", "cuda"):
        scores, targets = batch(size, rare=rare)
        scores = scores.to(device).requires_grad_()
        targets, indices = targets.to(device), torch.arange(size, device=device)
        constraint = AugmentedLagrangian(size, delta=0.5, mu=1e-2).to(device)
        for _ in range(2):
            penalty = constraint.penalty(scores, targets, indices)
            constraint.update_multipliers()
        penalty.backward()
        assert scores.grad is not None
        _, violation = auc_and_mean_violation(scores, targets, delta=0.5)
        found[device] = (penalty.detach().cpu(), scores.grad.cpu(), constraint.multipliers.cpu(), violation.cpu())
    for ours, reference in zip(found["cuda"], found["cpu"], strict=True):
        torch.testing.assert_close(ours, reference, rtol=2e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("precision, tolerance", [("fp32", 2e-3), ("tf32", 2e-2), ("bf16", 1e-1)])
def test_the_first_steps_are_near_those_of_the_cpu(tmp_path: Path, precision: str, tolerance: float) -> None:
    losses: dict[str, float] = {}
    for device in ("cpu", "cuda"):
        more = f"--device {device} --resnet_type resnet10 --bsize 32 --use_ALM 1 --mu 1e-2 --delta 1"
        more += f" --precision {precision}" if device == "cuda" else ""
        experiment, state, data = start_of(tmp_path / device, more)
        sums = TrainingSteps(state, data, machine=experiment.machine).run(2)
        losses[device] = float(sums.objective + sums.penalty)
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=tolerance)


@pytest.mark.parametrize(
    "more",
    [
        "",
        "--use_ALM 1 --mu 1e-2 --delta 1 --augment crop_flip --lr_decrease 1",
        "--ema 0.9 --augment crop,medical,autocontrast --schedule step --lr_steps 2 4 --warm_up 2",
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, more: str) -> None:
    command = f"{CUDA} --resnet_type lenet5 {more}"
    run(tmp_path / "resumed", f"{command} --num_epochs 3")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 6 --resume 1")
    assert_same_run(resumed, run(tmp_path / "straight", f"{command} --num_epochs 6"))


@pytest.mark.parametrize("frozen", ["2", "all"])
def test_a_frozen_network_resumes_and_evaluates_to_its_own_numbers(tmp_path: Path, frozen: str) -> None:
    """The captured step is captured anew when the body is trained too."""
    model = build_model("resnet20", channels=1, image_size=(8, 8), generator=torch.Generator().manual_seed(1))
    torch.save(model.state_dict(), tmp_path / "w.pth")
    command = f"{CUDA} --resnet_type resnet20 --image_size 8 --weights {tmp_path}/w.pth --freeze_epochs {frozen}"
    run(tmp_path / "resumed", f"{command} --num_epochs 1")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 4 --resume 1")
    straight = run(tmp_path / "straight", f"{command} --num_epochs 4")
    assert_same_run(resumed, straight)
    before = (straight / "seed1" / "test.csv").read_bytes()
    run(tmp_path / "straight", f"{CUDA} --resnet_type resnet20 --train 0")
    assert (straight / "seed1" / "test.csv").read_bytes() == before


def test_a_run_evaluates_to_its_own_numbers(tmp_path: Path) -> None:
    folder = run(tmp_path, f"{CUDA} --resnet_type lenet5 --num_epochs 3")
    before: dict[str, Any] = {name: (folder / "seed1" / name).read_bytes() for name in ("test.csv", "validation.csv")}
    run(tmp_path, f"{CUDA} --resnet_type lenet5 --num_epochs 3 --train 0")
    assert {name: (folder / "seed1" / name).read_bytes() for name in before} == before
