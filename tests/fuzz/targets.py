"""What is fuzzed: for each kind of input how a case is made from valid ones, and the public reader that gets it.

Training and pictures are taken away (``without_training``): all else is the program as users run it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from mutations import ODD, as_json, as_yaml, mutated_bytes, mutated_value
from PIL import Image
from report_folders import make_class_run, make_run

import main
import predict
import prepare
import report
import sweep
from models import build_model
from utils.config.settings import resolve
from utils.data import load_raw, torchvision_files
from utils.data.npz import read_npz
from utils.data.prepared_files import read_prepared
from utils.errors import UserError
from utils.reporting.runs import read_folder
from utils.run import train as train_run
from utils.run.initial_state import build_state
from utils.run.weights_file import WeightsFile, load_weights
from utils.run_files.done import read_done
from utils.run_files.history_jsonl import History
from utils.run_files.scores_csv import read_scores
from utils.system.files import sha256
from utils.system.yaml_files import read_yaml
from utils.training.epoch import NonFiniteLossError, train_epoch
from utils.training.step import TrainingSteps

ROOT = Path(__file__).resolve().parents[2]
BASE = "--dataset_name digits --resnet_type linear --threads 1 --parallel_seeds 1 --device cpu --seeds 1 --num_epochs"
TRAIN = [*BASE.split(), "1", "--model_name", "base"]
RESUME = [*BASE.split(), "2", "--model_name", "base", "--resume", "1"]
EVALUATE = ["--train", "0", "--model_name", "base", "--threads", "1", "--device", "cpu"]
NEW = [*TRAIN[:-1], "new"]
COMMANDS = [
    *(TRAIN, RESUME, EVALUATE, [*NEW, "--name_file_bs", "baseline_bce", "--name_file_alm", "ALM_12_beg"]),
    [*NEW, "--use_ALM", "1", "--mu", "0.1", "--rho", "2", "--delta", "0.5", "--p2_norm", "1"],
    [*NEW, "--training_type", "SYM_FL", "--gamma", "2", "--optimizer", "adam", "--lr", "1e-3"],
    [*NEW, "--folds", "3", "--fold", "1", "--subset_ratios", "1", "9", "--train_on", "other", "--downsample", "1"],
    [*NEW, "--negative_classes", "1", "3", "--positive_classes", "2", "--ratio_pos_train", "5", "--tpr", "0.9", "0.8"],
    [*NEW, "--resnet_type", "dense", "--hidden_widths", "9", "--data_root", "datasets", "--checkpoint_root", "x"],
    [*NEW, "--resnet_type", "lenet5", "--weights", "w.pth", "--freeze_epochs", "all", "--normalisation", "half"],
    [*NEW, "--image_size", "16", "--freeze_epochs", "2", "--weights", "default", "--download", "0"],
    [*BASE.split()[:-1], "--model_name", "new", "--continue_train", "1", "--baseline_cont_train", "base"],
]
RUN = Path("checkpoint/runs/base")
OF_CLASSES = Path("checkpoint/runs/classes")
THREE = "--task classes --classes 1 2 3 --critical_classes 3 2 --training_type LA --model_name classes"
NEW_IMAGES = Path("new")
PREDICT = [str(RUN), "--images", "new", "--threads", "1", "--device", "cpu"]
TO_FILE = ["--out", "pred.csv", "--overwrite", "1"]
SCORE, SCORE_CLASSES = [*PREDICT, *TO_FILE], [str(OF_CLASSES), *PREDICT[1:], *TO_FILE]
ON_OTHER = ["--name", "other", "--overwrite", "1", "--by", "site", "--group", "site"]
JUDGE = [*PREDICT, "--labels", "new/labels.csv", *ON_OTHER]
JUDGE_CLASSES = [str(OF_CLASSES), *PREDICT[1:], "--labels", "new/classes.csv", *ON_OTHER]
UNPREPARED = Path("unprepared")  # images, and tables of them and of numbers
PREPARED = Path("datasets/prepared")
BY_TABLE = ["--csv", "unprepared/labels.csv", "--group", "who", "--out", "datasets/new", "--skip_broken", "1"]
OF_NUMBERS = ["--csv", "unprepared/numbers.csv", "--pixels", "2x2", "--out", "datasets/new", "--skip_broken", "1"]
BY_FOLDER = ["unprepared", "--out", "datasets/new", "--size", "5", "--skip_broken", "1", "--bits", "8"]
SEED = RUN / "seed1"
REPORTED = Path("made_up/row")


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Args:
        share: of all cases, in per cent.
        make: a case from a stream of random numbers.
        run: gives it to the reader. Returns whether it was accepted; raises UserError where it was refused.
    """

    share: float
    make: Callable[[Random], bytes]
    run: Callable[[bytes], bool]


