"""Stopped anywhere and resumed is the same as never stopped, bit for bit (at an equal number of threads)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import arguments, assert_same, assert_same_run, best, history, results, run, scripted, start_of

import main
import report
from models import MODELS
from models.lenet import lenet5
from utils.run import seed_epochs
from utils.run.initial_state import build_state
from utils.run_files.checkpoints import save
from utils.run_files.last_pt import LAST, restore_last
from utils.run_files.paths import SeedPaths
from utils.system.installation import CONFIGS
from utils.training import epoch as training
from utils.training.step import TrainingSteps

BASE_FILES = sorted(path.stem for path in (CONFIGS / "baseline").glob("*.yaml"))
STATEFUL = {"baseline_bce", "baseline_AUCM", "baseline_PAUC", "baseline_LDAM_DRW"}  # and the plainest
pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def stop_and_go_on(root: Path, command: str, *, first: int, last_epoch: int) -> Path:
    """``first`` epochs, then with --resume 1 up to ``last_epoch``, in two commands."""
    run(root, f"{command} --num_epochs {first}")
    return run(root, f"{command} --num_epochs {last_epoch} --resume 1")


# ---------------------------------------------------------------- n + m = n + m


@pytest.mark.parametrize(
    "base_file", [pytest.param(name, marks=() if name in STATEFUL else pytest.mark.slow) for name in BASE_FILES]
)
def test_every_base_file_trains_and_resumes(tmp_path: Path, base_file: str) -> None:
    """Under the constraint: one epoch and one more are two; finite numbers, and weights that moved."""
    command = f"--resnet_type lenet5 --bsize 128 --name_file_bs {base_file} --name_file_alm ALM_12_beg --delta 1"
    resumed = stop_and_go_on(tmp_path / "resumed", command, first=1, last_epoch=2)
    straight = run(tmp_path / "straight", f"{command} --num_epochs 2")
    assert_same_run(resumed, straight)
    records = history(resumed / "seed1")
    assert [record["epoch"] for record in records] == [0, 1]
    finite = ("train_loss", "val_loss", "val_auc", "constraint_violation", "mu")
    assert all(math.isfinite(record[name]) for record in records for name in finite)
    _, start, _ = start_of(tmp_path, command)
    weights = best(resumed / "seed1")["weights"]
    for name, value in start.model.state_dict().items():
        assert not torch.equal(weights[name], value), name
        assert weights[name].isfinite().all(), name


RULES = "--use_ALM 1 --mu 0.01 --delta 1 --lr_decrease 1 --patience_lr 0 --optimizer adam --augment crop_flip"
RATE = "--name_file_alm RATE_TPR98 --lr_decrease 1 --patience_lr 0"
WITHIN = "--use_ALM 1 --mu 0.01 --delta 1 --evaluate_every_steps 4 --augment crop"
SEEDS = "--seeds 1-2 --optimizer adamw --resnet_type dense --hidden_widths 16 8"


@pytest.mark.parametrize(
    "command, first",
    [
        (RULES, 1),  # the mu rule's memory, the learning rate on a plateau, Adam's moments, random crops and flips
        (RULES, 4),
        (RATE, 1),  # the learned threshold has a parameter group of its own, whose rate falls too
        (WITHIN, 3),  # an epoch that ends within a pass: the sampler goes on in the middle of its order
        (SEEDS, 2),
    ],
)
def test_n_and_m_epochs_are_n_plus_m(tmp_path: Path, command: str, first: int) -> None:
    resumed = stop_and_go_on(tmp_path / "resumed", f"--resnet_type lenet5 {command}", first=first, last_epoch=6)
    straight = run(tmp_path / "straight", f"--resnet_type lenet5 {command} --num_epochs 6")
    assert_same_run(resumed, straight, seeds=(1, 2) if "--seeds" in command else (1,))


@pytest.mark.parametrize("captured", [True, False], ids=["from a GPU to a CPU", "from a CPU to a GPU"])
def test_a_run_goes_on_on_another_kind_of_device(tmp_path: Path, captured: bool) -> None:
    """Options of Adam say how the device computes a step, and the draws for images are those of its generator."""
    experiment = start_of(tmp_path, "--optimizer adam")[0]
    machines = [replace(experiment.machine, captures=captures) for captures in (captured, not captured)]
    (there, data), (here, same) = (build_state(replace(experiment, machine=machine), 1) for machine in machines)
    begun, goes_on = (TrainingSteps(*both, machine=experiment.machine) for both in ((there, data), (here, same)))
    begun.run(2)
    there.finish_epoch(0.5, 1.0, 0.5)
    draws = here.augmentation.get_state()
    of_device = {"augmentation": torch.zeros(16, dtype=torch.uint8)}
    save(SeedPaths(tmp_path).last, LAST, {**there.state_dict(), **of_device})
    note = restore_last(here, SeedPaths(tmp_path))
    assert note == "trained on another kind of device so far, so that random changes of images are drawn anew"
    assert torch.equal(here.augmentation.get_state(), draws)
    assert [group["capturable"] for group in here.optimizer.param_groups] == [not captured]
    for runner in (begun, goes_on):
        runner.run(2)
    assert [values["step"].item() for values in here.optimizer.state.values()] == [4, 4]
    for ours, theirs in zip(here.model.parameters(), there.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_batch_normalisation_goes_on_too(tmp_path: Path) -> None:
    command = "--resnet_type resnet20 --bsize 16 --evaluate_every_steps 2 --precision bf16"
    resumed = stop_and_go_on(tmp_path / "resumed", command, first=1, last_epoch=2)
    straight = run(tmp_path / "straight", f"{command} --num_epochs 2")
    assert_same_run(resumed, straight)
    assert any("running_var" in name for name in best(straight / "seed1")["weights"])


@pytest.mark.parametrize("optimizer", ["sgd --momentum 0", "sgd", "adam"])
def test_a_network_of_which_only_the_head_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    def frozen(**given: Any) -> torch.nn.Module:
        model = lenet5(**given)
        for part in (model.conv1, model.conv2, model.dense1, model.dense2):
            torch.nn.init.constant_(part.requires_grad_(False).weight, 0.01)
        return model

    monkeypatch.setitem(MODELS, "frozen", "lenet:frozen")
    monkeypatch.setattr("models.lenet.frozen", frozen, raising=False)
    command = f"--resnet_type frozen --optimizer {optimizer}"
    resumed = stop_and_go_on(tmp_path / "resumed", command, first=1, last_epoch=2)
    assert_same_run(resumed, run(tmp_path / "straight", f"{command} --num_epochs 2"))
    weights = best(resumed / "seed1")["weights"]
    assert all((weights[f"{part}.weight"] == 0.01).all() for part in ("conv1", "conv2", "dense1", "dense2"))


def test_the_mu_rule_remembers_the_auc_before_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aucs = [0.5, 0.6, 0.7, 0.9, 0.8, 0.8]  # the fall from epoch 3 to 4 doubles mu, and the stop is between the two
    scripted(monkeypatch, aucs)
    resumed = stop_and_go_on(tmp_path / "resumed", "--use_ALM 1 --mu 0.01", first=4, last_epoch=6)
    scripted(monkeypatch, aucs)
    straight = run(tmp_path / "straight", "--use_ALM 1 --mu 0.01 --num_epochs 6")
    assert_same_run(resumed, straight)
    assert [record["mu"] for record in history(resumed / "seed1")] == [0.01, 0.01, 0.01, 0.02, 0.02, 0.04]


@pytest.mark.slow
def test_many_stops_are_none(tmp_path: Path) -> None:
    for epochs in range(1, 6):
        resumed = run(tmp_path / "resumed", f"--use_ALM 1 --num_epochs {epochs} --resume 1")
    straight = run(tmp_path / "straight", "--use_ALM 1 --num_epochs 5")
    assert_same_run(resumed, straight)
    assert [record["epoch"] for record in history(resumed / "seed1")] == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- stopped within a command


def interrupt_at(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let Ctrl-C come while epoch ``epoch`` of the command trains."""
    calls = 0

    def train_epoch(*args: Any, **options: Any) -> dict[str, Any]:
        nonlocal calls
        record = training.train_epoch(*args, **options)
        calls += 1
        if calls > epoch:
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(seed_epochs, "train_epoch", train_epoch)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupted_run_says_how_to_go_on_and_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], epoch: int
) -> None:
    command = "--use_ALM 1 --num_epochs 4"
    with monkeypatch.context() as patch:
        interrupt_at(patch, epoch)
        folder = run(tmp_path / "resumed", command, code=130)
    assert "--resume 1" in capsys.readouterr().err
    assert not (folder / "seed1" / "done").exists()
    assert len(history(folder / "seed1")) == epoch
    run(tmp_path / "resumed", f"{command} --resume 1")
    assert_same_run(folder, run(tmp_path / "straight", command))


