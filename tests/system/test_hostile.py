"""Nothing that strangers made is trusted: it runs nothing, writes nowhere else, takes no memory unannounced."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
import yaml
from report_folders import make_run

import report
import sweep
from benchmarks.processes import last_of_each
from main import main
from utils.config.settings import read_config
from utils.data import npz
from utils.data.npz import read_npz
from utils.errors import UserError, one_line
from utils.reporting.runs import read_folder
from utils.run_files.results_json import TWO_SIDES
from utils.run_files.scores_csv import read_scores
from utils.system.files import is_held, locked, write_text
from utils.system.text_files import UnreadableError, read_json, read_lines, read_text
from utils.system.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ["--dataset_name", "digits", "--resnet_type", "linear", "--threads", "1", "--parallel_seeds", "1"]
TRAIN = [*DIGITS, "--seeds", "1", "--num_epochs", "1", "--model_name", "base"]
RESUME = [*DIGITS, "--seeds", "1", "--num_epochs", "2", "--model_name", "base", "--resume", "1"]
EVALUATE = ["--train", "0", "--model_name", "base", "--threads", "1"]
RUN = Path("checkpoint/runs/base")
SEED = RUN / "seed1"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
SCRIPT = "<script>alert(1)</script>"
MIB = 2**20


class Trap:
    """Pickles to something that makes the folder `sprung` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "victim").write_text("precious")
    monkeypatch.chdir(work)
    yield
    assert not list(tmp_path.rglob("sprung"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "elsewhere") == ["victim", "work"]
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with the run `base`: linear, seed 1, an epoch."""
    root = tmp_path_factory.mktemp("trained") / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        from matplotlib.figure import Figure

        patch.setitem(TWO_SIDES.figures, "roc.png", lambda *args, **kwargs: Figure(figsize=(1, 1)))
        assert main([*TRAIN, "--checkpoint_root", str(root)]) == 0
    return root


@pytest.fixture
def runs(trained: Path, in_an_empty_folder: None) -> Path:
    """A copy of it in checkpoint/ of the working directory."""
    shutil.copytree(trained, "checkpoint")
    return RUN


def refused(start: Callable[[list[str]], int], argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a program refuses its input."""
    capsys.readouterr()
    code = start(argv)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.isprintable()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def made(path: str, content: str | bytes) -> Path:
    """A file with that content."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


# --- YAML and JSON -----------------------------------------------------------------------------------------


def bomb(line: str) -> str:
    """Nine lists, each ten times the one before: 10^9 values in 600 bytes."""
    return "a0: &a0 {k: 1}\n" + "".join(line.format(new=n + 1, all=", ".join([f"*a{n}"] * 10)) for n in range(9))


BAD_YAML: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (bomb("a{new}: &a{new} [{all}]\n"), "values, counting those of an alias"),
    "bomb of merged keys": (bomb("a{new}: &a{new} {{<<: [{all}]}}\n"), "values, counting those of an alias"),
    "alias within itself": ("a: &a [*a]", "an alias within itself"),
    "many values": ("[" + "1," * 20_000 + "1]", "more than 20,000 values"),
    "deep": ("[" * 10_000, "nested more than 50 deep"),
    "deep lists": ("- " * 10_000, "nested more than 50 deep"),
    "base 60": ("a: " + "1:" * 100_000 + "1", "more than 40 digits"),
    "hexadecimal": ("a: 0x" + "f" * 100_000, "more than 40 digits"),
    "large": ("#" * (2**20 + 1), "more than 1,048,576 bytes"),
    "object": ("!!python/object/apply:os.mkdir [sprung]", "could not determine a constructor"),
    "new object": ("!!python/object/new:os.mkdir [sprung]", "could not determine a constructor"),
    "module": ("!!python/module:antigravity x", "could not determine a constructor"),
    "wrong tag": ("!!int ''", "a value does not fit its tag"),
    "no text": (b"\xff\xfe\x00", "it is not UTF-8 text"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
}


AS_WRITTEN = ("base 60", "hexadecimal", "wrong tag")  # values that are texts in a file of the user


@pytest.mark.parametrize("name", BAD_YAML)
def test_yaml(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a run's config.yaml, as a config file and as a table file."""
    content, words = BAD_YAML[name]
    start = time.monotonic()
    path = made("table.yaml", content)
    with pytest.raises(UnreadableError, match=words):
        read_yaml(path)
    as_text = name in AS_WRITTEN
    with pytest.raises(UserError, match="unknown key 'a'|must hold" if as_text else f"configs/x.yaml: .*{words}"):
        read_config(path, "configs/x.yaml")
    said = refused(sweep.main, ["table.yaml", "--dry_run"], capsys)
    assert ("unknown key 'a'" in said or "must hold" in said) if as_text else words in said
    assert time.monotonic() - start < 30


def test_yaml_in_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(f"{runs}/config.yaml", BAD_YAML["alias bomb"][0])
    assert "cannot read checkpoint/runs/base/config.yaml: " in refused(main, EVALUATE, capsys)
    make_run(Path("x"), "row")
    (Path("x") / "row" / "config.yaml").write_text(str(BAD_YAML["alias bomb"][0]))
    assert "cannot read config.yaml" in refused(report.main, ["x"], capsys)


def test_yaml_that_is_written_by_hand_is_read() -> None:
    path = made("good.yaml", "a: &a {x: 1, y: [1e3, 0x1F, .inf, 2020-01-01]}\nb: {<<: *a, z: 1:30}\nc: [*a, *a]\n")
    assert read_yaml(path) == yaml.safe_load(path.read_text())


BAD_JSON = {
    "deep": ("[" * 100_000, "nested more than 50 deep"),
    "deeper than it may be": ("[" * 60 + "]" * 60, "nested more than 50 deep"),
    "deep mappings": ('{"a":' * 60 + "1" + "}" * 60, "nested more than 50 deep"),
    "digits": ("1" * 41, "a number of more than 40 digits"),
    "large": (" " * (2**24 + 1), "more than 16,777,216 bytes"),
    "cut": ('{"a": [', "Expecting value"),
    "no text": (b"\xff", "not UTF-8"),
}


@pytest.mark.parametrize("content, words", BAD_JSON.values(), ids=BAD_JSON)
def test_json(content: str | bytes, words: str) -> None:
    with pytest.raises(UnreadableError, match=words):
        read_json(made("x.json", content))


@pytest.mark.parametrize("name", ["done", "results.json", "history.jsonl"])
def test_json_in_a_run_that_is_reported(name: str) -> None:
    run = make_run(Path("x"), "row")
    target = run / name if name == "results.json" else run / "seed1" / name
    for content in ("[" * 100_000, "1" * 5000, '{"a":' * 500 + "1" + "}" * 500, '{"seeds": Infinity}'):
        target.write_text(content)
        read_folder(Path("x"))


@pytest.mark.parametrize(
    "content",
    [
        '{"epochs": "3", "best_epoch": 0, "stopped_early": false}',
        '{"epochs": Infinity, "best_epoch": 0, "stopped_early": false}',
        '{"epochs": 1, "best_epoch": [0], "stopped_early": false}',
        '{"epochs": 1, "best_epoch": 0, "stopped_early": "no"}',
        "[" * 100_000,
    ],
)
def test_a_mark_of_a_finished_seed(runs: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    made(f"{runs}/seed1/done", content)
    assert "cannot read checkpoint/runs/base/seed1/done" in refused(main, TRAIN, capsys)


@pytest.mark.parametrize("content", ["[1]\n", '{"epoch": "0"}\n', '{"x": 1}\n', '{"epoch": 0, "x": "' + "x" * 70_000])
def test_a_history(runs: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    made(f"{runs}/seed1/history.jsonl", content)
    assert "cannot read checkpoint/runs/base/seed1/history.jsonl" in refused(main, RESUME, capsys)


HEADER = "index,label,score,split,original_class\n"


@pytest.mark.parametrize(
    "content, words",
    [
        (HEADER + "x" * 200_000, "a line of more than 65,536 characters"),
        (HEADER + '0,0,0.5,"' + "x\n" * 100_000, "field larger than field limit"),
        (HEADER + f"{10**30},0,0.5,test,0\n", "too large|too big"),
        (HEADER + "1" * 5000 + ",0,0.5,test,0\n", "cannot read the scores"),
        (HEADER + "0,0,0.5,test\n", "line 2 has 4 columns"),
        (HEADER, "no samples"),
        ("", "not the expected columns"),
        ("index,label\n0,1\n", "not the expected columns"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_score_file(content: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_scores(made("test.csv", content))


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    path = made("x", "line\n" * 100)
    with pytest.raises(UnreadableError, match="more than 499 bytes"):
        read_text(path, limit_bytes=499)
    with pytest.raises(UnreadableError, match="more than 499 bytes"):
        list(read_lines(path, limit_bytes=499))
    assert len(read_text(path, limit_bytes=500)) == 500


READERS: dict[str, Callable[[Path], Any]] = {
    "text": read_text,
    "lines": lambda path: list(read_lines(path)),
    "yaml": read_yaml,
    "scores": read_scores,
    "lock": is_held,
    "npz": lambda path: read_npz(path, name="pipe"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(read: Callable[[Path], Any]) -> None:
    os.mkfifo("pipe")
    with contextlib.suppress(UserError, UnreadableError):
        assert read(Path("pipe")) is False


@pytest.mark.parametrize("read", [read_text, read_yaml, read_scores])
def test_a_device_is_no_file(read: Callable[[Path], Any]) -> None:
    with pytest.raises((UserError, UnreadableError), match="not a regular file"):
        read(Path("/dev/zero"))


# --- arrays ------------------------------------------------------------------------------------------------


def npy(shape: tuple[int, ...], data: bytes, *, dtype: str = "|u1", version: bytes = b"\1\0") -> bytes:
    """An array whose header says what it likes."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(header)) + header + data


def scans(
    path: str = "datasets/scans.npz", *, compressed: bool = False, changes: Mapping[str, bytes] = MappingProxyType({})
) -> Path:
    """A data set of 28 x 28 images; ``changes`` are members as bytes."""
    members = {}
    for part, count in (("train", 80), ("test", 40)):
        members[f"x_{part}"] = npy((count, 28, 28), bytes(count * 784))
        members[f"y_{part}"] = npy((count,), bytes([0, 1] * (count // 2)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, data in {**members, **changes}.items():
            archive.writestr(f"{name}.npy", data)
    return made(path, stream.getvalue())


SCANS = [*DIGITS[2:], "--dataset_name", "scans", "--ratio_pos_train", "1", "--seeds", "1", "--num_epochs", "1"]
ARRAYS = {
    "a million million images": ({"x_train": npy((10**12, 28, 28), bytes(784))}, "784,000,000,000,000 bytes; at most"),
    "more than is there": ({"x_train": npy((81, 28, 28), bytes(80 * 784))}, "bytes, but 62,720 follow"),
    "no images of endless size": ({"x_train": npy((0, 10**30), b"")}, "is empty|damaged"),
    "a size below nothing": ({"x_train": npy((-1, 28, 28), b"")}, "declares shape|damaged"),
    "objects": ({"x_train": npy((1,), pickle.dumps([Trap()]), dtype="|O")}, "never loaded; save"),
    "objects within": ({"x_train": npy((1,), b"", dtype="|V8")}, "must be an array of numbers"),
    "another version": ({"x_train": npy((80, 28, 28), bytes(62720), version=b"\2\0")}, "must be an .npy array of"),
    "header that is code": ({"x_train": npy((80, 28, 28), b"").replace(b"{'descr'", b"__import")}, "damaged"),
    "names that are paths": ({"../../x_train": npy((1,), b"1"), "/tmp/sprung": npy((1,), b"1")}, ""),
}


@pytest.mark.parametrize("members, words", ARRAYS.values(), ids=ARRAYS)
def test_arrays(members: dict[str, bytes], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = scans(changes=members)
    if words:
        with pytest.raises(UserError, match=words):
            read_npz(path, name="scans")
        assert "datasets/scans.npz" in refused(main, SCANS, capsys)
    else:
        assert len(read_npz(path, name="scans").train_images) == 80


def test_a_zip_bomb_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "UNSUSPECTED", 2**22)
    path = scans(compressed=True, changes={"x_train": npy((6000, 28, 28), bytes(6000 * 784))})
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match="must not grow more than 200-fold when unpacked"):
        read_npz(path, name="scans")


def test_images_that_grow_when_they_are_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one pixel become images of 32 x 32: a thousand times the file."""
    pixels = {"x_train": npy((2**20, 1, 1), bytes(2**20)), "y_train": npy((2**20,), bytes(2**20))}
    path = scans(changes=pixels)
    monkeypatch.setattr(npz, "memory_to_spare", lambda: 2**31)
    with pytest.raises(UserError, match=r"must fit in 50 % of the 2,1.* got 1,07\d,\d{3},\d{3}; "):
        read_npz(path, name="scans")


# --- checkpoints -------------------------------------------------------------------------------------------


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def compressed(path: Path) -> bytes:
    """The same content with a GiB of zeros in 5 MB."""
    return zipped({**parts_of(path), "archive/data/99": bytes(2**28)}, method=zipfile.ZIP_DEFLATED)


def overlapping(path: Path) -> bytes:
    """Two names for one part, so that the parts together are larger than the file."""
    data = bytearray(zipped({**parts_of(path), "archive/data/98": bytes(2**20), "archive/data/99": b"x"}))
    start, end = (data.rfind(b"archive/data/" + name) - 46 for name in (b"98", b"99"))
    for field, size in ((16, 12), (42, 4)):  # checksum and sizes, and where it starts
        data[end + field : end + field + size] = data[start + field : start + field + size]
    return bytes(data)


def named(names: str) -> Callable[[Path], bytes]:
    """A pickle that calls ``names`` with 10^11: torch lets bytearray pass, which then takes 100 GB."""

    def make(path: Path) -> bytes:
        code = f"c{names}\n".encode() + b"\x8a\x05" + (10**11).to_bytes(5, "little") + b"\x85R."
        return zipped({**parts_of(path), f"{next(iter(parts_of(path))).split('/')[0]}/data.pkl": b"\x80\x02" + code})

    return make


def laughing(path: Path) -> bytes:
    """Lists that hold one list ten times, a hundred deep: nothing in memory, for ever when it is shown."""
    value: Any = ["x"]
    for _ in range(100):
        value = [value] * 10
    stream = io.BytesIO()
    torch.save({"format": value}, stream)
    return stream.getvalue()


def old_form(path: Path) -> bytes:
    stream = io.BytesIO()
    torch.save(torch.load(path, weights_only=True), stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def trapped(path: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({**torch.load(path, weights_only=True), "epoch": Trap()}, stream)
    return stream.getvalue()


CHECKPOINTS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda path: pickle.dumps(Trap(), protocol=2),
    "trapped": trapped,
    "compressed": compressed,
    "overlapping": overlapping,
    "bytearray": named("builtins\nbytearray"),
    "storage": named("torch\nTensor"),
    "laughing": laughing,
    "old form": old_form,
}


@pytest.mark.parametrize("make", CHECKPOINTS.values(), ids=CHECKPOINTS)
@pytest.mark.timeout(60)
def test_a_checkpoint(runs: Path, make: Callable[[Path], bytes], capsys: pytest.CaptureFixture[str]) -> None:
    best, last = (runs / "seed1" / name for name in ("best.pt", "last.pt"))
    best.write_bytes(make(best))
    line = refused(main, EVALUATE, capsys)
    assert "best.pt must be a checkpoint of this program, but it is foreign or damaged" in line
    last.write_bytes(make(last))
    assert "last.pt must be a checkpoint of this program" in refused(main, RESUME, capsys)


def test_what_is_refused_before_torch_reads_it(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from utils.run_files.best_pt import BEST
    from utils.run_files.checkpoints import load

    path = runs / "seed1" / "best.pt"
    load(path, BEST)
    bad = [make(path) for name, make in CHECKPOINTS.items() if name != "laughing"]
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch reads it"))
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(UserError, match="foreign or damaged"):
            load(path, BEST)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so that the permission is taken away in the program."""
    from utils.run_files.best_pt import BEST
    from utils.run_files.checkpoints import load

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(UserError, match=r"^cannot read .*best\.pt: no permission to; the file may be whole$"):
        load(runs / "seed1" / "best.pt", BEST)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


@pytest.mark.parametrize(
    "facts",
    [{}, {"class_counts": "x", "ratio_pos_train": 20}, {"class_counts": [1], "ratio_pos_train": 20}, {1: 2}],
)
def test_facts_in_best_pt(runs: Path, facts: dict[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(SEED / "best.pt", lambda content: content.update(facts=facts))
    assert "best.pt contains invalid data set metadata: state" in refused(main, EVALUATE, capsys)


@pytest.mark.parametrize("number", [10**12, 3.5, float("nan")])
def test_a_number_of_samples_in_best_pt(runs: Path, number: float, capsys: pytest.CaptureFixture[str]) -> None:
    """An objective makes room for so many before anything else is read."""
    rewritten(SEED / "best.pt", lambda content: content["facts"].update(num_samples=number))
    assert f"best.pt contains invalid data set metadata: {number} samples" in refused(main, EVALUATE, capsys)


@pytest.mark.parametrize("threshold", [torch.zeros(3), torch.zeros((), dtype=torch.int64), torch.tensor(float("nan"))])
def test_a_threshold_in_best_pt(runs: Path, threshold: torch.Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(SEED / "best.pt", lambda content: content.update(threshold=threshold))
    said = "is not a float32 number" if threshold.shape or not threshold.is_floating_point() else "not finite"
    assert said in refused(main, EVALUATE, capsys)


def set_in(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


STATES: dict[str, Callable[[dict[str, Any]], None]] = {
    "step": set_in("sampler", "step", to=10**9),
    "step below nothing": set_in("sampler", "step", to=-1),
    "epoch": set_in("epoch", to=-5),
    "best": set_in("best", "val_auc", to="high"),
    "no best": set_in("best", to=None),
    "momentum": set_in("optimizer", "state", 0, "momentum_buffer", to=torch.zeros(3)),
    "momentum that is a number": set_in("optimizer", "state", 1, "momentum_buffer", to=1e308),
    "momentum of nothing": set_in("optimizer", "state", 99, to={"momentum_buffer": torch.zeros(3)}),
    "rule": set_in("optimizer", "param_groups", 0, "nesterov", to=True),
    "draws": set_in("augmentation", to=torch.zeros(17, dtype=torch.uint8)),
    "learning rate": set_in("optimizer", "param_groups", 0, "lr", to="x"),
    "scores": set_in("train_scores", to=torch.zeros(3)),
    "weights": set_in("model", "head.bias", to=torch.zeros(1, dtype=torch.int64)),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_that_cannot_be_trained_on_with(
    runs: Path, change: Callable[[dict[str, Any]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(SEED / "last.pt", change)
    (SEED / "done").unlink()
    capsys.readouterr()
    assert main(RESUME) == 2
    assert "last.pt does not belong to this run" in capsys.readouterr().err


def test_a_model_in_best_pt_that_takes_all_memory(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["config"] |= {"resnet_type": "dense", "hidden_widths": [65536] * 20}

    rewritten(SEED / "best.pt", change)
    assert "hidden_widths that need 1,3" in refused(main, EVALUATE, capsys)


# --- links and names ---------------------------------------------------------------------------------------


def moved_behind_a_link(path: Path) -> None:
    """The folder lies elsewhere, and a link takes its place."""
    elsewhere = Path("..", "elsewhere").resolve()
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("place", ["checkpoint/runs", "checkpoint/runs/base", "checkpoint/runs/base/seed1"])
def test_a_folder_of_a_run_that_is_a_link(runs: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    moved_behind_a_link(Path(place))
    before = content_of(Path("../elsewhere"))
    for argv in (TRAIN, RESUME, EVALUATE, last_of_each([*TRAIN, "--seeds", "2"])):
        assert f"{place} is a link" in refused(main, argv, capsys)
    assert content_of(Path("../elsewhere")) == before


@pytest.mark.parametrize("name", [".lock", "ensemble", "results.json", "seed1/.lock", "seed1/history.jsonl", "seed2"])
def test_a_link_in_a_run(runs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(Path("../victim").resolve())
    for argv in (TRAIN, RESUME, EVALUATE):
        assert f"{path} is a link that leads out of checkpoint/runs/base" in refused(main, argv, capsys)


def test_links_in_a_circle(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "loop").symlink_to("loop")
    with contextlib.suppress(ValueError):
        line = refused(main, EVALUATE, capsys)
        assert "link" in line


def test_links_that_a_user_makes_work(runs: Path) -> None:
    """checkpoint/ and datasets/ on another disk; and what is above them."""
    moved_behind_a_link(Path("checkpoint"))
    scans("data/scans.npz")
    Path("datasets").symlink_to("data")
    assert main(EVALUATE) == 0
    assert read_npz(Path("datasets/scans.npz"), name="scans").train_images.shape == (80, 28, 28, 1)


def test_what_is_written_does_not_follow_links() -> None:
    victim = Path("../victim").resolve()
    Path("lock").symlink_to(victim)
    with pytest.raises(UserError, match="cannot write lock: "), locked(Path("lock"), what="x"):
        pass
    Path(f".x.{os.getpid()}.tmp").symlink_to(victim)
    with pytest.raises(UserError, match="cannot write x: "):
        write_text(Path("x"), "spoiled")
    Path("y").symlink_to(victim)
    write_text(Path("y"), "mine")
    assert not Path("y").is_symlink()


TABLE = {"name": "swept", "common": {"dataset_name": "digits", "resnet_type": "linear"}, "rows": [{"name": "row"}]}


def swept(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    made("table.yaml", yaml.safe_dump({**TABLE, **changes}))
    return refused(sweep.main, ["table.yaml", "--launcher", "print"], capsys)


@pytest.mark.parametrize("place", ["checkpoint/swept", "checkpoint/swept/.sweep", "checkpoint/swept/row/seed1"])
def test_a_link_in_a_sweep(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(place).mkdir(parents=True)
    moved_behind_a_link(Path(place))
    assert f"{place} is a link" in swept(capsys)
    assert not list(Path("../elsewhere").iterdir())


@pytest.mark.parametrize("name", [".sweep/row.seed1.claim", ".sweep/row.seed1.log"])
def test_a_claim_or_a_log_that_is_a_link(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("checkpoint/swept", name)
    path.parent.mkdir(parents=True)
    path.symlink_to(Path("../victim").resolve())
    assert f"{path} is a link" in swept(capsys)


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "-rf", "--train", "a\nb", ESCAPE, "..", "", "~", "$(x)"])
def test_names_in_a_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must be a plain name" in swept(capsys, rows=[{"name": name}])
    assert "must be a plain name" in swept(capsys, name=name)
    assert "must be a plain name" in swept(capsys, common={"dataset_name": name})


def test_a_link_in_place_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(Path("x"), "row")
    Path("../elsewhere").mkdir()
    Path("x/report").symlink_to(Path("../elsewhere").resolve())
    assert "x/report is a link" in refused(report.main, ["x"], capsys)
    assert not list(Path("../elsewhere").iterdir())
    assert report.main(["x", "--out", "x/report"]) == 0  # who names a link means it
    assert run.exists()


def test_numbers_of_seeds_are_plain(runs: Path) -> None:
    from utils.run_files.paths import RunPaths

    for name in ("seed01", "seed\N{FULLWIDTH DIGIT ONE}", "seed-1", "seed1e3", "seed" + "9" * 200):
        made(f"{runs}/{name}/done", "{}")
    assert RunPaths(Path("checkpoint"), "runs", "base").seeds_with("done") == [1]


# --- what is shown -----------------------------------------------------------------------------------------


def test_one_line_is_safe_to_show() -> None:
    assert one_line(UserError(f"a\n b\r\t{ESCAPE}\N{RIGHT-TO-LEFT OVERRIDE}\udcffé")) == (
        "a b \\x1b]0;owned\\x07\\x1b[2J\\u202e\\udcffé"
    )


def test_terminal_commands_in_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((runs / "config.yaml").read_text())
    content["options"]["delta"]["value"] = f"{ESCAPE}\nerror: all is lost"
    (runs / "config.yaml").write_text(yaml.safe_dump(content))
    assert "holds another run: delta \\x1b]0;owned" in refused(main, TRAIN, capsys)


def test_terminal_commands_in_the_message_of_a_failed_job(capsys: pytest.CaptureFixture[str]) -> None:
    made("table.yaml", yaml.safe_dump(TABLE))
    made("checkpoint/swept/row/seed1/failed", f"{ESCAPE}\nit broke")
    sweep.main(["table.yaml", "--status", "--seeds", "1"])
    shown = capsys.readouterr().out
    assert "it broke" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)


class Tags(HTMLParser):
    """Counts the tags of a page, and whether an attribute holds a handler."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts = 0
        self.handlers: list[str] = []
        self.images = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.images += tag == "img"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_every_name_in_the_report_is_escaped() -> None:
    evil = f"{SCRIPT}<img src=x onerror=alert(1)>\"' onload='alert(1)'"
    folder = Path("x", "<img src=x onerror=alert(3)>")
    for name, use in ((f"row<script>{chr(34)} onclick={chr(34)}", 0), ("<img src=y>", 1)):
        run = make_run(folder, name, command=evil, checksum=evil, training_type=evil, resnet_type=evil, use_ALM=use)
        record = yaml.safe_load((run / "config.yaml").read_text())
        record |= {"versions": {evil: evil}, "device": evil, "threads": evil, "platform": evil}
        record["data"]["source"] = evil
        record["options"] |= {"dataset_name": {"value": evil}, "lr": {"value": evil + str(use)}, "mu": {"value": evil}}
        (run / "config.yaml").write_text(yaml.safe_dump(record))
        done = {"finished": evil, "epochs": 3, "best_epoch": 2, "stopped_early": False}
        (run / "seed1" / "done").write_text(json.dumps(done))
    failed = make_run(folder, "failed", training_type=evil)
    (failed / "seed1" / "failed").write_text(evil)
    damaged = make_run(folder, "<script>", training_type=evil)
    (damaged / "config.yaml").write_text(evil)
    rows = [{"folder": path.name, "seeds": [1, 2]} for path in sorted(folder.iterdir())]
    (folder / "table.json").write_text(json.dumps({"title": evil, "rows": [*rows, {"folder": evil, "seeds": [1]}]}))
    assert report.main([str(folder), "--out", "out"]) == 0
    page = Path("out/report.html").read_text()
    tags = Tags(page)
    assert (tags.scripts, tags.images, tags.handlers) == (1, 0, [])
    assert page.count("alert(1)") > 20
    assert "default-src 'none'" in page
    markdown = Path("out/report.md").read_text()
    assert not [line for line in markdown.splitlines() if "<img" in line.replace("\\<", "") and line[:4] != "    "]


def test_formulas_in_the_csv_files_are_text() -> None:
    make_run(Path("x"), "=cmd()", training_type="=1+1")
    assert report.main(["x"]) == 0
    for path in Path("x/report").glob("*.csv"):
        assert not [line for line in path.read_text().splitlines() if line.startswith("=") or ",=" in line]


# --- memory ------------------------------------------------------------------------------------------------

BOMBS = """
import contextlib, io, json, sys
sys.path[:0] = [{root!r}]
import main, report, sweep
import torch, utils.run

def peak():
    lines = open("/proc/self/status").read().splitlines()  # getrusage begins with the parent's peak
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

base = peak()
for name, (program, argv) in {cases!r}.items():
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        code = {{"main": main, "report": report, "sweep": sweep}}[program].main(argv)
    print(json.dumps([name, code, err.getvalue(), peak() - base]))
"""


@pytest.mark.slow
def test_bombs_take_little_memory(runs: Path) -> None:
    """In one process of their own: each bomb is refused with one line, and the peak stays within 250 MiB."""
    count = 300 * MIB // 784
    bomb = npy((count, 28, 28), bytes(count * 784))
    scans("datasets/bomb.npz", compressed=True, changes={"x_train": bomb})
    del bomb
    scans("datasets/claim.npz", changes={"x_train": npy((10**12, 28, 28), bytes(784))})
    made("alias.yaml", BAD_YAML["alias bomb"][0])
    made("deep.yaml", "[" * 500_000)
    with open("endless.yaml", "wb") as stream:
        stream.truncate(10 * 2**30)  # ten GB of zeros that take no room
    for name in ("compressed", "laughing", "bytearray"):
        shutil.copytree(runs, f"checkpoint/runs/{name}")
        path = Path(f"checkpoint/runs/{name}/seed1/best.pt")
        path.write_bytes(CHECKPOINTS[name](path))
    for name in ("text", "history"):
        run = make_run(Path(name), "row", seeds=(1,))
        with open(run / "config.yaml" if name == "text" else run / "seed1" / "test.csv", "r+b") as stream:
            stream.truncate(10 * 2**30)
    cases = {
        **{name: ("main", last_of_each([*SCANS, "--dataset_name", name])) for name in ("bomb", "claim")},
        **{name: ("sweep", [f"{name}.yaml", "--dry_run"]) for name in ("alias", "deep", "endless")},
        **{name: ("main", ["--train", "0", "--model_name", name]) for name in ("compressed", "laughing", "bytearray")},
        **{name: ("report", [name]) for name in ("text", "history")},
    }
    code = BOMBS.format(root=str(ROOT), cases=cases)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in found] == list(cases), done.stderr
    for name, exit_code, errors, grown in found:
        assert exit_code == 2, (name, errors)
        assert len(errors.splitlines()) == 1, (name, errors)
        assert grown < 250, (name, grown)


# --- nothing is run ----------------------------------------------------------------------------------------


def test_the_traps_of_these_tests_work(tmp_path: Path) -> None:
    """Read without care they make a folder."""
    for make in (lambda: pickle.loads(pickle.dumps(Trap())), lambda: yaml.unsafe_load(str(BAD_YAML["object"][0]))):
        make()
        Path("sprung").rmdir()
