"""The training step: captured equals eager, nothing waits, and the optimizers are torch's own without the compiler."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from replays import RecordedStep
from runs import OPTIONS_OF, start_of
from torch import Tensor

from utils.losses import LOSSES
from utils.seeding import torch_stream
from utils.training.capture import WARM_UP, CapturedStep
from utils.training.optimizers import build_optimizer, restore_optimizer, set_learning_rate
from utils.training.step import TrainingSteps

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")


def started(root: Path, more: str = "") -> TrainingSteps:
    experiment, state, data = start_of(root, f"--use_ALM 1 --mu 1e-2 --delta 1 {more}")
    return TrainingSteps(state, data, machine=experiment.machine)


def recorded_step(runner: TrainingSteps, indices: Tensor) -> RecordedStep:
    """A step as a GPU captures it, which looks at no batch."""
    runner.skips_penalty = False
    return RecordedStep(runner.step, indices)


def tensors_of(runner: TrainingSteps) -> dict[str, Tensor]:
    """Everything that steps change."""
    state, sums = runner.state, runner.sums
    assert state.constraint is not None
    named = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    named |= {f"loss.{name}": value for name, value in state.loss.state_dict().items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        named |= {f"optimizer.{number}.{name}": v for name, v in values.items() if isinstance(v, Tensor)}
    named |= {"multipliers": state.constraint.multipliers, "scores": state.train_scores}
    named |= {name: getattr(sums, name) for name in ("objective", "penalty", "one_class", "good", "alive")}
    named["augmentation"] = state.augmentation.get_state()
    return {name: value.clone() for name, value in named.items()}


def assert_same(one: TrainingSteps, other: TrainingSteps) -> None:
    a, b = tensors_of(one), tensors_of(other)
    assert list(a) == list(b)
    for name, value in a.items():
        assert torch.equal(value.nan_to_num(nan=-7), b[name].nan_to_num(nan=-7)), name


def batches_of(runner: TrainingSteps, number: int) -> list[Tensor]:
    """The next full batches."""
    size = runner.state.sampler.batch_size
    drawn: list[Tensor] = []
    while len(drawn) < number:
        drawn += [indices.clone() for indices in runner.state.sampler if len(indices) == size]
    return drawn[:number]


# ---------------------------------------------------------------- captured equals eager


@pytest.mark.parametrize("training_type", sorted(LOSSES))
def test_a_replayed_step_equals_an_eager_one(tmp_path: Path, training_type: str) -> None:
    """Weights, momentum, multipliers, scores and sums after 4 steps, each of which reads new images."""
    more = f"--training_type {training_type} {OPTIONS_OF.get(training_type, '')} --resnet_type lenet5 --bsize 16"
    eager, replayed = started(tmp_path, more), started(tmp_path, more)
    batches = batches_of(eager, 6)
    for indices in batches:
        eager.step(indices)
    replayed.step(batches[0])  # a first eager step, which makes the momentum buffers
    recorded = recorded_step(replayed, batches[1])
    for indices in batches[2:]:
        recorded.replay(indices)
    assert_same(eager, replayed)


@pytest.mark.parametrize(
    "more",
    [
        "--augment crop_flip --resnet_type lenet5",
        "--resnet_type resnet20 --bsize 8",
        "--optimizer adamw --precision bf16",
        "--optimizer adam --bsize 700",  # large enough for the sorted form of the constraint
    ],
)
def test_replays_draw_from_the_same_streams_and_keep_statistics(tmp_path: Path, more: str) -> None:
    eager, replayed = started(tmp_path, more), started(tmp_path, more)
    size = min(eager.state.sampler.batch_size, len(eager.data.train))
    stream = torch_stream(3, "batches of the test")
    batches = [eager.data.train[torch.randperm(len(eager.data.train), generator=stream)[:size]] for _ in range(5)]
    for indices in batches:
        eager.step(indices)
    replayed.step(batches[0])
    recorded = recorded_step(replayed, batches[1])
    for indices in batches[2:]:
        recorded.replay(indices)
    assert_same(eager, replayed)


def test_one_class_and_bad_batches_are_replayed_too(tmp_path: Path) -> None:
    """What happens in a batch without positives, and from a batch with a NaN on, is decided on the device."""
    eager, replayed = started(tmp_path, "--bsize 16"), started(tmp_path, "--bsize 16")
    negatives = eager.data.train[eager.data.labels[eager.data.train] == 0]
    batches = [*batches_of(eager, 3), negatives[:16], negatives[16:32]]
    for runner in (eager, replayed):
        runner.step(batches[0])
    recorded = recorded_step(replayed, batches[1])
    eager.step(batches[1])
    for indices in batches[2:]:
        eager.step(indices)
        recorded.replay(indices)
    assert int(eager.sums.one_class) >= 2
    assert_same(eager, replayed)
    good, weights = int(eager.sums.good), eager.state.model.state_dict()
    for runner in (eager, replayed):
        runner.state.train_scores.zero_()
        next(iter(runner.state.model.parameters())).data[0, 0] = torch.nan
    before = {name: value.clone() for name, value in weights.items()}
    eager.step(batches[2])
    recorded.replay(batches[2])
    assert int(eager.sums.good) == good == int(replayed.sums.good)
    assert all(torch.equal(value.nan_to_num(7), before[name].nan_to_num(7)) for name, value in weights.items())
    assert_same(eager, replayed)


@pytest.mark.parametrize(
    "task", ["", "--task classes --critical_classes 2,3 --training_type WCE"], ids=["two sides", "ten classes"]
)
def test_on_a_cpu_the_penalty_of_batches_without_pairs_is_skipped_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    skipping, whole = (started(tmp_path, f"--bsize 4 {task}") for _ in range(2))
    whole.skips_penalty = False
    labels, critical = skipping.data.labels, torch.tensor(skipping.data.critical)
    batches = batches_of(skipping, 20)
    of_critical = [torch.isin(labels[indices], critical) for indices in batches]
    mixed = [len(labels[indices].unique()) > 1 for indices in batches]
    with_pairs = sum(bool(found.any()) and several for found, several in zip(of_critical, mixed, strict=True))
    for runner, expected in ((skipping, with_pairs), (whole, len(batches))):
        constraint = runner.state.constraint
        assert constraint is not None
        calls: list[int] = []
        penalty = constraint.penalty
        monkeypatch.setattr(constraint, "penalty", lambda *batch, f=penalty, calls=calls: calls.append(1) or f(*batch))
        for indices in batches:
            runner.step(indices)
        assert len(calls) == expected
    assert 0 < with_pairs < len(batches)
    assert_same(skipping, whole)


def test_the_first_steps_of_each_batch_size_run_eagerly_then_one_graph_is_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of calls, with stand-ins for CUDA: 3 eager steps and one capture of each size, replays ever after."""
    log: list[str] = []
    sums: list[int] = []

    class Graph:
        def __init__(self) -> None:
            self.generators: list[Any] = []

        def register_generator_state(self, generator: Any) -> None:
            self.generators.append(generator)

        def pool(self) -> tuple[int, int]:
            return (0, 1)

        def replay(self) -> None:
            log.append("replay")
            sums.append(int(static[id(self)].sum()))

    static: dict[int, Tensor] = {}
    current: list[Graph] = []

    @contextmanager
    def capturing(graph: Graph, *, pool: Any, stream: Any) -> Iterator[None]:
        log.append(f"capture in {pool}")
        current.append(graph)
        yield
        current.pop()

    @contextmanager
    def on_stream(stream: Any) -> Iterator[None]:
        yield

    class Stream:
        def wait_stream(self, other: Any) -> None:
            pass

    def step(indices: Tensor) -> None:
        if current:
            static[id(current[0])] = indices
        else:
            log.append("eager")
            sums.append(int(indices.sum()))

    for name, value in {"Stream": Stream, "CUDAGraph": Graph, "graph": capturing, "stream": on_stream}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    captured = CapturedStep(step, generators=["augmentation"])  # type: ignore[list-item]
    expected = []
    for number in range(6):
        for size in (4, 3):  # a full batch and the last one of each epoch
            indices = torch.arange(size) + number
            expected.append(int(indices.sum()))
            captured(indices)
    assert sums == expected  # every call is one step, on its own indices
    assert log[: 2 * WARM_UP] == ["eager"] * 6
    assert log[6:] == ["capture in None", "replay", "capture in (0, 1)", "replay", *["replay"] * 4]
    assert all(vars(graph)["generators"] == ["augmentation"] for graph, _ in captured._graphs.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_captured_step_equals_the_eager_one(tmp_path: Path) -> None:
    more = "--device cuda --deterministic 1 --resnet_type resnet10 --augment crop_flip --bsize 32"
    captured, eager = started(tmp_path, more), started(tmp_path, more)
    eager._run_step = eager.step
    for runner in (captured, eager):
        runner.run(30)
    assert isinstance(captured._run_step, CapturedStep)
    assert_same(captured, eager)


# ---------------------------------------------------------------- optimizers


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_equal_those_of_torch(name: str) -> None:
    rules: dict[str, Callable[..., Any]] = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1e-2, momentum=0.9, fused=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=1e-2, fused=True),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=1e-2, fused=True),
    }
    ours = torch.nn.Linear(3, 2)
    theirs = copy.deepcopy(ours)
    optimizer = build_optimizer(name, ours.parameters(), lr=0.1, weight_decay=1e-2, momentum=0.9)
    reference = rules[name](theirs.parameters())
    images = torch.randn(5, 3, generator=torch_stream(1, "images of the test"))
    for step in range(5):
        if step == 3:  # through a file and back
            fresh = build_optimizer(name, ours.parameters(), lr=0.7, weight_decay=0, momentum=0)
            restore_optimizer(fresh, copy.deepcopy(optimizer.state_dict()))
            optimizer = fresh
        for module, rule in ((ours, optimizer), (theirs, reference)):
            rule.zero_grad()
            module(images).square().sum().backward()
            rule.step()
        assert torch.equal(ours.weight, theirs.weight)
    assert optimizer.state_dict().keys() == reference.state_dict().keys()
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    before = ours.weight.clone()
    optimizer.step()
    assert torch.equal(ours.weight, before)  # skipped


