"""The benchmarks run, write what they promise, and the plain reference computes what we compute."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import (
    bench_classes,
    bench_ranks,
    bench_row,
    bench_run,
    bench_scale,
    bench_seed_processes,
    bench_stem,
    bench_step,
    summary,
)
from benchmarks.goals import GOALS, Goal
from benchmarks.measuring import Block, Report, alternate, common_arguments, ratios, row
from benchmarks.plain_reference import LoopedConstraint
from benchmarks.processes import python, run, seconds_until, tree
from benchmarks.subject import CASES, Floor, Parts, Subject, plain_training, start
from benchmarks.synthetic import QUICK_SHAPES, write
from utils.constraints import AugmentedLagrangian
from utils.metrics.roc import auc
from utils.training.evaluation import model_outputs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")


def options_for(root: Path, *more: str) -> argparse.Namespace:
    return common_arguments("").parse_args(["--quick", "--threads", "1", "--data_root", str(root), *more])


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small sets of noise under the names of the real ones."""
    root = tmp_path_factory.mktemp("data")
    for name, shape in QUICK_SHAPES.items():
        write(root / f"{name}.npz", shape)
    return root


def lenet5(data_root: Path, more: str = "", *, alm: bool = True, whole_batches: bool = False) -> Subject:
    command = CASES["lenet5"].command(data_root, options_for(data_root), f"--seeds 1 {more}", alm=alm)
    return start(command, whole_batches=whole_batches)


# --- the plain reference -----------------------------------------------------------------------------------


def test_penalty_of_the_plain_reference_is_ours() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = AugmentedLagrangian(40, delta=0.5, mu=0.3)
    plain = LoopedConstraint(delta=0.5, mu=0.3)
    targets = (torch.arange(40) % 7 == 0).long()
    for _ in range(3):  # the multipliers of the first two act in the third
        indices = torch.randperm(40, generator=generator)[:25]
        scores = torch.randn(25, generator=generator, dtype=torch.float64)
        one, other = scores.clone().requires_grad_(), scores.clone().requires_grad_()
        penalty, looped = (
            constraint.penalty(values, targets[indices], indices)
            for constraint, values in ((ours, one), (plain, other))
        )
        torch.testing.assert_close(penalty, looped)
        penalty.backward()
        looped.backward()
        torch.testing.assert_close(one.grad, other.grad)
        ours.update_multipliers()
        plain.update_multipliers()
        multipliers = torch.tensor([plain.multipliers.get(index, 0.0) for index in range(40)])
        torch.testing.assert_close(ours.multipliers, multipliers)


def test_penalty_of_the_plain_reference_is_zero_without_positives() -> None:
    scores = torch.zeros(3, requires_grad=True)
    penalty = LoopedConstraint(delta=1.0, mu=1.0).penalty(scores, torch.zeros(3), torch.arange(3))
    penalty.backward()
    assert penalty.item() == 0


@pytest.mark.parametrize("alm", [False, True])
def test_plain_reference_updates_as_we_do(data_root: Path, alm: bool) -> None:
    """In one batch that holds all images, whose order does not matter; MNIST is not augmented."""
    subject = lenet5(data_root, "--bsize 5000", alm=alm)
    plain = plain_training(subject)
    start_weights = [parameter.detach().clone() for parameter in plain.model.parameters()]
    subject.run(2)
    plain.steps(2)
    weights = zip(subject.state.model.parameters(), plain.model.parameters(), start_weights, strict=True)
    for ours, theirs, before in weights:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert not torch.equal(ours, before)


def test_plain_reference_validates_as_we_do(data_root: Path) -> None:
    subject = lenet5(data_root)
    data, machine = subject.data, subject.experiment.machine
    outputs = model_outputs(subject.state.model, data.batches, data.validation, machine=machine)
    expected = auc(data.labels[data.validation].numpy(), outputs[:, 0].double().numpy())
    assert plain_training(subject).validate(len(data.validation)) == pytest.approx(expected, abs=1e-3)


# --- what is measured --------------------------------------------------------------------------------------


def test_floor_trains_a_copy(data_root: Path) -> None:
    subject = lenet5(data_root)
    floor = Floor(subject)
    floor.run(1)
    for ours, copy in zip(subject.state.model.parameters(), floor.model.parameters(), strict=True):
        assert not torch.equal(ours, copy)
        assert ours.stride() == copy.stride()


def test_parts_leave_the_model_alone_and_move_the_multipliers(data_root: Path) -> None:
    subject = lenet5(data_root, whole_batches=True)
    before = [parameter.detach().clone() for parameter in subject.state.model.parameters()]
    Parts(subject).both(subject.steps_per_epoch)
    assert all(map(torch.equal, before, subject.state.model.parameters()))
    assert subject.state.constraint is not None
    assert subject.state.constraint.multipliers.any()


