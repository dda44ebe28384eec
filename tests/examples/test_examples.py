"""The examples: each is run as its first lines say, and prints what it should; one is stopped and continued."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("[!_]*.py"))
MOST_LINES = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@cache
def run(name: str, *arguments: object) -> str:
    """What the example prints. One thread, so that two runs round alike."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", f"examples.{name}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    return [float(value) for value in re.findall(rf"{pattern} (-?\d[\d.e-]*)", text)]


def test_there_is_one_of_each_kind() -> None:
    assert EXAMPLES == ["huggingface_style", "lightning_style", "plain_pytorch", "tabular"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_how_to_run_it_and_is_short(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    head = text.split('"""')[1]
    assert f"python -m examples.{name}" in head
    assert "`rarecall` for `utils`" in head
    assert len(text.splitlines()) < MOST_LINES


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_gives_a_threshold_with_its_promise(name: str, folder: Path) -> None:
    printed = run(name, *(["--checkpoint", folder / "at_once.pt"] if name == "plain_pytorch" else []))
    validated, mus = numbers("validation AUC", printed), numbers("mu", printed)
    assert len(validated) == len(mus) >= 6
    assert mus[-1] > mus[0]
    assert all(before <= after for before, after in itertools.pairwise(mus))
    (area,), (fpr,), (threshold,) = (numbers(each, printed) for each in ("test AUC", "FPR at TPR 0.98:", "threshold"))
    assert 0.95 < area < 1  # 0.5 is chance, and no model of these is perfect
    assert 0 < fpr < 0.5
    assert abs(threshold) < 20
    (promised,) = numbers("promises TPR >=", printed)
    assert promised == (0.95 if name == "tabular" else 0.98)
    for reached in numbers("on the test set TPR", printed):
        assert reached >= promised - 0.02


def same(one: object, other: object) -> bool:
    """Bit for bit; NaN equals NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one == other or (one != one and other != other)


@pytest.mark.slow
def test_a_continued_example_equals_an_uninterrupted_one(folder: Path) -> None:
    """What is printed after the first epoch; and weights, momentum, multipliers, mu's rule and the sampler's place."""
    at_once, rest = folder / "at_once.pt", folder / "rest.pt"
    printed = run("plain_pytorch", "--checkpoint", at_once)
    first = printed.splitlines(keepends=True)[0]
    assert run("plain_pytorch", "--epochs", 1, "--checkpoint", rest).startswith(first)
    stopped = torch.load(rest, weights_only=True)
    assert run("plain_pytorch", "--checkpoint", rest) == printed.removeprefix(first)
    expected, found = (torch.load(path, weights_only=True) for path in (at_once, rest))
    assert (stopped["epoch"], found["epoch"]) == (1, 6)
    for part in ("model", "optimizer", "constraint", "sampler"):
        assert same(found[part], expected[part]), part
        assert not same(found[part], stopped[part]), part
