"""Everything that can be wrong with a source ends in one line, exit code 2, and nothing written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up import class_folders, grey, table
from PIL import Image

import prepare
from utils.commands import prepare as command

GOOD = [(f"a/{n:03d}.png", "x" if n < 4 else "y", f"p{n}", "train" if n % 2 else "test") for n in range(8)]
HEADER = ("path", "label", "who", "part")
PAIR = HEADER[:2]


def images(root: Path) -> None:
    class_folders(root / "src", {"a": 8, "b": 8})


def labels(*rows: tuple[object, ...], header: tuple[str, ...] = HEADER) -> Callable[[Path], None]:
    """Sixteen images, and a table whose last rows are ``rows``."""

    def make(root: Path) -> None:
        images(root)
        table(root / "src" / "t.csv", header, [*(row[: len(header)] for row in GOOD[: 8 - len(rows)]), *rows])

    return make


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        images(root)
        (root / "src" / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def mixed(root: Path) -> None:
    images(root)
    grey(root / "src" / "a" / "large.png", 1, (9, 9))


def loose(root: Path) -> None:
    images(root)
    grey(root / "src" / "loose.png", 1)


def splits(*names: str, odd: str = "") -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name in names:
            class_folders(root / "src" / name, {"a": 3, "c" if name == odd else "b": 3})

    return make


def beside_splits(root: Path) -> None:
    splits("train", "val", "test")(root)
    class_folders(root / "src" / "holdout", {"a": 3, "b": 3})


def link_out(root: Path) -> None:
    labels(("a/link.png", "x", "p7", "test"))(root)
    grey(root / "outside.png", 1)
    (root / "src" / "a" / "link.png").symlink_to(root / "outside.png")


def folder_link(root: Path) -> None:
    images(root)
    class_folders(root / "elsewhere", {"c": 3})
    (root / "src" / "c").symlink_to(root / "elsewhere" / "c")


def empty_npz(root: Path) -> None:
    (root / "src").mkdir()
    np.savez(root / "src" / "t.npz", images=np.zeros((3, 2, 2)))


def cut_gzip(root: Path) -> None:
    import gzip

    images(root)
    content = gzip.compress(b"path,label\n" + b"".join(f"a/{n:03d}.png,x\n".encode() for n in range(2000)))
    (root / "src" / "t.csv").write_bytes(content[: len(content) // 2])


def five_broken(root: Path) -> None:
    images(root)
    for number in range(5):
        (root / "src" / "a" / f"e{number}.png").touch()


def all_broken(root: Path) -> None:
    for name in "ab":
        (root / "src" / name).mkdir(parents=True)
        (root / "src" / name / "x.png").touch()


def pipe(root: Path) -> None:
    images(root)
    os.mkfifo(root / "src" / "a" / "pipe.png")


def of_classes(**counts: int) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        class_folders(root / "src", counts)

    return make


CSV = "--csv src/t.csv"
NUMBERS = "label,a,b\n" + "".join(f"{n % 2},{n},{n}\n" for n in range(12))

CASES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no source": (images, "", "SOURCE is needed"),
    "missing folder": (images, "nowhere", "must be a folder or an .npz file, got nowhere, which is not there"),
    "a file": (written("x.txt", ""), "src/x.txt", "must be a folder or an .npz file, got src/x.txt; a table goes with"),
    "empty folder": (lambda root: (root / "src").mkdir(), "src", "a folder for each class, .* got no folder"),
    "folders without images": (
        lambda root: (root / "src" / "a").mkdir(parents=True),
        "src",
        "must hold images .*, got none",
    ),
    "one class": (of_classes(a=5), "src", "two classes or more, got a alone"),
    "images beside classes": (loose, "src", r"got images in it itself \(loose.png\)"),
    "too few": (
        of_classes(a=5, b=2),
        "src",
        "class b has 2 samples, fewer than the 3 splits",
    ),
    "sizes": (mixed, "src", "must have one size, got 2 sizes from 2 x 3 to 9 x 9; add --size 224"),
    "sizes and fit": (mixed, "src --fit crop", "add --size 224 or --size HxW, and --fit crop"),
    "fit without size": (images, "src --fit crop", "--fit crop resizes images: add --size 224"),
    "a link to a folder": (folder_link, "src", "src/c is a link to a folder, which is not followed"),
    "only train": (splits("train", "val"), "src", "the splits must hold train and test, got train, validation"),
    "other classes in a split": (splits("train", "test", odd="test"), "src", "must hold the same classes, got b, c"),
    "images beside splits": (
        beside_splits,
        "src",
        r"src holds splits \(test, train, val\), and images in holdout beside them; move holdout elsewhere",
    ),
    "a split twice": (splits("train", "val", "valid", "test"), "src", "a folder for each split once"),
    "split of given splits": (splits("train", "test"), "src --split 60/15/25", "--split cannot act"),
    "seed of given splits": (splits("train", "test"), "src --seed 3", "--seed cannot act"),
    "seed of a table's splits": (labels(), f"{CSV} --split_column part --seed 1", "--seed cannot act"),
    "positive": (images, "src --positive c", "unknown class 'c' .*Known: a, b"),
    "positive that is meant": (images, "src --positive A", "did you mean a"),
    # tables of paths
    "missing table": (images, CSV, "--csv must be a table, got src/t.csv, which is not there"),
    "a folder as a table": (images, "--csv src", "got src, which is not a regular file"),
    "an empty table": (written("t.csv", ""), CSV, "must begin with .* values, got an empty file"),
    "only a header": (labels(header=PAIR), "--csv src/h.csv", "which is not there"),
    "header only": (written("t.csv", "path,label\n"), CSV, "must hold rows below its header, got none"),
    "no such column": (labels(), f"{CSV} --group whom", "must have the column whom .* did you mean --group who"),
    "label column": (labels(), f"{CSV} --label lable", r"the column lable \(--label\).* did you mean --label label"),
    "column twice": (labels(header=("path", "label", "label")), CSV, "has 2 columns label; rename one"),
    "one column for two": (labels(), f"{CSV} --group label", "must be a column of its own"),
    "missing image": (
        labels(("a/nowhere.png", "x", "p7", "test")),
        CSV,
        r"1 of 8 cannot be read \(a/nowhere.png: not there\); mend them, or leave them out with --skip_broken 1",
    ),
    "path out": (labels(("../up.png", "x", "p7", "test")), CSV, r"\.\./up.png leads out of src"),
    "hidden path out": (labels(("a/../../up.png", "x", "p7", "test")), CSV, r"\.\./up.png leads out of src"),
    "absolute path": (labels(("/etc/passwd", "x", "p7", "test")), CSV, "/etc/passwd leads out of src"),
    "link out": (link_out, CSV, "a/link.png is a link that leads out of src"),
    "link out of a class": (link_out, "src", "a/link.png is a link that leads out of src"),
    "no path": (labels(("", "x", "p7", "test")), CSV, "row 8 of src/t.csv names no path"),
    "two labels": (labels(("a/000.png", "y", "p7", "test")), CSV, "gives a/000.png two labels, x and y"),
    "two labels of one path": (labels(("./a//000.png", "y", "p", "test")), CSV, "gives a/000.png two labels"),
    "path twice": (labels(("a/000.png", "x", "p7", "test")), CSV, "names a/000.png twice"),
    "no label": (labels(("b/000.png", "", "p7", "test")), CSV, r"b/000.png has no label \(got ''\)"),
    "label NaN": (labels(("b/000.png", "NaN", "p7", "test")), CSV, r"b/000.png has no label \(got 'NaN'\)"),
    "label NA": (labels(("b/000.png", "NA", "p7", "test")), CSV, r"b/000.png has no label \(got 'NA'\)"),
    "label n/a": (labels(("b/000.png", "n/a", "p7", "test")), CSV, r"b/000.png has no label \(got 'n/a'\)"),
    "group NA": (labels(("b/000.png", "x", "NA", "test")), f"{CSV} --group who", "b/000.png has no who"),
    "group .": (labels(("b/000.png", "x", ".", "test")), f"{CSV} --group who", "b/000.png has no who"),
    "no group": (labels(("b/000.png", "x", "nan", "test")), f"{CSV} --group who", "b/000.png has no who"),
    "group in two splits": (
        labels(("b/000.png", "x", "p0", "train")),
        f"{CSV} --group who --split_column part",
        "who p0 lies in two splits, test and train",
    ),
    "unknown split": (
        labels(("b/000.png", "x", "p7", "holdout")),
        f"{CSV} --split_column part",
        "part of src/t.csv must be one of train, validation, calibration, test .*, got 'holdout'",
    ),
    "few groups": (
        labels(*((f"a/{n:03d}.png", "x" if n < 4 else "y", f"p{n // 4}", "") for n in range(8))),
        f"{CSV} --group who",
        "class x has 1 group of who, fewer than the 3 splits",
    ),
    "one class in a table": (labels(*((f"a/{n:03d}.png", 1) for n in range(8)), header=PAIR), CSV, "got 1 alone"),
    "classes without end": (
        labels(*((f"{k}/{n:03d}.png", 0.1 + n + 100 * (k == "b"), "p", "") for k in "ab" for n in range(8))),
        CSV,
        "fewer than the 3 splits",
    ),
    "uneven rows": (written("t.csv", "path,label\na/000.png,x,y\n"), CSV, "row 1 of src/t.csv must have 2 values"),
    "encoding": (written("t.csv", "path,label\na/000.png,trüb\n".encode("latin-1")), CSV, "byte 0xfc: .*cp1252"),
    "unknown encoding": (labels(), f"{CSV} --encoding utf-99", "must be the name of a text encoding.*got utf-99"),
    "open quote": (written("t.csv", 'path,label\n"a/000.png,x\n'), CSV, "cannot read src/t.csv: unexpected end"),
    "cut gzip": (cut_gzip, CSV, "cannot read src/t.csv: Compressed file ended"),
    "a folder for a table": (labels(), f"nowhere {CSV}", "the folder of the images must be a folder, got nowhere"),
    # tables of numbers
    "columns and pixels": (written("t.csv", NUMBERS), f"{CSV} --pixels 2x2", "2x2x1 takes 4 columns .*, got 2"),
    "no features": (written("t.csv", "label\n1\n"), f"{CSV} --features", "--features takes a feature or more"),
    "no label in numbers": (written("t.csv", NUMBERS), f"{CSV} --features --label outcome", "the column outcome"),
    "no header": (written("t.csv", NUMBERS[10:]), f"{CSV} --features", "has no header: --label 1 would say"),
    "number of a column": (written("t.csv", NUMBERS[10:]), f"{CSV} --features --label 4", "a number from 1 to 3"),
    "no rows": (written("t.csv", "label,a,b\n"), f"{CSV} --features", "must hold rows below its header, got none"),
    "fractions": (written("t.csv", NUMBERS.replace("3,3", "3,0.5")), f"{CSV} --pixels 1x2", "must be whole numbers"),
    "negative pixels": (written("t.csv", NUMBERS.replace("3,3", "3,-3")), f"{CSV} --pixels 1x2", "--range -3 11 would"),
    "beyond the range": (
        written("t.csv", NUMBERS),
        f"{CSV} --pixels 1x2 --range 0 10",
        r"1 of 12 cannot be read \(t.csv#12: 11 lies outside 0 to 10\)",
    ),
    "uneven numbers": (written("t.csv", NUMBERS + "1,2\n"), f"{CSV} --features", "row 13 of src/t.csv must have 3"),
    "text as a number": (written("t.csv", NUMBERS.replace("3,3", "3,x")), f"{CSV} --features", "#4: 'x' in column b: "),
    "text in a column of numbers": (
        written("t.csv", "label,a,b\n" + "".join(f"{n % 2},{n},p {n}\n" for n in range(12))),
        f"{CSV} --features",
        "no row that can be read: row 1 has 'p 0' in column b: each value must be a number; --drop b would leave",
    ),
    "the index of pandas": (
        written("t.csv", "," + NUMBERS.replace("\n", "\n7,")[:-2]),
        f"{CSV} --features",
        "column 1 of src/t.csv has the name '', as the numbers of the rows that pandas writes; add --drop '' to leave",
    ),
    "columns without names": (
        written("t.csv", "," + NUMBERS.replace("\n", ",\n7,")[:-2]),
        f"{CSV} --features",
        "column 1 of src/t.csv has the name '', .*; add --drop 1 5 to leave it out",
    ),
    "the index of pandas, twice": (
        written("t.csv", "Unnamed: 0," + NUMBERS.replace("\n", "\n7,")[:-2]),
        f"{CSV} --pixels 1x3",
        "add --drop 'Unnamed: 0' to leave it out",
    ),
    "a label that is missing": (written("t.csv", NUMBERS + ",1,1\n"), f"{CSV} --features", "t.csv#13 has no label"),
    "a column for two": (written("t.csv", NUMBERS), f"{CSV} --features --drop label", "must name columns of their own"),
    "not an npz": (written("x.npz", "text"), "src/x.npz", "expected an .npz file"),
    "keys of an npz": (empty_npz, "src/t.npz", "expected the keys"),
    # files
    "zero bytes": (written("a/empty.png", ""), "src", "a/empty.png: not an image: 0 bytes"),
    "many broken": (
        five_broken,
        "src",
        "5 of 21 cannot be read .*; and 2 more",
    ),
    "all broken": (
        all_broken,
        "src --skip_broken",
        "all samples are broken",
    ),
    "a pipe": (pipe, "src", "a/pipe.png: not a regular"),
    "out within": (images, "src --out src/scans", "--out must lie outside src"),
    "out is the source": (images, "src --out src", "--out must be another folder than that of the images|lie outside"),
    "name of a data set of the program": (
        images,
        "src --out datasets/digits",
        "must be one of your own, got digits, a data set of the program, .*; choose another --out",
    ),
    "name of out": (images, "src --out .scans", "the name of --out must be a plain name"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, argv, message = CASES[case]
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    out = [] if "--out" in argv else ["--out", "datasets/scans"]
    assert prepare.main([*argv.split(), *out]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert re.search(message, line), line
    assert line.startswith("error: ")
    assert sorted(path for path in tmp_path.rglob("*")) == before


FLAGS = {
    "src": "--out FOLDER is needed",
    "src --out x --size 0": "--size must be N or HxW, each from 1 to 16,384, got 0",
    "src --out x --size 3x4x5": "--size must be N or HxW",
    "src --out x --size big": "--size must be N or HxW",
    "src --out x --fit stretch": "--fit must be one of letterbox, crop, squeeze, got stretch",
    "src --out x --bits 12": "--bits must be one of 8, 16, got 12",
    "src --out x --colour red": "--colour must be one of auto, grey, rgb",
    "src --out x --split 60/40": "three or four percentages whose sum is 100",
    "src --out x --split 60/15/26": "whose sum is 100",
    "src --out x --split 0/50/50": "whose sum is 100",
    "src --out x --seed -1": "--seed must be an integer >= 0, got -1",
    "src --out x --resume 2": "--resume must be 0 or 1, got 2",
    "src --out x --group patient": "--group is about a table: add --csv FILE",
    "src --out x --pixels 2x2": "--pixels is about a table",
    "src --out x --features": "--features is about a table",
    "--csv t.csv --out x --drop a": "--drop needs --pixels HxWxC or --features",
    "--csv t.csv --out x --pixels 2x2x4": "--pixels must be HxW, HxWx1 or HxWx3, such as 16x16x1, got 2x2x4",
    "--csv t.csv --out x --pixels 2x2 --features": "leave one of them out",
    "--csv t.csv --out x --pixels 2x2 --range 1 0": "--range must be two numbers, the lower first, got 1 0",
    "--csv t.csv --out x --features --size 3": "--size is about images, not --features",
    "--csv t.csv --out x --features --path a": "--path is about image files",
    "src --csv t.csv --out x --features": "SOURCE is the folder of images",
    "src --out x --workers many": "--workers must be an integer >= 0, got many",
    "src --out x --unknown 1": "unrecognized arguments: --unknown",
}


@pytest.mark.parametrize("argv", FLAGS)
def test_flags(argv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare.main(argv.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert FLAGS[argv] in line
    assert list(tmp_path.iterdir()) == []


def test_more_classes_than_can_be_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", ("label", "a"), ((f"c{n}", n) for n in range(1001)))
    assert prepare.main(["--csv", str(path), "--features", "--out", str(tmp_path / "s")]) == 2
    assert "at most 1,000 classes, got 1,001; is --label the class?" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "src", {"a": 4, "b": 4})
    Image.new("L", (3, 2)).save(os.fsencode(tmp_path / "src" / "a") + b"/\xff.png")
    assert prepare.main([str(tmp_path / "src"), "--out", str(tmp_path / "s")]) == 2
    assert "is not UTF-8; rename the file" in capsys.readouterr().err


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "src", {"a\x1b[2J": 4, "b": 4})
    (tmp_path / "src" / "b" / "\x1b[2J.png").touch()
    argv = [str(tmp_path / "src"), "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert prepare.main([*argv, "--skip_broken"]) == 2
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "the name of a class must be printable text, got a\\x1b[2J; rename it" in printed.err


def test_what_changes_nothing_is_not_recorded() -> None:
    argv = ["src", "--resume", "1", "--out", "x", "--overwrite", "--workers=3", "--seed", "2", "--resume"]
    assert command._recorded(argv) == ["src", "--out", "x", "--seed", "2"]
