"""The average of the weights: against torch's AveragedModel, in whole runs, and resumed."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from replays import RecordedStep
from runs import assert_same, assert_same_run, best, history, last, run, scripted, start_of
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from utils.training.epoch import train_epoch
from utils.training.evaluation import model_outputs
from utils.training.step import TrainingSteps
from utils.training.weight_average import WeightAverage

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
RESNET = "--resnet_type resnet20 --bsize 16 --evaluate_every_steps 3"


def test_it_is_the_average_of_torch(tmp_path: Path) -> None:
    """Bit for bit over real steps, BatchNorm included."""
    experiment, state, data = start_of(tmp_path, f"{RESNET} --ema 0.9")
    assert state.average is not None
    reference = AveragedModel(state.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    runner = TrainingSteps(state, data, machine=experiment.machine)
    for _ in range(5):
        runner.run(1)
        reference.update_parameters(state.model)
    ours, theirs, raw = (each.state_dict() for each in (state.average.model, reference.module, state.model))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        is_count = name.endswith("num_batches_tracked")
        assert torch.equal(value, raw[name] if is_count else theirs[name]), name
        assert is_count or not torch.equal(value, raw[name]), name


def test_by_hand() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, model, decay=0.75)
    for weight, expected in ((8.0, 8.0), (4.0, 7.0), (0.0, 5.25)):  # the first as it is, then 3/4 old + 1/4 new
        torch.nn.init.constant_(model.weight, weight)
        average.update()
        (averaged,) = average.model.parameters()
        assert averaged.item() == expected
        assert not averaged.requires_grad


def test_a_part_that_is_trained_is_that_part_of_the_averaged_network() -> None:
    """As where a frozen network's last layer is trained alone: the rest stays as it is, bit for bit."""
    body, head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
    average = WeightAverage(torch.nn.Sequential(body, head), head, decay=0.9)
    for _ in range(3):
        torch.nn.init.constant_(head.weight, 2.0)
        average.update()
    found = average.network.state_dict()
    assert torch.equal(found["0.weight"], body.weight)
    assert torch.equal(found["1.weight"], torch.full((1, 2), 2.0))
    assert average.model.state_dict()["weight"].data_ptr() == found["1.weight"].data_ptr()


def test_a_replayed_step_averages_as_an_eager_one(tmp_path: Path) -> None:
    _, state, data = start_of(tmp_path, "--resnet_type lenet5 --bsize 16 --ema 0.5")
    experiment, other, other_data = start_of(tmp_path, "--resnet_type lenet5 --bsize 16 --ema 0.5")
    eager, replayed = (TrainingSteps(s, d, machine=experiment.machine) for s, d in ((state, data), (other, other_data)))
    batches = [next(state.sampler).clone() for _ in range(4)]
    for indices in batches:
        eager.step(indices)
    replayed.step(batches[0])
    recorded = RecordedStep(replayed.step, batches[1])
    for indices in batches[2:]:
        recorded.replay(indices)
    assert state.average is not None
    assert other.average is not None
    assert_same(other.average.state_dict(), state.average.state_dict())


def test_validation_is_by_the_average_and_the_training_as_without(tmp_path: Path) -> None:
    experiment, state, data = start_of(tmp_path, "--resnet_type lenet5 --ema 0.5")
    _, without, its_data = start_of(tmp_path, "--resnet_type lenet5")
    record = train_epoch(TrainingSteps(state, data, machine=experiment.machine), steps=9, delta=1.0)
    plain = train_epoch(TrainingSteps(without, its_data, machine=experiment.machine), steps=9, delta=1.0)
    assert_same(state.model.state_dict(), without.model.state_dict())  # the average changes no step
    assert record["train_auc"] == plain["train_auc"]
    assert record["train_loss"] == plain["train_loss"]
    assert state.average is not None
    outputs = model_outputs(state.average.model, data.batches, data.validation, machine=experiment.machine)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], data.labels[data.validation].float())
    assert record["val_loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert record["val_loss"] != plain["val_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("more", ["--resnet_type lenet5 --optimizer adam --use_ALM 1 --delta 1", RESNET])
def test_a_resumed_run_goes_on_with_both_sets(tmp_path: Path, more: str) -> None:
    run(tmp_path / "resumed", f"{more} --ema 0.9 --num_epochs 1")
    resumed = run(tmp_path / "resumed", f"{more} --ema 0.9 --num_epochs 3 --resume 1")
    straight = run(tmp_path / "straight", f"{more} --ema 0.9 --num_epochs 3")
    assert_same_run(resumed, straight)
    saved = last(straight / "seed1")
    assert any(not torch.equal(saved["average"]["weights"][name], value) for name, value in saved["model"].items())
    if best(straight / "seed1")["epoch"] == 2:
        assert_same(best(straight / "seed1")["weights"], saved["average"]["weights"])


def test_best_pt_that_a_kill_lost_is_written_again_from_the_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.5, 0.6])
    folder = run(tmp_path, "--num_epochs 2 --ema 0.9")
    before = copy.deepcopy(best(folder / "seed1")["weights"])
    assert_same(before, last(folder / "seed1")["average"]["weights"])
    shutil.copytree(folder, folder.with_name("whole"))
    for name in ("best.pt", "done"):
        (folder / "seed1" / name).unlink()
    run(tmp_path, "--num_epochs 2 --ema 0.9 --resume 1")
    assert_same_run(folder, folder.with_name("whole"))


def test_a_run_without_it_keeps_no_second_set(tmp_path: Path) -> None:
    folder = run(tmp_path)
    assert last(folder / "seed1")["average"] is None
    assert len(history(folder / "seed1")) == 1
