"""A preparation that is stopped, killed, or refused by the disk goes on to the same bytes; nothing is half there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up import class_folders, prepared
from PIL import Image

import prepare
from utils.data.prepared_files import read_prepared
from utils.preparing import image_writing
from utils.system.files import locked

ROOT = Path(__file__).resolve().parents[2]

# stops itself in the batch BATCH: after a part of its pixels, or after all of them but before the log
KILLED = """
import os, signal, sys
from utils.preparing import image_writing
image_writing.BATCH_IMAGES = 4
write, calls = image_writing._write, []
def killed(rows, log, done, numbers, batch):
    calls.append(1)
    if len(calls) == int(sys.argv[1]):
        for image in batch[: int(sys.argv[2])]:
            rows.append(image.tobytes())
        rows._stream.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    write(rows, log, done, numbers, batch)
image_writing._write = killed
import prepare
sys.exit(prepare.main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images in noise, one of them cut."""
    root = class_folders(tmp_path_factory.mktemp("source") / "images", {"a": 15, "b": 15})
    generator = np.random.Generator(np.random.PCG64(0))
    for path in sorted(root.rglob("*.png")):
        Image.fromarray(generator.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(path)
    broken = root / "a" / "003.png"
    broken.write_bytes(broken.read_bytes()[:5000])
    return root


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("batch, images", [(1, 2), (3, 0), (8, 2)])
def test_killed_and_resumed_is_the_same(source: Path, tmp_path: Path, batch: int, images: int) -> None:
    whole = tmp_path / "one" / "s"
    prepared(source, "--out", whole, "--skip_broken", "1")
    argv = [str(source), "--out", str(tmp_path / "two" / "s"), "--skip_broken", "1"]
    done = subprocess.run([sys.executable, "-c", KILLED, str(batch), str(images), *argv], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "two"
    assert not (folder / "s").exists()
    prepared(*argv, "--resume", "1")
    ours, theirs = content(folder / "s"), content(whole)
    for found in (ours, theirs):  # the command is another: --out
        found["manifest.yaml"] = (
            found["manifest.yaml"].partition(b"command:")[0] + found["manifest.yaml"].partition(b"versions:")[2]
        )
    assert ours == theirs
    assert [path.name for path in folder.iterdir()] == ["s"]


def stopped(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *, batches: int) -> None:
    """Begin, in batches of 4, and stop after some of them."""

    class Stopped(BaseException):
        pass

    monkeypatch.setattr(image_writing, "BATCH_IMAGES", 4)
    write = image_writing._write
    calls: list[int] = []

    def counted(*arguments: object) -> None:
        if len(calls) == batches:
            raise Stopped
        calls.append(1)
        write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(image_writing, "_write", counted)
        with pytest.raises(Stopped):
            prepare.main([str(source), "--out", str(out), "--skip_broken"])


def counted_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    numbers: list[int] = []
    write = image_writing._write

    def counted(rows, log, done, batch, images) -> None:  # type: ignore[no-untyped-def]
        numbers.extend(batch)
        write(rows, log, done, batch, images)

    monkeypatch.setattr(image_writing, "_write", counted)
    return numbers


def test_only_the_rest_is_read(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(source, tmp_path / "s", monkeypatch, batches=3)
    numbers = counted_batches(monkeypatch)
    found = prepared(source, "--out", tmp_path / "s", "--skip_broken", "--resume")
    assert numbers == list(range(12, 30))
    assert len(found.paths) == 29


def test_what_a_power_failure_lost_is_read_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(source, tmp_path / "s", monkeypatch, batches=3)
    images = tmp_path / ".s.part" / "images.npy"
    lost = bytearray(images.read_bytes())
    lost[128 + 6 * 60 * 60 * 3] ^= 255  # a pixel of the seventh kept image, the eighth of the source
    images.write_bytes(lost)
    numbers = counted_batches(monkeypatch)
    found = prepared(source, "--out", tmp_path / "s", "--skip_broken", "--resume")
    assert numbers == list(range(7, 30))
    assert found.checksum == prepared(source, "--out", tmp_path / "t", "--skip_broken").checksum


def test_an_unfinished_folder_is_not_taken_for_granted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(source, tmp_path / "s", monkeypatch, batches=3)
    argv = [str(source), "--out", str(tmp_path / "s"), "--skip_broken"]
    assert prepare.main(argv) == 2
    assert "was begun and not finished: --resume 1 goes on, --overwrite 1 starts anew" in capsys.readouterr().err
    assert prepare.main([*argv, "--resume", "--size", "7"]) == 2
    assert "was begun from other files or with other options" in capsys.readouterr().err
    other = shutil.copytree(source, tmp_path / "other")
    Image.new("RGB", (60, 60)).save(other / "b" / "014.png")
    assert prepare.main([str(other), *argv[1:], "--resume"]) == 2
    assert "was begun from other files" in capsys.readouterr().err
    numbers = counted_batches(monkeypatch)
    prepared(*argv, "--overwrite", "1")
    assert numbers == list(range(30))


def test_a_finished_folder_is_replaced_only_if_asked(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(source), "--out", str(tmp_path / "s"), "--skip_broken"]
    before = prepared(*argv).checksum
    for more in ([], ["--resume"]):
        assert prepare.main([*argv, *more]) == 2
        assert "s is there; choose another --out, or add --overwrite 1" in capsys.readouterr().err
    assert prepare.main([*argv, "--overwrite", "--positive", "nobody"]) == 2
    assert read_prepared(tmp_path / "s").checksum == before
    # killed between the two renames: the old one comes back
    real = os.replace

    def killed(old: Path, new: Path) -> None:
        if str(old).endswith(".part"):
            raise KeyboardInterrupt
        real(old, new)

    with monkeypatch.context() as patch:
        patch.setattr("utils.preparing.preparation.os.replace", killed)
        assert prepare.main([*argv, "--overwrite", "--seed", "2"]) == 130
    assert not (tmp_path / "s").exists()
    assert prepare.main(argv) == 2
    assert read_prepared(tmp_path / "s").checksum == before
    assert prepared(*argv, "--overwrite", "--seed", "2").checksum != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


@pytest.mark.parametrize("name", ["notes.txt", "s.npz"])
def test_what_prepare_did_not_write_is_not_removed(
    source: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(source), "--out", str(tmp_path / "s"), "--skip_broken", "--overwrite"]
    prepared(*argv)
    (tmp_path / "s" / name).touch()
    assert prepare.main(argv) == 2
    assert f"s holds {name}, which is not of a preparation; choose another --out" in capsys.readouterr().err
    (tmp_path / "t").mkdir()
    assert prepare.main([str(source), "--out", str(tmp_path / "t"), "--overwrite"]) == 2
    assert "t is there, and is no prepared data set; choose another --out" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_goes_on_once_there_is_room(source: Path, tmp_path: Path) -> None:
    """No file may grow beyond 200 kB; the images take 313 kB."""
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)); "
        "import prepare; sys.exit(prepare.main(sys.argv[1:]))"
    )
    argv = [str(source), "--out", str(tmp_path / "s"), "--skip_broken"]
    done = subprocess.run([sys.executable, "-c", limited, *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("File too large; make room, then --resume 1 goes on")
    assert not (tmp_path / "s").exists()
    found = prepared(*argv, "--resume")
    assert found.checksum == prepared(source, "--out", tmp_path / "t", "--skip_broken").checksum


def test_too_little_room_is_told_before_anything_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    little = SimpleNamespace(total=10**9, used=10**9 - 10**6, free=10**6)
    monkeypatch.setattr("utils.preparing.preparation.shutil.disk_usage", lambda path: little)
    assert prepare.main([str(source), "--out", str(tmp_path / "x" / "s"), "--skip_broken", "--size", "2000"]) == 2
    assert "s needs 0.36 GB, and 0.00 GB are free; make room" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_are_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path / ".s.lock", what="s"):
        assert prepare.main([str(source), "--out", str(tmp_path / "s"), "--skip_broken"]) == 2
    assert f"s is in use by process {os.getpid()}" in capsys.readouterr().err


HELD = """
import sys, time
from utils.preparing import image_writing
image_writing._write = lambda *_: (print("ready", flush=True), time.sleep(600))
import prepare
sys.exit(prepare.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_line(source: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", HELD, str(source), "--out", str(tmp_path / "s"), "--skip_broken"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code
    assert error.strip() == f"interrupted by {number.name}; the same command with --resume 1 goes on"
    prepared(*command[3:], "--resume")
