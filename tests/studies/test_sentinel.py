"""A committed seed is trained again: what training computes has not changed since."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
SENTINEL = ROOT / "results" / "sentinel"
TOLERANCE = 1e-3  # of scores with an SD of 5: with AVX2 instead of AVX-512 they differed by 8e-6


def scores(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row["index"] for row in rows], np.array([float(row["score"]) for row in rows])


@pytest.mark.slow
def test_the_sentinel_seed_trained_again_gives_its_scores(tmp_path: Path) -> None:
    (row,) = SENTINEL.glob("*/*/row.json")
    command = [sys.executable, "sweep.py", str(SENTINEL / "digits.yaml"), "--jobs", "1", "--threads", "1"]
    done = subprocess.run(
        [*command, "--set", f"checkpoint_root={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("validation", "test"):
        rows, committed = scores(row.parent / "seed1" / f"{part}.csv")
        again, found = scores(tmp_path / "digits" / row.parent.name / "seed1" / f"{part}.csv")
        assert again == rows
        assert np.abs(found - committed).max() < TOLERANCE
        assert np.std(committed) > 1000 * TOLERANCE