def test_a_promise_after_a_baseline_is_corrected_for_the_epochs_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of the baseline, three after it: 6 models; and 4 more after those: 24."""
    run(tmp_path, "--num_epochs 2 --model_name base")
    for name, baseline, epochs, models in (("then", "base", 3, 6), ("last", "then", 4, 24)):
        argv = arguments(tmp_path, f"--model_name {name} --continue_train 1 --baseline_cont_train {baseline}")
        at = argv.index("--num_epochs")
        assert main.main([*argv[:at], *argv[at + 2 :], "--continue_train_epochs", str(epochs)]) == 0
        assert f"which chose among {models} models" in capsys.readouterr().out
        assert report.main([str(tmp_path / "runs" / name), "--card"]) == 0
        assert f"which chose among {models} models" in " ".join(capsys.readouterr().out.split())


def test_a_promise_is_corrected_for_epochs_asked_for_after_the_best_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps too small to change a score: epoch 0 is the best of 20, and best.pt is written when 1 is asked for."""
    still = "--lr 1e-20 --validation_fraction 0.42 --seeds 1-2"
    folder = stop_and_go_on(tmp_path, still, first=1, last_epoch=20)
    among = "which chose among 400 models"  # 20 of each of two seeds
    assert among in capsys.readouterr().out
    promised = results(folder)["ensemble"]["test"]["promises"]
    assert promised[0]["compared"] == 400
    for more in ("", "--num_epochs 1"):  # what is typed is not read
        run(tmp_path, f"{still} {more} --train 0")
        assert among in capsys.readouterr().out
        assert results(folder)["ensemble"]["test"]["promises"] == promised
    (folder / "config.yaml").unlink()  # best.pt knows
    run(tmp_path, f"{still} --train 0")
    assert results(folder)["ensemble"]["test"]["promises"] == promised
    argv = arguments(tmp_path, f"{still} --model_name then --continue_train 1 --baseline_cont_train run")
    at = argv.index("--num_epochs")
    capsys.readouterr()
    assert main.main([*argv[:at], *argv[at + 2 :], "--continue_train_epochs", "1"]) == 0
    assert among in capsys.readouterr().out


