"""docs/files.md names every file that a run writes, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from runs import run

import predict

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
TREE = PAGE.split("```")[1]
# what a run has only once it was killed, failed, or was exported
OTHERS = {"failed", "model.onnx", "model.pt2", "model.ts"}
pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def named(text: str) -> set[str]:
    """The names of files in a text; those of TensorBoard end in numbers."""
    return set(
        re.findall(r"(?<![\w.])(?:\w+\.(?:csv|jsonl|json|onnx|png|pt2|pt|ts|txt|yaml)|done|failed|events)\b", text)
    )


def test_the_page_has_every_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for number in range(4):
        Image.new("L", (8, 8), 60 * number).save(tmp_path / "new" / f"{number}.png")
    labels = tmp_path / "other.csv"
    labels.write_text("path,label\n" + "".join(f"new/{number}.png,{6 + number}\n" for number in range(4)))
    for more in ("--calibration_fraction 0.25", "--task classes --critical_classes 8 9 --model_name classes"):
        folder = run(tmp_path, f"{more} --num_epochs 2")
        argv = [str(folder), "--images", str(labels), "--labels", str(labels), "--name", "hospital_b"]
        assert predict.main(argv) == 0
    found = {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file() and path.name != ".lock"}
    assert named(" ".join(found)) >= {"model.pt", "events"}
    assert len(named(" ".join(found))) == len({name for name in found if not name.startswith("events")}) + 1
    assert named(TREE) - OTHERS == named(" ".join(found))
