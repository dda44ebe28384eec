"""Commands in processes of their own: how long they take, and how much memory they and their children hold."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import ROOT

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Finished:
    """What a command took. Memory is the largest sum of the resident sizes of its processes, in MiB."""

    seconds: float
    peak_mib: float
    output: str


def python(*arguments: str) -> list[str]:
    """The command of this interpreter."""
    return [sys.executable, *arguments]


def run(command: Sequence[str]) -> Finished:
    """Run it to its end.

    Raises:
        RuntimeError: its exit code is not 0.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak, ended = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
    watcher.start()
    try:
        output, _ = process.communicate()
        seconds = time.perf_counter() - start
    finally:
        ended.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of {' '.join(command)}:\n{output}")
    # elsewhere than on Linux: the largest single process among all that have ended
    peak_kib = peak[0] or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Finished(seconds, peak_kib / 1024, output)


def seconds_until(command: Sequence[str], word: str) -> float:
    """Seconds from the start of the process until it prints a line ``word``; then it is killed, with its children.

    Raises:
        RuntimeError: it ended without that line.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            if line.strip() == word:
                return time.perf_counter() - start
            lines.append(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the session that began with it
        process.stdout.close()
        process.wait()
    raise RuntimeError(f"{' '.join(command)} did not print {word!r}:\n{''.join(lines)}")


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        peak[0] = max(peak[0], sum(_resident_kib(process) for process in tree(pid)))


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants, as /proc tells; empty where there is no /proc."""
    found, waiting = [], [pid]
    while waiting:
        process = waiting.pop()
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting.extend(map(int, children.read_text().split()))
        if Path(f"/proc/{process}").exists():
            found.append(process)
    return found


def _resident_kib(pid: int) -> int:
    """Resident memory; shared pages count in each process that maps them."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def last_of_each(argv: Sequence[str]) -> list[str]:
    """The arguments, of an option that is given several times only the last one: the commands refuse a repeated one."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for text in argv:
        if text.startswith("--"):
            name = text.partition("=")[0]
            found.pop(name, None)
        found.setdefault(name, []).append(text)
    return [text for texts in found.values() for text in texts]