def test_an_interrupted_seed_counts_the_epochs_that_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    still = "--lr 1e-20 --validation_fraction 0.42"
    run(tmp_path, f"{still} --num_epochs 1")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        run(tmp_path, f"{still} --num_epochs 20 --resume 1", code=130)
    capsys.readouterr()
    run(tmp_path, f"{still} --train 0")
    assert "which chose among 20 models" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "of_baseline, command",
    [
        ("", "--use_ALM 1 --delta 1"),
        ("--lr_decrease 1 --patience_lr 0", RATE),
        (RATE, RATE),  # the baseline's threshold is not taken over
        (RATE, "--lr_decrease 1 --optimizer sgd"),
    ],
)
def test_continued_training_resumes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_baseline: str, command: str
) -> None:
    def continued(root: Path, more: str = "") -> int:
        argv = arguments(root, f"{command} --continue_train 1 --baseline_cont_train base {more}")
        at = argv.index("--num_epochs")
        return main.main([*argv[:at], *argv[at + 2 :], "--continue_train_epochs", "3"])

    for root in (tmp_path / "resumed", tmp_path / "straight"):
        run(root, f"{of_baseline} --num_epochs 2 --model_name base")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert continued(tmp_path / "resumed") == 130
    assert continued(tmp_path / "resumed", "--resume 1") == 0
    assert continued(tmp_path / "straight") == 0
    assert_same_run(*(tmp_path / name / "runs" / "run" for name in ("resumed", "straight")))


