"""The folder of a prepared data set: what is written is read back, and what was changed since is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from utils.data import load_raw
from utils.data.prepared_files import (
    DTYPES,
    ImageRows,
    PreparedForm,
    Samples,
    check_prepared,
    digest_of,
    is_prepared,
    kept_images,
    read_prepared,
    statistics_of,
    write_prepared,
)
from utils.errors import UserError

FORM = PreparedForm(
    name="scans",
    kind="images",
    classes=("healthy", "no", "1"),
    positive="no",
    size=(2, 3),
    channels=1,
    bits=16,
    fit="letterbox",
    colour="grey",
)
PATHS = ["a/ü,1.png", 'b/"2".png', "c/3\n.png", "d/4.png"]


def images_of(form: PreparedForm, count: int = 4) -> np.ndarray[Any, Any]:
    """Image i holds i * 1000, i * 1000 + 1, ..."""
    cells = int(np.prod(form.shape))
    values = np.arange(count)[:, None] * 1000 + np.arange(cells)
    return values.reshape(count, *form.shape).astype(DTYPES[form.bits])


def written(folder: Path, form: PreparedForm = FORM, *, groups: list[str] | None = None) -> Path:
    folder.mkdir()
    images = images_of(form)
    rows = ImageRows(folder / "images.npy", form)
    for image in images:
        rows.append(image.tobytes())
    rows.finish()
    samples = Samples(
        paths=PATHS,
        labels=np.array([0, 1, 2, 0]),
        splits=np.array(["train", "train", "test", "validation"]),
        groups=None if groups is None else np.array(groups, dtype=object),
        digests=np.array([digest_of(image.tobytes()) for image in images], dtype=np.uint64),
    )
    facts = {"skipped": 0, "source": "x", "command": "y", "versions": {}}
    write_prepared(folder, form, samples, statistics=statistics_of(images), facts=facts)
    return folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = written(tmp_path / "scans", groups=["p1", "p1", "p2", "p3"])
    assert is_prepared(folder)
    assert not is_prepared(tmp_path)
    read = read_prepared(folder, every_pixel=True)
    assert read.form == FORM == check_prepared(folder)
    assert (read.form.shape, read.form.full) == ((2, 3, 1), 65535)
    assert isinstance(read.images, np.memmap)
    np.testing.assert_array_equal(read.images, images_of(FORM))
    np.testing.assert_array_equal(np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False), images_of(FORM))
    assert list(read.paths) == PATHS
    assert read.labels.tolist() == [0, 1, 2, 0]
    assert read.splits.tolist() == ["train", "train", "test", "validation"]
    assert read.groups is not None
    assert read.groups.tolist() == ["p1", "p1", "p2", "p3"]
    # image 1 holds 1000 ... 1005: the sums by hand
    assert read.statistics[1].tolist() == [[6015, 6_030_055]]
    assert read.statistics.dtype == np.uint64
    first = hashlib.blake2b(np.arange(6, dtype="<u2").tobytes(), digest_size=8).hexdigest()
    assert f"{int(read.digests[0]):016x}" == first


def test_files_are_as_documented(tmp_path: Path) -> None:
    folder = written(tmp_path / "scans")
    assert (folder / "samples.csv").read_text(encoding="utf-8").splitlines()[0] == "path,class,split,group,digest"
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    assert list(manifest)[-1] == "complete"
    assert manifest["counts"] == {
        "train": {"healthy": 1, "no": 1, "1": 0},
        "validation": {"healthy": 1, "no": 0, "1": 0},
        "test": {"healthy": 0, "no": 0, "1": 1},
    }
    assert (manifest["groups"], manifest["bits"], manifest["size"]) == (0, 16, [2, 3])
    for name, found in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == found
    assert read_prepared(folder).groups is None


@pytest.mark.parametrize(
    "form",
    [
        replace(FORM, bits=8, channels=3, colour="rgb"),
        replace(FORM, kind="features", size=(1, 1), channels=7, bits=32),
    ],
    ids=["8 bits", "features"],
)
def test_other_pixels_are_read_back(tmp_path: Path, form: PreparedForm) -> None:
    read = read_prepared(written(tmp_path / "scans", form), every_pixel=True)
    np.testing.assert_array_equal(read.images, images_of(form))
    assert read.images.dtype == DTYPES[form.bits]
    assert read.statistics.shape == (4, form.channels, 2)


def test_sums_of_squares_are_exact() -> None:
    white = np.full((1, 300, 300, 1), 65535, dtype=np.uint16)
    assert statistics_of(white).tolist() == [[[90000 * 65535, 90000 * 65535**2]]]


def test_a_growing_file_goes_on(tmp_path: Path) -> None:
    images, path = images_of(FORM), tmp_path / "images.npy"
    rows = ImageRows(path, FORM)
    for image in images[:3]:
        rows.append(image.tobytes())
    rows.close()
    with path.open("ab") as stream:
        stream.write(b"half")
    assert kept_images(path, FORM)[0] == 3
    rows = ImageRows(path, FORM, kept=2)
    for image in images[2:]:
        rows.append(image.tobytes())
    rows.finish()
    np.testing.assert_array_equal(np.load(path), images)
    rows = ImageRows(tmp_path / "other.npy", FORM)
    with pytest.raises(ValueError, match="an image must have 12 bytes, got 3"):
        rows.append(b"abc")
    rows.close()


def rewritten(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])

    return change


def one_byte(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: (folder / "manifest.yaml").unlink(), "must hold manifest.yaml"),
        (rewritten("manifest.yaml", "complete: true", "complete: false"), "must end with complete: true"),
        (rewritten("manifest.yaml", "format: 1", "format: 2"), "must have the format 1, .*, got 2"),
        (rewritten("manifest.yaml", "kind: images", "kind: features"), "got features and 16|features cannot have 16"),
        (rewritten("manifest.yaml", "kind: images", 'kind: "a\\nb"'), "got a b and 16"),
        (rewritten("manifest.yaml", "bits: 16", "bits: 12"), "kind and bits must be"),
        (rewritten("manifest.yaml", "channels: 1", "channels: 2"), "channels must be 1 or 3, got 2"),
        (rewritten("manifest.yaml", "channels: 1", "channels: {}"), "lacks or garbles a value"),
        (rewritten("manifest.yaml", "- healthy", "- 'no'"), "two or more different names"),
        (rewritten("manifest.yaml", "positive: 'no'", "positive: x"), "positive must be one of the classes, got 'x'"),
        (rewritten("manifest.yaml", "counts:", "other:"), "lacks or garbles a value"),
        (rewritten("manifest.yaml", "healthy: 1", "healthy: 3"), "must hold the counts of manifest.yaml"),
        (rewritten("samples.csv", "train", "test"), "samples.csv is not the file that manifest.yaml names"),
        (one_byte("statistics.npy"), "statistics.npy is not the file"),
        (cut("images.npy"), r"images.npy must have 176 bytes, got 175"),
        (cut("statistics.npy"), "statistics.npy must have"),
        (lambda folder: (folder / "images.npy").write_bytes(b"x"), "cannot read .*images.npy"),
        (lambda folder: (folder / "images.npy").unlink(), "cannot read .*images.npy"),
        (lambda folder: np.save(folder / "images.npy", np.zeros((4, 2, 3, 1), "u1")), "must have shape .* of uint16"),
    ],
)  # fmt: skip
def test_a_changed_file_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    folder = written(tmp_path / "scans")
    change(folder)
    with pytest.raises(UserError, match=message) as caught:
        read_prepared(folder)
    assert str(caught.value).count("\n") == 0


def test_a_changed_pixel_is_found_on_demand(tmp_path: Path) -> None:
    folder = written(tmp_path / "scans")
    one_byte("images.npy")(folder)
    read_prepared(folder)
    with pytest.raises(UserError, match=r"images.npy is not the file"):
        read_prepared(folder, every_pixel=True)


def test_a_missing_file_is_named_without_reading(tmp_path: Path) -> None:
    folder = written(tmp_path / "scans")
    (folder / "images.npy").unlink()
    with pytest.raises(UserError, match=r"must hold images.npy, which is not there"):
        check_prepared(folder)


@pytest.mark.parametrize("row", ["a,healthy,train,,zz", "a,ill,train,,0", "a,healthy,dev,,0", "a,healthy", 'a,"'])
def test_damaged_rows_are_refused_although_the_checksum_fits(tmp_path: Path, row: str) -> None:
    folder = written(tmp_path / "scans")
    path, manifest = folder / "samples.csv", folder / "manifest.yaml"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(UserError, match=r"samples.csv is damaged"):
        read_prepared(folder)


def test_the_checksum_is_that_of_the_files(tmp_path: Path) -> None:
    first = read_prepared(written(tmp_path / "a")).checksum
    assert first == read_prepared(written(tmp_path / "b")).checksum
    assert first != read_prepared(written(tmp_path / "c", groups=["1", "2", "3", "4"])).checksum


def test_a_mistyped_name_is_told_the_near_ones_and_how_data_are_made(tmp_path: Path) -> None:
    written(tmp_path / "scans")
    (tmp_path / "scalps.npz").touch()
    (tmp_path / "raw" / "ill").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"did you mean scans\? Else put the file there .*, make a data set of images: "
    ) as told:
        load_raw("Scans", data_root=tmp_path)
    assert f"python prepare.py IMAGES --out {tmp_path}/Scans, or change --dataset_name or --data_root" in str(
        told.value
    )
    with pytest.raises(UserError, match=r"did you mean scalps"):
        load_raw("scalp", data_root=tmp_path)
    with pytest.raises(
        UserError, match=r"make a data set of the folder .*/raw: python prepare\.py .*/raw --out .*/raw_prepared, or"
    ):
        load_raw("raw", data_root=tmp_path)
    with pytest.raises(UserError, match=r"neither .* exists"):
        load_raw("scans2", data_root=tmp_path / "nowhere")
