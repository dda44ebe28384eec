"""Sweeps for tests: table files, sweep.py as a process with the stand-in for main.py, and what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAKE = (sys.executable, str(ROOT / "tests" / "fake_main.py"))
CODE = "import sys, sweep; sys.exit(sweep.main(sys.argv[2:], command=sys.argv[1].split('|')))"
TABLE = """\
name: t
seeds: 1-2
common: {{dataset_name: digits, resnet_type: linear, num_epochs: {epochs}, checkpoint_root: {root}/checkpoint}}
rows:
{rows}
"""


def table(folder: Path, *rows: str, epochs: int = 2, name: str = "t.yaml") -> Path:
    """A table file with these rows, such as ``name: a, set: {lr: 1}``."""
    path = folder / name
    lines = "\n".join(f"  - {{{row}}}" for row in rows)
    path.write_text(TABLE.format(root=folder, rows=lines, epochs=epochs))
    return path


def start(*argv: str | Path, hold: str = "", command: tuple[str, ...] = FAKE) -> subprocess.Popen[str]:
    """sweep.py as a process of its own, with the stand-in; ``hold`` as in fake_main.py, until ``release`` is called."""
    environment = {**os.environ, "FAKE_HOLD": hold}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "|".join(command), *map(str, argv)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], *, code: int = 0, timeout: float = 240) -> str:
    """Wait for its end, check its exit code; returns what it printed."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, output
    return output


def run(*argv: str | Path, code: int = 0, command: tuple[str, ...] = FAKE) -> str:
    """Run sweep.py to its end; returns what it printed."""
    return ended(start(*argv, command=command), code=code)


def release(folder: Path) -> None:
    """Let the jobs below ``folder`` that are held, or will be, go on."""
    (folder / "checkpoint" / "go").touch()


def starts(folder: Path) -> Counter[str]:
    """How often each job was started: ``{"a 1": 1}``."""
    path = folder / "checkpoint" / "starts.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.rpartition(" ")[0] for line in lines)


def resumed(folder: Path) -> list[int]:
    """From which epochs jobs were started."""
    return [int(line.split()[-1]) for line in (folder / "checkpoint" / "starts.txt").read_text().splitlines()]


def workers(folder: Path, command: tuple[str, ...] = FAKE) -> list[int]:
    """The processes of the stand-in, or of another command, that work below ``folder``, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if len(words) > 1 and words[1] == command[1] and f"{folder}/checkpoint" in words:
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object], *, timeout: float = 240) -> None:
    """Wait until something holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def kill(victim: int | subprocess.Popen[str]) -> None:
    """SIGKILL; of a process of ours, also wait for its end."""
    if isinstance(victim, int):
        os.kill(victim, signal.SIGKILL)
    else:
        victim.kill()
        victim.communicate()
