"""Bad input: one line that says what was expected and what came, exit code 2, and nothing written."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from benchmarks.processes import last_of_each
from main import main

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ["--dataset_name", "digits", "--resnet_type", "linear"]
BASE = [*DIGITS, "--num_epochs", "1", "--seeds", "1", "--model_name", "base"]
EVALUATE = ["--train", "0", "--model_name", "base"]
SCANS = [*DIGITS[2:], "--dataset_name", "scans", "--num_epochs", "1", "--seeds", "1", "--ratio_pos_train", "1"]
RUNS = Path("checkpoint", "runs")
BEST = RUNS / "base" / "seed1" / "best.pt"

Refuse = Callable[..., str]


def tree() -> dict[str, bytes | None]:
    """Every file below the working directory and its content, but for the locks."""
    paths = (path for path in Path().rglob("*") if path.name != ".lock")
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must be refused; gives the message behind ``error: ``."""

    def run(argv: list[str], words: str) -> str:
        before = tree()
        capsys.readouterr()
        code = main(last_of_each(argv))
        (line,) = capsys.readouterr().err.splitlines()
        assert code == 2
        assert line.startswith("error: ")
        assert re.search(words, line), line
        assert tree() == before
        return line.removeprefix("error: ")

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder: `base` (linear, seeds 1 and 2), `lenet` (lenet5) and `half` (ratio 10), an epoch each."""
    root = tmp_path_factory.mktemp("trained") / "checkpoint"
    where = ["--checkpoint_root", str(root)]
    for options in (
        ["--seeds", "1-2"],
        ["--resnet_type", "lenet5", "--model_name", "lenet"],
        ["--ratio_pos_train", "10", "--model_name", "half"],
    ):
        assert main(last_of_each([*BASE, *where, *options])) == 0
    return root


@pytest.fixture
def runs(trained: Path, in_an_empty_folder: None) -> Path:
    """A copy of the trained runs in checkpoint/ of the working directory."""
    shutil.copytree(trained, "checkpoint")
    return RUNS


@pytest.fixture
def content(runs: Path) -> dict[str, Any]:
    """What best.pt of seed 1 of `base` holds."""
    found: dict[str, Any] = torch.load(BEST, weights_only=True)
    return found


# --- names, types, ranges ----------------------------------------------------------------------------------

OPTIONS = [
    ("--name_file_bs baseline_bec", r"unknown name_file_bs 'baseline_bec'; did you mean baseline_bce .*Known: "),
    ("--name_file_alm ALM_15", r"unknown name_file_alm 'ALM_15'; did you mean ALM_15_beg .*Known: "),
    ("--name_file_bs ../baseline_bce", r"unknown name_file_bs '../baseline_bce'"),
    ("--gama 1", r"unknown argument '--gama'; did you mean --gamma or --ema\?.*see python main.py --help"),
    ("--ratio 100", r"unknown argument '--ratio'"),
    ("stray", r"unknown argument 'stray'"),
    ("--gamma", r"--gamma: expected one argument"),
    ("--gamma high", r"gamma must be a number >= 0, got high \(from the command line\)"),
    ("--num_epochs 1.5", r"num_epochs must be an integer >= 1, got 1.5"),
    ("--num_epochs 0", r"num_epochs must be an integer >= 1, got 0"),
    ("--train 2", r"train must be 0 or 1, got 2"),
    ("--lr nan", r"lr must be a number > 0, got nan"),
    ("--lr 0", r"lr must be a number > 0, got 0"),
    ("--rho 1e100", r"rho must be a number in \[1, 1e6\], got 1e100"),
    ("--threads 1000000000", r"threads must be an integer in 0..1024, got 1000000000"),
    ("--hidden_widths 0", r"hidden_widths must be layer widths in 1..65536, such as 128 64, got 0"),
    ("--beta 1", r"beta must be a number in \[0, 1\), got 1"),
    ("--tpr 98", r"tpr must be true positive rates in \(0, 1\], got 98"),
    ("--seeds 3-1", r"seeds must be seeds such as 1-10 or 1,3,5, got 3-1"),
    ("--seeds 1 1", r"seeds must be seeds such as 1-10 or 1,3,5, got 1 1"),
    ("--augment flop", r"augment must be one of none, crop, crop_flip, light, .* got flop .*: there is no 'flop'; d"),
    ("--augment flip,none", r"augment must be one of .* got flip,none \(from the command line\): none stands alone"),
    ("--optimizer lbfgs", r"optimizer must be one of sgd, adam, adamw, got lbfgs"),
    (
        "--ratio_pos_train 0",
        r"ratio_pos_train must be natural or a number >= 1 \(negatives per positive\), got 0 \(from the com",
    ),
    ("--ratio_pos_train -1", r"ratio_pos_train must be natural or a number >= 1 \(negatives per positive\), got -1"),
    ("--ratio_pos_train 0.5", r"ratio_pos_train must be natural or a number >= 1 \(negatives per positive\), got 0.5"),
    ("--ratio_pos_train 600", r"must be at most 548, the number of negatives, got 600, .* \(--ratio_pos_train"),
    ("--ratio_pos_train 1", r"must be at least 2, got 1, which needs 548 positives where the data have 541"),
    ("--positive_classes 0 1 2 3 4 5 6 7 8 9", "negative_classes must name at least one class, got none"),
    ("--negative_classes 1 2 --positive_classes 2 3", r"must not overlap, both name 2 \(--negative_classes, --pos"),
    ("--positive_classes 44", r"positive_classes: no training image has class 44; the classes in the data are 0, 1, "),
    ("--negative_classes 1 1", r"negative_classes must be class numbers, such as 1 3 5 or 0-4,7, or names, got 1 1"),
    ("--validation_per_class 133", r"would take 133 of the 133 training images .* use --validation_per_class \d+$"),
    ("--train_fraction 0.001", r"no negative image is left to train on .*; use --train_fraction 0.0\d+, or add"),
    ("--training_type BEC", r"unknown training_type 'BEC'.*; did you mean BCE .*Known: ALPHA_FL, "),
    ("--training_type WBCE", r"WBCE needs c: give --c or a base config with --name_file_bs"),
    ("--training_type SYM_FL --m 2", r"m \(from the command line\) has no use in SYM_FL, which takes gamma, eps"),
    ("--delta 0.5", r"delta \(from the command line\) cannot act with use_ALM 0; add --use_ALM 1 or an ALM file"),
    ("--use_ALM 1 --constraint rate --delta 1", r"delta \(from .*\) has no use in rate, .*; it belongs to pairwise$"),
    ("--training_type ANYLOSS --anyloss_metric accuracy --f_beta 2", "f_beta acts only with .*, got accuracy; le"),
    ("--name_file_bs baseline_anyloss_gm --f_beta 1", "f_beta acts only with .*, got geometric_mean; leave"),
    ("--schedule linear", r"schedule must be one of constant, plateau, step, cosine, got linear"),
    ("--schedule step", r"schedule step needs lr_steps, .* such as --lr_steps 160 180$"),
    ("--schedule step --lr_steps 5 3", r"lr_steps must increase, got 5 3; write each epoch once, in order"),
    ("--schedule step --lr_steps 3 3", r"lr_steps must increase, got 3 3"),
    ("--schedule plateau --lr_decrease 0", r"schedule plateau and lr_decrease 0 exclude each other"),
    ("--schedule cosine --warm_up 4 --num_epochs 4", r"warm_up 4 leaves none of 4 epochs to schedule cosine; raise n"),
    ("--warm_up -1", r"warm_up must be an integer >= 0, got -1"),
    ("--gamma 2", r"gamma \(from the command line\) has no use in BCE, which takes no options"),
    ("--resnet_type resnet11", r"unknown resnet_type 'resnet11'.*; did you mean resnet1.*Known: dense, "),
    ("--resnet_type resnet50", r"unknown resnet_type 'resnet50'.*, resnet34, timm:NAME, torchvision:NAME"),
    ("--sampler balnced", r"unknown sampler 'balnced' .*; did you mean balanced or .*Known: balanced, "),
    ("--device gpu", r"device must be auto, cpu, cuda or cuda:N, got 'gpu' \(--device\)"),
    ("--device cuda:-1", r"device must be auto, cpu, cuda or cuda:N, got 'cuda:-1'"),
    ("--device cpu:3", r"device must be auto, cpu, cuda or cuda:N, got 'cpu:3'"),
    ("--device cuda:99999", r"device cuda:99999 is not there: torch sees \d+ CUDA devices; use --device cpu or auto"),
    ("--device cuda:256", r"device cuda:256 is not there"),
    ("--device cpu --precision tf32", r"precision tf32 needs a CUDA device, got device cpu; use fp32 or bf16"),
    ("--dataset_name digts", r"must be one of cifar10, .* got 'digts': neither datasets/digts.npz .* --dataset_name "),
    ("--dataset_name cifar10 --download 0", r"neither .* exists in .*; allow the download .*--data_root"),
    ("--dataset_name ../digits", r"dataset_name must be a plain name .* got ../digits"),
    ("--use_ALM 1 --mu 1e308", r"mu must be a number > 0, got 1e308 \(from the command line\): its magnitude"),
]


@pytest.mark.parametrize("options, words", OPTIONS, ids=[options for options, _ in OPTIONS])
def test_options(refuse: Refuse, options: str, words: str) -> None:
    refuse([*options.split(), *BASE] if options == "stray" else [*BASE, *options.split()], words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(refuse: Refuse) -> None:
    refuse([*BASE, "--device", "cuda"], "device cuda is not there: torch sees 0 CUDA devices; use --device cpu or auto")


@pytest.mark.parametrize("flag", ["--model_name", "--subfolder_name", "--baseline_cont_train"])
@pytest.mark.parametrize("name", ["../x", "a/b", "/abs", "..", ".", "", "-rf", "a\nb", "a b", "a\\b", "~", "x" * 129])
def test_names_that_are_paths(refuse: Refuse, flag: str, name: str) -> None:
    refuse(
        [*BASE, f"{flag}={name}"], rf"{flag[2:]} must be a plain name .* \(no path\), got .* \(from the command line"
    )


def test_a_name_that_looks_like_a_flag(refuse: Refuse) -> None:
    refuse([*BASE, "--model_name", "-rf"], "--model_name: expected one argument")


@pytest.mark.parametrize("name", ["../base", "a/b"])
def test_a_path_in_the_name_is_refused_by_an_evaluation_too(refuse: Refuse, runs: Path, name: str) -> None:
    refuse(["--train", "0", "--model_name", name], "model_name must be a plain name")


# --- options that contradict each other --------------------------------------------------------------------

CONTRADICTIONS = [
    ("--classes 1 2", r"classes \(from the command line\) cannot act with task binary; add --task classes"),
    ("--validation_fraction 0.1 --validation_per_class 3", "validation_fraction and validation_per_class exclude"),
    ("--dry_run 1 --train 0", "dry_run 1 and train 0 exclude each other; dry_run is of a training"),
    ("--resume 1 --train 0", "resume 1 and train 0 exclude each other; resume needs --train 1"),
    ("--continue_train 1 --train 0", "continue_train 1 and train 0 exclude each other"),
    (
        "--mu 0.2 --rho 2 --delta 0.5",
        r"delta, mu, rho \(from the command line\) cannot act with use_ALM 0; add --use_ALM 1 or an ALM file",
    ),
    ("--use_ALM 1 --mu 1 --mu_limit 0.1", "mu_limit 0.1 is below mu 1; raise mu_limit or leave it out"),
    ("--optimizer adam --momentum 0.5", r"momentum \(from the command line\) cannot act with optimizer adam; it bel"),
    ("--hidden_widths 3", r"hidden_widths \(from the command line\) cannot act with linear; it belongs to dense"),
    ("--patience_lr 3", r"patience_lr \(from .*\) cannot act with schedule constant; it belongs to plateau, which "),
    ("--lr_steps 3", r"lr_steps \(from the command line\) cannot act with schedule constant; it belongs to step"),
    ("--lr_factor .5 --schedule cosine", r"lr_factor .* cannot act with schedule cosine; it belongs to plateau and "),
    ("--schedule cosine --lr_decrease 1", r"schedule cosine and lr_decrease 1 exclude each other; lr_decrease 1 is"),
    (
        "--continue_train_epochs 3",
        r"continue_train_epochs \(from the command line\) cannot act with continue_train 0; add --continue_train 1",
    ),
    ("--continue_train 1", "num_epochs and continue_train 1 exclude each other; use --continue_train_epochs"),
    ("--fold 2 --train_on all", r"fold, train_on \(from the command line\) cannot act with folds 0; add --folds K"),
    ("--folds 3 --ratio_pos_train 5", "folds and ratio_pos_train exclude each other; the subsets decide"),
    ("--introd_ALM_from 2 --use_ALM 1 --continue_train 1", "introd_ALM_from and continue_train 1 exclude each other"),
    ("--weights w.pt", r"weights \(from the command line\) cannot act with linear, which is a last layer alone"),
    ("--resnet_type lenet5 --weights w.pt --train 0", "weights and train 0 exclude each other; best.pt holds the weig"),
    (
        "--resnet_type lenet5 --weights w.pt --freeze_epochs all --augment crop",
        "freeze_epochs all and augment crop exclude each other; features are computed once",
    ),
    ("--resnet_type featureless --sampler smote", "cannot act with featureless, which is fitted, not .* at natural"),
    (
        "--resnet_type logistic_cv --lr 0.1 --schedule cosine",
        r"lr, schedule \(from the command line\) cannot act with logistic_cv, which is fitted, .*; leave it out",
    ),
]


@pytest.mark.parametrize("options, words", CONTRADICTIONS, ids=[options for options, _ in CONTRADICTIONS])
def test_contradictions(refuse: Refuse, options: str, words: str) -> None:
    base = DIGITS if "introd" in options else BASE
    refuse([*base, *options.split()], words)


def test_a_flag_that_an_alm_file_is_switched_off_by_contradicts_its_options(refuse: Refuse) -> None:
    files = ["--name_file_alm", "ALM_12_beg", "--use_ALM", "0"]
    refuse([*BASE, *files, "--mu", "0.1"], "cannot act with use_ALM 0")


def test_every_contradiction_that_is_checked_has_a_test() -> None:
    trees = [ast.parse((ROOT / "utils/config" / name).read_text()) for name in ("settings.py", "readers.py")]
    tables = {node.name: node.body[-1] for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    rows = [row for name in ("_exclusions", "_requirements") for row in tables[name].value.elts]  # type: ignore[attr-defined]
    assert len(rows) + len(["mu_limit", "introd_ALM_from"]) == len(CONTRADICTIONS)


# --- data --------------------------------------------------------------------------------------------------


def scans(**changes: Any) -> dict[str, Any]:
    """Keras' keys: 80 + 40 images of 28 x 28, class 0 and 1 in turn."""
    generator = np.random.Generator(np.random.PCG64(0))
    arrays: dict[str, Any] = {}
    for part, count in (("train", 80), ("test", 40)):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 2
    return arrays | changes


