"""A short round of faults.py: a hundred kills in all phases, and every other fault once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PHASES = ("import", "step", "write", "rename", "aggregation")
OTHERS = (
    *("SIGTERM", "SIGINT", "full disk", "limit of file size", "failing write", "failing fsync", "failing replace"),
    *("power cut", "last.pt truncated", "last.pt bit", "last.pt empty", "last.pt missing"),
    *("one seed twice", "different seeds at once", "lock of the dead", "other settings"),
    *("killed parent", "killed worker", "SIGTERM to the parent"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What faults.py found."""
    root = tmp_path_factory.mktemp("faults")
    out = root / "report.json"
    words = ["--kills", "100", "--seed", "2102", "--out", str(out), "--folder", str(root / "runs")]
    process = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "faults" / "faults.py"), *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert out.exists(), process.stdout[-3000:] + process.stderr[-3000:]
    content: dict[str, Any] = json.loads(out.read_text())
    wrong = content["mismatches"] or any(one["wrong"] for one in content["cases"].values())
    assert process.returncode == int(bool(wrong))
    return content


def test_killed_at_any_moment_and_resumed(report: dict[str, Any]) -> None:
    assert not report["mismatches"]
    assert report["total"] >= 100
    assert report["runs"] >= 5


@pytest.mark.parametrize("phase", PHASES)
def test_kills_hit_every_phase(report: dict[str, Any], phase: str) -> None:
    assert report["kills"][phase] >= 5


def test_programs_started_afresh_are_killed_too(report: dict[str, Any]) -> None:
    assert sum(report["kills of programs started afresh"].values()) >= 1


@pytest.mark.parametrize("name", OTHERS)
def test_other_faults(report: dict[str, Any], name: str) -> None:
    assert report["cases"][name]["tried"] >= 1
    assert not report["cases"][name]["wrong"]


def test_all_faults_are_looked_at(report: dict[str, Any]) -> None:
    assert set(report["cases"]) == set(OTHERS)