def snapshot(folder: Path) -> dict[str, bytes]:
    """All that a command which does nothing must leave as it is."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


# ---------------------------------------------------------------- killed (see faults/ for kills at any moment)


def best_is_older(folder: Path, older: Path) -> None:
    shutil.copy(older / "best.pt", folder / "best.pt")


def best_is_missing(folder: Path, older: Path) -> None:
    (folder / "best.pt").unlink()


@pytest.mark.parametrize("damage", [best_is_older, best_is_missing])
def test_a_kill_between_last_and_best_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path, Path], None]
) -> None:
    scripted(monkeypatch, [0.5])
    older = run(tmp_path, "--model_name older")
    scripted(monkeypatch, [0.5, 0.6])  # each epoch is a new best
    folder = run(tmp_path, "--num_epochs 2")
    (folder / "seed1" / "done").unlink()
    damage(folder / "seed1", older / "seed1")
    run(tmp_path, "--num_epochs 2 --resume 1")
    scripted(monkeypatch, [0.5, 0.6])
    straight = run(tmp_path, "--num_epochs 2 --model_name straight")
    assert best(folder / "seed1")["epoch"] == 1
    assert_same_run(folder, straight)


@pytest.mark.parametrize("damage", [best_is_older, best_is_missing])
def test_a_best_checkpoint_that_cannot_be_repaired_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path, Path], None],
) -> None:
    scripted(monkeypatch, [0.5, 0.5, 0.6, 0.4])  # of "older" epoch 0 is the best; of the run epoch 1, then one more
    older = run(tmp_path, "--model_name older")
    folder = run(tmp_path, "--num_epochs 3")
    (folder / "seed1" / "done").unlink()
    damage(folder / "seed1", older / "seed1")
    run(tmp_path, "--num_epochs 3 --resume 1", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "best.pt is not" in line


# ---------------------------------------------------------------- finished runs


def test_a_finished_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "--seeds 1-2")
    before = snapshot(folder)
    for more in ("--seeds 1-2", "--seeds 1-2 --resume 1"):
        capsys.readouterr()
        run(tmp_path, more)
        assert capsys.readouterr().out.count("done before and kept") == 2
        after = snapshot(folder)
        changed = {name for name in before if after[name] != before[name]}
        assert changed <= {"config.yaml"}  # the second command is noted there
        assert before.keys() == after.keys()


def test_more_seeds_join_the_finished_ones(tmp_path: Path) -> None:
    run(tmp_path / "joined", "--seeds 2")
    joined = run(tmp_path / "joined", "--seeds 1-3")
    assert_same_run(joined, run(tmp_path / "straight", "--seeds 1-3"), seeds=(1, 2, 3))


def test_without_last_a_finished_run_is_kept_but_cannot_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path, "--keep_last 0")
    assert not (folder / "seed1" / "last.pt").exists()
    assert (folder / "seed1" / "done").exists()
    before = results(folder)
    run(tmp_path, "--keep_last 0")
    assert results(folder) == before
    run(tmp_path, "--num_epochs 2 --resume 1", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be trained further" in line
    assert "keep_last 0" in line
    kept = run(tmp_path, "--model_name kept")
    assert_same(best(folder / "seed1")["weights"], best(kept / "seed1")["weights"])


def test_a_run_that_stopped_early_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.7, 0.6, 0.5, 0.5])
    folder = run(tmp_path, "--num_epochs 9 --patience_early_stopping 1")
    assert len(history(folder / "seed1")) == 3
    run(tmp_path, "--num_epochs 12 --patience_early_stopping 1 --resume 1")
    assert len(history(folder / "seed1")) == 3


def test_seeds_of_different_lengths_are_never_mixed_unseen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seed 1 was trained for longer than seed 2: whoever reads the mean of both is told, and asked to go on."""
    folder = run(tmp_path, "--seeds 1-2 --num_epochs 1")
    assert not any("another seed" in line for line in results(folder)["warnings"])
    run(tmp_path, "--seeds 1 --num_epochs 3 --resume 1")
    (line,) = (line for line in results(folder)["warnings"] if "another seed" in line)
    assert line.startswith("seed 2 was trained for 1 epochs, another seed for 3")
    capsys.readouterr()
    run(tmp_path, "--seeds 1-2 --num_epochs 3", code=2)
    assert f"seed 2 of {folder} was trained for 1 of the 3 epochs" in capsys.readouterr().err
    run(tmp_path, "--seeds 1-2 --num_epochs 3 --train 0")
    assert "note: seed 2 was trained for 1 epochs" in capsys.readouterr().out
    run(tmp_path, "--seeds 1-2 --num_epochs 3 --resume 1")
    assert not any("another seed" in line for line in results(folder)["warnings"])


def test_what_nothing_reads_may_differ_from_what_is_recorded(tmp_path: Path) -> None:
    """A run of an earlier version, which recorded a margin without a constraint, goes on without it."""
    folder = run(tmp_path, "--num_epochs 1")
    text = (folder / "config.yaml").read_text()
    recorded = text.replace(
        "delta:\n    value: 0.0\n    origin: default", "delta:\n    value: 0.5\n    origin: the command line"
    )
    assert recorded != text
    (folder / "config.yaml").write_text(recorded)
    run(tmp_path, "--num_epochs 2 --resume 1")
    assert len(history(folder / "seed1")) == 2