class Trap:
    """Pickles to something that makes the folder `sprung` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def trapped() -> Any:
    images = np.empty(80, dtype=object)
    images[:] = [Trap() for _ in range(80)]
    return images


DATA: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    (
        "pickled images",
        lambda: scans(x_train=trapped()),
        "x_train must be an array of numbers, got pickled Python objects .* never loaded; save",
    ),
    (
        "few positives",
        lambda: scans(y_train=np.r_[np.zeros(76), np.ones(4)]),
        "needs 69 positives where the data have 3 ",
    ),
    ("one positive", lambda: scans(y_train=np.r_[np.zeros(79), 1]), "class 1 must have two training images or more"),
    ("no positive", lambda: scans(y_train=np.zeros(80)), "no default classes: give --positive_classes, and --neg"),
    ("no test positive", lambda: scans(y_test=np.zeros(40)), "got none of class 1 in the test set"),
]


@pytest.mark.parametrize("make, words", [case[1:] for case in DATA], ids=[case[0] for case in DATA])
def test_data(refuse: Refuse, make: Callable[[], dict[str, Any]], words: str) -> None:
    Path("datasets").mkdir()
    np.savez("datasets/scans.npz", allow_pickle=True, **make())
    refuse(SCANS, words)
    assert not Path("sprung").exists()


def test_the_data_of_these_tests_are_fine_before_they_are_spoiled() -> None:
    Path("datasets").mkdir()
    np.savez("datasets/scans.npz", allow_pickle=False, **scans())
    assert main(SCANS) == 0


def test_data_that_are_not_there(refuse: Refuse) -> None:
    message = refuse(SCANS, "neither datasets/scans.npz nor datasets/scans/scans.npz exists; put the file there")
    assert "--data_root" in message


# --- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["checkpoint", "checkpoint/runs", "checkpoint/runs/base", "checkpoint/runs/base/seed1"]
)
def test_a_file_in_the_place_of_a_folder(refuse: Refuse, place: str) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("here first")
    refuse(BASE, rf"cannot (create the folder|write) {place}.*(File exists|Not a directory)")
    refuse(EVALUATE, "nothing is trained in checkpoint/runs/base")


@pytest.mark.parametrize("root", ["/dev/null/x", "/proc/x", "x" * 300, "x/" * 3000])
def test_a_folder_that_cannot_be(refuse: Refuse, root: str) -> None:
    refuse([*BASE, "--checkpoint_root", root], "Not a directory|No such file|File name too long")


def test_a_folder_without_permission(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("checkpoint/runs/base").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may do everything
    refuse(BASE, "cannot write to the folder checkpoint/runs/base: permission denied")


def test_a_folder_that_may_not_be_looked_into(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", denied)
    refuse(BASE, "'checkpoint/runs/base/config.yaml': Permission denied")


# --- runs that are there -----------------------------------------------------------------------------------


def test_nothing_is_trained(refuse: Refuse) -> None:
    refuse(EVALUATE, r"nothing is trained in checkpoint/runs/base: no seed<k>/best.pt; train first with --train 1")


def test_a_seed_that_is_not_trained(refuse: Refuse, runs: Path) -> None:
    refuse([*EVALUATE, "--seeds", "2-3"], "seeds 3 have no best.pt in checkpoint/runs/base; there are seeds 1 2")


@pytest.mark.parametrize(
    "options, words",
    [
        ("--weight_dec 0.5", r"weight_dec 0.0002 there, 0.5 now\. Choose another --model_name"),
        ("--lr 0.5 --bsize 8", r"lr 0.01 there, 0.5 now; bsize 64 there, 8 now\."),
        ("--use_ALM 1", r"use_ALM 0 there, 1 now\."),
        ("--resnet_type lenet5", r"resnet_type linear there, lenet5 now\."),
        ("--ratio_pos_train 10", r"ratio_pos_train 20 there, 10 now\."),
        (
            "--negative_classes 1 3",
            r"negative_classes 1 3 5 7 9 there, 1 3 now; positive_classes 0 2 4 6 8 there, 0 2 4 5 6 7 8 9 now\.",
        ),
    ],
)
def test_another_run_s_folder_says_what_differs(refuse: Refuse, runs: Path, options: str, words: str) -> None:
    refuse([*BASE, *options.split()], f"checkpoint/runs/base holds another run: {words}")
    refuse([*BASE, *options.split(), "--resume", "1", "--num_epochs", "3"], "holds another run: ")


def test_other_numbers_of_epochs(refuse: Refuse, runs: Path) -> None:
    refuse([*BASE, "--num_epochs", "3"], "trained for 1 epochs, num_epochs is 3 now; more epochs need --resume 1")


def test_an_unfinished_training_needs_resume(refuse: Refuse, runs: Path) -> None:
    (RUNS / "base/seed1/done").unlink()
    refuse(
        BASE, "checkpoint/runs/base/seed1 holds an unfinished training; add --resume 1 to go on with it, or choose an"
    )
    # the first seed may not start either if the second may not
    refuse([*BASE, "--seeds", "3,1"], "seed1 holds an unfinished training")


def test_foreign_weights_are_not_overwritten(refuse: Refuse, trained: Path) -> None:
    BEST.parent.mkdir(parents=True)
    shutil.copy(trained / "runs/base/seed1/best.pt", BEST)
    refuse(BASE, "best.pt would be overwritten; evaluate it with --train 0, or choose another --model_name")


def test_more_epochs_without_last_pt(refuse: Refuse, runs: Path) -> None:
    (RUNS / "base/seed1/last.pt").unlink()
    refuse([*BASE, "--num_epochs", "2", "--resume", "1"], r"seed 1 cannot be trained further: .*last.pt is not there")


def test_a_damaged_state_with_none_before_it(refuse: Refuse, runs: Path) -> None:
    path = RUNS / "base/seed1/last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    refuse([*BASE, "--num_epochs", "2", "--resume", "1"], "seed1/last.pt must be a checkpoint .* foreign or damaged")
    refuse([*BASE, "--num_epochs", "2", "--resume", "1", "--seeds", "3,1"], "seed1/last.pt must be a checkpoint")


def test_damaged_weights_are_made_again_from_the_state(runs: Path) -> None:
    path = RUNS / "base/seed1/best.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert main(last_of_each([*BASE, "--num_epochs", "2", "--resume", "1"])) == 0
    assert torch.load(path, weights_only=True)["epoch"] in (0, 1)


@pytest.mark.parametrize("text", ["", "x", "[1]", "a: 1", "{", "options: {}\ndata: {checksum: 1}\ncommands: []", "\0"])
def test_a_damaged_record_of_the_run(refuse: Refuse, runs: Path, text: str) -> None:
    (RUNS / "base/config.yaml").write_text(text)
    refuse(BASE, r"cannot read checkpoint/runs/base/config.yaml: \w+Error; move the folder away to train anew")


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("text", ["", "[]", '{"epochs": 1}'])
def test_a_damaged_mark(refuse: Refuse, runs: Path, text: str, number: int) -> None:
    (RUNS / f"base/seed{number}/done").write_text(text)
    refuse(BASE, f"cannot read checkpoint/runs/base/seed{number}/done; remove it and add --resume 1")
    refuse([*EVALUATE, "--seeds", "1"], f"cannot read checkpoint/runs/base/seed{number}/done")


@pytest.fixture
def holder(runs: Path) -> Iterator[int]:
    """The number of a process that holds the lock of seed 2."""
    code = (
        "from pathlib import Path; from utils.system.files import locked\n"
        "with locked(Path('checkpoint/runs/base/seed2/.lock'), what='seed 2'):\n"
        "    print('holds', flush=True); input()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process.pid
        process.stdin.write("\n")


@pytest.mark.parametrize(
    "command", [[*BASE, "--seeds", "1-3"], [*EVALUATE, "--seeds", "1-2"]], ids=["train", "evaluate"]
)
def test_a_seed_that_another_process_works_on(refuse: Refuse, holder: int, command: list[str]) -> None:
    refuse(command, rf"seed 2 of checkpoint/runs/base is in use by process {holder} on \S+ since \d{{4}}-")


# --- best.pt -----------------------------------------------------------------------------------------------


def written(save: Callable[[Any], None]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def archive(**files: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for name, text in files.items():
            opened.writestr(f"archive/{name.replace('_', '.')}", text)
    return stream.getvalue()


FORMAT = {"format": "rarecall best 1"}
FOREIGN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"weights: 1\n",
    "zip": lambda: archive(a_txt="x"),
    "TorchScript": lambda: archive(constants_pkl="x", data_pkl="x", version="3\n"),
    "module": lambda: written(lambda stream: torch.save(torch.nn.Linear(2, 1), stream)),
    "tensor": lambda: written(lambda stream: torch.save(torch.zeros(3), stream)),
    "weights alone": lambda: written(lambda stream: torch.save(torch.nn.Linear(2, 1).state_dict(), stream)),
    "format alone": lambda: written(lambda stream: torch.save(FORMAT, stream)),
    "another version": lambda: written(lambda stream: torch.save({"format": "rarecall best 99"}, stream)),
    "last.pt": lambda: (RUNS / "base/seed1/last.pt").read_bytes(),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_best_pt(refuse: Refuse, runs: Path, make: Callable[[], bytes]) -> None:
    BEST.write_bytes(make())
    words = (
        r"seed1/best.pt (must be a checkpoint of (this program|the format 'rarecall best 1')|is not of this program)"
    )
    refuse(EVALUATE, words)
    (RUNS / "base/seed1/done").unlink()
    refuse(
        [*DIGITS, "--seeds", "1", "--continue_train", "1", "--model_name", "more", "--baseline_cont_train=base"], words
    )


@pytest.mark.parametrize("share", [0.01, 0.999])
def test_a_truncated_best_pt(refuse: Refuse, runs: Path, share: float) -> None:
    data = BEST.read_bytes()
    BEST.write_bytes(data[: int(len(data) * share)])
    refuse(EVALUATE, "seed1/best.pt must be a checkpoint of this program, but it is foreign or damaged .* --model_name")


@pytest.mark.parametrize(
    "name", ["weights", "loss", "optimizer", "config", "facts", "epoch", "command", "data_checksum"]
)
def test_a_best_pt_that_lacks_something(refuse: Refuse, content: dict[str, Any], name: str) -> None:
    torch.save({key: value for key, value in content.items() if key != name}, BEST)
    refuse(EVALUATE, f"seed1/best.pt is not of this program: it must hold '{name}', a .*, got nothing")
    torch.save(content | {name: None}, BEST)
    refuse(EVALUATE, f"must hold '{name}', a .*, got NoneType")


def test_the_weights_of_another_model(refuse: Refuse, content: dict[str, Any]) -> None:
    other = torch.load(RUNS / "lenet/seed1/best.pt", weights_only=True)
    torch.save(content | {"weights": other["weights"]}, BEST)
    refuse(EVALUATE, "seed1/best.pt belongs to another model: ")
    torch.save(content | {"weights": {"head.weight": torch.zeros(1, 3), "head.bias": torch.zeros(1)}}, BEST)
    refuse(EVALUATE, r"belongs to another model: size mismatch for head.weight: .*\[1, 3\].*\[1, 1024\]")


def test_weights_that_are_not_numbers(refuse: Refuse, content: dict[str, Any]) -> None:
    torch.save(content | {"weights": {name: value * torch.nan for name, value in content["weights"].items()}}, BEST)
    refuse(EVALUATE, "the model in .*seed1/best.pt gives scores of the validation set that are not finite")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("resnet_type", "resnet11", "unknown resnet_type 'resnet11'"),
        ("training_type", "BEC", "unknown training_type 'BEC'"),
        ("training_type", "LDAM", "belongs to another model"),
        ("dataset_name", "../x", r"dataset_name must be a plain name .* got ../x \(from .*best.pt\)"),
        ("mu", -1, r"mu must be a number > 0, got -1 \(from .*best.pt\)"),
        ("negative_classes", [55], "no training image has class 55"),
        ("new_option", 1, "holds the options of another version of this program"),
    ],
)
def test_options_in_best_pt(refuse: Refuse, content: dict[str, Any], name: str, value: Any, words: str) -> None:
    torch.save(content | {"config": {**content["config"], name: value}}, BEST)
    refuse([*EVALUATE, "--seeds", "1"], words)


@pytest.mark.parametrize(
    "options, words",
    [
        (
            "--model_name lenet --resnet_type linear",
            "lenet/seed1/best.pt was trained with resnet_type lenet5, the command",
        ),
        (
            "--name_file_bs baseline_LDAM",
            r"trained with training_type BCE, the command asks for LDAM \(from configs/base",
        ),
        ("--ratio_pos_train 10", r"trained with ratio_pos_train 20, the command asks for 10 \(from the command line\)"),
        ("--dataset_name mnist", "was trained with dataset_name digits, the command asks for mnist"),
    ],
)
def test_a_checkpoint_of_another_model(refuse: Refuse, runs: Path, options: str, words: str) -> None:
    refuse([*EVALUATE, *options.split()], words)


def test_seeds_of_different_runs_have_no_mean(refuse: Refuse, runs: Path) -> None:
    shutil.copy(RUNS / "half/seed1/best.pt", RUNS / "base/seed2/best.pt")
    refuse(
        EVALUATE, "seed2/best.pt belongs to another run than .*seed1/best.pt: it has ratio_pos_train 10, the other 20"
    )
    shutil.copy(RUNS / "lenet/seed1/best.pt", RUNS / "base/seed2/best.pt")
    refuse(EVALUATE, "it has resnet_type lenet5, the other linear; put it elsewhere")


# --- a baseline to go on from ------------------------------------------------------------------------------

MORE = [*DIGITS, "--seeds", "1", "--continue_train", "1", "--use_ALM", "1", "--model_name", "more"]


@pytest.mark.parametrize(
    "options, words",
    [
        (
            "--baseline_cont_train none",
            r"needs a trained baseline: no checkpoint/runs/none/seed1/best.pt \(--baseline_con",
        ),
        ("", r"needs a trained baseline: no checkpoint/runs/digits_BCE_1to20/seed1/best.pt"),
        ("--baseline_cont_train base --seeds 1-4", "no checkpoint/runs/base/seed3/best.pt .* seeds missing: 3 4"),
        (
            "--baseline_cont_train more",
            "baseline_cont_train and model_name are both more; give the new run another name",
        ),
        (
            "--baseline_cont_train lenet",
            "lenet/seed1/best.pt has resnet_type lenet5, this run linear; they must be the same",
        ),
        ("--baseline_cont_train half", "half/seed1/best.pt has ratio_pos_train 10, this run 20; they must be the same"),
        ("--baseline_cont_train base --bsize 8", "base/seed1/best.pt has bsize 64, this run 8; they must be the same"),
        (
            "--baseline_cont_train base --name_file_bs log_pw_loss",
            "has training_type BCE, this run LOG_PW; they must be",
        ),
    ],
)
def test_baselines(refuse: Refuse, runs: Path, options: str, words: str) -> None:
    refuse([*MORE, *options.split()], words)


def test_a_baseline_whose_second_seed_is_of_another_model(refuse: Refuse, runs: Path) -> None:
    shutil.copy(RUNS / "lenet/seed1/best.pt", RUNS / "base/seed2/best.pt")
    refuse([*MORE, "--baseline_cont_train", "base", "--seeds", "1-2"], "base/seed2/best.pt has resnet_type lenet5")


# --- for real ----------------------------------------------------------------------------------------------


def trap_in_best() -> None:
    BEST.parent.mkdir(parents=True)
    BEST.write_bytes(pickle.dumps(Trap(), protocol=4))  # torch warns about the protocol; nobody may see that


@pytest.mark.parametrize(
    "prepare, argv, words",
    [
        (None, ["--name_file_bs", "baseline_bec"], "did you mean baseline_bce"),
        (trap_in_best, EVALUATE, "foreign or damaged"),
        (lambda: Path("checkpoint").write_text(""), BASE, "cannot create the folder checkpoint/runs/base"),
    ],
    ids=["name", "trap", "folder"],
)
def test_the_program_exits_with_2(prepare: Callable[[], Any] | None, argv: list[str], words: str) -> None:
    if prepare:
        prepare()
    before = tree()
    command = [sys.executable, str(ROOT / "main.py"), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert re.fullmatch(rf"error: .*{words}.*\n", done.stderr)
    assert tree() == before


def test_what_was_refused_left_the_run_as_it_was(refuse: Refuse, runs: Path) -> None:
    """The copy of the trained runs still evaluates to the numbers that training gave."""
    before = json.loads((RUNS / "base/results.json").read_text())
    refuse([*BASE, "--weight_dec", "0.5"], "holds another run")
    assert main(EVALUATE) == 0
    after = json.loads((RUNS / "base/results.json").read_text())
    assert after["seeds"] == before["seeds"]
    assert yaml.safe_load((RUNS / "base/config.yaml").read_text())["options"]["weight_dec"]["value"] == 2e-4
