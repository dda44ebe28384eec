"""Each guard of a run's files by itself: what it holds, shown without a kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import scalars
from runs import arguments, assert_same, assert_same_run, best, history, last, results, run, scripted
from tensorboard.summary.writer.record_writer import RecordWriter

import report
from utils.commands.main import train_or_evaluate
from utils.errors import UserError
from utils.run_files.best_pt import BEST, remove_end
from utils.run_files.checkpoints import load, load_sound, save
from utils.run_files.done import write_done
from utils.run_files.events import Events
from utils.run_files.history_jsonl import History
from utils.run_files.last_pt import LAST
from utils.run_files.paths import SeedPaths, before
from utils.system import files
from utils.system.files import locked, make_folder, write_atomically, write_text

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

# ---------------------------------------------------------------- one file


class Calls(list[str]):
    """The file operations of this process, by name and file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        fsync, replace, link = os.fsync, os.replace, os.link

        def watched_fsync(descriptor: int) -> None:
            self.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
            fsync(descriptor)

        def watched(name: str, function: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
            def called(source: Any, target: Any) -> None:
                self.append(f"{name} {Path(source).name} {Path(target).name}")
                function(source, target)

            return called

        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "replace", watched("replace", replace))
        monkeypatch.setattr(os, "link", watched("link", link))


def test_a_file_is_synced_before_its_rename_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    write_text(tmp_path / "a.txt", "a")
    temporary = f".a.txt.{os.getpid()}.tmp"
    assert calls == [f"fsync {temporary}", f"replace {temporary} a.txt", f"fsync {tmp_path.name}"]


def test_a_new_folder_is_synced_into_the_one_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    make_folder(tmp_path / "a" / "b")
    assert sorted(calls) == sorted(["fsync a", f"fsync {tmp_path.name}"])


