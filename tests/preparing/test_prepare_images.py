"""prepare.py on image files: folders of classes, split folders, tables of paths and patients."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_up import by_split, class_folders, grey, patients, prepared, table
from PIL import Image

import prepare
from utils.data.image_files import find_images, read_image
from utils.data.image_format import ImageFormat
from utils.preparing.collection import class_names

ROOT = Path(__file__).resolve().parents[2]


def pixels_of(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_folders_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "images", {"well": 40, "ill": 20})
    (source / "ill" / "ward" / "b").mkdir(parents=True)
    (source / "ill" / "000.png").rename(source / "ill" / "ward" / "b" / "000.png")
    found = prepared(source, "--out", tmp_path / "scans", "--positive", "ill")
    assert found.form.classes == ("ill", "well")
    assert (found.form.positive, found.form.size, found.form.channels, found.form.bits) == ("ill", (2, 3), 1, 8)
    assert (found.form.fit, found.form.colour, found.groups) == ("exact", "grey", None)
    # 60/15/25 of 20 and of 40
    assert by_split(found) == {
        "train": {"ill": 12, "well": 24},
        "validation": {"ill": 3, "well": 6},
        "test": {"ill": 5, "well": 10},
    }
    for path, image in zip(found.paths, found.images, strict=True):
        np.testing.assert_array_equal(pixels_of(source / path), image[:, :, 0])
    assert "ill/ward/b/000.png" in found.paths
    printed = capsys.readouterr().out
    assert "60 samples of 2 x 3 grey pixels of 8 bits" in printed
    assert "next: python main.py --dataset_name scans --positive_classes ill --data_root" in printed
    sheets = sorted(path.name for path in (tmp_path / "scans" / "contact_sheets").iterdir())
    assert sheets == ["000_ill.png", "001_well.png"]
    assert pixels_of(tmp_path / "scans" / "contact_sheets" / "000_ill.png").shape == (3 * 4 + 2, 8 * 5 + 2)


def test_torch_is_not_imported(tmp_path: Path) -> None:
    """It takes seconds and hundreds of megabytes that this command does not need."""
    source = class_folders(tmp_path / "images", {"a": 4, "b": 4})
    code = "import sys, prepare; code = prepare.main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"
    command = [sys.executable, "-c", code, str(source), "--out", str(tmp_path / "s")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_memory_does_not_hold_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """27 MB of pixels in batches of 0.8 MB, three of which are in memory, and copies of one image for its sums."""
    source = class_folders(tmp_path / "images", {"a": 50, "b": 50})
    monkeypatch.setattr("utils.preparing.image_writing.BATCH_BYTES", 2**20)
    argv = [str(source), "--out", str(tmp_path / "s"), "--colour", "rgb", "--workers", "1"]
    assert prepare.main([*argv, "--size", "8"]) == 0  # imports are done
    tracemalloc.start()
    try:
        assert prepare.main([*argv, "--size", "300", "--overwrite"]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "s" / "images.npy").stat().st_size > 27e6
    assert peak < 12e6


def test_the_same_command_gives_the_same_bytes_and_another_seed_another_split(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "images", {"a": 30, "b": 30})
    first = prepared(source, "--out", tmp_path / "one" / "scans", "--workers", 1)
    again = prepared(source, "--out", tmp_path / "two" / "scans", "--workers", 3)
    other = prepared(source, "--out", tmp_path / "three" / "scans", "--seed", 2)
    assert first.checksum == again.checksum
    assert first.splits.tolist() != other.splits.tolist()
    assert by_split(first) == by_split(other)


@pytest.mark.parametrize("validation, name", [("val", "val"), ("Valid", "Valid"), (None, "")])
def test_split_folders_are_kept(tmp_path: Path, validation: str | None, name: str) -> None:
    source = tmp_path / "images"
    for number, split in enumerate(["train", *([name] if validation else []), "test"]):
        class_folders(source / split, {"0": 4 + number, "1": 2})
    found = prepared(source, "--out", tmp_path / "scans")
    expected = {"train": {"0": 4, "1": 2}, "test": {"0": 5, "1": 2}}
    if validation:
        expected = {"train": {"0": 4, "1": 2}, "validation": {"0": 5, "1": 2}, "test": {"0": 6, "1": 2}}
    assert by_split(found) == expected


def test_folders_without_images_do_not_make_classes_of_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "images"
    for split in ("train", "val", "test"):
        class_folders(source / split, {"0": 4, "1": 2})
    for path in ("__MACOSX/train/0/._000.png", "notes/read.me", "empty/deep/x.txt"):
        (source / path).parent.mkdir(parents=True)
        (source / path).touch()
    found = prepared(source, "--out", tmp_path / "scans")
    assert by_split(found) == {split: {"0": 4, "1": 2} for split in ("train", "validation", "test")}
    assert "note: notes holds no images and is left out" in capsys.readouterr().out


def test_one_class_may_be_called_as_a_split_is(tmp_path: Path) -> None:
    found = prepared(class_folders(tmp_path / "x", {"car": 5, "train": 5}), "--out", tmp_path / "scans")
    assert found.form.classes == ("car", "train")


def test_numbers_as_classes_keep_their_order(tmp_path: Path) -> None:
    found = prepared(class_folders(tmp_path / "x", {"10": 5, "9": 5, "0": 5}), "--out", tmp_path / "scans")
    assert found.form.classes == ("0", "9", "10")


def test_a_patient_written_with_and_without_a_decimal_point_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for number in range(48):
        grey(tmp_path / f"{number}.png", number)
        patient = f"{number // 2}" if number % 2 else f"{number // 2}.0"
        rows.append((f"{number}.png", "ill" if number // 2 % 3 else "well", patient, "test" if number % 2 else "train"))
    labels = table(tmp_path / "labels.csv", ("path", "label", "who", "part"), rows)
    found = prepared("--csv", labels, "--group", "who", "--out", tmp_path / "out" / "s")
    assert found.groups is not None
    assert found.groups.tolist() == [str(number // 2) for number in range(48)]
    argv = ["--csv", str(labels), "--group", "who", "--split_column", "part", "--out", str(tmp_path / "out" / "t")]
    assert prepare.main(argv) == 2
    assert "who 0 lies in two splits, train and test" in capsys.readouterr().err


def test_one_patient_in_two_spellings_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Mac writes accents apart from their letters; names that differ in capitals alone are told of."""
    rows = []
    for number in range(40):
        grey(tmp_path / f"{number}.png", number)
        name = f"M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller {number // 4}"
        text = unicodedata.normalize("NFD", name).replace(" ", "  ") if number % 2 else name
        rows.append((f"{number}.png", "ill" if number % 8 < 4 else "well", text if number < 36 else f"p0{number % 2}"))
    rows[-1] = (*rows[-1][:2], "P1")
    path = table(tmp_path / "t.csv", ("path", "label", "patient"), rows)
    found = prepared("--csv", path, "--group", "patient", "--out", tmp_path / "out")
    assert found.groups is not None
    assert len(set(found.groups)) == 9 + 3
    assert "note: p01 and P1 count as two groups; if they are one" in capsys.readouterr().out


