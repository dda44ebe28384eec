"""Alternating timings, and what is recorded with every number: n, hardware, versions, command."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.goals import BUSY_CORES, GOALS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("benchmarks/results")
QUICK_RESULTS = Path("checkpoint/benchmarks")  # git-ignored
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
LOAD_BEFORE = os.getloadavg()[0]  # of the minute before the script started
BUSY_LOAD = 0.5  # above this, something else was running

Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Block:
    """Work to be timed; one ``call`` does it ``repeats`` times."""

    call: Callable[[], object]
    repeats: int = 1


def alternate(blocks: Mapping[str, Block], *, rounds: int, device: str = "cpu", warm_up: bool = True) -> Seconds:
    """Time the blocks in turn, A, B, ..., A, B, ..., so that a slow phase of the machine affects all of them.

    Args:
        rounds: how often each is timed.
        device: synchronised before the clock is read.
        warm_up: run each once untimed first.

    Returns:
        For each name the seconds of one repeat in each round.
    """
    if warm_up:
        for block in blocks.values():
            block.call()
    seconds: Seconds = {name: [] for name in blocks}
    for _ in range(rounds):
        for name, block in blocks.items():
            _wait_for(device)
            start = time.perf_counter()
            block.call()
            _wait_for(device)
            seconds[name].append((time.perf_counter() - start) / block.repeats)
    return seconds


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Ratios round by round; their median is more reliable than the ratio of the medians.

    >>> ratios([2.0, 9.0], [1.0, 3.0])
    [2.0, 3.0]
    """
    return [a / b for a, b in zip(above, below, strict=True)]


@dataclass(frozen=True)
class Row:
    """One measured number: the median of ``n`` values and their quartiles. ``goal`` is a key of GOALS, or empty."""

    what: str
    unit: str
    n: int
    median: float
    quartiles: tuple[float, float]
    goal: str = ""
    note: str = ""
    points: tuple[tuple[float, float], ...] = ()  # (size, seconds), where a slope was taken through them


def row(what: str, values: Sequence[float], *, unit: str = "ratio", goal: str = "", note: str = "") -> Row:
    """A row of the table from the measured values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Row(what, unit, len(values), middle, (low, high), goal, note)


def milliseconds(values: Sequence[float]) -> list[float]:
    """From seconds."""
    return [1000 * value for value in values]


def common_arguments(description: str) -> argparse.ArgumentParser:
    """The flags of all benchmarks."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to check that it runs; not a measurement")
    parser.add_argument("--data_root", default="datasets", help="folder of the data sets; what it lacks is synthetic")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of a process; 0: torch's own choice")
    parser.add_argument(
        "--out", type=Path, default=None, help=f"folder of the JSON files ({RESULTS}; with --quick {QUICK_RESULTS})"
    )
    return parser


class Report:
    """Collects, prints and writes the rows of one measurement.

    Args:
        name: start of the file name.
        options: parsed by ``common_arguments``.
        script, argv: of the recorded command line.
    """

    def __init__(self, name: str, options: argparse.Namespace, *, script: str, argv: Sequence[str]) -> None:
        self.name, self.options = name, options
        self.command = shlex.join(["python", "-m", f"benchmarks.{script}", *argv])
        self.rows: list[Row] = []
        self.facts: dict[str, Any] = {}
        self._start, self._ours, self._all = time.perf_counter(), _own_cpu_seconds(), _all_cpu_seconds()
        if LOAD_BEFORE > BUSY_LOAD:
            print(f"warning: load average {LOAD_BEFORE:.2f} in the minute before: the machine was not quiet")

    def add(self, *rows: Row) -> None:
        """Print and keep."""
        for item in rows:
            print(table_line(item), flush=True)
        self.rows.extend(rows)

    def content(self) -> dict[str, Any]:
        """The content of the JSON file."""
        return {
            "name": self.name,
            "date": datetime.now(UTC).date().isoformat(),
            "command": self.command,
            "commit": commit(),
            "quick": self.options.quick,
            "hardware": hardware(self.options.device),
            "versions": versions(),
            "quiet": {"load_average_before": round(LOAD_BEFORE, 2), "cores_busy_with_others": self._others()},
            **self.facts,
            "rows": [asdict(item) for item in self.rows],
        }

    def write(self) -> Path:
        """Write ``<out>/<name>_<device>_<yyyy-mm>.json``; returns its path."""
        folder = self.options.out or (QUICK_RESULTS if self.options.quick else RESULTS)
        folder.mkdir(parents=True, exist_ok=True)
        content = self.content()
        path: Path = folder / f"{self.name}_{device_slug(self.options.device)}_{content['date'][:7]}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        others = content["quiet"]["cores_busy_with_others"]
        if others is not None and others > BUSY_CORES:
            print(f"warning: meanwhile {others:.2f} cores were used by others: measure again on a quiet machine")
        print(f"-> {path}" + ("   (--quick: these numbers only show that it runs)" if self.options.quick else ""))
        return path

    def _others(self) -> float | None:
        """Cores used by other programs meanwhile; None where the system does not say."""
        everyone = _all_cpu_seconds()
        if everyone is None or self._all is None:
            return None
        elapsed = time.perf_counter() - self._start
        others = everyone - self._all - (_own_cpu_seconds() - self._ours)
        return round(max(0.0, others) / max(elapsed, 1e-9), 3)


def table_line(item: Row) -> str:
    """One row as text."""
    low, high = item.quartiles
    goal = f"   goal {GOALS[item.goal]}" if item.goal else ""
    number = f"{item.median:10.4g} {item.unit:<6}" + (f"[{low:.4g}, {high:.4g}]" if item.n > 1 else "")
    return f"  {item.what:<72} {number:<38} n {item.n}{goal}"


def commit() -> str | None:
    """The current commit, with a + if files differ from it; None outside git."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "-uno", "--", ".", ":!*/results/*", ":!benchmarks/README.md")
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def hardware(device: str) -> dict[str, Any]:
    """CPU, memory, system and GPU of this machine."""
    facts: dict[str, Any] = {
        "cpu": _first_match("/proc/cpuinfo", r"model name\s*: (.*)") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int(_first_match("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
    }
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        facts["gpu"] = properties.name
        facts["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
    return facts


def device_slug(device: str) -> str:
    """``cpu``, or the GPU's model as a word: ``h200`` for NVIDIA H200."""
    if not device.startswith("cuda"):
        return "cpu"
    words = re.findall(r"[a-z0-9]+", torch.cuda.get_device_name(device).lower())
    return next((word for word in words if re.search(r"\d", word)), "cuda")


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages whose code is timed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found | {"cuda": torch.version.cuda if torch.cuda.is_available() else None}


def _first_match(path: str, pattern: str) -> str | None:
    try:
        match = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return match[1].strip() if match else None


def _own_cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _all_cpu_seconds() -> float | None:
    """Busy seconds of all cores since boot: user, nice, system, interrupts; None where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    ticks = [int(word) for word in (_first_match("/proc/stat", r"cpu +(.*)") or "").split()]
    return sum(ticks[:3] + ticks[5:7]) / os.sysconf("SC_CLK_TCK") if len(ticks) > 6 else None
