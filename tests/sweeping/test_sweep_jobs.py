"""Jobs and their folders: states, changed rows, more epochs."""

from __future__ import annotations

import fcntl
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from sweeps import run, starts, table

from models import ONE_THREAD
from utils.config.settings import resolve
from utils.errors import UserError
from utils.sweeping.job_state import State, claimed, epoch_seconds, look, mark_failed
from utils.sweeping.jobs import Job, JobMaker, differences
from utils.sweeping.table_file import Row, Table
from utils.sweeping.worker import judged, reason
from utils.system.files import locked


def maker_of(root: Path, **options: Any) -> JobMaker:
    return JobMaker(Table("t", Path("t.yaml"), common={"checkpoint_root": str(root)}), **options)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    maker = maker_of(tmp_path, small_threads=1)
    (job,) = maker.jobs(Row("a", {"dataset_name": "digits", "resnet_type": "linear", "num_epochs": 5}, (3,)))
    return job


def finish(job: Job, *, epochs: int, stopped_early: bool = False, counted: bool = True) -> None:
    job.files.folder.mkdir(parents=True, exist_ok=True)
    content = {"epochs": epochs, "stopped_early": stopped_early, "best_epoch": 0}
    job.files.done.write_text(json.dumps(content))
    job.paths.results.write_text(json.dumps({"seeds": {"3": {}} if counted else {}}))


def test_states_are_read_from_the_folder(job: Job) -> None:
    assert look(job).state == State.TODO
    job.files.folder.mkdir(parents=True)
    job.files.history.write_text('{"epoch": 0, "seconds": 2}\n{"epoch": 1, "seconds": 4}\n')
    job.files.last.touch()
    assert (look(job).state, look(job).epochs) == (State.TODO, 2)
    assert epoch_seconds(job) == [2, 4]
    job.files.failed.write_text("the loss is nan\n")
    assert (look(job).state, look(job).message) == (State.FAILED, "the loss is nan")
    job.files.failed.write_bytes(b"\xff")
    assert (look(job).state, look(job).message[:18]) == (State.FAILED, "cannot read failed")
    with locked(job.files.lock, what="seed"):
        assert look(job).state == State.RUNNING
    finish(job, epochs=5)
    assert look(job).state == State.DONE


def test_done_needs_all_epochs_and_a_place_in_the_results(job: Job) -> None:
    finish(job, epochs=4)
    assert look(job).state == State.TODO
    finish(job, epochs=4, stopped_early=True)
    assert look(job).state == State.DONE
    finish(job, epochs=5, counted=False)
    assert look(job).state == State.TODO
    job.files.done.write_text("{")
    assert look(job).state == State.TODO


def test_a_claim_is_for_one_and_ends_with_its_file(job: Job) -> None:
    first = claimed(job)
    assert first is not None
    assert claimed(job) is None
    assert look(job).state == State.RUNNING
    first.close()
    second = claimed(job)
    assert second is not None
    second.close()
    assert look(job).state == State.TODO


def test_a_look_at_a_lock_is_in_nobodys_way(job: Job) -> None:
    """A command that takes the lock while somebody looks at it must not believe that it is held."""
    job.files.folder.mkdir(parents=True)
    job.files.lock.touch()
    with open(job.files.lock, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (stream, fcntl.LOCK_UN)).start()
        with locked(job.files.lock, what="seed"):
            pass
    refused = pytest.raises(UserError, match="seed is in use by process")
    with locked(job.files.lock, what="seed"), refused, locked(job.files.lock, what="seed"):
        pass


def test_a_number_in_the_queue_counts_only_while_the_scheduler_knows_it(job: Job) -> None:
    job.queued.parent.mkdir(parents=True)
    job.queued.write_text('{"slurm": "12_3"}')
    found = look(job, is_queued=lambda job: "SLURM job 12_3")
    assert (found.state, found.message) == (State.QUEUED, "SLURM job 12_3")
    assert look(job, is_queued=lambda job: "").state == State.TODO


def test_a_failure_is_not_written_where_somebody_works(job: Job) -> None:
    job.files.folder.mkdir(parents=True)
    with locked(job.files.lock, what="seed"):
        assert not mark_failed(job, "no")
    assert not job.files.failed.exists()
    assert mark_failed(job, "no")
    assert look(job).message == "no"


