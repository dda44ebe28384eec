"""docs/training.md: its commands are understood, those on embedded data run, its tables are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import main
from benchmarks.processes import last_of_each
from utils.config.options import ALIASES, OPTIONS
from utils.config.settings import resolve
from utils.data import AUGMENTS, TRANSFORMS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    python main\.py (.*)$", PAGE.replace("\\\n", " "), flags=re.MULTILINE)
COMMANDS = [shlex.split(line) for line in LINES]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_is_understood(argv: list[str]) -> None:
    assert resolve(argv).notes == ()


@pytest.mark.slow
def test_commands_on_embedded_data_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours = [argv for argv in COMMANDS if "digits" in argv]
    assert len(ours) == 2
    for argv in ours:
        assert main.main(last_of_each([*argv, "--threads", "1", "--dry_run"])) == 0
        (tmp_path / "dry_run.png").unlink()


def test_the_tables_of_augmentation() -> None:
    names, transforms = PAGE.partition("| transform |")[::2]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]*)\|$", names, flags=re.MULTILINE))
    assert {name: rows[name].strip() for name in AUGMENTS} == {name: ", ".join(each) for name, each in AUGMENTS.items()}
    assert tuple(re.findall(r"^\| `(\w+)`", transforms, flags=re.MULTILINE)) == TRANSFORMS


def test_every_flag_exists() -> None:
    assert set(re.findall(r"--([A-Za-z0-9_]+)", PAGE)) <= {*OPTIONS, *ALIASES, "help"}
