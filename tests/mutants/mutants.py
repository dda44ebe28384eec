"""Takes each guard away in turn and shows that its test fails: `make mutants`.

    python tests/mutants/mutants.py [--only WORD] [--processes N] [--out FILE]

A guard is a piece of text in a source file (``guards.yaml``); without it the named test must fail. Each is tried in a
copy of the tree, so that nothing is changed here. Exit code 1 if a test passes without its guard, or one is not found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
GUARDS = Path(__file__).with_name("guards.yaml")
COPIED = ("main.py", "prepare.py", "sweep.py", "report.py", "predict.py", "pyproject.toml", "README.md", "Makefile", "LICENSE")
COPIED_FOLDERS = ("utils", "models", "configs", "tests", "benchmarks", "studies", "docs", "datasets", "checkpoint")
SKIPPED = shutil.ignore_patterns("__pycache__", "*.npz", "runs", ".hypothesis")
TIME_LIMIT = 300  # seconds; a test that hangs without its guard has failed
MEMORY = 10 * 2**30  # bytes of address space; a test that asks for more without its guard has failed too
PYTEST = "import resource, sys, pytest; resource.setrlimit(resource.RLIMIT_AS, ({0}, {0})); sys.exit(pytest.main())"


@dataclass(frozen=True)
class Guard:
    """What holds a promise: ``old`` in ``file``; ``new`` in its place must make ``test`` fail."""

    promise: str
    file: str
    old: str
    new: str
    test: str


def read_guards(path: Path = GUARDS) -> list[Guard]:
    """The guards of guards.yaml.

    Raises:
        ValueError: one is not in its file exactly once, or its test is not there.
    """
    guards = [Guard(**item) for item in yaml.safe_load(path.read_text(encoding="utf-8"))]
    for guard in guards:
        found = (ROOT / guard.file).read_text(encoding="utf-8").count(guard.old)
        if found != 1:
            raise ValueError(f"{guard.file} must hold this once, it does {found} times: {guard.old!r}")
        test_file, _, name = guard.test.partition("::")
        if f"def {name.partition('[')[0]}(" not in (ROOT / test_file).read_text(encoding="utf-8"):
            raise ValueError(f"there is no test {guard.test}")
    return guards


def copy_tree(target: Path) -> None:
    """What the tests need, without data and results."""
    target.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)
    for name in COPIED_FOLDERS:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, target / name, ignore=SKIPPED)


def outcome(guard: Guard, tree: Path) -> tuple[str, float]:
    """'fails' as it must, 'PASSES' without the guard, or 'ERROR: ...'; and the seconds it took."""
    path = tree / guard.file
    original = path.read_text(encoding="utf-8")
    start = time.monotonic()
    try:
        path.write_text(original.replace(guard.old, guard.new), encoding="utf-8")
        if path.suffix == ".py":
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
        pytest = PYTEST.format(MEMORY)
        command = [sys.executable, "-c", pytest, "-q", "-x", "-p", "no:cacheprovider", guard.test]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
        verdict = {0: "PASSES", 1: "fails"}.get(done.returncode, f"ERROR: pytest ended with {done.returncode}")
        if done.returncode == 0 and " passed" not in done.stdout:
            verdict = "ERROR: the test was skipped"
    except subprocess.TimeoutExpired:
        verdict = "fails"
    except SyntaxError as error:
        verdict = f"ERROR: {error}"
    finally:
        path.write_text(original, encoding="utf-8")
    return verdict, time.monotonic() - start


def run_all(guards: list[Guard], *, processes: int, folder: Path) -> list[dict[str, Any]]:
    """Each guard once, in ``processes`` copies of the tree."""
    shares = [guards[number::processes] for number in range(processes)]

    def work(number: int) -> list[dict[str, Any]]:
        tree = folder / str(number)
        copy_tree(tree)
        results = []
        for guard in shares[number]:
            verdict, seconds = outcome(guard, tree)
            print(f"{verdict:7}  {seconds:5.1f} s  {guard.file}  {guard.promise}", flush=True)
            results.append({"promise": guard.promise, "file": guard.file, "test": guard.test, "verdict": verdict})
        return results

    with ThreadPoolExecutor(processes) as pool:
        return [result for share in pool.map(work, range(processes)) for result in share]


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="guards whose promise, file or test holds this text")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a JSON file for the verdicts")
    asked = parser.parse_args(argv)
    guards = [g for g in read_guards() if asked.only in f"{g.promise} {g.file} {g.test}"]
    with tempfile.TemporaryDirectory() as folder:
        results = run_all(guards, processes=max(1, asked.processes), folder=Path(folder) / "trees")
    failed = sum(result["verdict"] == "fails" for result in results)
    print(f"{failed} of {len(results)} guards are missed by their test when taken away")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0 if failed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
