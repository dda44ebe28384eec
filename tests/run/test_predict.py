"""predict.py: a run scores new images with model.pt alone, writes rows that resume, and stays as it is."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import best, results, run

import predict
from utils.data import load_raw
from utils.data.digits import load_digits
from utils.errors import UserError
from utils.run import predictions as predicting
from utils.run.trained_model import TrainedModel, load
from utils.run_files.scores_csv import read_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds, with enough calibration positives for a promise of .95 and .90."""
    root = tmp_path_factory.mktemp("run")
    return run(root, "--resnet_type lenet5 --seeds 1-2 --calibration_fraction 0.2 --promise 0.98 0.05 0.9 0.05")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test images of digits as PNG files of 8 x 8 pixels, in the order of test.csv."""
    from sklearn.datasets import load_digits as embedded

    images = np.rint(embedded().images * (255 / 16)).astype(np.uint8)
    enlarged = load_digits("digits", data_root=Path(), download=False)
    place = {image.tobytes(): number for number, image in enumerate(_enlarged(images))}
    root = tmp_path_factory.mktemp("new")
    for number, image in enumerate(enlarged.test_images):
        Image.fromarray(images[place[image.tobytes()]]).save(root / f"{number:04d}.png")
    return root


def _enlarged(images: np.ndarray) -> np.ndarray:
    from utils.data.raw import enlarged

    return enlarged(images[..., None])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_model_pt_alone_gives_the_scores_of_test_csv(folder: Path, pictures: Path, tmp_path: Path) -> None:
    """In a fresh process, in another folder, without the run and its data."""
    shutil.copy(folder / "model.pt", tmp_path / "model.pt")
    command = [sys.executable, str(ROOT / "predict.py"), "model.pt", "--images", str(pictures), "--out", "pred.csv"]
    done = subprocess.run([*command, "--threads", "1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = rows_of(tmp_path / "pred.csv")
    assert [row["path"] for row in found] == [f"{number:04d}.png" for number in range(450)]
    for column, name in (("score", "ensemble"), ("score_seed1", "seed1"), ("score_seed2", "seed2")):
        expected = read_scores(folder / name / "test.csv").score
        np.testing.assert_array_equal(np.array([float(row[column]) for row in found]), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "pred.csv"]


def test_rows_say_the_decision_and_what_it_promises(folder: Path, pictures: Path, tmp_path: Path) -> None:
    out, test = tmp_path / "pred.csv", results(folder)["ensemble"]["test"]
    (promised,) = [point for point in test["promises"] if (point["rule"], point["tpr"]) == ("NP", 0.9)]
    assert predict.main([str(folder), "--images", str(pictures), "--out", str(out), "--promise", "0.9"]) == 0
    found = rows_of(out)
    scores = np.array([float(row["score"]) for row in found])
    words = np.where(scores >= promised["threshold"], "positive", "negative")
    assert [row["decision"] for row in found] == words.tolist()
    assert {row["rule"] for row in found} == {
        f"NP: TPR >= 0.9 with probability >= 0.95, from {promised['n_positive']} calibration positives"
    }
    pair = next(pair for pair in test["two_thresholds"] if pair["tpr"] == 0.9)
    words = np.where(scores >= pair["high"], "rule in", np.where(scores < pair["low"], "rule out", "refer"))
    assert [row["referral"] for row in found] == words.tolist()
    temperature = test["calibration"]["temperature"]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in found], 1 / (1 + np.exp(-scores / temperature)), rtol=1e-12
    )


def test_a_promise_that_the_run_cannot_make_is_refused(
    folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(folder), "--images", str(pictures), "--out", str(tmp_path / "x.csv")]
    assert predict.main([*argv, "--promise", "0.98"]) == 2
    assert "a TPR of 0.98 cannot be promised: NP needs 149 positives, got 1" in capsys.readouterr().err
    assert predict.main([*argv, "--rule", "plug-in", "0.98"]) == 0
    assert "plug-in: TPR 0.98 on the validation set, no promise" in capsys.readouterr().out


def test_nothing_of_the_run_is_changed(folder: Path, pictures: Path, tmp_path: Path) -> None:
    before = everything(folder)
    assert predict.main([str(folder), "--images", str(pictures), "--out", str(tmp_path / "x.csv")]) == 0
    assert everything(folder) == before


def test_best_pt_of_a_finished_seed_is_enough_too(folder: Path, pictures: Path) -> None:
    model = load(folder / "seed2" / "best.pt", device="cpu")
    images = [str(path) for path in sorted(pictures.glob("*.png"))]
    np.testing.assert_array_equal(model.score(images), read_scores(folder / "seed2" / "test.csv").score)
    own = results(folder)["seeds"]["2"]["test"]["promises"]
    assert isinstance(model, TrainedModel)
    kept = {(item.rule, item.target): item.value for item in model.decisions.thresholds if item.rule in ("NP", "CRC")}
    assert kept == {(point["rule"], point["tpr"]): point["threshold"] for point in own}


def test_an_unfinished_seed_has_no_thresholds(folder: Path, tmp_path: Path) -> None:
    unfinished = {name: value for name, value in best(folder / "seed1").items() if name != "decisions"}
    torch.save(unfinished, tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"best.pt has no decisions: its seed is not finished"):
        load(tmp_path / "best.pt")


def test_further_training_takes_the_thresholds_away_and_gives_new_ones(tmp_path: Path) -> None:
    """A promise on the validation set is corrected for the number of epochs: 1 first, then 2."""
    more = "--promise 0.7 0.2"
    folder = run(tmp_path, more)
    first = best(folder / "seed1")["decisions"]
    run(tmp_path, f"{more} --num_epochs 2 --resume 1")
    second = best(folder / "seed1")["decisions"]
    assert [item["needed"] for item in first["thresholds"] if item["rule"] == "NP"] == [5]  # .7^5 = .168 <= .2
    assert [item["needed"] for item in second["thresholds"] if item["rule"] == "NP"] == [7]  # .7^7 = .082 <= .1
    model = load(folder)
    assert isinstance(model, TrainedModel)
    assert model.decisions.as_dict() == second


def test_a_seed_that_is_trained_further_has_no_thresholds_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path)
    assert best(folder / "seed1")["decisions"]

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr("utils.run.seed_epochs.train_epoch", killed)
    with pytest.raises(Killed):
        run(tmp_path, "--num_epochs 2 --resume 1")
    assert "decisions" not in best(folder / "seed1")
    assert best(folder / "seed1")["epochs"] is None


def test_a_model_of_other_seeds_than_the_results_is_refused(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(folder, copied)
    (copied / "model.pt").write_bytes((run(tmp_path / "other", "--resnet_type lenet5") / "model.pt").read_bytes())
    with pytest.raises(UserError, match=r"is not of the seeds that .*results\.json counts; the command"):
        load(copied)
    (copied / "model.pt").unlink()
    with pytest.raises(UserError, match=r"has no model\.pt; the command that trained the run, with --train 0"):
        load(copied)


def test_train_0_writes_the_same_model_anew(folder: Path) -> None:
    content = (folder / "model.pt").read_bytes()
    (folder / "model.pt").unlink()
    more = "--resnet_type lenet5 --seeds 1-2 --calibration_fraction 0.2 --promise 0.98 0.05 0.9 0.05"
    run(folder.parents[1], f"{more} --train 0")
    assert (folder / "model.pt").read_bytes() == content


def test_broken_images_get_a_row_and_exit_code_1(folder: Path, pictures: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    shutil.copy(pictures / "0003.png", images / "deep" / "good.png")
    (images / "empty.png").touch()
    (images / "text.jpg").write_text("no image")
    content = (pictures / "0004.png").read_bytes()
    (images / "cut.png").write_bytes(content[: len(content) // 2])
    Image.new("L", (9, 8)).save(images / "wide.png")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(images / "deep.tif")
    out = tmp_path / "pred.csv"
    assert predict.main([str(folder), "--images", str(images), "--out", str(out)]) == 1
    found = {row["path"]: row for row in rows_of(out)}
    assert found["deep/good.png"]["error"] == ""
    assert found["deep/good.png"]["score"] != ""
    for name, error in (
        ("empty.png", "not an image"),
        ("text.jpg", "not an image"),
        ("cut.png", ""),
        ("wide.png", "9 x 8 pixels, but the model takes 8 x 8; --fit resizes"),
        ("deep.tif", "I;16 pixels, but the model was trained on 8 bits a channel"),
    ):
        assert found[name]["score"] == found[name]["decision"] == ""
        assert error in found[name]["error"] != ""
    assert predict.main([str(folder), "--images", str(images), "--out", str(out), "--overwrite", "--fit", "crop"]) == 1
    assert {row["path"]: row for row in rows_of(out)}["wide.png"]["error"] == ""


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_killed_prediction_goes_on_to_the_same_file(
    folder: Path, pictures: Path, tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of 100: killed after one and a half, or two and a half, of five."""
    monkeypatch.setattr("utils.run.seed_models.batch_size", lambda height, width: 100)
    argv = [str(folder), "--images", str(pictures), "--threads", "1"]
    whole, out = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert predict.main([*argv, "--out", str(whole)]) == 0

    class Killed(BaseException):
        pass

    written: list[Path] = []
    write = predicting._write

    def killed(path: Path, rows: list[list[str]], *, mode: str) -> None:
        if len(written) > stop_after:
            with path.open("a") as stream:
                csv.writer(stream, lineterminator="\n").writerows(rows[:30])
                stream.write(",".join(rows[30])[:20])  # half a row
            raise Killed
        written.append(path)
        write(path, rows, mode=mode)

    with monkeypatch.context() as patch:
        patch.setattr(predicting, "_write", killed)
        with pytest.raises(Killed):
            predict.main([*argv, "--out", str(out)])
    assert not out.exists()
    scored: list[int] = []
    batch_scores = predicting.batch_scores

    def counted(model: TrainedModel, read: Sequence[Any]) -> list[Any]:
        scored.append(len(read))
        return batch_scores(model, read)

    monkeypatch.setattr(predicting, "batch_scores", counted)
    assert predict.main([*argv, "--out", str(out), "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sum(scored) == 450 - 100 * stop_after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.csv", "whole.csv"]


def test_sources_of_images(folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, one file, a list, a table and an array give the same scores."""
    model = load(folder, device="cpu")
    names = ["0000.png", "0001.png"]
    (tmp_path / "list.txt").write_text("\n".join(str(pictures / name) for name in names))
    (tmp_path / "table.csv").write_text("id,path\n" + "".join(f"{i},{pictures / n}\n" for i, n in enumerate(names)))
    arrays = np.stack([np.asarray(Image.open(pictures / name)) for name in names])
    np.savez(tmp_path / "array.npz", allow_pickle=False, images=arrays)
    expected = model.score([pictures / name for name in names])
    np.testing.assert_array_equal(model.score(arrays), expected)
    for source in ("list.txt", "table.csv", "array.npz"):
        out = tmp_path / f"{source}.out.csv"
        assert predict.main([str(folder), "--images", str(tmp_path / source), "--out", str(out)]) == 0
        assert [float(row["score"]) for row in rows_of(out)] == expected.tolist()
    (tmp_path / "folder").mkdir()
    shutil.copy(pictures / names[0], tmp_path / "folder")
    (tmp_path / "folder" / "x.jfif").touch()
    capsys.readouterr()
    assert predict.main([str(folder), "--images", str(tmp_path / "folder"), "--out", str(tmp_path / "f.csv")]) == 0
    assert "note       1 file is no image by its ending: .jfif 1\n" in capsys.readouterr().out
    out = tmp_path / "one.csv"
    assert predict.main([str(folder), "--images", str(pictures / names[0]), "--out", str(out)]) == 0
    assert [row["path"] for row in rows_of(out)] == names[:1]


BAD = {
    "": "--images PATH is needed",
    "--images {new}": "give --out CSV to score images, or --name NAME",
    "--images {new} --out x.csv --name a --labels b": "--out cannot act with --name; leave one of them out",
    "--images nowhere --out x.csv": "must be a folder, an image, a .csv, .txt or .npz file, got nowhere, not there",
    "--images {empty} --out x.csv": "must hold images (.png",
    "--images {new} --out {new}/0000.png": "is there; choose another --out, or add --overwrite 1",
    "--images {new} --out x.csv --promise 0.98 --rule cost": "--promise and --rule choose a threshold each",
    "--images {new} --out x.csv --rule best": "--rule must be one of NP, CRC, plug-in",
    "--images {new} --out x.csv --rule plug-in 0.5": "no threshold by plug-in for 0.5; there are CRC 0.98, NP 0.9",
    "--images {new} --out x.csv --rule default 3": "--rule default has no target, got 3; leave it out",
    "--images {new} --out x.csv --promise 2": "--promise must be a rate in (0, 1], got 2",
    "--images {new} --out x.csv --two_thresholds 0.98 0.01": "the run has no such two; it has 0.9 0.0",
    "--images {new} --out x.csv --by scanner": "--by cannot act with --out; it belongs to --name",
    "--images {new} --out x.csv --group who": "--group cannot act with --out; it belongs to --name",
    "--images {new} --out x.csv --resume 2": "--resume must be 0 or 1, got 2",
    "--images {new} --out x.csv --device gpu9": "device",
    "--images {new} --out x.csv --fit stretch": "invalid choice: 'stretch'",
    "--export onnx --out x.csv": "--out cannot act with --export",
    "--export onnx --threads 2": "--threads cannot act with --export; it belongs to --out or --name",
    "--export onnx --fit crop": "--fit resizes images: add --images PATH",
    "--images {new} --labels b --name a --resume": "--resume cannot act with --name; it belongs to --out",
    "--images {new} --labels b --name a --two_thresholds 0.9 0.1": "--two_thresholds cannot act with --name",
    "--images {new} --out x.csv --labels b": "--labels cannot act with --out; it belongs to --name",
}


@pytest.mark.parametrize("more", BAD)
def test_bad_input_is_one_line_and_writes_nothing(
    more: str, folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert predict.main([str(folder), *more.format(new=pictures, empty="empty").split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert BAD[more] in line
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


SMALL = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); import predict; "
SMALL += "sys.exit(predict.main(sys.argv[1:]))"


@pytest.mark.slow
def test_a_disk_that_refuses_ends_with_one_line_and_room_mends_it(folder: Path, pictures: Path, tmp_path: Path) -> None:
    """No file may grow beyond 20,000 bytes, which the rows of 450 images do."""
    argv = [str(folder), "--images", str(pictures), "--threads", "1", "--out"]
    whole, out = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert predict.main([*argv, str(whole)]) == 0
    assert whole.stat().st_size > 20000
    command = [sys.executable, "-c", SMALL, *argv, str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("File too large; make room, then --resume 1 goes on")
    assert not out.exists()
    assert predict.main([*argv, str(out), "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()


HELD = """
import sys, time
import predict
from utils.run import predictions as predicting
predicting.batch_scores = lambda *_: (print("ready", flush=True), time.sleep(600))
sys.exit(predict.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_leaves_no_file_of_that_name(folder: Path, pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(folder), "--images", str(pictures), "--out", str(tmp_path / "x.csv")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error.strip().splitlines()[-1].endswith("the same command with --resume 1 goes on")
    assert "Traceback" not in error
    assert not (tmp_path / "x.csv").exists()


def test_a_pipe_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"cannot score .*pipe\.png: not a regular file"):
        load(folder, device="cpu").score([tmp_path / "pipe.png"])


def test_scores_that_are_not_numbers_end_the_command(folder: Path, pictures: Path, tmp_path: Path) -> None:
    model = load(folder, device="cpu")
    with torch.no_grad():
        next(model.members[0][0].parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"gives scores that are not finite numbers"):
        model.score([pictures / "0000.png"])


def test_images_of_another_form_are_refused(folder: Path) -> None:
    model = load(folder, device="cpu")
    for images, message in (
        (np.zeros((2, 8, 8, 3), dtype=np.uint8), r"images must be \(8, 8, 1\) .* got \(8, 8, 3\)"),
        (np.full((2, 8, 8), 0.5), "multiply by 255 if they are in 0..1"),
        (np.full((2, 8, 8), 256), "must hold integers in 0..255"),
        (np.zeros(64, dtype=np.uint8), "must have shape"),
    ):
        with pytest.raises(UserError, match=message):
            model.score(images)
    for paths in (["nowhere\n.png"], "nowhere\n.png"):
        with pytest.raises(UserError, match=r"^cannot score nowhere \.png: not there$"):
            model.decide(paths)
    assert model.score([]).shape == (0,)


def test_colour_and_size_in_the_file_are_recorded(tmp_path: Path) -> None:
    """Colour images of 12 x 30 pixels: enlarged to 32 x 30 for the model, in the files they stay as they are."""
    generator = np.random.Generator(np.random.PCG64(5))
    content: dict[str, np.ndarray] = {}
    for part, count in (("train", 80), ("test", 20)):
        content[f"x_{part}"] = generator.integers(0, 256, (count, 12, 30, 3), dtype=np.uint8)
        content[f"y_{part}"] = np.arange(count) % 2
    np.savez(tmp_path / "scans.npz", allow_pickle=False, **content)
    folder = run(tmp_path, f"--dataset_name scans --data_root {tmp_path} --ratio_pos_train 1 --validation_fraction 0.3")
    model = load(folder, device="cpu")
    assert (model.form.channels, model.form.height, model.form.width) == (3, 12, 30)
    assert model.form.input_size == (32, 30)
    expected = read_scores(folder / "ensemble" / "test.csv").score
    np.testing.assert_array_equal(model.score(content["x_test"]), expected)
    assert load_raw("scans", data_root=tmp_path).size_in_file == (12, 30)
