"""sweep.py on this machine: every job once, whatever is killed, and nothing is lost. main.py is a stand-in here."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sweeps
from sweeps import ended, kill, release, resumed, run, start, starts, table, until, workers

import sweep
from utils.sweeping import local
from utils.sweeping.job_state import claimed

ALL = {"a 1": 1, "a 2": 1, "b 1": 1, "b 2": 1}


@pytest.fixture
def two_rows(tmp_path: Path) -> Path:
    return table(tmp_path, "name: a", "name: b, set: {lr: 1}", epochs=20)


def test_every_job_runs_once_and_what_is_done_stays_done(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a", "name: b, set: {lr: 1}")
    output = run(path, "--jobs", "2")
    assert "4 of 4 done" in output
    assert starts(tmp_path) == ALL
    assert "4 of 4 done" in run(path, "--jobs", "2")
    assert starts(tmp_path) == ALL
    more = run(path, "--seeds", "1-3", "--only", "b")
    assert "3 of 3 done" in more
    assert starts(tmp_path) == {**ALL, "b 3": 1}


@pytest.mark.parametrize("worker_too", [False, True])
def test_a_killed_sweep_takes_its_workers_along_and_the_next_one_goes_on(
    two_rows: Path, tmp_path: Path, worker_too: bool
) -> None:
    first = start(two_rows, "--jobs", "2", hold=":1")
    until(lambda: len(list(tmp_path.glob("checkpoint/t/*/seed*/last.pt"))) == 2)
    if worker_too:
        kill(workers(tmp_path)[0])
    kill(first)
    until(lambda: not workers(tmp_path))
    release(tmp_path)
    assert "4 of 4 done" in run(two_rows, "--jobs", "2")
    assert sum(starts(tmp_path).values()) in ((6, 7) if worker_too else (6,))
    assert max(resumed(tmp_path)) > 0


def test_a_killed_worker_is_started_again_and_goes_on(two_rows: Path, tmp_path: Path) -> None:
    sweep = start(two_rows, "--jobs", "2", hold=":1")
    until(lambda: len(list(tmp_path.glob("checkpoint/t/*/seed*/last.pt"))) == 2)
    kill(workers(tmp_path)[0])
    release(tmp_path)
    output = ended(sweep)
    assert "killed " in output
    assert "4 of 4 done" in output
    assert sorted(starts(tmp_path).values()) == [1, 1, 1, 2]
    assert max(resumed(tmp_path)) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_sweep_leaves_no_process_and_everything_resumable(
    two_rows: Path, tmp_path: Path, number: signal.Signals
) -> None:
    sweep = start(two_rows, "--jobs", "2", hold=":1")
    until(lambda: len(list(tmp_path.glob("checkpoint/t/*/seed*/last.pt"))) == 2)
    sweep.send_signal(number)
    output = ended(sweep, code=128 + number)
    assert not workers(tmp_path)
    assert "the same command resumes the sweep" in output
    assert not list(tmp_path.glob("checkpoint/t/*/seed*/failed"))
    assert "to do: 1 (epoch " in run(two_rows, "--status")
    assert "4 of 4 done" in run(two_rows, "--jobs", "2")


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"name: r{i}" for i in range(5)), epochs=3)
    both = [start(path, "--jobs", "2", hold=":0") for _ in range(2)]
    until(lambda: len(workers(tmp_path)) == 4)
    release(tmp_path)
    outputs = [ended(process) for process in both]
    assert set(starts(tmp_path).values()) == {1}
    assert len(starts(tmp_path)) == 10
    for output in outputs:  # each started some, each saw the end of all
        assert "start " in output
        assert "10 of 10 done" in output


def test_a_job_that_another_sweep_takes_first_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [None]
    monkeypatch.setattr(local, "claimed", lambda job: answers.pop() if answers else claimed(job))
    assert sweep.main([str(table(tmp_path, "name: a")), "--seeds", "1", "--jobs", "1"], command=sweeps.FAKE) == 0
    assert "1 of 1 done" in capsys.readouterr().out
    assert answers == []


@pytest.mark.slow
def test_what_a_killed_sweep_left_is_taken_over_by_the_one_that_waits(two_rows: Path, tmp_path: Path) -> None:
    first = start(two_rows, "--jobs", "4", hold=":0")
    until(lambda: len(workers(tmp_path)) == 4)
    second = start(two_rows, "--jobs", "4")
    assert second.stdout is not None
    assert "waiting for another process" in second.stdout.readline()
    kill(first)
    assert "4 of 4 done" in ended(second)


@pytest.mark.slow
def test_a_seed_that_a_command_by_hand_works_on_is_not_a_failure(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a", epochs=20)
    argv = run(path, "--launcher", "print", "--seeds", "1").split()[2:]
    by_hand = subprocess.Popen([*sweeps.FAKE, *argv], env={**os.environ, "FAKE_HOLD": ":1"})
    until(lambda: (tmp_path / "checkpoint/t/a/seed1/last.pt").exists())
    assert "running: 1 (epoch 1)" in run(path, "--status")
    sweep = start(path)
    until(lambda: (tmp_path / "checkpoint/t/a/seed2/done").exists())
    release(tmp_path)
    assert "2 of 2 done" in ended(sweep)
    assert by_hand.wait(timeout=240) == 0
    assert starts(tmp_path) == {"a 1": 1, "a 2": 1}


@pytest.mark.slow
def test_a_failing_job_stops_no_other_and_is_listed_with_reason_and_command(tmp_path: Path) -> None:
    path = table(tmp_path, "name: fails", "name: b")
    output = run(path, "--jobs", "1", code=1)
    assert "2 of 4 done, 2 failed" in output
    assert "failed: fails seed 1\n  reason   it never works\n  command  python main.py " in output
    assert "--model_name fails" in output
    assert (tmp_path / "checkpoint/t/fails/seed1/failed").read_text() == "it never works\n"
    assert "it never works" in run(path, code=1)  # known from the folder, and not started again
    assert starts(tmp_path)["fails 1"] == 1
    assert "2 failed" in run(path, "--status", code=1)
    run(path, "--retry", "failed", code=1)
    assert starts(tmp_path) == {"fails 1": 2, "fails 2": 2, "b 1": 1, "b 2": 1}


def test_a_job_that_is_killed_again_and_again_has_failed(tmp_path: Path) -> None:
    path = table(tmp_path, "name: dies", "name: b")
    output = run(path, "--seeds", "1", code=1)
    assert "its process was ended by SIGKILL (out of memory?)" in output
    assert starts(tmp_path) == {"dies 1": 2, "b 1": 1}


def test_a_command_that_is_not_there_fails_each_job_and_not_the_sweep(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a")
    output = run(path, "--seeds", "1", code=1, command=("/nowhere/python", "main.py"))
    assert "failed: a seed 1\n  reason   [Errno 2]" in output


def test_results_that_a_kill_cost_are_made_again(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a")
    run(path, "--seeds", "1")
    (tmp_path / "checkpoint/t/a/results.json").unlink()
    assert "1 of 1 done" in run(path, "--seeds", "1")
    assert json.loads((tmp_path / "checkpoint/t/a/results.json").read_text())["seeds"].keys() == {"1"}


@pytest.mark.slow
def test_a_row_goes_on_from_another_only_when_that_is_done(tmp_path: Path) -> None:
    cont = "set: {continue_train: 1, continue_train_epochs: 1, baseline_cont_train: base}"
    path = table(tmp_path, f"name: more, alm: ALM_12_beg, {cont}", "name: base")
    (tmp_path / "checkpoint").mkdir()
    output = run(path, "--jobs", "2", "--seeds", "1", code=1)
    assert output.index("start   base seed 1") < output.index("not started: more seed 1, which continues base")
    base = tmp_path / "checkpoint/t/base/seed1"
    (base / "best.pt").touch()  # the stand-in writes none
    command = run(path, "--launcher", "print", "--only", "more", "--seeds", "1")
    assert "--baseline_cont_train base" in command
    run(path, "--only", "more", "--seeds", "1")
    assert starts(tmp_path) == {"base 1": 1, "more 1": 1}


def test_gpus_are_given_out_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    path = table(tmp_path, "name: a", "name: b", epochs=2)
    sweep = start(path, "--jobs", "4", hold=":0")
    until(lambda: len(workers(tmp_path)) == 4)
    release(tmp_path)
    ended(sweep)
    used = [json.loads(file.read_text())["gpu"] for file in tmp_path.glob("checkpoint/t/*/seed*/done")]
    assert sorted(used) == ["4", "4", "7", "7"]


def test_a_terminal_gets_a_live_table(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a", epochs=10)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", sweeps.CODE, "|".join(sweeps.FAKE), str(path), "--jobs", "1"],
        cwd=sweeps.ROOT,
        env={**os.environ, "FAKE_HOLD": ":3", "COLUMNS": "120"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
        if b"epoch 3/10" in shown:
            release(tmp_path)
    assert process.wait(timeout=240) == 0
    text = shown.decode()
    assert "1 running" in text
    assert "left" in text
    assert "\x1b[" in text
    assert text.rstrip().endswith("2 of 2 done")


def test_nothing_of_it_imports_torch() -> None:
    code = (
        "import sys, sweep, utils.sweeping.grid, utils.sweeping.search;"
        "print({'torch', 'sklearn', 'matplotlib', 'optuna', 'submitit'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=sweeps.ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout == "set()\n", done.stderr
