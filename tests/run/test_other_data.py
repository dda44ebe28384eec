"""--train 0 repeats a run's own numbers: other data are refused, and an unfinished seed is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from runs import SMALL, best, results, run

import main
from benchmarks.processes import last_of_each
from utils.run_files.best_pt import BEST
from utils.run_files.checkpoints import save

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

Arrays = dict[str, np.ndarray]


def arrays() -> Arrays:
    """Noise, of which the positives are a little brighter; with a validation file. 32 pixels: they are not enlarged."""
    generator = np.random.Generator(np.random.PCG64(3))
    made: Arrays = {}
    for part, number in (("train", 120), ("val", 40), ("test", 40)):
        labels = np.arange(number) % 2
        pixels = generator.integers(0, 200, (number, 32, 32)) + 4 * labels[:, None, None]
        made |= {f"{part}_images": pixels.astype(np.uint8), f"{part}_labels": labels}
    return made


def command(root: Path) -> str:
    return f"--dataset_name scans --data_root {root / 'data'} --ratio_pos_train 2 --seeds 1-2"


def saved(root: Path, content: Arrays) -> None:
    (root / "data").mkdir(exist_ok=True)
    np.savez(root / "data" / "scans.npz", allow_pickle=False, **content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run of two seeds on data of their own."""
    saved(tmp_path, arrays())
    return run(tmp_path, command(tmp_path))


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of each file of a run, locks too."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def darkened(content: Arrays) -> None:
    content["train_images"] //= 10


def one_pixel(content: Arrays) -> None:
    content["test_images"][0, 0, 0] ^= 1


def swapped_test(content: Arrays) -> None:
    content["test_images"] = content["test_images"][::-1]


def swapped_validation(content: Arrays) -> None:
    content["val_images"] = content["val_images"][::-1]


def other_labels(content: Arrays) -> None:
    content["test_labels"] = 1 - content["test_labels"]


def fewer(content: Arrays) -> None:
    content["test_images"], content["test_labels"] = content["test_images"][:20], content["test_labels"][:20]


CHANGES = [darkened, one_pixel, swapped_test, swapped_validation, other_labels, fewer]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("only_best", [False, True], ids=["whole run", "best.pt alone"])
def test_other_data_are_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Arrays], None], only_best: bool
) -> None:
    if only_best:
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "best.pt":
                path.unlink()
    content = arrays()
    change(content)
    saved(tmp_path, content)
    before = everything(folder)
    capsys.readouterr()
    run(tmp_path, f"{command(tmp_path)} --train 0", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "seed1/best.pt records data with the checksum" in line
    assert "--data_root" in line
    assert everything(folder) == before
    saved(tmp_path, arrays())  # the run's own data again, in a file of another name
    shutil.move(tmp_path / "data", tmp_path / "moved")
    run(tmp_path, f"{command(tmp_path).replace('/data ', '/moved ')} --train 0")
    after = everything(folder)
    same = [name for name in before if name.endswith((".csv", "best.pt", "results.json"))]
    assert [name for name in same if after[name][0] != before[name][0]] == []


def test_a_best_checkpoint_of_other_data_in_the_folder_of_a_run_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its data are there, but the other numbers of the folder are of other data."""
    content = arrays()
    darkened(content)
    saved(tmp_path, content)
    other = run(tmp_path, f"{command(tmp_path)} --model_name other")
    shutil.copy(other / "seed1" / "best.pt", folder / "seed1" / "best.pt")
    before = everything(folder)
    capsys.readouterr()
    run(tmp_path, f"{command(tmp_path)} --seeds 1 --train 0", code=2)
    assert "config.yaml records data with the checksum" in capsys.readouterr().err
    assert everything(folder) == before


def test_another_normalisation_is_refused_and_one_that_is_not_recorded_is_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = yaml.safe_load((folder / "config.yaml").read_text())["data"]["normalisation"]
    train = arrays()["train_images"] / 255
    assert recorded["mean"] == pytest.approx([train.mean()])
    assert recorded["std"] == pytest.approx([train.std()])
    assert best(folder / "seed1")["normalisation"] == recorded
    before = everything(folder)
    with monkeypatch.context() as patch:  # as where the constants of a data set of the program change
        patch.setattr("utils.run.evaluate.normalisation", lambda task: {"mean": [0.5], "std": [0.5]})
        capsys.readouterr()
        run(tmp_path, f"{command(tmp_path)} --train 0", code=2)
        assert "records data with the normalisation {'mean': [0." in capsys.readouterr().err
    assert everything(folder) == before
    for seed in (1, 2):  # as an earlier version wrote it
        content = best(folder / f"seed{seed}")
        del content["normalisation"]
        save(folder / f"seed{seed}" / "best.pt", BEST, content)
    run(tmp_path, f"{command(tmp_path)} --train 0")


def test_a_baseline_of_other_data_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = arrays()
    darkened(content)
    saved(tmp_path, content)
    more = "--model_name more --continue_train 1 --baseline_cont_train run --continue_train_epochs 1"
    capsys.readouterr()
    small = SMALL.replace("--num_epochs 1 ", "")  # cannot act here
    words = f"{small} --checkpoint_root {tmp_path} {command(tmp_path)} {more}".split()
    assert main.main(last_of_each(words)) == 2
    assert "run/seed1/best.pt was trained on data with the checksum" in capsys.readouterr().err
    assert not (folder.parent / "more").exists()


# ---------------------------------------------------------------- a seed that is not finished


@pytest.mark.parametrize("seeds, told", [("1", ["1"]), ("1-2", ["1"])])
def test_an_unfinished_seed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: str, told: list[str]
) -> None:
    folder = run(tmp_path, "--seeds 1-2 --num_epochs 3")
    (folder / "seed1" / "done").unlink()  # killed before it was scored
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("num_epochs:\n    value: 3", "num_epochs:\n    value: 7"))
    capsys.readouterr()
    run(tmp_path, f"--seeds {seeds} --num_epochs 7 --train 0")
    out = capsys.readouterr().out
    for seed in told:
        assert f"note: seed {seed} is not finished: it was trained to epoch 3 of 7" in out
    assert out.count("is not finished") == len(told)
    assert sum("is not finished" in line for line in results(folder)["warnings"]) == len(told)


def test_a_seed_that_failed_and_one_of_which_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path, "--num_epochs 2")
    (folder / "seed1" / "done").unlink()
    (folder / "seed1" / "failed").write_text("the loss was not finite\n")
    run(tmp_path, "--num_epochs 2 --train 0")
    assert "trained to epoch 2 of 2 (the loss was not finite)" in capsys.readouterr().out
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "best.pt":
            path.unlink()
    run(tmp_path, "--num_epochs 2 --train 0")
    assert "is not finished" not in capsys.readouterr().out
