"""Faults other than a kill. Each case gets an empty folder and a random stream, and returns what was wrong."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import disks
import phases
from children import FOLDER, Board, Child, Ended, finish, forked, fresh
from comparing import Files, broken_sums, differences, snapshot
from killing import PLACES, Undisturbed, undisturbed
from phases import PHASES, Death, Phases

from utils.errors import UserError
from utils.run import seed_epochs
from utils.run_files.best_pt import BEST
from utils.run_files.checkpoints import load_sound
from utils.run_files.last_pt import LAST, load_last
from utils.run_files.paths import SeedPaths

OPTIONS = ["--seeds", "1-2", "--use_ALM", "1", "--delta", "1", "--mu", "0.01", "--augment", "crop"]
MAY_DIFFER = ["--num_epochs", "5", "--keep_last", "0", "--tpr", "0.9", "--deterministic", "0"]
Case = Callable[[Path, random.Random], list[str]]
_known: dict[tuple[str, ...], Undisturbed] = {}


def reference(folder: Path, options: list[str]) -> Undisturbed:
    """The undisturbed run of these options, beside ``folder``; run once a process."""
    key = tuple(options)
    if key not in _known:
        _known[key] = undisturbed(folder.parent / f"{folder.name}_undisturbed", options)
    return _known[key]


def resumed(folder: Path, options: list[str], *, leave_out: str = "") -> list[str]:
    """Let the run go on to its end; what differs from the undisturbed one."""
    ended = forked(folder, options).wait()
    if ended.code:
        return [f"exit code {ended.code} at the end: {ended.err[-300:]}"]
    expected = reference(folder, options).files
    found = differences(snapshot(folder / FOLDER), expected) + broken_sums(folder / FOLDER)
    return [item for item in found if not leave_out or leave_out not in item]


def one_line(ended: Ended, *, code: int, says: str) -> list[str]:
    """Whether the process ended as it should."""
    if ended.code == code and len(ended.lines) == 1 and says in ended.lines[0]:
        return []
    return [f"exit code {ended.code}, not {code} with one line that says {says!r}: {ended.err[-400:]!r}"]


def checkpoints_valid(folder: Path) -> list[str]:
    """Whether what lies there can be gone on from."""
    found = []
    for seed in (folder / FOLDER).glob("seed*"):
        files = SeedPaths(seed)
        for path, kind in ((files.last, LAST), (files.best, BEST), (files.last_before, LAST)):
            try:
                if path.exists():
                    load_sound(path, kind)
            except UserError as error:
                found.append(str(error))
    return found


# ---------------------------------------------------------------- signals


def interrupted(number: signal.Signals, code: int) -> Case:
    """A signal at a chosen call of a chosen phase: one line, its exit code, and then nothing is lost."""

    def case(folder: Path, stream: random.Random) -> list[str]:
        expected = reference(folder, OPTIONS)
        phase = stream.choice(PHASES)
        death = Death(phase, stream.randint(1, 3) if phase != "import" else 1, stream.uniform(0.1, 0.9))

        def prepare() -> None:
            setattr(phases, "die", lambda: os.kill(os.getpid(), number))  # noqa: B010
            Phases(Board(PLACES), expected.calls, death).install()

        ended = forked(folder, OPTIONS, prepare).wait()
        wrong = one_line(ended, code=code, says="--resume 1") + checkpoints_valid(folder)
        return [f"{death}: {item}" for item in wrong] + resumed(folder, OPTIONS)

    return case


# ---------------------------------------------------------------- disks


def full_disk(folder: Path, stream: random.Random) -> list[str]:
    """A disk too small for the run, then a larger one. Where no disk may be mounted: see ``full_disk_is_mounted``."""
    reference(folder, OPTIONS)
    share = stream.uniform(0.3, 0.95)
    report = folder.parent / f"{folder.name}.json"
    child = os.fork()
    if not child:
        try:
            report.write_text(json.dumps(_on_small_disk(folder, share)))
        except BaseException as error:
            report.write_text(json.dumps([repr(error)]))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found: list[str] = json.loads(report.read_text())
    return found


def _on_small_disk(folder: Path, share: float) -> list[str]:
    used = sum(-(-len(content) // 4096) * 4096 for content in reference(folder, OPTIONS).files.values())
    size = int(share * used) // 4096 * 4096
    if not disks.mount_small_disk(folder, size):
        return []
    ended = forked(folder, OPTIONS).wait()
    disks.resize_disk(folder, 64 << 20)
    wrong = [f"{size} bytes: {item}" for item in one_line(ended, code=2, says="No space left on device")]
    return wrong + checkpoints_valid(folder) + resumed(folder, OPTIONS)


def full_disk_is_mounted(folder: Path) -> bool:
    """Whether this machine lets ``full_disk`` mount one."""
    child = os.fork()
    if not child:
        os._exit(not disks.mount_small_disk(folder, 1 << 20))
    return os.waitpid(child, 0)[1] == 0


def file_limit(folder: Path, stream: random.Random) -> list[str]:
    """Files may not grow beyond a limit (RLIMIT_FSIZE): the write fails as on a full disk."""
    sizes = [len(content) for content in reference(folder, OPTIONS).files.values() if isinstance(content, bytes)]
    size = stream.randint(400, max(sizes) - 1)
    ended = forked(folder, OPTIONS, lambda: disks.limit_files(size)).wait()
    return one_line(ended, code=2, says="error: ") + checkpoints_valid(folder) + resumed(folder, OPTIONS)


def failing(what: str) -> Case:
    """Writes, syncs or renames that fail from some call on."""

    def case(folder: Path, stream: random.Random) -> list[str]:
        name = stream.choice(list(disks.ERRORS))
        number, call = disks.ERRORS[name], stream.randint(1, 24)
        ended = forked(folder, OPTIONS, lambda: disks.fail(what, call=call, number=number)).wait()
        wrong = one_line(ended, code=2, says=os.strerror(number)) + checkpoints_valid(folder)
        return [f"{name} at {what} {call}: {item}" for item in wrong] + resumed(folder, OPTIONS)

    return case


def power_cut(folder: Path, stream: random.Random) -> list[str]:
    """What was not synced is lost, three times one after the other."""
    expected = reference(folder, OPTIONS)
    wrong = []
    for _ in range(3):
        phase = stream.choice(("write", "rename", "rename", "step", "aggregation"))
        death = Death(phase, stream.randint(1, 6), stream.random())
        lost = disks.PowerCut(fresh(folder.parent / f"{folder.name}_shadow"), random.Random(stream.random()))

        def prepare(lost: disks.PowerCut = lost, death: Death = death) -> None:
            lost.install()
            setattr(phases, "die", lost.cut)  # noqa: B010
            Phases(Board(PLACES), expected.calls, death).install()

        code = forked(folder, OPTIONS, prepare).wait().code
        wrong += [f"{death}: exit code {code}"] if code not in (0, -signal.SIGKILL) else []
        wrong += checkpoints_valid(folder)
    return wrong + resumed(folder, OPTIONS, leave_out="/events")


# ---------------------------------------------------------------- damaged files


def damaged(how: str) -> Case:
    """last.pt is not what was written: going on from the one before, to the same bits."""

    def case(folder: Path, stream: random.Random) -> list[str]:
        expected = reference(folder, OPTIONS)
        death = Death(stream.choice(("step", "write")), stream.randint(3, 4), stream.random())
        forked(folder, OPTIONS, Phases(Board(PLACES), expected.calls, death).install).wait()
        files = SeedPaths(folder / FOLDER / "seed1")
        if not files.last_before.exists():  # killed while the second epoch was written
            return resumed(folder, OPTIONS)
        damage(files.last, how, stream)
        falls_back = bool(load_last(files)[1])
        if stream.random() < 0.5:  # killed while the epoch is trained once more, or its state written
            again = Death(stream.choice(("step", "write", "rename")), 1, stream.random())
            forked(folder, OPTIONS, Phases(Board(PLACES), expected.calls, again).install).wait()
        found = resumed(folder, OPTIONS)
        if how != "bit" and not falls_back:
            found.append(f"{how}: not noticed")
        return found

    return case


def damage(path: Path, how: str, stream: random.Random) -> None:
    """Truncate, empty, remove, or flip one bit."""
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
        return
    if how == "bit":
        content[stream.randrange(len(content))] ^= 1 << stream.randrange(8)
    if how in ("truncated", "empty"):
        del content[0 if how == "empty" else stream.randrange(1, len(content)) :]
    path.write_bytes(content)


# ---------------------------------------------------------------- several processes


def paused(board: Board) -> Callable[[], None]:
    """Let the first epoch begin with a wait until the parent writes 2 onto the board."""

    def prepare() -> None:
        train_epoch: Callable[..., Any] = vars(seed_epochs)["train_epoch"]

        def waiting(*args: Any, **options: Any) -> Any:
            board[0] = board[0] or 1
            end = time.monotonic() + 60
            while board[0] == 1 and time.monotonic() < end:
                time.sleep(0.01)
            return train_epoch(*args, **options)

        setattr(seed_epochs, "train_epoch", waiting)  # noqa: B010

    return prepare


def wait_for(board: Board, child: Child, *, seconds: float = 240) -> None:
    """Until the child waits."""
    end = time.monotonic() + seconds
    while not board[0]:
        if time.monotonic() > end:
            child.kill()
            raise AssertionError("the process does not come to its first epoch")
        time.sleep(0.01)


def one_seed_twice(folder: Path, stream: random.Random) -> list[str]:
    """The second process stops at once and names the first; the first is not disturbed."""
    board = Board(1)
    first = forked(folder, OPTIONS, paused(board))
    wait_for(board, first)
    begin = time.monotonic()
    second = forked(folder, OPTIONS).wait()
    seconds = time.monotonic() - begin
    board[0] = 2
    says = f"is in use by process {first.process} on {socket.gethostname()} since 20"
    wrong = one_line(second, code=2, says=says)
    if seconds > 5:
        wrong.append(f"it took {seconds:.1f} s")
    ended = first.wait()
    if ended.code:
        wrong.append(f"the first ended with {ended.code}: {ended.err[-300:]}")
    return wrong + resumed(folder, OPTIONS)


def different_seeds(folder: Path, stream: random.Random) -> list[str]:
    """Two seeds of one run in two processes at once give what one process gives."""
    reference(folder, OPTIONS)
    both = [forked(folder, [*OPTIONS, "--seeds", seed]) for seed in ("1", "2")]
    wrong = [f"exit code {ended.code}: {ended.err[-300:]}" for child in both if (ended := child.wait()).code]
    expected = _without_commands(reference(folder, OPTIONS).files)
    return wrong + differences(_without_commands(snapshot(folder / FOLDER)), expected) + broken_sums(folder / FOLDER)


COMMANDED = ("best.pt", "model.pt", "done", "config.yaml")


def _without_commands(found: Files) -> Files:
    """Without the files that hold the command, and without their checksums."""
    kept = {name: content for name, content in found.items() if not name.endswith(COMMANDED)}
    content = kept["results.json"]
    assert isinstance(content, bytes)
    results = json.loads(content)
    for values in (results, *results["seeds"].values()):
        values.pop("command", None)
        values.pop("checksums", None)
    return {**kept, "results.json": json.dumps(results).encode()}


def dead_lock(folder: Path, stream: random.Random) -> list[str]:
    """The lock of a killed process is taken over, whatever it says."""
    board = Board(1)
    first = forked(folder, OPTIONS, paused(board))
    wait_for(board, first)
    first.kill()
    first.wait()
    lock = SeedPaths(folder / FOLDER / "seed1").lock
    wrong = [] if f"process {first.process} " in lock.read_text() else [f"the lock says {lock.read_text()!r}"]
    lock.write_text(stream.choice((lock.read_text(), f"process {os.getpid()} on elsewhere since 2001-01-01 00:00:00")))
    return wrong + resumed(folder, OPTIONS)


def other_settings(folder: Path, stream: random.Random) -> list[str]:
    """Going on with other settings is refused with what differs; what may differ may."""
    expected = reference(folder, OPTIONS)
    forked(folder, OPTIONS, Phases(Board(PLACES), expected.calls, Death("step", 3, 0.5)).install).wait()
    before = snapshot(folder / FOLDER)
    refused = (("--lr", "0.5"), ("--bsize", "32"), ("--mu", "0.5"), ("--delta", "2.5"), ("--num_epochs", "3"))
    words = list(stream.choice(refused))
    name, value = words[0][2:], words[1]
    says = f"{name} is {value} now" if name == "num_epochs" else f"there, {value} now"
    wrong = one_line(forked(folder, [*OPTIONS, *words]).wait(), code=2, says=says)
    wrong += differences(snapshot(folder / FOLDER), before)
    ended = forked(folder, [*OPTIONS, *MAY_DIFFER]).wait()
    return wrong + ([f"exit code {ended.code}: {ended.err[-300:]}"] if ended.code else [])


# ---------------------------------------------------------------- seeds in processes of their own

PARALLEL = [*OPTIONS, "--parallel_seeds", "2", "--num_epochs", "40", "--mu", "1e-6"]


def workers_of(parent: int) -> list[int]:
    """The processes that ``parent`` started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def paused_workers(folder: Path, parent: Child, *, seconds: float = 240) -> list[int]:
    """The processes of both seeds, each suspended by SIGSTOP after an epoch."""
    suspended: dict[str, int] = {}
    end = time.monotonic() + seconds
    while len(suspended) < 2:
        for worker in workers_of(parent.process):
            with contextlib.suppress(OSError):
                seed = _seed_of(worker)
                if seed and seed not in suspended and SeedPaths(folder / FOLDER / f"seed{seed}").history.read_text():
                    os.kill(worker, signal.SIGSTOP)
                    suspended[seed] = worker
        if time.monotonic() > end:
            parent.kill()
            raise AssertionError(f"no two seeds trained: {parent.wait().err[-500:]}")
        time.sleep(0.01)
    return list(suspended.values())