def program(start: Callable[[Sequence[str]], int], argv: Sequence[str], *, accepted: tuple[int, ...] = (0,)) -> bool:
    """Run a program in this process; whether it accepted its input.

    Raises:
        UserError: it refused it, as it must: exit code 2 and one line.
        AssertionError: it did something else.
    """
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = start(argv)
    shown = out.getvalue() + err.getvalue()
    bad = [char for char in shown if not char.isprintable() and char != "\n"]
    assert not bad, f"prints {bad[0]!r}"
    if code == 2:
        (line,) = err.getvalue().splitlines()
        assert line.startswith("error: "), line
        raise UserError(line)
    assert code in accepted, f"exit code {code}: {shown[-300:]}"
    return True


def _lenet5() -> torch.nn.Module:
    return build_model("lenet5", channels=1, image_size=(32, 32), generator=torch.Generator().manual_seed(1))


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _take_over(data: bytes) -> bool:
    """Give a file of ``--weights`` to a model."""
    path = Path("w.pth")
    path.write_bytes(data)
    load_weights(WeightsFile(path, sha256(path)), _lenet5())
    return True


class World:
    """A folder with a trained run, a sweep's folder and data, from which every case starts anew."""

    def __init__(self) -> None:
        self.digits = load_raw("digits", data_root="datasets")
        assert program(main.main, TRAIN)
        assert program(main.main, [*TRAIN[:-2], *THREE.split()])
        make_run(Path("made_up"), "row", seeds=(1,), counts={"train": (9, 3), "validation": (6, 5), "test": (7, 6)})
        make_run(Path("made_up"), "other", seeds=(1,), counts={"train": (9, 3), "validation": (6, 5), "test": (7, 6)})
        sizes = {"train": (9, 5, 3), "validation": (4, 3, 5), "test": (5, 3, 6)}
        make_class_run(Path("made_up"), "classes", seeds=(1,), sizes=sizes, names=("cat", "dog", "eel"), critical=(2,))
        (REPORTED / "results.json").write_bytes((RUN / "results.json").read_bytes())
        _save_images(NEW_IMAGES, self.digits.test_labels)
        _save_unprepared(UNPREPARED)
        assert program(prepare.main, ["unprepared", "--out", str(PREPARED)])
        names = ("row", "other", "classes")
        rows: list[dict[str, Any]] = [{"name": name, "folder": name, "seeds": [1], "options": {}} for name in names]
        Path("made_up/table.json").write_text(json.dumps({"title": "Made up", "rows": rows}))
        Path("configs/baseline").mkdir(parents=True)
        self.files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        self.configs = [path.read_bytes() for path in sorted((ROOT / "configs").glob("[bA]*/*.yaml"))]
        self.tables = [path.read_bytes() for path in sorted((ROOT / "configs/table").glob("*.yaml"))]
        self.checkpoints = [self.files[SEED / name] for name in ("best.pt", "last.pt")]
        self.checkpoints += [self.files[RUN / "model.pt"], _saved(_lenet5().state_dict())]
        self.checkpoints += [self.files[OF_CLASSES / "model.pt"]]
        self.arrays = [_arrays(keys) for keys in (("x_train", "y_train", "x_test", "y_test"), _MEDMNIST)]

    def restore(self) -> None:
        """Put every file back, and take away what is new."""
        for path in sorted(Path().rglob("*"), reverse=True):
            if path.is_symlink() or path.is_file():
                if path not in self.files:
                    path.unlink()
            elif path.is_dir() and not any(path in file.parents for file in self.files):
                shutil.rmtree(path, ignore_errors=True)
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_size != len(content) or path.read_bytes() != content:
                path.write_bytes(content)

    @functools.cached_property
    def targets(self) -> dict[str, Target]:
        """All kinds of input, by name."""
        targets = {
            "config file": Target(22, self._config, _read_config),
            "command line": Target(12, self._command, self._program),
            "table file": Target(2, self._table, self._sweep),
            ".npz": Target(15, self._npz, self._read_npz),
            "best.pt": Target(5, functools.partial(self._checkpoint, 0), self._in_place(SEED / "best.pt", EVALUATE)),
            "weights": Target(4, functools.partial(self._checkpoint, 3), _take_over),
            "last.pt": Target(5, functools.partial(self._checkpoint, 1), self._in_place(SEED / "last.pt", RESUME)),
        }
        predicted = (("model.pt", RUN / "model.pt", SCORE, 4), ("image", NEW_IMAGES / "0.png", SCORE, 3))
        for name, path, argv, share in (*predicted, ("labels.csv", NEW_IMAGES / "labels.csv", JUDGE, 3)):
            make = functools.partial(self._checkpoint, 2) if name == "model.pt" else self._bytes(path)
            targets[name] = Target(share, make, self._in_predict(path, argv))
        for path, argv, make in (
            (OF_CLASSES / "model.pt", SCORE_CLASSES, functools.partial(self._checkpoint, 4)),
            (NEW_IMAGES / "classes.csv", JUDGE_CLASSES, self._bytes(NEW_IMAGES / "classes.csv")),
        ):
            targets[f"{path.name} (classes)"] = Target(3, make, self._in_predict(path, argv))
        for name, argv, share in (
            *(("labels.csv", BY_TABLE, 3), ("numbers.csv", OF_NUMBERS, 3)),
            *(("b/1.png", BY_FOLDER, 2), ("a/2.tif", BY_FOLDER, 2), ("b/3.dcm", BY_FOLDER, 2)),
        ):
            path = UNPREPARED / name
            targets[f"{path.name} (prepare)"] = Target(share, self._bytes(path), self._in_prepare(path, argv))
        for name in ("manifest.yaml", "samples.csv", "images.npy"):
            path = PREPARED / name
            targets[f"{name} (prepared)"] = Target(2, self._file(path), self._read_prepared(path))
        for name, argv, share in (("config.yaml", TRAIN, 3), ("done", TRAIN, 4), ("history.jsonl", RESUME, 3)):
            path = RUN / name if name == "config.yaml" else SEED / name
            targets[f"{name} (main)"] = Target(share, self._file(path), self._in_place(path, argv))
        for name, share in (
            *(("config.yaml", 3), ("results.json", 5), ("seed1/done", 4), ("seed1/history.jsonl", 6)),
            *(("seed1/test.csv", 9), ("seed1/failed", 1), ("../table.json", 2)),
        ):
            path = Path("made_up/table.json") if name == "../table.json" else REPORTED / name
            targets[f"{path.name} (report)"] = Target(share, self._file(path), self._in_report(path))
        for name, share in (("config.yaml", 2), ("seed1/test.csv", 3), ("seed1/last_test.csv", 2)):
            path = Path("made_up/classes") / name
            targets[f"{path.name} (report, classes)"] = Target(share, self._file(path), self._in_report(path))
        return targets

    # --- how cases are made ---

    def _config(self, random: Random) -> bytes:
        data = random.choice(self.configs)
        if random.random() < 0.5:
            return mutated_bytes(random, data, self.configs)
        value = mutated_value(random, yaml.safe_load(data))
        return _dumped(random, value)

    def _table(self, random: Random) -> bytes:
        data = random.choice(self.tables)
        if random.random() < 0.4:
            return mutated_bytes(random, data, self.tables)
        return _dumped(random, mutated_value(random, yaml.safe_load(data)))

    def _command(self, random: Random) -> bytes:
        argv = list(random.choice(COMMANDS))
        for _ in range(random.choice((1, 1, 2, 3))):
            at = random.randrange(len(argv))
            odd = str(random.choice(ODD)).replace("\0", "")
            other = random.choice(random.choice(COMMANDS))
            change = random.randrange(5)
            if change == 0:
                argv[at] = odd
            elif change == 1:
                argv[at] = other
            elif change == 2:
                del argv[at]
            elif change == 3:
                argv[at:at] = [other, odd]
            else:
                text = mutated_bytes(random, argv[at].encode(errors="surrogateescape"), [other.encode()])
                argv[at] = text.replace(b"\0", b"").decode(errors="surrogateescape")
            argv = argv or ["--seeds"]
        return json.dumps(argv).encode()

    def _npz(self, random: Random) -> bytes:
        arrays = dict(random.choice(self.arrays))
        how = random.random()
        if how < 0.5:
            return mutated_bytes(random, _zipped(random, arrays), [_zipped(random, self.arrays[0])])
        name = random.choice(list(arrays))
        if how < 0.75:  # a header that lies
            member = bytearray(_npy(arrays[name]))
            lies = [b"(10**9,)", b"'|O'", b"(1000000000000, 28, 28)"]
            member[10:128] = mutated_bytes(random, bytes(member[10:128]), lies)
            return _zipped(random, {**arrays, name: bytes(member)})
        return _zipped(random, {**arrays, name: _changed(random, arrays[name])})

    def _checkpoint(self, number: int, random: Random) -> bytes:
        data = self.checkpoints[number]
        how = random.random()
        if how < 0.25:
            return mutated_bytes(random, data, self.checkpoints)
        if how < 0.5:  # the pickle alone, in a sound archive
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            (name,) = [name for name in parts if name.endswith("/data.pkl")]
            parts[name] = mutated_bytes(random, parts[name], [*parts.values()])
            return _archived(parts, compressed=random.random() < 0.1)
        return _saved(mutated_value(random, torch.load(io.BytesIO(data), weights_only=True)))

    def _file(self, path: Path) -> Callable[[Random], bytes]:
        data = self.files.get(path, b"it broke\n")

        def make(random: Random) -> bytes:
            if random.random() < 0.5 or path.suffix in (".csv", ".npy") or path.name == "failed":
                return mutated_bytes(random, data, [data, *self.configs[:3]])
            if path.suffix == ".jsonl":
                lines = mutated_value(random, [json.loads(line) for line in data.splitlines()])
                return b"\n".join(map(as_json, lines)) if isinstance(lines, list) else as_json(lines)
            if path.suffix == ".yaml":
                return as_yaml(mutated_value(random, yaml.safe_load(data)))
            return as_json(mutated_value(random, json.loads(data)))

        return make

    def _bytes(self, path: Path) -> Callable[[Random], bytes]:
        return lambda random: mutated_bytes(random, self.files[path], [self.files[path]])

    # --- who gets them ---

    def _in_predict(self, path: Path, argv: list[str]) -> Callable[[bytes], bool]:
        def run(data: bytes) -> bool:
            self.restore()
            path.write_bytes(data)
            return program(predict.main, argv, accepted=(0, 1))  # 1: an image could not be read

        return run

    def _in_prepare(self, path: Path, argv: list[str]) -> Callable[[bytes], bool]:
        def run(data: bytes) -> bool:
            self.restore()
            path.write_bytes(data)
            return program(prepare.main, argv)

        return run

    def _read_prepared(self, path: Path) -> Callable[[bytes], bool]:
        """Beside a manifest that names the new content, so that its checksum is not all that refuses it."""

        def run(data: bytes) -> bool:
            self.restore()
            old, new = (hashlib.sha256(content).hexdigest() for content in (self.files[path], data))
            manifest = self.files[PREPARED / "manifest.yaml"].replace(old.encode(), new.encode())
            (PREPARED / "manifest.yaml").write_bytes(manifest)
            path.write_bytes(data)
            found = read_prepared(PREPARED)
            assert len(found.paths) == len(found.labels) == len(found.images) == len(found.splits)
            return True

        return run

    def _in_place(self, path: Path, argv: list[str]) -> Callable[[bytes], bool]:
        def run(data: bytes) -> bool:
            self.restore()
            path.write_bytes(data)
            return program(main.main, argv)

        return run

    def _in_report(self, path: Path) -> Callable[[bytes], bool]:
        def run(data: bytes) -> bool:
            self.restore()
            path.write_bytes(data)
            found = read_folder(Path("made_up"))
            if len(data) % 100 == 7:  # the whole page takes a second
                return program(report.main, ["made_up"])
            return not any(problem.state == "damaged" for problem in found.problems)

        return run

    def _program(self, data: bytes) -> bool:
        self.restore()
        return program(main.main, json.loads(data))

    def _sweep(self, data: bytes) -> bool:
        Path("table.yaml").write_bytes(data)
        return program(sweep.main, ["table.yaml", "--dry_run"])

    def _read_npz(self, data: bytes) -> bool:
        Path("case.npz").write_bytes(data)
        read_npz(Path("case.npz"), name="case")
        return True

    def _read_yaml(self, path: Path) -> Any:
        """What is as it was is not parsed again: that takes half of the time."""
        known = path in self.files and path.is_file() and path.read_bytes() == self.files[path]
        return copy.deepcopy(self._parsed(path)) if known else read_yaml(path)

    @functools.cache  # noqa: B019 (there is one world)
    def _parsed(self, path: Path) -> Any:
        return yaml.safe_load(self.files[path])

    @contextlib.contextmanager
    def without_training(self) -> Iterator[None]:
        """No training, no pictures, no download; the digits are read once."""

        def data(name: str, **options: Any) -> Any:
            return self.digits if name == "digits" else load_raw(name, **options)

        def no_download(*_: Any, **__: Any) -> None:
            raise torchvision_files._RefusedError("not in these tests")

        with contextlib.ExitStack() as patches:
            for name, stand_in in (
                ("utils.run.load_task.load_raw", data),
                ("utils.data.torchvision_files._read", no_download),
                ("utils.run.train._train_seed", _restore_seed),
                ("utils.run.train.train_in_processes", _in_turn),
                ("utils.run.train.report", _read_results),
                ("utils.run.evaluate.report", _read_results),
                ("utils.run.train.bundle", _nothing),
                ("utils.run.evaluate.bundle", _nothing),
                ("utils.run_files.config_yaml.read_yaml", self._read_yaml),
                ("utils.run_files.external_json.class_roc_figure", _blank),
                ("utils.run_files.external_json.confusion_figure", _blank),
            ):
                patches.enter_context(mock.patch(name, stand_in))
            yield


