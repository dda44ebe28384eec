"""predict.py --export: the exported file gives the scores of test.csv from the pixels of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from runs import run
from sklearn.datasets import load_digits

import predict
from utils.data.digits import _stratified_quarter
from utils.run.trained_model import load
from utils.run_files.scores_csv import read_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def pixels() -> np.ndarray:
    """The test images of digits, (450, 1, 8, 8) as in the files, in the order of test.csv."""
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    chosen: np.ndarray = images[_stratified_quarter(bunch.target.astype(np.int64)), None]
    return chosen


RESIZED = "lenet5 --image_size 40 --normalisation imagenet"  # and repeated in three channels


@pytest.fixture(
    scope="module", params=["lenet5", "resnet10", "lenet5 --training_type LDAM", "torchvision:resnet18", RESIZED]
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("run"), f"--seeds 1-2 --resnet_type {request.param}")


def expected(folder: Path) -> np.ndarray:
    return read_scores(folder / "ensemble" / "test.csv").score


def assert_close(found: np.ndarray, folder: Path) -> None:
    scores = expected(folder)
    assert found.shape == scores.shape
    assert np.abs(found - scores).max() <= 1e-5 * max(1.0, np.abs(scores).max())


@pytest.mark.slow
def test_onnx(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert predict.main([str(folder), "--export", "onnx"]) == 0
    assert "largest difference on 64 images of made-up images" in capsys.readouterr().out
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert_close(session.run(None, {"images": pixels()})[0], folder)
    assert session.run(None, {"images": pixels()[:1]})[0].shape == (1,)  # any batch size


@pytest.mark.slow
def test_torch_export(folder: Path) -> None:
    assert predict.main([str(folder), "--export", "torch_export"]) == 0
    with torch.no_grad():
        found = torch.export.load(folder / "model.pt2").module()(torch.from_numpy(pixels()))
    assert_close(found.numpy(), folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript(folder: Path) -> None:
    assert predict.main([str(folder), "--export", "torchscript"]) == 0
    with torch.no_grad():
        assert_close(torch.jit.load(folder / "model.ts")(torch.from_numpy(pixels())).numpy(), folder)


def test_a_file_that_gives_other_scores_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path)
    writers = {"torch_export": lambda ensemble, batch: (b"x", (ensemble(batch).numpy() + 1,))}
    monkeypatch.setattr("utils.run.export.WRITERS", writers)
    assert predict.main([str(folder), "--export", "torch_export"]) == 2
    assert "the exported model differs from the model by" in capsys.readouterr().err
    assert not (folder / "model.pt2").exists()


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path)
    monkeypatch.setattr("utils.run.export.importlib.util.find_spec", lambda name: None)
    assert predict.main([str(folder), "--export", "onnx"]) == 2
    assert "--export onnx needs onnx and onnxscript and onnxruntime: pip install" in capsys.readouterr().err


def test_the_model_itself_is_left_as_it_was(tmp_path: Path) -> None:
    folder = run(tmp_path)
    model = load(folder, device="cpu")
    images = pixels()[:, 0]
    before = model.score(images)
    assert predict.main([str(folder), "--export", "torch_export"]) == 0
    np.testing.assert_array_equal(load(folder, device="cpu").score(images), before)