def _seed_of(worker: int) -> str:
    """The seed whose files a process has open."""
    names = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
    return next((found[1] for name in names if (found := re.search(r"/seed(\d+)/", name))), "")


def killed_parent(folder: Path, stream: random.Random) -> list[str]:
    """No worker goes on without its parent."""
    reference(folder, PARALLEL)
    parent = forked(folder, PARALLEL)
    workers = paused_workers(folder, parent)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while (left := [worker for worker in workers if _lives(worker)]) and time.monotonic() < end:
        time.sleep(0.02)
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    return ([f"{len(left)} workers go on"] if left else []) + resumed(folder, PARALLEL)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed_worker(folder: Path, stream: random.Random) -> list[str]:
    """A killed worker costs its own seed only, for now."""
    reference(folder, PARALLEL)
    parent = forked(folder, PARALLEL)
    workers = paused_workers(folder, parent)
    victim = workers.pop(stream.randrange(2))
    os.kill(victim, signal.SIGKILL)
    os.kill(workers[0], signal.SIGCONT)
    wrong = one_line(parent.wait(), code=1, says="--resume 1 resumes")
    done = [seed for seed in (1, 2) if SeedPaths(folder / FOLDER / f"seed{seed}").done.exists()]
    wrong += [] if len(done) == 1 else [f"seeds {done} are done"]
    return wrong + resumed(folder, PARALLEL)