def test_classes_are_named_as_their_folders_are(tmp_path: Path) -> None:
    folders = class_folders(tmp_path / "icd", {"10": 6, "010": 6, "1.0": 6, "1": 6})
    assert prepared(folders, "--out", tmp_path / "out").form.classes == ("010", "1", "1.0", "10")
    folders = class_folders(tmp_path / "num", {"02": 6, "01": 6, "10": 6})
    found = prepared(folders, "--out", tmp_path / "numbers", "--positive", "01")
    assert (found.form.classes, found.form.positive) == (("01", "02", "10"), "01")


def test_labels_that_python_would_read_as_numbers_stay_texts() -> None:
    names, labels = class_names(["1_0", "2", "1_0"])
    assert (names, labels.tolist()) == (("1_0", "2"), [0, 1, 0])


def test_patients_stay_on_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = patients(tmp_path / "source")
    found = prepared("--csv", labels, "--group", "patient_id", "--out", tmp_path / "scans", "--split", "40/20/20/20")
    assert found.groups is not None
    sides: dict[str, set[str]] = {}
    for group, split in zip(found.groups, found.splits, strict=True):
        sides.setdefault(group, set()).add(split)
    assert len(sides) == 20
    assert all(len(splits) == 1 for splits in sides.values())
    # 5 ill patients and 15 well ones, 3 images each; shares .4 .2 .2 .2
    assert by_split(found) == {
        "train": {"ill": 6, "well": 18},
        "validation": {"ill": 3, "well": 9},
        "calibration": {"ill": 3, "well": 9},
        "test": {"ill": 3, "well": 9},
    }
    assert "patient_id      8           4            4     4" in capsys.readouterr().out
    assert found.paths[0] == "img/0_0.png"