def test_whole_batches_are_full_and_keep_the_positives(data_root: Path) -> None:
    subject = lenet5(data_root, "--bsize 100", whole_batches=True)
    labels = subject.data.labels
    kept = subject.state.sampler.indices
    assert len(kept) == len(subject.data.train) // 100 * 100
    assert int(labels[kept].sum()) == int(labels[subject.data.train].sum()) > 0


# --- timing and records ------------------------------------------------------------------------------------


def test_blocks_alternate_after_a_warm_up() -> None:
    calls: list[str] = []
    blocks = {name: Block(lambda name=name: calls.append(name), 2) for name in "ab"}  # type: ignore[misc]
    seconds = alternate(blocks, rounds=3)
    assert calls == ["a", "b"] * 4
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_row_has_median_and_quartiles() -> None:
    made = row("x", ratios([2.0, 4.0, 9.0], [1.0, 1.0, 3.0]), unit="ratio")
    assert (made.n, made.median, made.quartiles) == (3, 3.0, (2.5, 3.5))
    assert row("x", [1.5], unit="s").quartiles == (1.5, 1.5)


def test_slope_of_a_square_is_two() -> None:
    assert bench_scale.slope([1, 2, 4], [1, 4, 16]) == pytest.approx(2)


def test_record_says_what_it_ran_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_for(tmp_path, "--out", str(tmp_path))
    report = Report("some", options, script="bench_some", argv=["--quick"])
    report.add(row("step / floor", [1.0, 1.1], unit="ratio", goal="step_lenet5_64"))
    content = json.loads(report.write().read_text())
    assert content["command"] == "python -m benchmarks.bench_some --quick"
    assert content["hardware"]["cores"] >= 1
    assert content["versions"]["torch"]
    assert content["quiet"]["load_average_before"] >= 0
    assert content["rows"][0]["n"] == 2
    assert "goal at most 1.2" in capsys.readouterr().out


def test_process_tree_holds_oneself() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    assert os.getpid() in tree(os.getpid())


def test_process_that_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match="exit code 3"):
        run(python("-c", "import sys; sys.exit(3)"))
    with pytest.raises(RuntimeError, match="did not print 'word'"):
        seconds_until(python("-c", "print('other')"), "word")


# --- the scripts -------------------------------------------------------------------------------------------


def quick(script: Any, out: Path, data: Path, *more: str) -> list[dict[str, Any]]:
    """Run it with --quick; the contents of its files."""
    argv = ["--quick", "--threads", "1", "--data_root", str(data), "--out", str(out), *more]
    assert script.main(argv) == 0
    contents = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    for content in contents:
        assert content["quick"] is True
        assert content["rows"]
        for item in content["rows"]:
            assert item["n"] >= 1
            assert item["goal"] == ""  # a quick number is held against nothing
    return contents


def whats(content: dict[str, Any]) -> str:
    return "\n".join(item["what"] for item in content["rows"])


@pytest.mark.slow
def test_bench_step(tmp_path: Path) -> None:
    """Without data: synthetic images take their place."""
    (content,) = quick(bench_step, tmp_path / "out", tmp_path / "nowhere")
    assert content["data"]["lenet5"].startswith("synthetic")
    for wanted in ("with ALM / floor", "with ALM / without", "alone / floor", "plain reference / ours"):
        assert wanted in whats(content)
    assert "ResNet-10" in whats(content)


@pytest.mark.slow
def test_bench_constraint(tmp_path: Path) -> None:
    done = run(python("-m", "benchmarks.bench_constraint", "--quick", "--threads", "1", "--out", str(tmp_path)))
    assert "batch of 1024: peak memory, dense / ours" in done.output
    (path,) = tmp_path.glob("constraint_cpu_*.json")
    errors = [item["median"] for item in json.loads(path.read_text())["rows"] if "error" in item["what"]]
    assert len(errors) == 6
    assert max(errors) < 1e-6


def test_bench_classes(tmp_path: Path) -> None:
    (content,) = quick(bench_classes, tmp_path / "out", tmp_path / "nowhere")
    rows = {item["what"]: item for item in content["rows"]}
    assert "ResNet-32, 10 classes, batch 8: step, classes, 2 critical / without" in rows
    assert "batch of 1024: dense / ours" in rows
    step = bench_classes.Step("classes", bench_classes.CRITICAL, device="cpu", batch=64)
    step.run(1)
    assert step._constraint is not None
    assert step._constraint.multipliers.any()


@pytest.mark.slow
def test_bench_ranks(tmp_path: Path, data_root: Path) -> None:
    (content,) = quick(bench_ranks, tmp_path, data_root)
    counts = {
        item["what"].rpartition(", ")[2]: item["median"] for item in content["rows"] if "messages" in item["what"]
    }
    assert counts == {"gathers": 1, "batch norm": 0, "buckets": 1, "others": 0}
    assert "LeNet5: step, one rank of torchrun / main.py" in whats(content)
    assert "LeNet5: step, 2 ranks of 1 thread / 1 process of 2 threads" in whats(content)


def test_bench_scale(tmp_path: Path) -> None:
    (content,) = quick(bench_scale, tmp_path, tmp_path, "--only", "images", "batch", "image_size")
    assert all(len(item["points"]) == 2 for item in content["rows"])


