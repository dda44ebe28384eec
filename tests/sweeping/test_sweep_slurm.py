"""sweep.py on a real SLURM of one node: a cancelled job and one whose time is up end done, with the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import ROOT, ended, run, start, until

from utils.system.installation import started

SCRIPT = str(ROOT / "tests" / "slurm" / "start.sh")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
PACKAGES = ("slurm-wlm", "munge")
LONG = 200  # epochs; with slow_main.py there is time to stop it in the middle
PATIENCE = 900  # seconds for what takes some on a busy machine
TABLE = f"""
name: t
seeds: 1
common: {{dataset_name: digits, resnet_type: linear, threads: 1, num_epochs: 3}}
rows:
  - {{name: short, objective: baseline_bce}}
  - name: long
    objective: baseline_bce
    alm: ALM_12_beg
    delta: 1
    set: {{num_epochs: {LONG}, patience_early_stopping: {LONG}}}
"""
MAIN = started("train")
SLOW = (sys.executable, str(ROOT / "tests" / "slow_main.py"))
pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SLURM_CONF of a scheduler of our own."""
    pytest.importorskip("submitit")
    if os.geteuid():
        pytest.skip("a SLURM of our own needs root")
    if missing() and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", *PACKAGES]):
            subprocess.run(["apt-get", *command], env=environment, capture_output=True, timeout=240, check=False)
    if missing():
        pytest.skip(f"{', '.join(missing())} cannot be installed here (Debian packages {' and '.join(PACKAGES)})")
    folder = tmp_path / "slurm"
    started = subprocess.run(["bash", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    try:
        assert started.returncode == 0
        monkeypatch.setenv("SLURM_CONF", started.stdout.strip().partition("=")[2])
        yield
    finally:
        subprocess.run(["bash", SCRIPT, "stop", str(folder)], check=True, timeout=60)


def queue() -> str:
    """The jobs that SLURM knows, with their states."""
    done = subprocess.run(["squeue", "-h", "-r", "-o", "%i %T"], capture_output=True, text=True, check=True)
    return done.stdout


def number_of(folder: Path, row: str) -> str:
    """The number of a row's job."""
    return str(json.loads((folder / f".sweep/{row}.seed1.slurm").read_text())["slurm"])


def epochs(folder: Path) -> int:
    """The epochs that the seed of a run has finished."""
    history = folder / "seed1" / "history.jsonl"
    return history.read_text().count("\n") if history.exists() else 0


def logs(folder: Path) -> str:
    """What submitit has written about the jobs of a sweep."""
    return "".join(log.read_text() for log in folder.glob(".sweep/slurm/*_log.out"))


def numbers(folder: Path) -> dict[str, Any]:
    """Everything that a run computes; the checksum of best.pt is left out, since that file holds the command too."""
    seeds = json.loads((folder / "results.json").read_text())["seeds"]
    for values in seeds.values():
        values["checksums"].pop("best.pt")
    history = [json.loads(line) for line in (folder / "seed1/history.jsonl").read_text().splitlines()]
    return {
        "history": [{key: value for key, value in record.items() if key != "seconds"} for record in history],
        "scores": [(folder / "seed1" / name).read_bytes() for name in ("validation.csv", "test.csv")],
        "results": seeds,
    }


def test_cancelled_and_timed_out_jobs_end_done_and_equal(slurm: None, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TABLE)
    there, here = (("--set", f"checkpoint_root={tmp_path}/{name}") for name in ("there", "here"))
    folder = tmp_path / "there" / "t"
    # of a job of at most ten minutes submitit takes the signal for the end of its time, whenever it comes
    limits = ["--time_min", "10", "--signal_s", "40", "--mem_gb", "1"]
    submit: list[str | Path] = [path, "--launcher", "slurm", *limits, *there]
    assert "submitted 2 jobs" in run(*submit, command=SLOW)
    assert "nothing to submit" in run(*submit, command=SLOW)
    number = number_of(folder, "short")
    until(lambda: f"{number} RUNNING" in queue(), timeout=PATIENCE)
    subprocess.run(["scancel", number], check=True)
    until(lambda: number not in queue(), timeout=PATIENCE)
    assert "to do: 1" in run(path, "--status", "--only", "short", *there, command=MAIN)
    assert "submitted 1 jobs" in run(*submit, command=SLOW)

    until(lambda: epochs(folder / "long") >= 3, timeout=PATIENCE)
    subprocess.run(["scancel", "--signal=USR2", number_of(folder, "long")], check=True)  # as SLURM does before the end
    until(lambda: "Requeued job" in logs(folder), timeout=PATIENCE)
    assert logs(folder).count("this job is timed-out") >= 1
    assert not (folder / "long" / "results.json").exists()
    until(lambda: all((folder / row / "results.json").exists() for row in ("short", "long")), timeout=PATIENCE)
    until(lambda: "2 of 2 done" in run(path, "--status", *there, command=MAIN))

    ended(start(path, "--jobs", "2", *here, command=MAIN), timeout=PATIENCE)
    for row in ("short", "long"):
        assert numbers(folder / row) == numbers(tmp_path / "here" / "t" / row)