def _save_unprepared(folder: Path) -> None:
    """Sixteen images of two classes, one of them turned, one DICOM; a table of them, and one of numbers."""
    rows = ["path,label,who"]
    for number in range(16):
        path = folder / "ab"[number % 2] / f"{number}.{'tif' if number == 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 2 else 1
        Image.fromarray(np.full((5, 5), number, dtype=np.uint8)).save(path, exif=exif)
        rows.append(f"{path.relative_to(folder)},{path.parent.name},p{number // 2}")
    (folder / "labels.csv").write_text("\n".join(rows))
    lines = [f"{number % 2},{number},0,255,7" for number in range(16)]
    (folder / "numbers.csv").write_text("\n".join(["label,w,x,y,z", *lines]))
    (folder / "b" / "3.dcm").write_bytes(_dicom())


def _dicom() -> bytes:
    """An image of 5 x 5 in 8 bits, explicit little endian, written by hand."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        value += (b"\0" if kind in (b"UI", b"OB") else b" ") * (len(value) % 2)
        long = b"\0\0" + len(value).to_bytes(4, "little") if kind == b"OB" else len(value).to_bytes(2, "little")
        return group.to_bytes(2, "little") + number.to_bytes(2, "little") + kind + long + value

    def short(number: int, value: int) -> bytes:
        return element(0x28, number, b"US", value.to_bytes(2, "little"))

    meta = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    head = b"\0" * 128 + b"DICM" + element(2, 0, b"UL", len(meta).to_bytes(4, "little")) + meta
    body = short(2, 1) + element(0x28, 4, b"CS", b"MONOCHROME2") + short(0x10, 5) + short(0x11, 5)
    body += short(0x100, 8) + short(0x101, 8) + short(0x102, 7) + short(0x103, 0)
    return head + element(8, 0x60, b"CS", b"MR") + body + element(0x7FE0, 0x10, b"OB", bytes(range(25)))


def _restore_seed(experiment: Any, seed: int, files: Any, *, resume: bool, baseline: Path | None, **_: Any) -> None:
    """What a seed does before its first step; and that step, where it goes on with a state that was read."""
    state, data = build_state(experiment, seed, baseline=baseline)
    if resume:
        train_run._restore(state, experiment, seed, files)
    History(files.history, keep=state.epoch)
    if resume:
        with contextlib.suppress(NonFiniteLossError):
            train_epoch(TrainingSteps(state, data, machine=experiment.machine), steps=1, delta=0.0)


def _save_images(folder: Path, labels: Any) -> None:
    """Three images of the size that digits have in their file, with labels and sites."""
    folder.mkdir()
    generator = np.random.Generator(np.random.PCG64(1))
    lines = ["path,label,site"]
    for number in range(3):
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
        label = ("positive", "negative", labels[0])[number]
        lines.append(f"{number}.png,{label},{'ab'[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "classes.csv").write_text("path,label,site\n0.png,3,a\n1.png,1,b\n2.png,2,a\n")


def _in_turn(train: Callable[[int], str | None], seeds: Sequence[int], **_: Any) -> dict[int, str]:
    """Here, where it is watched, and not in processes of their own."""
    return {seed: failure for seed in seeds if (failure := train(seed))}


def _nothing(*_: Any) -> None:
    """model.pt is not written: it follows from results.json."""


def _blank(*_: Any, **__: Any) -> Figure:
    """Pictures of K classes take most of the time of an evaluation."""
    return Figure(figsize=(1, 1))


def _read_results(paths: Any, **_: Any) -> None:
    """What is read for results.json."""
    for seed in paths.seeds_with("done"):
        read_done(paths.seed(seed))
        for part in ("validation", "test"):
            read_scores(paths.seed(seed).scores(part))


def _read_config(data: bytes) -> bool:
    suffix = ".json" if data[:1] == b"{" else ".yaml"
    path = Path("configs/baseline/case").with_suffix(suffix)
    path.write_bytes(data)
    try:
        resolve(["--name_file_bs", "case"], configs=Path("configs"))
    finally:
        path.unlink()
    return True


# --- pieces ---

_MEDMNIST = ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels")


def _arrays(keys: Sequence[str]) -> dict[str, Any]:
    numbers = np.random.Generator(np.random.PCG64(0))
    pairs = zip(keys[::2], keys[1::2], strict=True)
    result: dict[str, Any] = {}
    for images, labels in pairs:
        result[images] = numbers.integers(0, 256, (6, 9, 9), dtype=np.uint8)
        result[labels] = np.arange(6) % 2
    return result


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _zipped(random: Random, arrays: dict[str, Any]) -> bytes:
    parts = {f"{name}.npy": array if isinstance(array, bytes) else _npy(array) for name, array in arrays.items()}
    return _archived(parts, compressed=random.random() < 0.3)


def _archived(parts: dict[str, bytes], *, compressed: bool) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _changed(random: Random, array: Any) -> Any:
    """The array with another type, shape or values."""
    kind = random.choice(("i1", "u2", "i8", "u8", "f2", "f4", "f8", "c8", "?", "S3", "U3", "O", "M8[s]", ">i4", "V3"))
    changes: list[Callable[[], Any]] = [
        lambda: np.zeros(array.shape, dtype=kind),
        lambda: array.astype("f8") + random.choice((0, 0.5, -1, np.nan, np.inf, 1e300)),
        lambda: array.astype("i8") + random.choice((0, -1, 2**40, 2**62)),
        lambda: array.reshape(random.choice(((-1,), (1, *array.shape), (*array.shape, 1), (*array.shape, 1, 1)))),
        lambda: array[: random.randrange(6)],
        lambda: np.asfortranarray(array),
        lambda: np.array(random.choice(ODD), dtype=object),
        lambda: np.broadcast_to(array[..., None], (*array.shape, random.choice((1, 2, 3, 4)))),
        lambda: array.T,
    ]
    return random.choice(changes)()


def _dumped(random: Random, value: Any) -> bytes:
    return as_json(value) if isinstance(value, dict) and random.random() < 0.4 else as_yaml(value)