def interrupted_parallel(folder: Path, stream: random.Random) -> list[str]:
    """SIGTERM to the parent stops all."""
    reference(folder, PARALLEL)
    parent = forked(folder, PARALLEL)
    workers = paused_workers(folder, parent)
    parent.kill(signal.SIGTERM)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    wrong = one_line(parent.wait(), code=143, says="--resume 1")
    left = [worker for worker in workers if _lives(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    wrong += ["workers go on"] if left else []
    return wrong + resumed(folder, PARALLEL)


CASES: dict[str, Case] = {
    "SIGTERM": interrupted(signal.SIGTERM, 143),
    "SIGINT": interrupted(signal.SIGINT, 130),
    "full disk": full_disk,
    "limit of file size": file_limit,
    **{f"failing {what}": failing(what) for what in ("write", "fsync", "replace")},
    "power cut": power_cut,
    **{f"last.pt {how}": damaged(how) for how in ("truncated", "bit", "empty", "missing")},
    "one seed twice": one_seed_twice,
    "different seeds at once": different_seeds,
    "lock of the dead": dead_lock,
    "other settings": other_settings,
    "killed parent": killed_parent,
    "killed worker": killed_worker,
    "SIGTERM to the parent": interrupted_parallel,
}
__all__ = ["CASES", "finish", "full_disk_is_mounted"]