def test_a_table_names_its_columns_and_its_folder(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "images", {"a": 6, "b": 6})
    rows = [
        (f"./{k}/{n:03d}.png", k.upper(), "Train" if n < 3 else "dev" if n < 4 else "test")
        for k in "ab"
        for n in range(6)
    ]
    labels = table(tmp_path / "elsewhere" / "t.csv", ("file", "what", "part"), rows, delimiter=";")
    found = prepared(
        source, "--csv", labels, "--path", "file", "--label", "what", "--split_column", "part", "--out", tmp_path / "s"
    )
    assert found.form.classes == ("A", "B")
    assert found.paths[:2] == ["a/000.png", "a/001.png"]
    assert by_split(found) == {
        "train": {"A": 3, "B": 3},
        "validation": {"A": 1, "B": 1},
        "test": {"A": 2, "B": 2},
    }


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "images", {"a": 6, "b": 6})
    text = "path,label\n" + "".join(
        f"{k}/{n:03d}.png,{'gesund' if k == 'a' else 'getrübt'}\n" for k in "ab" for n in range(6)
    )
    (source / "t.csv").write_text(text, encoding=encoding)
    argv = ["--csv", str(source / "t.csv"), "--out", str(tmp_path / "s")]
    if encoding != "utf-8-sig":
        assert prepare.main(argv) == 2
        assert "is not utf-8 text (byte 0xf" in capsys.readouterr().err
        argv += ["--encoding", encoding]
    assert prepared(*argv).form.classes == ("gesund", "getrübt")


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    for number in range(12):
        grey(tmp_path / "x" / "ab"[number % 2] / f"{number}.png", 5000 * number, deep=True)
    found = prepared(tmp_path / "x", "--out", tmp_path / "s")
    assert found.form.bits == 16
    assert found.images.dtype == np.uint16
    assert sorted(found.images[:, 0, 0, 0].tolist()) == [5000 * number for number in range(12)]
    # statistics: 2 x 3 pixels of one value
    for image, sums in zip(found.images, found.statistics, strict=True):
        value = int(image[0, 0, 0])
        assert sums.tolist() == [[6 * value, 6 * value**2]]
    sheet = pixels_of(tmp_path / "s" / "contact_sheets" / "001_b.png")
    assert (sheet.min(), sheet.max()) == (0, 255)


