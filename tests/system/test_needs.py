"""What the commands need of the operating system and of the file system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.run_files.paths import RunPaths
from utils.sweeping.job_state import State, claimed, look
from utils.sweeping.jobs import Job
from utils.system.files import is_held, locked

ROOT = Path(__file__).resolve().parents[2]
# as on Windows, where Python has neither module
COMMAND = """
import runpy, sys
sys.modules["{module}"] = None
sys.platform = "win32"
sys.argv = ["{command}", "--help"]
runpy.run_path("{command}", run_name="__main__")
"""


@pytest.mark.parametrize("command", ["main.py", "prepare.py", "sweep.py", "report.py", "predict.py"])
@pytest.mark.parametrize("module", ["fcntl", "resource"])
def test_a_system_without_locks_or_limits_is_told_what_is_needed(command: str, module: str) -> None:
    code = COMMAND.format(command=command, module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: this program needs Linux or macOS, for locks and limits that win32 lacks")
    assert "on Windows run it under WSL" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Of a seed, and of a sweep's claim; who only looks sees nobody at work, and is not stopped."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    job = Job("a", 1, RunPaths(tmp_path, "t", "a"), (), 2)
    first = claimed(job)
    assert first is not None
    first.close()
    monkeypatch.setattr("fcntl.flock", refused)
    said = rf"^cannot lock .*: {os.strerror(number)}; its file system lacks locks, .* --checkpoint_root$"
    with pytest.raises(UserError, match=said):
        claimed(job)
    with pytest.raises(UserError, match=said), locked(tmp_path / "lock", what="seed 1"):
        pass
    assert not is_held(job.claim)
    assert look(job).state == State.TODO


def test_another_refusal_of_a_claim_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(UserError, match=r"^cannot lock .*: Input/output error$"):
        claimed(Job("a", 1, RunPaths(tmp_path, "t", "a"), (), 2))