def test_a_folder_that_cannot_be_synced_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refused(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(errno.EINVAL, "no")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text() == "a"


def test_a_record_of_the_history_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = History(tmp_path / "history.jsonl", keep=0)
    calls = Calls(monkeypatch)
    records.append({"epoch": 0})
    assert calls == ["fsync history.jsonl"]


def test_events_on_a_full_disk_give_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard's own thread prints a traceback, and raises the same error in ours."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def refused(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def add(events: Events) -> None:
        with events:
            events.writer.add_scalar("a", 1.0, 0)
            events.writer.flush()

    events = Events(tmp_path, purge_step=0)
    monkeypatch.setattr(events.writer._get_file_writer().event_writer._async_writer._writer, "write", refused)
    with pytest.raises(OSError, match="No space left"):
        add(events)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("has_links", [True, False])
def test_at_every_moment_there_is_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """Stopped before and after each rename, with hard links and without."""
    path, kept = tmp_path / "a", tmp_path / "a_before"
    replace = os.replace
    moments = []

    def watched(source: Any, target: Any) -> None:
        look()
        replace(source, target)
        look()

    def look() -> None:
        there = {item.name: item.read_text() for item in (path, kept) if item.exists()}
        moments.append(there)
        assert "2" in there.values() or "3" in there.values()
        assert path.exists() or not has_links

    for text in ("1", "2"):
        write_atomically(path, lambda stream, text=text: stream.write(text.encode()), before=kept)  # type: ignore[misc]
    if not has_links:

        def no_links(source: Any, target: Any) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", watched)
    write_atomically(path, lambda stream: stream.write(b"3"), before=kept)
    assert (path.read_text(), kept.read_text()) == ("3", "2")
    assert len(moments) == 4
    assert {item.name for item in tmp_path.iterdir()} == {"a", "a_before"}


def test_a_name_for_the_same_file_is_no_leftover(tmp_path: Path) -> None:
    """After a kill between the two renames both names are of one file, and renaming one to the other does nothing."""
    path, kept = tmp_path / "a", tmp_path / "a_before"
    path.write_text("1")
    os.link(path, kept)
    write_atomically(path, lambda stream: stream.write(b"2"), before=kept)
    assert (path.read_text(), kept.read_text()) == ("2", "1")
    assert {item.name for item in tmp_path.iterdir()} == {"a", "a_before"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("what", ["write", "fsync", "replace", "link"])
def test_a_disk_that_refuses_leaves_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int
) -> None:
    path = tmp_path / "last.pt"
    save(path, LAST, {"epoch": 1})
    save(path, LAST, {"epoch": 2})

    def refused(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    class Full:
        def __init__(self, *args: object, **options: object) -> None:
            self.stream = open(*args, **options)  # type: ignore[call-overload]  # noqa: SIM115

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self.stream.close()

        def write(self, content: bytes) -> int:
            room = max(0, 1000 - self.stream.tell())
            self.stream.write(content[:room])
            if room < len(content):
                refused()
            return len(content)

    with monkeypatch.context() as patch:
        if what == "write":
            patch.setattr(files, "open", Full, raising=False)
        else:
            patch.setattr(os, what, refused)
        with pytest.raises(UserError, match=os.strerror(number)):
            save(path, LAST, {"epoch": 3, "weights": [torch.ones(1000), torch.zeros(1000)]})
    assert load(path, LAST)["epoch"] == 2
    assert load(before(path), LAST)["epoch"] == 1
    assert {item.name for item in tmp_path.iterdir()} == {"last.pt", "last_before.pt"}


def test_what_was_loaded_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    """So that a resumed run leaves the files of an undisturbed one, and their checksums."""
    content = {"epoch": 1, "groups": [{"lr": 0.1, "epoch": 2, "betas": (0.9, 0.99)}], "weights": torch.ones(2, 3)}
    save(tmp_path / "a", LAST, content)
    save(tmp_path / "b", LAST, {**content, "groups": load(tmp_path / "a", LAST)["groups"]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---------------------------------------------------------------- a damaged last.pt


def flip_a_bit(path: Path) -> None:
    """In the numbers of the largest tensor, where nothing but a checksum shows it."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda item: item.file_size)
        content = archive.read(largest)
    whole = bytearray(path.read_bytes())
    whole[whole.index(content) + len(content) // 2] ^= 1
    path.write_bytes(whole)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_in_half, empty, Path.unlink])
def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    command = "--use_ALM 1 --delta 1 --mu 0.01 --augment crop"
    folder = run(tmp_path / "damaged", f"{command} --num_epochs 3")
    damage(folder / "seed1" / "last.pt")
    run(tmp_path / "damaged", f"{command} --num_epochs 4 --resume 1")
    notes = [line for line in capsys.readouterr().out.splitlines() if "last_before.pt" in line]
    assert len(notes) == 1
    assert notes[0].endswith("going on from last_before.pt, epoch 2 is trained once more")
    assert_same_run(folder, run(tmp_path / "straight", f"{command} --num_epochs 4"))
    assert [record["epoch"] for record in history(folder / "seed1")] == [0, 1, 2, 3]


def test_best_pt_of_the_epoch_that_is_trained_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older best weights are gone, but on a CPU the same epoch is the best again."""
    aucs = [0.5, 0.4, 0.6, 0.3]
    scripted(monkeypatch, aucs)
    folder = run(tmp_path / "damaged", "--num_epochs 3")
    assert best(folder / "seed1")["epoch"] == 2
    cut_in_half(folder / "seed1" / "last.pt")
    (folder / "seed1" / "done").unlink()
    scripted(monkeypatch, aucs[2:])
    run(tmp_path / "damaged", "--num_epochs 4 --resume 1")
    scripted(monkeypatch, aucs)
    assert_same_run(folder, run(tmp_path / "straight", "--num_epochs 4"))


def test_a_damaged_state_never_becomes_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(tmp_path, "--num_epochs 3")
    seed = SeedPaths(folder / "seed1")
    cut_in_half(seed.last)

    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("utils.run.train.History", stop)  # the next thing after the state was restored
        with pytest.raises(KeyboardInterrupt):
            train_or_evaluate(arguments(tmp_path, "--num_epochs 4 --resume 1"))
    assert last(seed.folder)["epoch"] == 2
    assert not seed.last_before.exists()


def test_two_damaged_states_give_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "--num_epochs 2")
    for name in ("last.pt", "last_before.pt"):
        cut_in_half(folder / "seed1" / name)
    run(tmp_path, "--num_epochs 3 --resume 1", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "last_before.pt is damaged too" in line


def test_a_damaged_best_pt_of_the_last_epoch_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.6])
    folder = run(tmp_path, "--num_epochs 2")
    (folder / "seed1" / "done").unlink()
    flip_a_bit(folder / "seed1" / "best.pt")
    run(tmp_path, "--num_epochs 2 --resume 1")
    scripted(monkeypatch, [0.5, 0.6])
    assert_same_run(folder, run(tmp_path, "--num_epochs 2 --model_name straight"))


def test_keep_last_0_removes_both(tmp_path: Path) -> None:
    folder = run(tmp_path, "--num_epochs 2 --keep_last 0")
    assert not list((folder / "seed1").glob("last*"))


def test_best_pt_is_left_alone_where_it_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a kill while a finished run is trained further would leave one that `done` does not know.

    What is recorded at the end of a seed changes, and is taken out once `done` is gone.
    """
    scripted(monkeypatch, [0.5, 0.6])
    folder = run(tmp_path, "--num_epochs 2")
    path, content = folder / "seed1" / "best.pt", (folder / "seed1" / "best.pt").read_bytes()
    before = best(folder / "seed1")
    removed = []

    def remove(files: SeedPaths) -> None:
        assert path.read_bytes() == content
        assert not files.done.exists()
        remove_end(files)
        removed.append(files)

    monkeypatch.setattr("utils.run.train.remove_end", remove)
    scripted(monkeypatch, [0.1])
    run(tmp_path, "--num_epochs 3 --resume 1")
    assert removed
    after = best(folder / "seed1")
    assert (before["epochs"], after["epochs"]) == (2, 3)
    assert after["config"] == {**before["config"], "num_epochs": 3}
    kept = set(before) - {"epochs", "config", "decisions"}
    assert_same({name: after[name] for name in kept}, {name: before[name] for name in kept})


def test_a_done_seed_has_all_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill right after `done` must not cost what TensorBoard had not written by then."""
    there: list[str] = []

    def look(seed: SeedPaths, **options: Any) -> None:
        there.extend(name for name, _ in scalars(seed.folder))
        write_done(seed, **options)

    waiting: list[bytes] = []
    write, flush, close = RecordWriter.write, RecordWriter.flush, RecordWriter.close

    def write_what_waits(writer: Any, then: Any) -> None:
        while waiting:
            write(writer, waiting.pop(0))
        then(writer)

    # what nobody has flushed is not on the disk, however fast TensorBoard's thread is
    monkeypatch.setattr(RecordWriter, "write", lambda _, data: waiting.append(data))
    monkeypatch.setattr(RecordWriter, "flush", lambda writer: write_what_waits(writer, flush))
    monkeypatch.setattr(RecordWriter, "close", lambda writer: write_what_waits(writer, close))
    monkeypatch.setattr("utils.run.train.write_done", look)
    run(tmp_path)
    assert {"final/test_AUC", "final/validation_AUC", "final/test_FPR_at_TPR_0.9"} <= set(there)


# ---------------------------------------------------------------- locks and settings


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("process 1 on elsewhere since 2001-01-01 00:00:00")  # of the dead
    with locked(path, what="seed 1"):
        says = rf"^seed 1 is in use by process {os.getpid()} on {socket.gethostname()} since 20\d\d-\d\d-\d\d \d\d:"
        with pytest.raises(UserError, match=says), locked(path, what="seed 1"):
            pass
    with locked(path, what="seed 1"):
        pass


def test_a_file_system_without_locks_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(UserError, match=r"^cannot lock .*: No locks available"), locked(tmp_path / "a", what="seed 1"):
        pass


@pytest.mark.parametrize("change", ["--lr 0.7", "--bsize 32", "--training_type MSFE", "--use_ALM 1"])
def test_other_settings_are_refused_with_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    folder = run(tmp_path)
    before_it = (folder / "config.yaml").read_bytes()
    run(tmp_path, f"{change} --num_epochs 2 --resume 1", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    name, value = change[2:].split()
    assert f"{name} " in line
    assert f"there, {value} now" in line
    assert (folder / "config.yaml").read_bytes() == before_it


# ---------------------------------------------------------------- results and weights belong together


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return root / run(Path("c"), "--seeds 1-2").relative_to(".")


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, in which one may go on."""
    shutil.copytree(finished.parents[1], tmp_path / "c")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "c" / "runs" / "run"


def test_results_say_which_weights_they_are_of(folder: Path) -> None:
    for seed, values in results(folder)["seeds"].items():
        place = folder / f"seed{seed}"
        sums = {name: files.sha256(place / name) for name in ("best.pt", "validation.csv", "test.csv")}
        assert values["checksums"] == sums
        assert json.loads((place / "done").read_text())["checksums"] == sums


def other_weights(seed: Path) -> None:
    save(seed / "best.pt", BEST, {**best(seed), "epoch": 0, "seed": 7})


def other_scores(seed: Path) -> None:
    text = (seed / "test.csv").read_text()
    (seed / "test.csv").write_text(text.replace(text.splitlines()[1].split(",")[2], "0.5", 1))


@pytest.mark.parametrize("change, name", [(other_weights, "best.pt"), (other_scores, "test.csv")])
@pytest.mark.parametrize("command", ["--seeds 1-2", "--seeds 3", "--seeds 2 --train 0"])
def test_a_changed_seed_is_not_counted_unseen(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], name: str, command: str
) -> None:
    content = (folder / "results.json").read_bytes()
    change(folder / "seed1")
    capsys.readouterr()
    run(Path("c"), command, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name} in c/runs/run/seed1 changed after the seed was finished" in line
    assert (folder / "results.json").read_bytes() == content

    assert report.main(["c/runs"]) == 0
    page = (folder.parent / "report" / "report.md").read_text()
    assert f"{name} changed after the seed was finished" in page

    run(Path("c"), "--seeds 1 --train 0")
    run(Path("c"), command)
    assert results(folder)["seeds"]["1"]["checksums"]["best.pt"] == files.sha256(folder / "seed1" / "best.pt")
    assert report.main(["c/runs"]) == 0
    assert "changed" not in (folder.parent / "report" / "report.md").read_text()


def test_results_of_older_weights_are_marked(folder: Path) -> None:
    content = results(folder)
    content["seeds"]["1"]["checksums"]["best.pt"] = "0" * 64
    (folder / "results.json").write_text(json.dumps(content))
    assert report.main(["c/runs"]) == 0
    assert "results.json is of other weights or scores" in (folder.parent / "report" / "report.md").read_text()


def test_a_seed_without_recorded_checksums_counts(folder: Path) -> None:
    """It was finished by an older version."""
    done = json.loads((folder / "seed1" / "done").read_text())
    del done["checksums"]
    (folder / "seed1" / "done").write_text(json.dumps(done))
    run(Path("c"), "--seeds 1-2")
    assert results(folder)["n_seeds"] == 2


def test_the_checksum_of_every_part_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save(path, LAST, {"epoch": 1, "weights": torch.ones(1000)})
    assert load_sound(path, LAST)["epoch"] == 1
    flip_a_bit(path)
    with pytest.raises(UserError, match="damaged"):
        load_sound(path, LAST)
