"""The loops of other packages train and validate what ours does, and bench_peers counts and compares as it says."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks import bench_peers
from benchmarks.goals import GOALS
from benchmarks.measuring import Report, common_arguments
from benchmarks.peers import environments, problem
from benchmarks.processes import Finished
from benchmarks.synthetic import Split, splits_of_two_classes
from utils.constraints import AugmentedLagrangian

pytestmark = pytest.mark.usefixtures("one_thread")
LOOPS = sorted({peer.loop for peer in bench_peers.PEERS.values()} | {"ours"})
TRAIN, VALIDATION = 200, 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small .npz for each model."""
    paths = {}
    for model, size in bench_peers.SIZES.items():
        paths[model] = tmp_path_factory.mktemp(model) / "peers.npz"
        splits = [Split("train", TRAIN), Split("val", VALIDATION), Split("test", VALIDATION)]
        splits_of_two_classes(paths[model], splits, size.image)
    return paths


def loop_of(name: str) -> Any:
    """The module of a loop; skips where its package is not installed, as LibAUC is not by the requirements."""
    package = {"libauc_loop": "libauc", "timm_loop": "timm", "cooper_loop": "cooper"}.get(name)
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    return import_module(f"benchmarks.peers.{name}")


# --- the loops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOPS)
def test_loop_parses_and_has_epochs(name: str) -> None:
    """Those of packages that are not installed too."""
    module = ast.parse((environments.HERE / f"{name}.py").read_text(encoding="utf-8"))
    assert "epochs" in [node.name for node in module.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, model, variant",
    [
        ("ours", "lenet5", ""),
        ("ours", "lenet5", "constrained"),
        ("plain_loop", "lenet5", ""),
        ("timm_loop", "lenet5", ""),
        ("cooper_loop", "lenet5", ""),
        ("libauc_loop", "lenet5", ""),
        ("plain_loop", "resnet10", ""),
        ("timm_loop", "resnet10", "channels_last"),
    ],
)
def test_epoch_sees_each_image_and_gives_the_auc(
    data: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, model: str, variant: str
) -> None:
    task = problem.load(data[model], model, variant=variant)
    built: list[torch.nn.Module] = []
    count = task.counted

    def kept(model: torch.nn.Module) -> torch.nn.Module:
        built.append(model)
        return count(model)

    monkeypatch.setattr(task, "counted", kept)
    running: Iterator[float] = loop_of(name).epochs(task)
    value = next(running)
    dropped = TRAIN % problem.BATCH if name == "timm_loop" else 0  # as its loader does with the last batch
    assert abs(task.seen["trained"] - TRAIN) <= (problem.BATCH if name == "libauc_loop" else dropped)
    assert task.seen["validated"] == VALIDATION
    images, labels = task.validation
    pixels = torch.as_tensor(images).view(len(images), *task.size[1:], -1).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (task.mean, task.std))
    with torch.no_grad():
        scores = built[0].eval()((pixels - mean) / std).squeeze(1)
    assert value == pytest.approx(roc_auc_score(labels, scores.numpy()), abs=3e-3)


def test_images_are_counted_in_the_first_epoch_only(data: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data["lenet5"]), "--model", "lenet5", "--threads", "1", "--epochs", "2"]
    problem.measure(loop_of("plain_loop").epochs, argv=arguments)
    content = json.loads(capsys.readouterr().out)
    assert (content["trained"], content["validated"]) == (TRAIN, VALIDATION)
    assert len(content["seconds"]) == 2
    assert content["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_a_loop_refuses_a_variant_that_it_does_not_know(data: dict[str, Path]) -> None:
    arguments = ["--data", str(data["lenet5"]), "--model", "lenet5", "--threads", "1", "--variant", "channels_last"]
    with pytest.raises(SystemExit, match="2"):
        problem.measure(loop_of("plain_loop").epochs, argv=arguments)


def test_constraint_in_cooper_is_ours() -> None:
    """Penalty, its gradient and the multipliers over steps, batches without positives among them."""
    cooper_loop = loop_of("cooper_loop")
    generator = torch.Generator().manual_seed(3)
    delta, mu, samples = 0.5, 0.3, 30
    labels = (torch.arange(samples) % 6 == 0).long()
    weights = torch.nn.Parameter(torch.randn(samples, generator=generator))

    class Scores(torch.nn.Module):
        def forward(self, indices: torch.Tensor) -> torch.Tensor:
            return weights[indices][:, None]

    cmp = cooper_loop.RankedProblem(Scores(), samples, delta=delta, mu=mu)
    optimizer = cooper_loop.SimultaneousOptimizer(
        cmp,
        primal_optimizers=torch.optim.SGD([weights], lr=0.5),
        dual_optimizers=torch.optim.SGD(cmp.dual_parameters(), lr=mu, maximize=True),
    )
    ours = AugmentedLagrangian(samples, delta=delta, mu=mu)
    kinds = set()
    for _ in range(12):
        indices = torch.randperm(samples, generator=generator)[:6]
        targets = labels[indices]
        kinds.add(bool(targets.any()))
        scores = weights.detach()[indices].requires_grad_()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets.float())
        total = loss + ours.penalty(scores, targets, indices)
        (gradient,) = torch.autograd.grad(total, scores)
        ours.update_multipliers()
        rolled = optimizer.roll({"images": indices, "targets": targets, "indices": indices})
        torch.testing.assert_close(rolled.primal_lagrangian_store.lagrangian.detach(), total.detach())
        assert weights.grad is not None
        torch.testing.assert_close(weights.grad[indices], gradient)
        torch.testing.assert_close(cmp.ranking.multiplier.weight.detach()[:, 0], ours.multipliers)
    assert kinds == {True, False}
    assert ours.multipliers.any()