@pytest.mark.slow
def test_bench_stem(tmp_path: Path) -> None:
    (content,) = quick(bench_stem, tmp_path, tmp_path)
    memory = {item["what"]: item["median"] for item in content["rows"] if item["what"].endswith("memory")}
    small, large = (memory[f"ResNet-18, 96 x 96 x 3, batch 2, stem {stem}: step, memory"] for stem in ("3x3", "7x7"))
    assert large < small


def test_bench_run_epoch(tmp_path: Path, data_root: Path) -> None:
    (content,) = quick(bench_run, tmp_path, data_root, "--only", "epoch")
    assert "bf16: epoch with validation / floor" in whats(content)
    assert any("scaled to" in item["note"] for item in content["rows"])


@pytest.mark.slow
def test_bench_run_in_processes(tmp_path: Path, data_root: Path) -> None:
    contents = quick(bench_run, tmp_path, data_root, "--only", "start_up", "seeds_at_once", "whole_run")
    names = [content["name"] for content in contents]
    assert names == ["seeds_at_once", "start_up", "whole_run"]
    (peak,) = [item for item in contents[2]["rows"] if item["unit"] == "MiB"]
    assert peak["median"] > 100


@pytest.mark.slow
def test_bench_seed_processes(tmp_path: Path, data_root: Path) -> None:
    (content,) = quick(bench_seed_processes, tmp_path, data_root)
    assert {item["unit"] for item in content["rows"]} == {"s", "MiB", "ratio"}


@pytest.mark.slow
def test_bench_row(tmp_path: Path, data_root: Path) -> None:
    (content,) = quick(bench_row, tmp_path, data_root)
    assert content["name"] == "row_fp32_x1"
    assert 0 <= content["ensemble"]["auc"] <= 1
    # a second precision, as another call would leave it
    ensemble = {**content["ensemble"], "auc": content["ensemble"]["auc"] - 0.1}
    other = {**content, "precision": "bf16", "ensemble": ensemble}
    name = next(tmp_path.glob("row_fp32_*.json")).name
    (tmp_path / name.replace("fp32", "bf16")).write_text(json.dumps(other))
    options = options_for(tmp_path, "--out", str(tmp_path))
    bench_row.compare_precisions(argparse.Namespace(**vars(options), seeds=1, epochs=1, without_alm=False), [])
    (path,) = tmp_path.glob("row_precision_*.json")
    difference = json.loads(path.read_text())["rows"][0]
    assert difference["what"] == "ensemble's test AUC, bf16 - fp32"
    assert difference["median"] == pytest.approx(-0.1)


# --- the tables of the page --------------------------------------------------------------------------------


def test_goals_are_read_the_right_way_round() -> None:
    assert Goal("", "at most", 1.0).is_met(1.0)
    assert not Goal("", "at least", 1.3).is_met(1.2)


def test_summary_holds_goals_against_the_newest_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for month, value, is_quick in (("2026-10", 1.5, False), ("2026-11", 1.1, False), ("2026-12", 9.0, True)):
        options = options_for(tmp_path, "--out", str(tmp_path))
        options.quick = is_quick
        report = Report("step", options, script="bench_step", argv=[])
        report.add(row("LeNet5: step / floor", [value] * 30, unit="ratio", goal="step_lenet5_64"))
        quiet = {"load_average_before": 0.0, "cores_busy_with_others": 0.0}
        content = {**report.content(), "date": f"{month}-01", "quiet": quiet}
        (results / f"step_cpu_{month}.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert summary.main(["--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| at most 1.2 | 1.1 [1.1, 1.1], n 30 (CPU" in printed
    assert "| met |" in printed
    assert "## step_cpu_2026-11.json" in printed
    assert "1.5 [" not in printed
    assert printed.count("not measured") == len(GOALS) - 1


@pytest.mark.parametrize(
    ("n", "others", "expected"),
    [
        (30, 0.0, "met"),
        (29, 0.0, "not judged: n below 30"),
        (30, 0.5, "not judged: the machine was not quiet"),
        (30, None, "met"),
    ],
)
def test_weak_numbers_are_not_judged(n: int, others: float | None, expected: str) -> None:
    item, content = {"n": n, "median": 1.0}, {"quiet": {"cores_busy_with_others": others}}
    assert summary.verdict(GOALS["step_lenet5_64"], item, content) == expected


def test_summary_needs_its_marks() -> None:
    page = f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n"
    assert summary.with_goals(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="found none"):
        summary.with_goals("before\nafter\n", "new")


def test_tables_hold_the_newest_numbers(tmp_path: Path) -> None:
    """``python -m benchmarks.summary --write`` changes nothing."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    assert summary.main(["--write", "--folder", str(tmp_path / "benchmarks")]) == 0
    for name in ("README.md", "results/tables.md"):
        assert (tmp_path / "benchmarks" / name).read_bytes() == (ROOT / "benchmarks" / name).read_bytes()
