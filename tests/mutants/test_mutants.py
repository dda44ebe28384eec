"""Every guard of guards.yaml is in its file once, and its test is there; `make mutants` takes them away."""

from __future__ import annotations

import re
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guarantees.md"


def test_every_guard_is_in_its_file_and_has_its_test() -> None:
    guards = mutants.read_guards()
    assert len(guards) >= 70
    assert len({(guard.file, guard.old) for guard in guards}) == len(guards)
    assert all(guard.old != guard.new for guard in guards)


def test_a_guard_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "guards.yaml"
    path.write_text("- {promise: p, file: main.py, old: not there at all, new: x, test: 'tests/x.py::x'}\n")
    with pytest.raises(ValueError, match=r"main\.py must hold this once, it does 0 times: 'not there at all'"):
        mutants.read_guards(path)


def test_the_page_names_tests_that_are_there() -> None:
    named = set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE.read_text(encoding="utf-8")))
    assert len(named) >= 20
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
