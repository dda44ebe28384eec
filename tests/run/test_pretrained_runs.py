"""Runs that start from a file of weights: what is kept, what is frozen, what is recorded, exact resume."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from runs import NAMES, arguments, assert_same, assert_same_run, best, history, last, results, run, start_of

import main
from models import build_model
from utils.data import load_raw
from utils.data.raw import enlarged
from utils.run.trained_model import load
from utils.run_files.checkpoints import load as load_checkpoint
from utils.run_files.checkpoints import save
from utils.run_files.last_pt import LAST
from utils.run_files.model_pt import MODEL
from utils.run_files.scores_csv import read_scores
from utils.system.files import sha256

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")
TINY = "--resnet_type resnet20 --image_size 8 --bsize 64 --evaluate_every_steps 3"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of resnet20 for grey images, with running statistics that are not those of a new network."""
    generator = torch.Generator().manual_seed(11)
    model = build_model("resnet20", channels=1, image_size=(8, 8), outputs=10, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "resnet20.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}, path)
    return path


@pytest.fixture(scope="module")
def body(weights: Path) -> dict[str, torch.Tensor]:
    """What of it must be kept, by our names."""
    content = torch.load(weights, weights_only=True)["state_dict"]
    tensors = {name.removeprefix("module."): value for name, value in content.items()}
    return {name: value for name, value in tensors.items() if not name.startswith("head.")}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A run of two seeds, frozen in all epochs."""
    root = tmp_path_factory.mktemp("frozen")
    return run(root, f"{TINY} --weights {weights} --freeze_epochs all --num_epochs 4 --seeds 1-2 --lr 0.1")


def refused(root: Path, more: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    run(root, more, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    return line


# --- what training starts from -----------------------------------------------------------------------------


def test_a_run_starts_from_the_file_with_a_new_head(
    tmp_path: Path, weights: Path, body: dict[str, torch.Tensor]
) -> None:
    experiment, state, _ = start_of(tmp_path, f"{TINY} --weights {weights}")
    drawn = start_of(tmp_path, TINY)[1].model.state_dict()
    found = state.model.state_dict()
    assert found.keys() == {*body, "head.weight", "head.bias"}
    for name, value in found.items():
        assert torch.equal(value, body.get(name, drawn[name])), name
    assert experiment.weights is not None
    assert experiment.weights.matched == "names"


def test_a_safetensors_file_is_the_same(tmp_path: Path, weights: Path) -> None:
    torch_file = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    torch_file.save_file(torch.load(weights, weights_only=True)["state_dict"], path)
    one, other = (start_of(tmp_path, f"{TINY} --weights {each}")[1] for each in (weights, path))
    assert_same(one.model.state_dict(), other.model.state_dict())


def test_safetensors_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert refused(tmp_path, f"{TINY} --weights {path}", capsys).endswith("needs safetensors: pip install safetensors")


def test_best_pt_of_another_run_is_a_file_of_weights(tmp_path: Path, frozen: Path) -> None:
    path = frozen / "seed2" / "best.pt"
    found = start_of(tmp_path, f"{TINY} --weights {path}")[1].model.state_dict()
    drawn = start_of(tmp_path, TINY)[1].model.state_dict()
    for name, value in best(path.parent)["weights"].items():
        assert torch.equal(found[name], drawn[name] if name.startswith("head.") else value), name


# --- a number of frozen epochs -----------------------------------------------------------------------------


def is_body(state: dict[str, Any], body: dict[str, torch.Tensor]) -> bool:
    """Whether every tensor below the head is the file's, running statistics and counters too."""
    return all(torch.equal(state[name], value) for name, value in body.items())


def test_a_frozen_body_is_not_changed_and_then_it_is(
    tmp_path: Path, weights: Path, body: dict[str, torch.Tensor]
) -> None:
    command = f"{TINY} --weights {weights} --freeze_epochs 2 --optimizer adam --lr 0.01 --augment crop_flip"
    seed = run(tmp_path, f"{command} --num_epochs 2") / "seed1"
    assert is_body(last(seed)["model"], body)
    head = start_of(tmp_path, command)[1].model.state_dict()["head.weight"]
    assert not torch.equal(last(seed)["model"]["head.weight"], head)
    run(tmp_path, f"{command} --num_epochs 3 --resume 1")
    trained = last(seed)["model"]
    changed = [name for name, value in body.items() if not torch.equal(trained[name], value)]
    assert changed == list(body)  # weights, running statistics and counters


UNFREEZING = [
    "--optimizer sgd",
    "--optimizer sgd --momentum 0",
    "--optimizer adam --lr 0.001",
    "--use_ALM 1 --mu 0.01 --delta 1 --augment crop_flip --lr_decrease 1 --patience_lr 0",
    "--name_file_alm RATE_TPR98 --training_type LDAM --sampler smote",
    "--ema 0.9 --schedule step --lr_steps 3 --augment medical",
]


@pytest.mark.slow
@pytest.mark.parametrize("more", UNFREEZING)
@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_stop_around_the_unfreezing_changes_no_bit(tmp_path: Path, weights: Path, more: str, first: int) -> None:
    command = f"{TINY} --weights {weights} --freeze_epochs 2 {more}"
    run(tmp_path / "resumed", f"{command} --num_epochs {first}")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 4 --resume 1")
    assert_same_run(resumed, run(tmp_path / "straight", f"{command} --num_epochs 4"))


def test_a_state_of_the_other_side_of_the_unfreezing_is_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"{TINY} --weights {weights} --freeze_epochs 1 --keep_last 1"
    seed = run(tmp_path, f"{command} --num_epochs 2") / "seed1"
    content = last(seed)
    del content["optimizer"]["state"][0]
    (seed / "last_before.pt").unlink()
    save(seed / "last.pt", LAST, {name: value for name, value in content.items() if name != "format"})
    (seed / "last_before.pt").unlink(missing_ok=True)
    line = refused(tmp_path, f"{command} --num_epochs 3 --resume 1", capsys)
    assert "does not belong to this run (ValueError: parameters of the optimizer)" in line


# --- frozen in all epochs: features ------------------------------------------------------------------------


def test_features_give_what_the_frozen_network_gives(tmp_path: Path, weights: Path, frozen: Path) -> None:
    plain = run(tmp_path, f"{TINY} --weights {weights} --freeze_epochs 9 --num_epochs 4 --lr 0.1 --augment none")
    ours, theirs = history(frozen / "seed1"), history(plain / "seed1")
    for name in ("train_loss", "train_auc", "val_loss", "val_auc"):
        np.testing.assert_allclose([each[name] for each in ours], [each[name] for each in theirs], rtol=1e-4)
    one, other = best(frozen / "seed1"), best(plain / "seed1")
    assert one["epoch"] == other["epoch"]
    for name, value in one["weights"].items():
        torch.testing.assert_close(value, other["weights"][name], rtol=1e-3, atol=1e-5)


def test_best_pt_is_the_whole_and_last_pt_the_head(frozen: Path, body: dict[str, torch.Tensor]) -> None:
    weights = best(frozen / "seed1")["weights"]
    assert is_body(weights, body)
    assert weights.keys() == {*body, "head.weight", "head.bias"}
    assert last(frozen / "seed1")["model"].keys() == {"weight", "bias"}


def test_images_give_the_scores_of_the_features(tmp_path: Path, frozen: Path, weights: Path) -> None:
    """With --train 0 and with model.pt alone, without the file of weights, bit for bit."""
    shutil.copytree(frozen, tmp_path / "runs" / "run")
    run(tmp_path, "--resnet_type resnet20 --train 0 --seeds 1-2")
    for seed in (1, 2):
        for name in NAMES:
            expected = (frozen / f"seed{seed}" / name).read_bytes()
            assert (tmp_path / "runs" / "run" / f"seed{seed}" / name).read_bytes() == expected
    shutil.copy(frozen / "model.pt", tmp_path / "model.pt")
    found = load(tmp_path / "model.pt").score_seeds(images_of_test_csv(tmp_path))
    for row, seed in enumerate((1, 2)):
        np.testing.assert_array_equal(found[row], read_scores(frozen / f"seed{seed}" / "test.csv").score)


def images_of_test_csv(root: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The test images as they are in their file, 8 x 8, before they are enlarged."""
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    place = {image.tobytes(): number for number, image in enumerate(enlarged(images[..., None]))}
    found: np.ndarray[Any, np.dtype[np.uint8]] = images[
        [place[image.tobytes()] for image in load_raw("digits", data_root=root).test_images]
    ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "--training_type LDAM --use_ALM 1 --mu 0.01",
        "--sampler smote",
        "--name_file_alm RATE_TPR98 --optimizer adam --lr_decrease 1 --patience_lr 0",
        "--training_type AUCM --sampler balanced --precision bf16",
        "--ema 0.9 --warm_up 1",
    ],
)
def test_the_head_trains_and_resumes_with_every_kind_of_part(tmp_path: Path, weights: Path, more: str) -> None:
    command = f"{TINY} --weights {weights} --freeze_epochs all {more}"
    run(tmp_path / "resumed", f"{command} --num_epochs 1")
    resumed = run(tmp_path / "resumed", f"{command} --num_epochs 3 --resume 1")
    straight = run(tmp_path / "straight", f"{command} --num_epochs 3")
    assert_same_run(resumed, straight)
    before = {name: (straight / "seed1" / name).read_bytes() for name in NAMES}
    run(tmp_path / "straight", f"--resnet_type resnet20 {more} --train 0")
    assert {name: (straight / "seed1" / name).read_bytes() for name in NAMES} == before


def test_best_pt_holds_the_averaged_last_layer_in_the_whole(
    tmp_path: Path, weights: Path, body: dict[str, torch.Tensor]
) -> None:
    folder = run(tmp_path, f"{TINY} --weights {weights} --freeze_epochs all --num_epochs 1 --ema 0.5 --lr 0.1")
    kept, state = best(folder / "seed1")["weights"], last(folder / "seed1")
    assert is_body(kept, body)
    assert torch.equal(kept["head.weight"], state["average"]["weights"]["head.weight"])
    assert not torch.equal(kept["head.weight"], state["model"]["weight"])


def test_a_dry_run_tells_the_time_of_features_and_what_is_trained(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = f"{TINY} --weights {weights} --dry_run 1 --freeze_epochs"
    for epochs, trained in (("all", 65), ("1", None)):
        capsys.readouterr()
        assert main.main(arguments(tmp_path / "out", f"{command} {epochs}")) == 0
        out = capsys.readouterr().out
        ((whole, head),) = re.findall(r"parameters  ([\d,]+), of which ([\d,]+) are trained", out)
        assert head == (whole if trained is None else str(trained))  # 64 features and a bias
        assert ("once for all seeds" in out) == (epochs == "all")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_seeds_at_once_share_the_features_and_change_nothing(tmp_path: Path, weights: Path, frozen: Path) -> None:
    command = f"{TINY} --weights {weights} --freeze_epochs all --num_epochs 4 --seeds 1-2 --lr 0.1 --parallel_seeds 2"
    assert_same_run(run(tmp_path, command), frozen, seeds=(1, 2))


def test_features_are_computed_once(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from utils.training.freezing import Freezing

    seen: list[int] = []
    original = Freezing.features

    def counted(self: Freezing, images: torch.Tensor, machine: Any) -> torch.Tensor:
        seen.append(len(images))
        return original(self, images, machine)

    monkeypatch.setattr(Freezing, "features", counted)
    folder = run(tmp_path, f"{TINY} --weights {weights} --freeze_epochs all --num_epochs 3 --seeds 1-2")
    counts = results(folder)["class_counts"]
    trained = {
        int(row)
        for seed in (1, 2)
        for row in start_of(tmp_path, f"{TINY} --weights {weights} --freeze_epochs all", seed=seed)[2].train
    }
    sizes = [sum(counts[part].values()) for part in ("validation", "test")]
    assert sorted(seen) == sorted([*sizes, len(trained)])  # each set at once, as an evaluation takes images of 8 x 8
    before = len(seen)
    run(tmp_path, f"{TINY} --weights {weights} --freeze_epochs all --num_epochs 3 --seeds 1-2")  # all are done
    assert len(seen) == before


# --- unfreezing on top -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frozen_run_is_continued_as_a_whole(tmp_path: Path, frozen: Path, body: dict[str, torch.Tensor]) -> None:
    shutil.copytree(frozen, tmp_path / "runs" / "frozen")
    # without --image_size and --normalisation: they are the baseline's
    command = f"{TINY.replace('--image_size 8', '')} --dataset_name digits --ratio_pos_train 20 --device cpu "
    command += "--threads 1 --model_name run --seeds 1 --continue_train 1 --baseline_cont_train frozen"
    command += " --continue_train_epochs 2"
    assert main.main([*command.split(), "--checkpoint_root", str(tmp_path)]) == 0
    seed, baseline = tmp_path / "runs" / "run" / "seed1", best(frozen / "seed1")
    assert [record["epoch"] for record in history(seed)] == [baseline["epoch"] + 1, baseline["epoch"] + 2]
    assert not any(torch.equal(last(seed)["model"][name], value) for name, value in body.items())
    options = yaml.safe_load((seed.parent / "config.yaml").read_text())["options"]
    assert options["image_size"] == {"value": 8, "origin": "the baseline"}


# --- records -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_checksum_of_the_weights_is_recorded_and_compared(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pth"
    shutil.copy(weights, path)
    command = f"{TINY} --weights {path}"
    folder = run(tmp_path, f"{command} --num_epochs 1")
    record = {"path": "mine.pth", "sha256": sha256(weights), "matched": "names"}
    assert yaml.safe_load((folder / "config.yaml").read_text())["weights"] == record
    assert best(folder / "seed1")["pretrained"] == record
    assert load_checkpoint(folder / "model.pt", MODEL)["pretrained"] == record
    run(tmp_path, "--resnet_type resnet20 --train 0")
    assert load_checkpoint(folder / "model.pt", MODEL)["pretrained"] == record
    more = f"{TINY} --num_epochs 2 --resume 1"
    line = refused(tmp_path, more, capsys)
    assert f"weights with the SHA-256 {sha256(weights)[:12]} there, none now" in line
    content = torch.load(weights, weights_only=True)
    content["state_dict"]["module.norm.bias"] += 1
    torch.save(content, path)
    line = refused(tmp_path, f"{more} --weights {path}", capsys)
    assert f"there, {sha256(path)[:12]} now" in line
    elsewhere = tmp_path / "elsewhere.pth"
    shutil.copy(weights, elsewhere)
    run(tmp_path, f"{more} --weights {elsewhere}")


@pytest.mark.slow
def test_the_stem_is_said_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "--resnet_type resnet10 --image_size 64 --evaluate_every_steps 1 --bsize 8")
    words = "7x7 convolution with stride 2 and max-pooling, as the shorter side is at least 64 pixels"
    assert f"stem     {words}" in capsys.readouterr().out
    assert best(folder / "seed1")["stem"] == words
    assert load_checkpoint(folder / "model.pt", MODEL)["stem"] == words


# --- refusals ----------------------------------------------------------------------------------------------


def test_weights_that_are_refused(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.pth"
    content = torch.load(weights, weights_only=True)["state_dict"]
    torch.save({name: value for name, value in content.items() if "blocks.8" not in name}, other)
    text, pickled = tmp_path / "text.pth", tmp_path / "pickled.pth"
    text.write_text("no weights")
    torch.save({"a": Path("x")}, pickled)
    cases = {
        f"--weights {other}": "does not fit: it holds the weights of another network: ",
        f"--weights {text}": "must hold a state dict (.pt, .pth, .safetensors) that can be read without running",
        f"--weights {pickled}": "must hold a state dict (.pt, .pth, .safetensors) that can be read without running",
        f"--weights {tmp_path}/none.pth": "weights must be a file, but ",
        "--weights default": "resnet20 has no weights of its own; only torchvision:NAME and timm:NAME have",
        "--freeze_epochs 3": "cannot act with random weights, which freezing would keep; add --weights",
        "--normalisation weights": "resnet20 has no normalisation of its own",
        f"--weights {weights} --freeze_epochs -1": "freeze_epochs must be an integer >= 0, or all, got -1",
        f"--weights {weights} --freeze_epochs all --compile 1": "compile (from the command line) cannot act with fr",
        f"--weights {weights} --continue_train 1": "weights and continue_train 1 exclude each other; the",
    }
    for more, words in cases.items():
        line = refused(tmp_path / "root", f"{TINY} {more}", capsys)
        assert words in line, line
        assert not (tmp_path / "root").exists()


def test_damaged_weights_are_refused_before_anything_is_written(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.pth"
    content = torch.load(weights, weights_only=True)["state_dict"]
    content["module.norm.bias"][0] = torch.nan
    torch.save(content, path)
    line = refused(tmp_path / "root", f"{TINY} --weights {path} --freeze_epochs all", capsys)
    assert "the frozen network gives outputs that are not finite; its weights are damaged (--weights)" in line
    assert not (tmp_path / "root").exists()


@pytest.mark.filterwarnings("default")  # of torchvision's import
def test_default_weights_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def unreachable(url: str, *_: object, **__: object) -> None:
        raise OSError(f"no network for {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    command = "--resnet_type torchvision:shufflenet_v2_x0_5 --weights default"
    place = tmp_path / "hub" / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth"
    where = f"fetch https://download.pytorch.org/models/{place.name} and put it into {place}"
    line = refused(tmp_path / "root", f"{command} --download 0", capsys)
    assert "they are not on this machine" in line
    assert where in line
    line = refused(tmp_path / "root", command, capsys)
    assert "the download failed (no network for https://download.pytorch.org/models/" in line
    assert where in line
