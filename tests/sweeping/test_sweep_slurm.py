"""sweep.py on a real SLURM of one machine: jobs that are cancelled, requeued or lose a rank end done, with the numbers
of undisturbed ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import ROOT, ended, run, start, until

from utils.system.installation import started

SCRIPT = str(ROOT / "tests" / "slurm" / "start.sh")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
PACKAGES = ("slurm-wlm", "munge")
LONG = 8  # epochs
EPOCHS = 6  # of two ranks
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
TABLE_OF_RANKS = f"""
name: t
seeds: 1
common: {{dataset_name: digits, resnet_type: lenet5, device: cpu, threads: 1, augment: crop, num_epochs: {EPOCHS}}}
rows:
  - {{name: together, objective: baseline_bce, alm: ALM_12_beg, delta: 0.1, set: {{patience_early_stopping: {EPOCHS}}}}}
"""
HELD = (sys.executable, str(ROOT / "tests" / "held_main.py"))
pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that holds jobs after two epochs, until it is removed or allows more."""
    file = tmp_path / "hold"
    file.write_text("2")
    monkeypatch.setenv("HELD_MAIN", str(file))
    return file


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]


@pytest.fixture
def slurm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """SLURM_CONF of a scheduler of our own, of as many nodes as the parameter says; their number."""
    nodes: int = getattr(request, "param", 1)
    pytest.importorskip("submitit")
    if os.geteuid():
        pytest.skip("a SLURM of our own needs root")
    if missing() and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", *PACKAGES]):
            subprocess.run(["apt-get", *command], env=environment, capture_output=True, timeout=240, check=False)
    if missing():
        pytest.skip(f"{', '.join(missing())} cannot be installed here (Debian packages {' and '.join(PACKAGES)})")
    folder = Path(tempfile.mkdtemp(prefix="slurm_"))  # not tmp_path: a path of a socket has at most 108 characters
    started = subprocess.run(["bash", SCRIPT, str(folder), str(nodes)], stdout=subprocess.PIPE, text=True, timeout=60)
    try:
        assert started.returncode == 0
        monkeypatch.setenv("SLURM_CONF", started.stdout.strip().partition("=")[2])
        yield nodes
    finally:
        subprocess.run(["bash", SCRIPT, "stop", str(folder)], check=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


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


def kill_rank(rank: int, folder: Path) -> None:
    """SIGKILL to a rank of the job whose checkpoints lie below ``folder``."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_rank = f"\0RANK={rank}\0" in (process / "environ").read_text(errors="replace")
            if is_rank and str(folder) in (process / "cmdline").read_text(errors="replace"):
                os.kill(int(process.name), signal.SIGKILL)


def test_cancelled_and_timed_out_jobs_end_done_and_equal(slurm: int, hold: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TABLE)
    there, here = (("--set", f"checkpoint_root={tmp_path}/{name}") for name in ("there", "here"))
    folder = tmp_path / "there" / "t"
    # of a job of at most ten minutes submitit takes the signal for the end of its time, whenever it comes
    limits = ["--time_min", "10", "--signal_s", "40", "--mem_gb", "1"]
    submit: list[str | Path] = [path, "--launcher", "slurm", *limits, *there]
    assert "submitted 2 jobs" in run(*submit, command=HELD)
    assert "nothing to submit" in run(*submit, command=HELD)
    number = number_of(folder, "short")
    until(lambda: f"{number} RUNNING" in queue(), timeout=PATIENCE)
    subprocess.run(["scancel", number], check=True)
    until(lambda: number not in queue(), timeout=PATIENCE)
    assert "to do: 1" in run(path, "--status", "--only", "short", *there, command=MAIN)
    assert "submitted 1 jobs" in run(*submit, command=HELD)

    until(lambda: epochs(folder / "long") == 2, timeout=PATIENCE)
    subprocess.run(["scancel", "--signal=USR2", number_of(folder, "long")], check=True)  # as SLURM does before the end
    until(lambda: "Requeued job" in logs(folder), timeout=PATIENCE)
    assert logs(folder).count("this job is timed-out") >= 1
    assert not (folder / "long" / "results.json").exists()
    hold.unlink()
    until(lambda: all((folder / row / "results.json").exists() for row in ("short", "long")), timeout=PATIENCE)
    until(lambda: "2 of 2 done" in run(path, "--status", *there, command=MAIN))

    ended(start(path, "--jobs", "2", *here, command=MAIN), timeout=PATIENCE)
    for row in ("short", "long"):
        assert numbers(folder / row) == numbers(tmp_path / "here" / "t" / row)


@pytest.mark.parametrize("slurm", [1, 2], indirect=True, ids=["one node", "two nodes"])
def test_ranks_of_which_one_is_killed_and_that_are_requeued_end_done_and_equal(
    slurm: int, hold: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TABLE_OF_RANKS)
    there, here = (("--set", f"checkpoint_root={tmp_path}/{name}") for name in ("there", "here"))
    folder = tmp_path / "there" / "t"
    history = folder / "together"
    limits = ["--time_min", "10", "--signal_s", "40", "--mem_gb", "1", "--threads", "1"]
    layout = ["--nodes", str(slurm), "--ranks", str(2 // slurm)]
    submit: list[str | Path] = [path, "--launcher", "slurm", *layout, *limits, *there]
    assert "submitted 1 jobs" in run(*submit, command=HELD)
    until(lambda: epochs(history) == 2, timeout=PATIENCE)
    kill_rank(1, tmp_path / "there")
    hold.write_text("4")  # the other rank goes on, and learns of it
    until((history / "seed1" / "failed").exists, timeout=PATIENCE)
    until(lambda: not queue(), timeout=PATIENCE)
    failed = run(path, "--status", *there, command=MAIN, code=1)
    if slurm == 1:
        assert "reason   rank 1: its process was ended by SIGKILL (out of memory?)" in failed
    else:  # the log of the other node says it
        assert "reason   another rank has ended, and so does this one" in failed
    assert epochs(history) == 2

    assert "submitted 1 jobs" in run(*submit, "--retry", "failed", command=HELD)
    assert "nothing to submit" in run(*submit, "--retry", "failed", command=HELD)
    until(lambda: epochs(history) == 4, timeout=PATIENCE)
    subprocess.run(["scancel", "--signal=USR2", number_of(folder, "together")], check=True)  # as before the end of time
    until(lambda: "Requeued job" in logs(folder), timeout=PATIENCE)
    assert not (history / "results.json").exists()
    hold.unlink()
    until((history / "results.json").exists, timeout=PATIENCE)
    until(lambda: "1 of 1 done" in run(path, "--status", *there, command=MAIN), timeout=PATIENCE)

    printed = run(path, "--launcher", "print", "--threads", "1", *here, command=MAIN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run(
        [*torchrun, *shlex.split(printed)[1:]], env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT, check=True
    )
    assert numbers(history) == numbers(tmp_path / "here" / "t" / "together")
