"""sweep.py with the real main.py: a killed worker, a loss that is not finite, a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import ended, kill, run, start, table, until, workers

from utils.system.installation import started

MAIN = started("train")


@pytest.mark.slow
def test_a_killed_worker_and_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    rows = ("name: good, objective: baseline_bce", "name: wild, objective: baseline_bce, set: {lr: 1.0e+29}")
    path = table(tmp_path, *rows, epochs=40)
    folder = tmp_path / "checkpoint" / "t"
    sweep = start(path, "--seeds", "1", "--jobs", "2", command=MAIN)
    until(lambda: (folder / "wild/seed1/failed").exists() and (folder / "good/seed1/best.pt").exists())
    for pid in workers(tmp_path, MAIN):
        kill(pid)
    output = ended(sweep, code=1)
    assert "1 of 2 done, 1 failed" in output
    assert "failed: wild seed 1\n  reason   seed 1, epoch 0" in output or "not finite" in output
    assert json.loads((folder / "good/seed1/done").read_text())["epochs"] == 40
    records = [json.loads(line) for line in (folder / "good/seed1/history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == list(range(40))
    assert list(json.loads((folder / "good/results.json").read_text())["seeds"]) == ["1"]
    assert "1 of 2 done, 1 failed" in run(path, "--seeds", "1", "--status", code=1, command=MAIN)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for next to nothing."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here (needs root)")
    yield tmp_path
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_fails_the_job_with_its_reason_and_room_mends_it(small_disk: Path) -> None:
    path = table(small_disk, "name: a, objective: baseline_bce", epochs=2)
    output = run(path, "--seeds", "1", code=1, command=MAIN)
    assert "failed: a seed 1\n  reason   cannot " in output
    assert "No space left on device" in output
    remount = ["mount", "-o", "remount,size=16m", str(small_disk / "checkpoint")]
    subprocess.run(remount, check=True)
    output = run(path, "--seeds", "1", "--retry", "failed", command=MAIN)
    assert "1 of 1 done" in output
    assert json.loads((small_disk / "checkpoint/t/a/seed1/done").read_text())["epochs"] == 2
