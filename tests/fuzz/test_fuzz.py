"""A slice of ``make fuzz`` with fixed seeds; and that the fuzzer sees what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mutations import ODD, as_json, as_yaml, mutated_bytes, mutated_value

FUZZ = Path(__file__).with_name("fuzz.py")
INPUTS = 700


def started(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty folder ``work``."""
    work = folder / "work"
    work.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=work, capture_output=True, text=True, timeout=280, env=environment, check=False
    )


@pytest.mark.slow
def test_a_slice(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    argv = [f"--inputs={INPUTS}", "--seed=0", "--seconds=60", "--share=0/1", f"--out={out}", f"--keep={tmp_path}"]
    done = started([str(FUZZ), *argv], tmp_path)
    assert out.exists(), done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert not found["failures"], found["failures"]
    assert done.returncode == 0, done.stderr
    for name, counts in found["kinds"].items():
        assert counts["inputs"] == counts["accepted"] + counts["refused"] > 0, name
    total = {key: sum(counts[key] for counts in found["kinds"].values()) for key in ("inputs", "accepted", "refused")}
    assert total["inputs"] > 0.95 * INPUTS
    assert total["accepted"] > 0.1 * INPUTS
    assert total["refused"] > 0.3 * INPUTS


FAULTS = """
import json, os, sys, time
sys.path[:0] = [{here!r}, {root!r}]
from pathlib import Path
from types import SimpleNamespace
from fuzz import judged
from watch import Watch
from utils.errors import UserError

def refuse(data):
    raise UserError("no" if data else "no\\nand no again")

taken = []
faults = {{
    "accepted": lambda data: True,
    "inside": lambda data: open("x", "w").close() or os.mkdir("y") or True,
    "refused": refuse,
    "exception": lambda data: 1 / 0,
    "exit": lambda data: sys.exit(3),
    "file": lambda data: open("../x", "w"),
    "folder": lambda data: os.mkdir("y/../../z"),
    "rename": lambda data: os.rename("x", "../w"),
    "link": lambda data: os.symlink("x", "/tmp/../nowhere/y"),
    "process": lambda data: os.system("true") == 0,
    "hang": lambda data: time.sleep(99),
    "memory": lambda data: taken.append(b"x" * 700 * 2**20) or True,
}}
watch = Watch(Path.cwd(), seconds=3)
found = {{name: judged(SimpleNamespace(run=run), b"x", watch) for name, run in faults.items()}}
found["lines"] = judged(SimpleNamespace(run=refuse), b"", watch)
print(json.dumps(found))
"""


def test_what_the_fuzzer_sees(tmp_path: Path) -> None:
    code = FAULTS.format(here=str(FUZZ.parent), root=str(FUZZ.parents[2]))
    done = started(["-c", code], tmp_path)
    found = json.loads(done.stdout)
    assert {name for name, (verdict, _) in found.items() if verdict != "failed"} == {"accepted", "inside", "refused"}
    assert found["accepted"][0] == found["inside"][0] == "accepted"
    for name, words in {
        "exception": "ZeroDivisionError",
        "exit": "SystemExit",
        "file": "open outside: ",
        "folder": "os.mkdir outside: ",
        "rename": "os.rename outside: ",
        "link": "os.symlink outside: ",
        "process": "os.system",
        "hang": "more than 3 seconds",
        "memory": "MiB of memory",
        "lines": "more than one line",
    }.items():
        assert words in found[name][1], (name, found[name])


def test_the_same_seed_gives_the_same_input() -> None:
    value = {"a": [1, 2, {"b": "c"}], "d": 0.5}
    for seed in range(200):
        one, other = (Random(f"{seed}") for _ in range(2))
        assert mutated_bytes(one, b"abc: 1\n" * 9, [b"xyz"]) == mutated_bytes(other, b"abc: 1\n" * 9, [b"xyz"])
        assert as_json(mutated_value(one, value)) == as_json(mutated_value(other, value))
    assert value == {"a": [1, 2, {"b": "c"}], "d": 0.5}
    assert as_yaml({"a": ODD[:5]})
