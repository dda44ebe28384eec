"""Several ranks for a job: what starts them on a node, what they die of, and what is refused."""

from __future__ import annotations

import doctest
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import until

import sweep
from utils.sweeping import rank_layout
from utils.sweeping.rank_layout import RankLayout, first_death
from utils.sweeping.worker import reason
from utils.system.child_processes import Child

ROOT = Path(__file__).resolve().parents[2]
# as torchrun prints it
REPORT = """\
============================================================
main.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-30_01:00:00
  host      : node7
  rank      : 0 (local_rank: 0)
  exitcode  : {} (pid: 4021)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-30_00:59:59
  host      : node7
  rank      : 1 (local_rank: 1)
  exitcode  : {} (pid: 4022)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4022
============================================================"""
OTHER = "error: another rank has ended, and so does this one; the last completed epoch of each seed is kept"
TABLE = """\
name: t
seeds: 1
common: {dataset_name: digits, num_epochs: 2}
rows:
  - {name: fitted, set: {resnet_type: logistic_cv}}
  - {name: compiled, set: {resnet_type: linear, compile: 1}}
  - {name: fine, set: {resnet_type: linear}}
"""


def words(layout: RankLayout, environment: dict[str, str]) -> str:
    return " ".join(layout.launcher(environment))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_one_rank_needs_no_launcher() -> None:
    assert RankLayout().launcher({}) == []


def test_the_ranks_of_one_node_meet_by_themselves() -> None:
    found = words(RankLayout(per_node=3), {})
    assert "-m utils.system.start_ranks --standalone --nproc_per_node 3" in found
    assert found.endswith(" --no_python")


@pytest.mark.parametrize("job, port", [("7", 10_007), ("20005", 10_005), ("19999", 29_999)])
def test_several_nodes_meet_at_the_first(job: str, port: int) -> None:
    environment = {"SLURM_JOB_ID": job, "SLURM_NODEID": "1", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.5"}
    found = words(RankLayout(per_node=4, nodes=2), environment)
    assert f"--nnodes 2 --node_rank 1 --master_addr 10.0.0.5 --master_port {port} --nproc_per_node 4" in found


def test_what_to_type_starts_as_many_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RankLayout().typed(["--seeds", "1"]) == "python main.py --seeds 1"
    two_nodes = RankLayout(per_node=4, nodes=2).typed(["--seeds", "1"])
    meeting = '--nnodes 2 --node_rank "$NODE_RANK" --master_addr "$FIRST_NODE"'
    assert two_nodes == f"torchrun {meeting} --nproc_per_node 4 main.py --seeds 1"
    for module in ("utils.system.installation", "utils.sweeping.rank_layout"):
        monkeypatch.setattr(f"{module}.IN_TREE", False)
    monkeypatch.setattr("utils.system.installation.PACKAGE", "rarecall")
    installed = RankLayout(per_node=2).typed(["--seeds", "1"])
    assert installed == "torchrun --standalone --nproc_per_node 2 --no_python rarecall train --seeds 1"


def test_a_dry_run_for_several_ranks_shows_what_starts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(ROOT / "configs" / "table" / "quick.yaml")
    to_slurm = ["--launcher", "slurm", "--ranks", "2", "--set", f"checkpoint_root={tmp_path}"]
    assert sweep.main([table, "--dry_run", *to_slurm]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("to do")]
    assert lines
    assert all(" torchrun --standalone --nproc_per_node 2 " in line for line in lines)


@pytest.mark.parametrize(
    "codes, expected",
    [
        ((1, -9), "rank 1: its process was ended by SIGKILL (out of memory?)"),
        ((-11, 1), "rank 0: its process was ended by SIGSEGV"),  # the other has lost it
        ((1, 1), ""),  # they say themselves why
        ((-15, -9), "rank 1: its process was ended by SIGKILL (out of memory?)"),
        ((-15, 1), ""),  # torchrun ended it
    ],
)
def test_the_rank_that_was_killed_is_named(codes: tuple[int, int], expected: str) -> None:
    assert first_death(REPORT.format(*codes).splitlines()) == expected


def test_a_message_of_its_own_comes_first_and_that_of_the_other_ranks_last() -> None:
    killed, ended = REPORT.format(1, -9).splitlines(), REPORT.format(1, 1).splitlines()
    assert reason(1, ["error: bsize must be", *killed]) == "bsize must be"
    assert reason(1, [OTHER, *killed]).startswith("rank 1: its process was ended by SIGKILL")
    assert reason(1, [OTHER, *ended]) == OTHER.removeprefix("error: ")


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["--ranks", "2"], "error: --ranks needs --launcher slurm, got local"),
        (["--nodes", "2", "--launcher", "print"], "error: --nodes needs --launcher slurm, got print"),
        (["--partition", "gpu"], "error: --partition needs --launcher slurm, got local"),
        (["--mem_gb", "9"], "error: --mem_gb needs --launcher slurm, got local"),
        (["--slurm", "account=lab"], "error: --slurm needs --launcher slurm, got local"),
        (["--launcher", "slurm", "--gpus", "2", "--ranks", "3"], "error: --ranks must be at most --gpus, "),
        (["--launcher", "slurm", "--gpus", "2"], "error: row 'fitted': --resnet_type logistic_cv is for one process"),
        (
            ["--launcher", "slurm", "--nodes", "2", "--only", "comp*"],
            "error: row 'compiled': --compile 1 is for one pr",
        ),
    ],
)
def test_what_ranks_cannot_do_is_one_line(
    argv: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TABLE)
    command = [str(path), *argv, "--set", f"checkpoint_root={tmp_path}/checkpoint"]
    assert sweep.main(command) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(expected)
    assert printed.count("\n") == 1
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.slow
def test_ranks_end_with_torchrun_and_it_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed as the task of SLURM kills it, with SIGTERM ignored, which a preemption sends to all."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = (
        "import os, pathlib, time; from utils.system.child_processes import end_with_parent; end_with_parent(); "
        f"pathlib.Path('{tmp_path}/' + os.environ['RANK']).write_text(str(os.getpid())); time.sleep(600)"
    )
    launcher = RankLayout(per_node=2).launcher({})
    child = Child([*launcher, sys.executable, "-c", code], ignored=[signal.SIGTERM])
    files = [tmp_path / "0", tmp_path / "1"]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    try:
        for pid in (child.process.pid, *pids):
            os.kill(pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            child.process.wait(timeout=3)  # torchrun looks at its signals and ranks ten times a second
        assert all(map(is_alive, pids))
        child.stop()
        child.process.wait()
        until(lambda: not any(map(is_alive, pids)), timeout=20)
    finally:
        child.stop()
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


def test_doctests() -> None:
    assert doctest.testmod(rank_layout).failed == 0