@pytest.mark.parametrize(
    "code, tail, expected",
    [
        (2, ["note: x", "error: bsize must be", "and more"], "bsize must be"),
        (1, ["Traceback", "ZeroDivisionError: oops", ""], "its process ended with exit code 1: ZeroDivisionError"),
        (-9, [], "its process was ended by SIGKILL .out of memory"),
        (-15, ["epoch 3"], "its process was ended by SIGTERM"),
        (0, ["fine"], "its process ended without finishing"),
        (5, [], "its process ended with exit code 5"),
    ],
)
def test_why_a_process_ended(code: int, tail: list[str], expected: str) -> None:
    assert re.match(expected, reason(code, tail))


def test_the_loser_of_a_race_for_a_seed_has_not_failed(job: Job) -> None:
    tail = ["error: seed 3 of checkpoint/t/a is in use by process 12 on here since then"]
    assert judged(job, 2, tail).state == State.RUNNING
    assert not job.files.failed.exists()


@pytest.mark.slow
def test_a_changed_row_is_a_new_job_and_the_old_result_stays(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a, set: {lr: 1}")
    run(path, "--seeds", "1")
    old = (tmp_path / "checkpoint/t/a/config.yaml").read_bytes()
    table(tmp_path, "name: a, set: {lr: 2}")
    assert "to do: 1" in run(path, "--seeds", "1", "--status")
    run(path, "--seeds", "1")
    (new,) = (file for file in (tmp_path / "checkpoint/t").iterdir() if file.name.startswith("a-"))
    assert starts(tmp_path) == {"a 1": 1, f"{new.name} 1": 1}
    assert (tmp_path / "checkpoint/t/a/config.yaml").read_bytes() == old
    rows = json.loads((tmp_path / "checkpoint/t/table.json").read_text())["rows"]
    assert [(row["name"], row["folder"]) for row in rows] == [("a", new.name)]
    assert "done: 1" in run(path, "--seeds", "1", "--status")
    table(tmp_path, "name: a, set: {lr: 1}")  # back again: the old result is found
    assert "1 of 1 done" in run(path, "--seeds", "1")
    assert sum(starts(tmp_path).values()) == 2


@pytest.mark.slow
def test_more_epochs_go_on_and_fewer_are_another_run(tmp_path: Path) -> None:
    path = table(tmp_path, "name: a", epochs=2)
    run(path, "--seeds", "1")
    table(tmp_path, "name: a", epochs=4)
    assert "0 of 1 done" in run(path, "--seeds", "1", "--status")
    run(path, "--seeds", "1")
    lines = (tmp_path / "checkpoint/starts.txt").read_text().splitlines()
    assert lines == ["a 1 0", "a 1 2"]
    table(tmp_path, "name: a", epochs=3)
    run(path, "--seeds", "1")
    assert len(list((tmp_path / "checkpoint/t").glob("a-*/seed1/done"))) == 1


def test_a_default_that_is_said_is_no_change() -> None:
    said = resolve(["--dataset_name", "digits", "--lr", "0.01"]).as_yaml_ready()
    assert differences(said, resolve(["--dataset_name", "digits"])) == []
    other = resolve(["--dataset_name", "digits", "--lr", "0.1"]).as_yaml_ready()
    assert differences(other, resolve(["--dataset_name", "digits"])) == ["lr"]
    followed = {**other, "lr": {"value": 0.01, "origin": "default of digits"}}
    assert differences(followed, resolve(["--dataset_name", "digits"])) == []
    assert differences(other, resolve(["--dataset_name", "digits", "--threads", "4", "--lr", "0.1"])) == []


def test_threads_follow_the_size_of_the_model(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, threads=8, small_threads=1, small=ONE_THREAD)

    def threads(**options: str | int) -> str:
        (job,) = maker.jobs(Row("a", options, (1,)))
        return job.argv[job.argv.index("--threads") + 1]

    assert threads(resnet_type="lenet5") == "1"
    assert threads(resnet_type="resnet10") == "8"
    assert threads(resnet_type="resnet10", threads=3) == "3"


def test_a_damaged_config_is_left_to_main(tmp_path: Path) -> None:
    maker = maker_of(tmp_path)
    folder = tmp_path / "t" / "a"
    folder.mkdir(parents=True)
    for content in ("", "options: 3", "options: {num_epochs: {value: x}}", "\0", "[", "options: {a: 1}"):
        (folder / "config.yaml").write_text(content)
        (job,) = maker.jobs(Row("a", {"dataset_name": "digits"}, (1,)))
        assert job.paths.model_name == "a"
