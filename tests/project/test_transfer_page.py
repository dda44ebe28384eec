"""The commands of docs/transfer.md, with another network and the embedded data, one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import main
from benchmarks.processes import last_of_each
from models import build_model
from utils.config.settings import resolve

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "transfer.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^    python main\.py (.*)$", PAGE, flags=re.MULTILINE)]
pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def test_the_commands_are_understood() -> None:
    assert len(COMMANDS) == 2
    for argv in COMMANDS:
        assert resolve(argv).notes == ()


def test_the_commands_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = build_model("resnet20", channels=1, image_size=(8, 8), generator=torch.Generator().manual_seed(1))
    torch.save(model.state_dict(), "lite0.pth")
    small = "--dataset_name digits --resnet_type resnet20 --seeds 1 --threads 1 --device cpu --ratio_pos_train 20"
    frozen, whole = COMMANDS
    own = "--image_size 8 --num_epochs 2 --model_name scans_BCE_1to100 --positive_classes 1 3 5 7 9"
    assert main.main(last_of_each([*frozen, *small.split(), *own.split()])) == 0
    positive = ["--positive_classes", "1", "3", "5", "7", "9"]
    assert main.main(last_of_each([*whole, *small.split(), *positive])) == 0
    for name in ("scans_BCE_1to100", "scans_all"):
        assert (Path("checkpoint/runs") / name / "results.json").exists()