# --- bench_peers -------------------------------------------------------------------------------------------


def test_every_goal_of_a_peer_is_measured() -> None:
    measured = {f"{name}_{model}" for name, peer in bench_peers.PEERS.items() for model in peer.models}
    goals = {name for name in GOALS if name.partition("_")[0] in ("libauc", "timm", "plain", "cooper")}
    assert len(goals) == 7
    assert goals <= measured


def test_environments_have_pins() -> None:
    for peer in bench_peers.PEERS.values():
        lines = environments.requirements(peer.environment).read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))


def test_fewest_workers_of_equally_fast_ones() -> None:
    assert bench_peers.fastest({0: 2.0, 1: 1.0, 2: 1.5}) == 1
    assert bench_peers.fastest({2: 1.0, 0: 1.0}) == 0


def test_unequal_work_is_refused() -> None:
    ours = {"trained": 1000, "validated": 100}
    bench_peers.check_equal_work(ours, {"trained": 960, "validated": 100}, "x")  # a last batch dropped
    with pytest.raises(RuntimeError, match="an epoch of x to see the images of ours, 1000 and 100, got 900 and 100"):
        bench_peers.check_equal_work(ours, {"trained": 900, "validated": 100}, "x")
    with pytest.raises(RuntimeError, match="got 1000 and 99"):
        bench_peers.check_equal_work(ours, {"trained": 1000, "validated": 99}, "x")


def test_lines_of_code_are_those_that_run(tmp_path: Path) -> None:
    path = tmp_path / "loop.py"
    path.write_text(
        '"""Docstring,\nof two lines."""\n\nimport torch  # counted\nfrom benchmarks.x import (\n    y,\n)\n\n\n'
        'def f(\n    a,\n):\n    """Docstring."""\n    # comment\n    text = """two\n    lines"""\n    return a\n\n\n'
        'if __name__ == "__main__":\n    f(1)\n'
    )
    assert bench_peers.lines_of_code(path) == 1 + 3 + 2 + 1


def test_result_is_the_last_line_of_json() -> None:
    assert bench_peers.result_of(Finished(1.0, 1.0, 'warning\n{"seconds": [1.0]}\nbye\n')) == {"seconds": [1.0]}


def test_rows_of_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides in turn; the median of a process's epochs; the ratio pair by pair."""
    seconds = {"ours": [[1.0, 9.0, 1.0], [2.0], [1.0]], "plain_loop": [[3.0], [4.0], [5.0, 5.0]]}
    order: list[str] = []

    def timed(run: bench_peers.Run) -> tuple[dict[str, Any], float]:
        found = {"seconds": seconds[run.loop][order.count(run.loop)], "trained": 10, "validated": 5}
        order.append(run.loop)
        return {**found, "auc": 0.5, "versions": {}}, 100.0 if run.loop == "ours" else 150.0

    monkeypatch.setattr(bench_peers.Run, "timed", timed)
    options = common_arguments("").parse_args(["--out", str(tmp_path)])
    options.repeats = 3
    report = Report("peers_lenet5", options, script="bench_peers", argv=[])
    report.facts["peers"] = {}
    theirs = bench_peers.Run(Path("python"), "plain_loop", "", 1, "lenet5", tmp_path, 1, 1)
    bench_peers.pairs(report, options, "plain", theirs)
    assert order == ["ours", "plain_loop"] * 3
    rows = {row.what: row for row in report.rows}
    ratio = rows["LeNet5, plain DataLoader loop / ours: epoch with validation"]
    assert (ratio.median, ratio.n, ratio.goal) == (3.0, 3, "plain_lenet5")  # of 3, 2 and 5
    assert rows["LeNet5, plain DataLoader loop / ours: peak memory"].median == 1.5
    assert rows["LeNet5, plain DataLoader loop: epoch with validation"].note == "1 workers, the fastest of 0, 1, 2"
    assert report.facts["peers"]["plain"]["workers"] == 1


def test_a_peer_that_cannot_be_installed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str, folder: Path) -> Path:
        if name == "libauc":
            raise environments.NotInstalledError("no matching distribution")
        return Path(sys.executable)

    monkeypatch.setattr(bench_peers, "environment", refuse)
    options = common_arguments("").parse_args([])
    options.peers, options.environments = ["libauc", "plain"], tmp_path
    pythons, missing = bench_peers.built(options)
    assert list(pythons) == ["plain"]
    assert missing == {"libauc": "no matching distribution"}
    assert "LibAUC is left out: no matching distribution" in capsys.readouterr().out


def test_pip_that_fails_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('first'); print('ERROR: none found'); raise SystemExit(1)"]
    with pytest.raises(environments.NotInstalledError, match=r"exit code 1 of .*ERROR: none found"):
        environments._run(command)


def test_other_device_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench_peers.main(["--device", "cuda"])
    assert "--device must be cpu, got cuda" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_peers_with_an_environment(tmp_path: Path) -> None:
    """An environment without packages of its own, which needs no network, and a pair in it; then it is used again."""
    arguments = ["--quick", "--threads", "1", "--models", "lenet5", "--peers", "plain"]
    arguments += ["--environments", str(tmp_path / "environments"), "--out", str(tmp_path)]
    assert bench_peers.main(arguments) == 0
    (path,) = tmp_path.glob("peers_lenet5_plain_cpu_*.json")
    content = json.loads(path.read_text())
    assert content["peers"]["plain"]["trained"] == content["peers"]["plain"]["ours"]["trained"] == 256
    (root,) = (tmp_path / "environments").iterdir()
    before = (root / environments.BUILT).stat().st_mtime_ns
    environments.environment("plain", tmp_path / "environments")
    assert (root / environments.BUILT).stat().st_mtime_ns == before
