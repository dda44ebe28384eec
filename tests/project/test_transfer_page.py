"""The commands of docs/transfer.md, with another network, on data of their name, one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

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
    images, digits = load_digits(return_X_y=True)
    pixels, labels = (255 / 16 * images).round().astype(np.uint8).reshape(-1, 8, 8), digits % 2
    Path("datasets").mkdir()
    np.savez("datasets/scans.npz", x_train=pixels[::2], y_train=labels[::2], x_test=pixels[1::2], y_test=labels[1::2])
    small = ["--resnet_type", "resnet20", "--seeds", "1", "--threads", "1", "--device", "cpu"]
    frozen, whole = COMMANDS
    assert main.main(last_of_each([*frozen, *small, "--image_size", "8", "--num_epochs", "2"])) == 0
    assert main.main(last_of_each([*whole, *small])) == 0
    for name in ("scans_BCE_natural", "scans_all"):
        assert (Path("checkpoint/runs") / name / "results.json").exists()
