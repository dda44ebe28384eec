"""Several seeds at once: the same files as one after the other, and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
import yaml
from runs import arguments, assert_same_run, experiment_of, run

from benchmarks.processes import last_of_each
from utils.config.settings import resolve
from utils.errors import UserError
from utils.run import train
from utils.run.best_checkpoint import config_facts
from utils.run.command import _with_threads
from utils.run.prepare_run import prepare
from utils.run_files.config_yaml import write_config
from utils.run_files.paths import RunPaths
from utils.system import interruption
from utils.system.devices import shared_cores
from utils.system.shared_tensor import SharedTensor, memory_file
from utils.training import memory_needs

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    "main.py --dataset_name digits --resnet_type lenet5 --name_file_bs baseline_bce --name_file_alm ALM_12_beg "
    "--delta 1 --model_name run --num_epochs 2 --seeds 1-2 --device cpu --threads 1"
)
# train_in_processes around a function of the test
HARNESS = """\
import os, signal, sys, time
from utils.errors import UserError
def train(seed):
    {body}
"""
CALL = """\
from utils.errors import UserError
from utils.run.seed_workers import train_in_processes
from trained import train
try:
    print(train_in_processes(train, [1, 2, 3, 4], at_once=2))
except UserError as error:
    print("UserError", error)
"""


def started(arguments: str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments.split(), "--checkpoint_root", str(root)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # a shell's background jobs ignore Ctrl-C, and so would their children
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(command, cwd=ROOT, text=True, preexec_fn=heeds, **pipes)  # type: ignore[call-overload,no-any-return]


def in_processes(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "trained.py").write_text(HARNESS.format(body=body.replace("\n", "\n    ")))
    command = [sys.executable, "-c", f"import sys; sys.path.append({str(folder)!r})\n{CALL}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize(
    "cores, threads, seeds, asked, on_cpu, expected",
    [
        (2, 0, 10, 0, True, (1, 2)),
        (2, 1, 10, 0, True, (1, 2)),
        (2, 2, 10, 0, True, (2, 1)),
        (16, 0, 10, 0, True, (1, 10)),
        (16, 0, 1, 0, True, (16, 1)),
        (16, 4, 10, 0, True, (4, 4)),
        (16, 0, 10, 3, True, (5, 3)),
        (2, 0, 3, 8, True, (1, 3)),
        (1, 0, 3, 0, True, (1, 1)),
        (2, 8, 3, 0, True, (8, 1)),
        (16, 0, 10, 0, False, (16, 1)),
        (16, 0, 10, 5, False, (3, 5)),
    ],
)
def test_cores_are_shared(
    cores: int, threads: int, seeds: int, asked: int, on_cpu: bool, expected: tuple[int, int]
) -> None:
    assert shared_cores(cores, threads=threads, seeds=seeds, seeds_at_once=asked, on_cpu=on_cpu) == expected


@pytest.mark.slow
def test_seeds_at_once_write_what_seeds_in_turn_write(tmp_path: Path) -> None:
    processes = [started(f"{COMMAND} --parallel_seeds {number}", tmp_path / f"at_once_{number}") for number in (1, 2)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    in_turn, at_once = (tmp_path / f"at_once_{number}" / "runs" / "run" for number in (1, 2))
    assert "(2 seeds at once, 1 thread each, fp32)" in out
    assert_same_run(at_once, in_turn, seeds=(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("redirect, code", [("2>&-", 0), (">&- 2>&-", 0), ("| head -n 1; exit ${PIPESTATUS[0]}", 141)])
def test_seeds_at_once_have_the_streams_of_their_parent(tmp_path: Path, redirect: str, code: int) -> None:
    """Closed ones end no seed; where the reader has gone, all ends without a message."""
    argv = arguments(tmp_path, "--seeds 1-2 --parallel_seeds 2 --num_epochs 300")
    argv = argv if code else last_of_each([*argv, "--num_epochs", "1"])
    command = ["bash", "-c", f'"$0" main.py "$@" {redirect}', sys.executable, *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (code, "")
    assert len(list(tmp_path.rglob("done"))) == (0 if code else 2)


@pytest.mark.slow
def test_seeds_at_once_escape_what_the_encoding_lacks(tmp_path: Path) -> None:
    """A damaged last.pt is told of with its path."""
    root, command = tmp_path / "d\u00e9", "--seeds 1-2 --parallel_seeds 2 --resume 1 --num_epochs"
    folder = run(root, f"{command} 2 --parallel_seeds 1")
    for seed in (1, 2):
        (folder / f"seed{seed}" / "last.pt").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "main.py", *arguments(root, f"{command} 3")],
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("/d\\xe9/runs/run/seed") == 2


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path: Path) -> None:
    """Unless the command says otherwise: their number changes rounding."""
    argv = f"--dataset_name digits --model_name run --checkpoint_root {tmp_path}"
    options = {"num_epochs": {"value": 1, "origin": ""}}
    record = {"options": options, "data": {"checksum": ""}, "commands": [], "threads": 1}
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "config.yaml").write_text(yaml.safe_dump(record))
    kept = _with_threads(resolve(argv.split()))
    assert (kept.config.threads, kept.origins["threads"]) == (1, "config.yaml")
    assert _with_threads(resolve(f"{argv} --threads 7".split())).config.threads == 7
    (tmp_path / "runs" / "run" / "config.yaml").write_text(yaml.safe_dump({**record, "threads": 100_000}))
    assert _with_threads(resolve(argv.split())).config.threads == 0  # not on this machine


@pytest.mark.usefixtures("one_thread", "blank_pictures")
def test_a_worker_on_a_gpu_does_not_count_the_memory_of_the_others_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prepares anew, where the other seeds have taken what its parent found free for all of them."""
    experiment = experiment_of(tmp_path, "--seeds 1-2 --parallel_seeds 2")
    paths = RunPaths.of(experiment.config)
    paths.folder.mkdir(parents=True)
    text = write_config(paths.config, experiment.settings, config_facts(experiment))
    monkeypatch.setattr(memory_needs, "memory_to_spare", lambda: 0)
    with pytest.raises(UserError, match="for each of 2 seeds at once"):
        prepare(experiment.settings)
    assert train._train_afresh(experiment.settings, paths, {}, text, 2) is None
    assert paths.seed(2).done.exists()


