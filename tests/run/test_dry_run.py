"""A dry run: what it says against counts by hand, its picture, and that it writes nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from prepared_sets import made, write_set
from runs import arguments, experiment_of, run, start_of

import main
from utils.run import dry_run
from utils.run.batch_picture import FRAME, NEGATIVE, POSITIVE, write_picture

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)  # one step is enough


def said(capsys: pytest.CaptureFixture[str], argv: list[str], *, code: int = 0) -> str:
    capsys.readouterr()
    assert main.main(argv) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def cells(out: str, name: str) -> list[str]:
    """The words of the line that begins with ``name``."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
    return line.split()


def test_nothing_but_the_picture_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, arguments(tmp_path / "out", "--resnet_type lenet5 --seeds 1-3 --dry_run"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["dry_run.png"]
    assert not (tmp_path / "out").exists()
    assert out.endswith("dry run: nothing was trained; leave --dry_run out to train\n")


def test_counts_of_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, arguments(tmp_path, "--dry_run 1 --negative_classes 1 --positive_classes 0 --bsize 32"))
    split = experiment_of(tmp_path, "--negative_classes 1 --positive_classes 0").task.split(1)
    parts = [len(rows) for rows in (split.train, split.validation, split.test)]
    header = "class train file test file left out train validation test"
    assert " ".join(cells(out, "class")) == header
    # of scikit-learn's digits the program takes 1347 for training: 134 are a 0, 136 a 1
    zero, one = cells(out, "0"), cells(out, "1")
    assert zero[:4] == ["0", "positive", "134", "44"]
    assert one[:4] == ["1", "negative", "136", "46"]
    for row in (zero, one):
        file, left_out, used = sum(map(int, row[2:4])), int(row[4]), sum(map(int, row[5:]))
        assert file == left_out + used
    assert [int(a) + int(b) for a, b in zip(zero[5:], one[5:], strict=True)] == parts
    assert cells(out, "2")[1:5] == ["not", "used", "133", "44"]
    assert cells(out, "2")[5:] == ["177", "0", "0", "0"]
    assert cells(out, "all")[1:] == ["1347", "450", str(1797 - sum(parts)), *map(str, parts)]
    assert cells(out, "batches")[1] == str(-(-parts[0] // 32))


def test_groups_are_counted_by_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels, splits = made({"train": (60, 30), "validation": (10, 8), "test": (10, 8)})
    groups = [f"{split}{row // 2}" for row, split in enumerate(splits)]  # pairs of rows, none across two sets
    write_set(tmp_path / "data", images, labels, splits, groups=groups)
    more = f"--dataset_name scans --data_root {tmp_path / 'data'} --ratio_pos_train natural --dry_run"
    out = said(capsys, arguments(tmp_path, more))
    assert cells(out, "healthy") == ["healthy", "negative", "60", "10", "10", "0", "60", "10", "10"]
    assert cells(out, "tumour") == ["tumour", "positive", "30", "8", "8", "0", "30", "8", "8"]
    assert cells(out, "groups") == ["groups", "45", "9", "9"]


def test_a_pass_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 0, 1, 0, 0])
    batches = [torch.tensor([0, 1, 3]), torch.tensor([2, 4, 5]), torch.tensor([6])]
    assert dry_run.batches_of_a_pass(batches, labels) == (
        "3 in the first pass, of 3 samples; 0.667 positives each; 2 of 3 (66.7 %) without positives"
    )


def test_the_picture_is_the_first_batch_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--bsize 16 --augment medical"
    said(capsys, arguments(tmp_path, f"{more} --dry_run"))
    experiment, state, data = start_of(tmp_path, more)
    indices = next(state.sampler)
    batch, form = data.batches.training(indices), experiment.task.image_format
    picture = np.asarray(Image.open("dry_run.png"))
    side = batch.shape[2] * 2 + 2 * FRAME  # 32 pixels, enlarged to 64
    assert picture.shape == (2 * side, 8 * side, 3)
    for number, (image, label) in enumerate(zip(batch, data.labels[indices].tolist(), strict=True)):
        y, x = (number // 8) * side, (number % 8) * side
        assert tuple(picture[y, x]) == (POSITIVE if label else NEGATIVE)
        shown = picture[y + FRAME : y + side - FRAME : 2, x + FRAME : x + side - FRAME : 2, 0]
        expected = ((image[0] * form.std[0] + form.mean[0]) * 255).clamp(0, 255)
        assert np.abs(shown - expected.numpy()).max() <= 0.51


def test_large_images_and_colours(tmp_path: Path) -> None:
    images = torch.zeros(1, 3, 300, 450)
    images[:, 1] = 1.0
    write_picture(tmp_path / "p.png", images, torch.tensor([1]), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    picture = np.asarray(Image.open(tmp_path / "p.png"))
    assert picture.shape == (100 + 2 * FRAME, 8 * (150 + 2 * FRAME), 3)  # every third pixel
    assert tuple(picture[50, 50]) == (0, 255, 0)
    assert tuple(picture[50, -1]) == (255, 255, 255)  # no image


def test_times_and_memory_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--resnet_type lenet5 --ema 0.9 --num_epochs 7 --seeds 1-5 --parallel_seeds 2 --evaluate_every_steps 4"
    out = said(capsys, arguments(tmp_path, f"{more} --dry_run"))
    assert re.search(r"^parameters  60,941, of which 60,941 are trained$", out, flags=re.MULTILINE)
    assert re.search(r"^an epoch    [\d.]+ m?s: 4 steps, and [\d.]+ m?s of validation$", out, flags=re.MULTILINE)
    assert re.search(r"^training    at most [\d:]+ for 5 seeds, 2 at once, 7 epochs each; ", out, flags=re.MULTILINE)
    memory = r"^memory      about [\d.]+ MB beside images and weights for each of 2 seeds at once: "
    assert re.search(memory, out, flags=re.MULTILINE)
    assert re.search(r"^peak        [\d.]+ [MG]B in this dry run", out, flags=re.MULTILINE)


def test_a_fitted_learner_has_no_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, arguments(tmp_path, "--resnet_type featureless --dry_run"))
    assert "training    featureless is fitted at once, without batches" in out
    assert not Path("dry_run.png").exists()


def test_a_run_that_would_be_refused_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "out")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "holds another run: lr 0.01 there, 0.5 now" in said(
        capsys, arguments(tmp_path / "out", "--lr 0.5 --dry_run"), code=2
    )
    said(capsys, arguments(tmp_path / "out", "--dry_run"))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "unknown training_type 'BEC'" in said(capsys, arguments(tmp_path, "--training_type BEC --dry_run"), code=2)