def test_a_learning_rate_in_a_tensor_stays_that_tensor() -> None:
    """A captured step reads it there."""
    rate = torch.tensor(0.1)
    optimizer = build_optimizer("sgd", torch.nn.Linear(3, 2).parameters(), lr=rate, weight_decay=0, momentum=0)
    saved = copy.deepcopy(optimizer.state_dict())
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=0)
    for _ in range(2):
        scheduler.step(0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.05)
    restore_optimizer(optimizer, saved)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.1)
    set_learning_rate(optimizer.param_groups[0], 0.3)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.3)


# ---------------------------------------------------------------- start-up and compilation

HEAVY = ("torch._dynamo", "torch._inductor", "sklearn", "scipy", "matplotlib", "tensorboard", "torchvision", "PIL")
FIRST_STEP = """\
import sys
import main
from utils.training import step
run = step.TrainingSteps.run
def first(self, steps, **options):
    run(self, 2)
    print("loaded:", *[name for name in {heavy!r} if name in sys.modules])
    raise SystemExit(0)
step.TrainingSteps.run = first
main.main(sys.argv[1:])
"""


def test_nothing_heavy_is_imported_before_the_first_step(tmp_path: Path) -> None:
    images, labels = torch.randint(0, 256, (80, 8, 8)).numpy().astype("uint8"), (torch.arange(80) % 2).numpy()
    parts: dict[str, Any] = {
        f"{part}_{what}": v for part in ("train", "test") for what, v in (("images", images), ("labels", labels))
    }
    numpy.savez(tmp_path / "tiny.npz", **parts)
    script = FIRST_STEP.format(heavy=HEAVY)
    command = (
        f"--dataset_name tiny --data_root {tmp_path} --resnet_type linear --seeds 1 --checkpoint_root {tmp_path}/out "
        "--ratio_pos_train 2 --negative_classes 0 --positive_classes 1 --name_file_bs baseline_bce --threads 1"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "loaded:" in done.stdout, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "loaded:"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_model_trains_as_an_eager_one(tmp_path: Path) -> None:
    eager, compiled = started(tmp_path / "a", "--bsize 16"), started(tmp_path / "b", "--bsize 16 --compile 1")
    for indices in batches_of(eager, 3):
        eager.step(indices)
        compiled.step(indices)
    for (name, value), other in zip(tensors_of(eager).items(), tensors_of(compiled).values(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name)