def test_a_worker_that_is_killed_costs_its_seed_only(tmp_path: Path) -> None:
    body = 'if seed == 2:\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn "bad" if seed == 3 else None'
    done = in_processes(tmp_path, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{2: 'its process was ended by SIGKILL (out of memory?)")
    assert done.stdout.endswith("3: 'bad'}\n")
    assert done.stderr.startswith("seed 2 stopped: its process was ended by SIGKILL")


def test_a_worker_trains_one_seed_after_the_other(tmp_path: Path) -> None:
    """Two processes for four seeds; one that is killed is replaced, and waiting ones end with the last seed."""
    body = f"open({str(tmp_path)!r} + f'/{{seed}}', 'w').write(str(os.getpid()))\n"
    done = in_processes(tmp_path, f"{body}time.sleep(0.1)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")
    assert len({(tmp_path / f"{seed}").read_text() for seed in range(1, 5)}) <= 2
    done = in_processes(tmp_path, f"{body}if seed < 3:\n    os.kill(os.getpid(), signal.SIGKILL)")
    assert done.stdout.count("SIGKILL") == 2
    first, second, *others = [(tmp_path / f"{seed}").read_text() for seed in range(1, 5)]
    assert not {first, second} & set(others)


def test_bad_input_found_by_a_worker_stops_the_others(tmp_path: Path) -> None:
    done = in_processes(tmp_path, 'if seed == 1:\n    raise UserError("no space")\ntime.sleep(1000)')
    assert (done.stdout, done.stderr) == ("UserError no space\n", "")


def test_an_error_in_a_worker_shows_where_it_came_from(tmp_path: Path) -> None:
    done = in_processes(tmp_path, 'if seed == 4:\n    raise ZeroDivisionError("oops")')
    assert "ZeroDivisionError: oops" in done.stderr
    assert "{4: 'its process ended with exit code 1" in done.stdout


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "a part"])
def test_a_shared_tensor_keeps_values_and_layout(layout: str) -> None:
    whole = torch.arange(4 * 3 * 5 * 2, dtype=torch.uint8).reshape(4, 3, 5, 2)
    last = whole.to(memory_format=torch.channels_last)
    tensor = {"contiguous": whole, "channels last": last, "a part": whole[1:, :, ::2]}[layout]
    with memory_file() as stream:
        shared = SharedTensor.write(tensor, stream).tensor()
    assert torch.equal(shared, tensor)
    assert shared.stride() == tensor.stride()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_python_swallowed_stops_at_the_next_check(number: signal.Signals) -> None:
    """As where it comes while an object is deleted: Python prints the KeyboardInterrupt and goes on."""
    with interruption.Interruption() as entered:
        interruption.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        assert entered.exit_code == 128 + number
    interruption.check()


def test_a_signal_while_a_worker_starts_leaves_no_traceback(tmp_path: Path) -> None:
    """Python calls hooks around a fork and prints what they raise: here one in which the signal would arrive."""
    code = textwrap.dedent(
        """
        import os, signal, sys, time
        from utils.run import seed_workers
        from utils.system import interruption

        os.register_at_fork(after_in_parent=lambda: print("a hook was run", file=sys.stderr))
        start = seed_workers.SeedProcess.__init__
        def interrupted(*arguments, **options):
            start(*arguments, **options)
            os.kill(os.getpid(), signal.SIGTERM)
        seed_workers.SeedProcess.__init__ = interrupted
        with interruption.Interruption() as entered:
            try:
                seed_workers.train_in_processes(time.sleep, [1000, 1001], at_once=2)
            except KeyboardInterrupt:
                sys.exit(entered.exit_code)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "")


def children_of(process: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def wait_for(condition: object, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_run_and_the_run_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    long = COMMAND.replace("--num_epochs 2", "--num_epochs 400")
    run = started(f"{long} --parallel_seeds 2", tmp_path)
    histories = [tmp_path / "runs" / "run" / f"seed{seed}" / "history.jsonl" for seed in (1, 2)]
    wait_for(lambda: all(path.exists() and path.read_text().count("\n") > 1 for path in histories))
    workers = children_of(run.pid)
    assert len(workers) == 2
    os.kill(run.pid, number)
    _, err = run.communicate(timeout=240)
    wait_for(lambda: not any(is_alive(worker) for worker in workers))
    if number != signal.SIGKILL:
        assert run.returncode == 128 + number
        assert err.strip().splitlines()[-1] == (
            f"interrupted by {number.name}; the last completed epoch of each seed is kept: "
            "the same command with --resume 1 resumes from it"
        )
        assert "Traceback" not in err
    for path in histories:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [record["epoch"] for record in records] == list(range(len(records)))
