"""Commands whose standard streams are closed, of a poor encoding, or read by somebody who has gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import os, sys
from utils.system.streams import run_command

def main(argv):
    {body}
    return 3

sys.exit(run_command(main))
"""


def started(body: str, *, redirect: str = "", encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """A command of that body, started by a shell with that redirection."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {redirect}', sys.executable, COMMAND.format(body=body)],
        cwd=ROOT,
        env={"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_ends_no_command(redirect: str) -> None:
    done = started("print('out'); print('err', file=sys.stderr)", redirect=redirect)
    assert done.returncode == 3, done.stderr
    assert ("out" in done.stdout) == (redirect in ("2>&-", "<&-"))


@pytest.mark.parametrize("redirect", ["2>&-", ">&- 2>&-"])
def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path, redirect: str) -> None:
    """What a library writes to descriptor 2 would land in it."""
    body = f"f = open({str(tmp_path / 'results')!r}, 'w'); os.write(2, b'x'); print(1, file=sys.stderr, flush=True)"
    assert started(body, redirect=redirect).returncode == 3
    assert (tmp_path / "results").read_text() == ""


def test_what_the_encoding_lacks_is_escaped() -> None:
    done = started("print('Gr\\u00f6\\u00dfe'); print('\\u2192', file=sys.stderr)", encoding="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (3, "Gr\\xf6\\xdfe\n", "\\u2192\n")


@pytest.mark.parametrize("text", ["'x' * 10", "'x' * 10**7"])
def test_a_reader_that_has_gone_ends_the_command_without_a_traceback(text: str) -> None:
    done = started(f"sys.stdin.read(); print({text})", redirect="| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", ["main", "predict", "prepare", "report", "sweep"])
def test_every_command_ends_so(command: str) -> None:
    """Where a line of it cannot be printed; a full pipe would need a card longer than 64 kB."""
    code = f"""
import sys, builtins
import {command} as script
from utils.system import streams
import utils.commands.{command} as module

def gone(*args, **options):
    raise BrokenPipeError(32, "Broken pipe")

for name in ("_predict", "_prepare", "write_card", "parse", "_resolved"):
    if hasattr(module, name):
        setattr(module, name, gone)
sys.argv[1:] = ["x", "--card"]
sys.exit(streams.run_command(script.main))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (141, "")
