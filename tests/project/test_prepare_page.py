"""Every command of docs/prepare.md runs on made-up data, and every flag on it exists."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prepare
from utils.commands import prepare as prepare_command
from utils.config.options import OPTIONS
from utils.data.prepared_files import read_prepared

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    python prepare\.py (.*)$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page speaks of."""
    monkeypatch.chdir(tmp_path)
    lines = ["file,finding,patient_id"]
    for number in range(24):
        path = Path("images", "tumour" if number % 4 == 0 else "healthy", f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20 + number, 30), number).save(path)
        lines.append(f"{path.relative_to('images')},{path.parent.name},p{number // 2}")
    Path("labels.csv").write_text("\n".join(lines))
    numbers = "".join(f"{k % 2} " + " ".join(["-1.0000", "0.5000"] * 128) + " \n" for k in range(12))
    Path("zip.train.gz").write_bytes(gzip.compress(numbers.encode()))
    rows = [f"{k},{k % 2},p{k},{0.5 * k}" for k in range(12)]
    Path("table.csv").write_text("\n".join(["id,outcome,patient_id,age", *rows]))
    images, labels = np.zeros((8, 4, 4), dtype=np.uint8), np.arange(8) % 2
    np.savez("old.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return tmp_path


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str, made_up: Path) -> None:
    argv = shlex.split(line)
    assert prepare.main(argv) == 0
    read_prepared(Path(argv[argv.index("--out") + 1]), every_pixel=True)


@pytest.mark.parametrize("line", prepare_command.EXAMPLES)
def test_every_example_of_the_help_is_understood(line: str) -> None:
    given = prepare_command._given(line.split())
    assert prepare_command._request(given, line).out.parent == Path("datasets")


def test_every_flag_exists() -> None:
    known = {name for action in prepare_command._parser()._actions for name in action.option_strings}
    known |= {f"--{name}" for name in OPTIONS}
    assert set(re.findall(r"--[A-Za-z0-9_]+", PAGE)) <= known
