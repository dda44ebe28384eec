"""predict.py --export of K classes: scores and outputs of test.csv from the pixels of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from runs import run
from sklearn.datasets import load_digits

import predict
from utils.data.digits import _stratified_quarter
from utils.run_files.class_scores_csv import read_class_scores

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
THREE = "--classes 1 3 7 --critical_classes 7 3"
KINDS = {  # and the classes in use
    "logit adjustment": (f"{THREE} --training_type LA --resnet_type lenet5 --seeds 1-2", (1, 3, 7)),
    "cosines": (f"{THREE} --training_type LDAM --resnet_type lenet5", (1, 3, 7)),
    "learned thresholds": (f"{THREE} --use_ALM --constraint rate --bsize 32", (1, 3, 7)),
    "two classes": ("--classes 1 7 --training_type LA", (1, 7)),
}
Run = tuple[Path, torch.Tensor]


@pytest.fixture(scope="module", params=list(KINDS.values()), ids=list(KINDS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run, and the test images of its classes, (n, 1, 8, 8) as in the files, in the order of test.csv."""
    more, classes = request.param
    bunch = load_digits()
    rows = np.flatnonzero(_stratified_quarter(bunch.target.astype(np.int64)))
    rows = rows[np.isin(bunch.target[rows], classes)]
    images = np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8)
    folder = run(tmp_path_factory.mktemp("run"), f"--task classes {more}")
    return folder, torch.from_numpy(images[:, None])


def assert_close(scores: np.ndarray, outputs: np.ndarray, folder: Path) -> None:
    expected = read_class_scores(folder / "ensemble" / "test.csv")
    for found, values in ((scores, expected.scores), (outputs, expected.outputs)):
        assert found.shape == values.shape
        assert np.abs(found - values).max() <= 1e-5 * max(1.0, np.abs(values).max())


@pytest.mark.slow
def test_onnx(exported: Run, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder, images = exported
    assert predict.main([str(folder), "--export", "onnx"]) == 0
    out = capsys.readouterr().out
    assert "images, uint8 (B, 1, 8, 8) -> scores, float32 (B, " in out
    assert ", outputs, float32 (B, " in out
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["scores", "outputs"]
    scores, outputs = session.run(None, {"images": images.numpy()})
    assert_close(scores, outputs, folder)
    assert session.run(None, {"images": images[:1].numpy()})[0].shape[0] == 1  # any batch size


def test_torch_export(exported: Run) -> None:
    folder, images = exported
    assert predict.main([str(folder), "--export", "torch_export"]) == 0
    with torch.no_grad():
        scores, outputs = torch.export.load(folder / "model.pt2").module()(images)
    assert_close(scores.numpy(), outputs.numpy(), folder)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript(exported: Run) -> None:
    folder, images = exported
    assert predict.main([str(folder), "--export", "torchscript"]) == 0
    with torch.no_grad():
        scores, outputs = torch.jit.load(folder / "model.ts")(images)
    assert_close(scores.numpy(), outputs.numpy(), folder)


@pytest.mark.parametrize("place", [0, 1])
def test_a_file_that_gives_other_numbers_is_not_kept(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither other scores nor other outputs."""
    folder = run(tmp_path, f"--task classes {THREE}")

    def other(ensemble: torch.nn.Module, batch: torch.Tensor) -> tuple[bytes, tuple[np.ndarray, ...]]:
        found = [each.numpy() for each in ensemble(batch)]
        found[place] = found[place] + 1
        return b"x", tuple(found)

    monkeypatch.setattr("utils.run.export.WRITERS", {"torch_export": other})
    assert predict.main([str(folder), "--export", "torch_export"]) == 2
    assert "the exported model differs from the model by" in capsys.readouterr().err
    assert not (folder / "model.pt2").exists()