def test_a_mix_of_depths_needs_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "x", {"a": 4, "b": 4})
    grey(tmp_path / "x" / "a" / "deep.png", 40000, deep=True)
    argv = [str(tmp_path / "x"), "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert "must have one depth, got 8 of 8 bits and 1 of 16; add --bits 8" in capsys.readouterr().err
    found = prepared(*argv, "--bits", 16)
    values = {path: int(image[0, 0, 0]) for path, image in zip(found.paths, found.images, strict=True)}
    assert (values["a/deep.png"], values["a/001.png"]) == (40000, 257)
    found = prepared(*argv, "--bits", 8, "--overwrite")
    values = {path: int(image[0, 0, 0]) for path, image in zip(found.paths, found.images, strict=True)}
    assert (values["a/deep.png"], values["a/001.png"]) == (156, 1)  # 40000 / 257 = 155.6


def test_colour_is_found_out_or_asked_for(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "x", {"a": 4, "b": 4})
    assert prepared(source, "--out", tmp_path / "one", "--colour", "rgb").form.channels == 3
    Image.new("RGB", (3, 2), (255, 0, 0)).save(source / "a" / "red.png")
    found = prepared(source, "--out", tmp_path / "two")
    assert (found.form.channels, found.form.colour) == (3, "rgb")
    assert found.images[list(found.paths).index("a/red.png"), 0, 0].tolist() == [255, 0, 0]
    assert found.images[list(found.paths).index("a/001.png"), 0, 0].tolist() == [1, 1, 1]
    found = prepared(source, "--out", tmp_path / "three", "--colour", "grey")
    assert found.images[list(found.paths).index("a/red.png"), 0, 0].tolist() == [76]


def test_other_sizes_are_resized_as_predict_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "x", {"a": 4, "b": 4})
    picture = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (9, 5), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(source / "b" / "turned.png", exif=exif)
    argv = [str(source), "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert "must have one size, got 2 sizes from 2 x 3 to 5 x 9; add --size 224" in capsys.readouterr().err
    for fit in ("letterbox", "crop", "squeeze"):
        found = prepared(*argv, "--size", "6x4", "--fit", fit, "--overwrite")
        assert (found.form.size, found.form.fit) == ((6, 4), fit)
        form = ImageFormat(channels=1, height=6, width=4, mean=(0.0,), std=(1.0,))
        for path, image in zip(found.paths, found.images, strict=True):
            np.testing.assert_array_equal(image, read_image(source / path, form, fit=fit))
    assert prepared(*argv, "--size", "6x4", "--overwrite").form.fit == "letterbox"
    assert prepared(*argv, "--size", "5", "--overwrite").form.size == (5, 5)


def test_broken_files_are_named_and_left_out_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "x", {"a": 8, "b": 8}, size=(40, 40))
    (source / "a" / "empty.png").touch()
    (source / "b" / "text.png").write_text("no image")
    argv = [str(source), "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    message = "2 of 18 cannot be read (a/empty.png: not an image: 0 bytes; b/text.png: not an image); mend them"
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x"]  # nothing was begun
    found = prepared(*argv, "--skip_broken")
    assert len(found.paths) == 16
    assert (tmp_path / "s" / "broken.csv").read_text().splitlines() == [
        "path,reason",
        "a/empty.png,not an image: 0 bytes",
        "b/text.png,not an image",
    ]
    assert yaml.safe_load((tmp_path / "s" / "manifest.yaml").read_text())["skipped"] == 2
    assert "2 broken, left out; see" in capsys.readouterr().out


def test_what_is_found_broken_when_it_is_read_goes_on_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "x", {"a": 8, "b": 8}, size=(300, 300))
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (300, 300), dtype=np.uint8)
    Image.fromarray(noise).save(source / "a" / "005.png")
    content = (source / "a" / "005.png").read_bytes()
    (source / "a" / "005.png").write_bytes(content[: len(content) // 2])
    argv = [str(source), "--out", str(tmp_path / "s")]
    assert prepare.main(argv) == 2
    assert "1 of 16 cannot be read (a/005.png: " in (error := capsys.readouterr().err)
    assert "leave them out with --skip_broken 1 --resume 1" in error
    found = prepared(*argv, "--skip_broken", "1", "--resume", "1")
    assert len(found.paths) == 15
    assert "a/005.png" not in found.paths
    # and all of it at once gives the same
    assert prepared(*argv, "--skip_broken", "--overwrite").checksum == found.checksum


def test_equal_images_in_two_splits_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, values in (("train", (1, 2, 3)), ("test", (3, 4, 1))):
        for value in values:
            for name in ("a", "b"):
                grey(tmp_path / "x" / split / name / f"{value}.png", value + (100 if name == "b" else 0))
    prepared(tmp_path / "x", "--out", tmp_path / "s")
    assert "note: 4 of test are equal, pixel by pixel, to one of train" in capsys.readouterr().out


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "x", {"a": 4, "b": 4})
    (source / "a" / "link.png").symlink_to(source / "a" / "001.png")
    assert "a/link.png" in prepared(source, "--out", tmp_path / "s").paths


def test_equal_images_of_two_classes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "x", {"a": 8, "b": 8, "c": 8})
    prepared(source, "--out", tmp_path / "s")
    assert "another class" not in capsys.readouterr().out
    for path in ("a/same.png", "a/again.png", "c/same.png"):
        grey(source / path, 250)
    grey(source / "b" / "same.png", 251)
    grey(source / "b" / "again.png", 251)
    prepared(source, "--out", tmp_path / "t")
    expected = "3 are equal, pixel by pixel, to one of another class: a/again.png is a and c/same.png is c"
    assert f"note: {expected}\n" in capsys.readouterr().out


def test_absolute_paths_inside_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "x", {"a": 8, "b": 8})
    rows = [(source / name / f"{k:03d}.png" if k else f"{name}/000.png", name) for name in "ab" for k in range(8)]
    found = prepared(source, "--csv", table(tmp_path / "t.csv", ("path", "label"), rows), "--out", tmp_path / "s")
    assert list(found.paths) == [f"{name}/{k:03d}.png" for name in "ab" for k in range(8)]
    twice = table(tmp_path / "u.csv", ("path", "label"), [*rows, (source / "a" / "000.png", "a")])
    assert prepare.main([str(source), "--csv", str(twice), "--out", str(tmp_path / "u")]) == 2
    assert "names a/000.png twice" in capsys.readouterr().err


@pytest.mark.parametrize("on_disk, written", [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_of_another_machine(tmp_path: Path, on_disk: Any, written: Any) -> None:
    names = [f"Gr\N{LATIN SMALL LETTER O WITH DIAERESIS}sse/{k}.png" for k in range(8)]
    for number, name in enumerate(names):
        grey(tmp_path / unicodedata.normalize(on_disk, name), number)
    rows = [(unicodedata.normalize(written, name), "ab"[k % 2]) for k, name in enumerate(names)]
    found = prepared("--csv", table(tmp_path / "t.csv", ("path", "label"), rows), "--out", tmp_path / "out" / "s")
    assert found.images[:, 0, 0, 0].tolist() == list(range(8))
    form = ImageFormat(channels=1, height=2, width=3, mean=(0.0,), std=(1.0,))
    listed = find_images(tmp_path / "t.csv", form, fit=None)
    assert list(listed.names) == [name for name, _ in rows]  # as they were written
    assert [int(listed.read(k)[0, 0, 0]) for k in range(8)] == list(range(8))
