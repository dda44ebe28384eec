"""From a folder of images and a table of patients to the scores of a run: prepare.py, main.py, report.py."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import run

import main
import predict
import prepare
import report
from utils.data.prepared_files import read_prepared

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def scans(folder: Path) -> list[dict[str, str]]:
    """PNG files of 16 bits and of several sizes, two to six of each of 40 patients, a quarter of whom have a tumour."""
    generator = np.random.Generator(np.random.PCG64(1))
    rows = []
    for patient in range(40):
        label = "tumour" if patient % 4 == 0 else "healthy"
        for number in range(int(generator.integers(2, 7))):
            path = folder / f"p{patient}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = generator.random((30 + number, 36)) * 40000 + (label == "tumour") * 20000
            Image.fromarray(values.astype(np.uint16)).save(path)
            rows.append({"path": f"p{patient}/{number}.png", "label": label, "patient": f"p{patient}"})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_no_patient_is_on_two_sides_from_images_to_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "src", tmp_path / "datasets" / "scans"
    patient_of = {row["path"]: row["patient"] for row in scans(source)}
    columns = ["--csv", str(source / "labels.csv"), "--path", "path", "--label", "label", "--group", "patient"]
    sizes = ["--size", "32", "--split", "50/25/25"]
    assert prepare.main([str(source), *columns, *sizes, "--out", str(out)]) == 0
    assert read_prepared(out, every_pixel=True).images.dtype == np.uint16
    command = f"--dataset_name scans --data_root {out.parent} --resnet_type lenet5 --ratio_pos_train natural"
    folder = run(tmp_path / "ck", command)
    trained = {row["group"] for row in read(out / "samples.csv") if row["split"] == "train"}
    scored = {part: read(folder / f"seed1/{part}.csv") for part in ("validation", "test")}
    for rows in scored.values():
        assert rows
        assert all(patient_of[row["path"]] == row["group"] for row in rows)
    sides = [trained, *({row["group"] for row in rows} for rows in scored.values())]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 40
    tested: list[str] = []
    for fold in (1, 2):
        own = f"--dataset_name scans --data_root {out.parent} --resnet_type linear --folds 2 --fold {fold}"
        argv = (
            f"{own} --checkpoint_root {tmp_path / 'ck'} --model_name fold{fold} --seeds 1 --num_epochs 1 --device cpu"
        )
        assert main.main(argv.split()) == 0
        rows = read(tmp_path / "ck/runs" / f"fold{fold}" / "seed1/test.csv")
        tested += [row["path"] for row in rows]
        held = {row["group"] for row in rows}
        assert held.isdisjoint({patient_of[path] for path in patient_of} - held)
        assert held.isdisjoint({row["group"] for row in read(tmp_path / f"ck/runs/fold{fold}/seed1/validation.csv")})
    assert sorted(tested) == sorted(patient_of)  # each image is tested once
    assert report.main([str(folder.parent), "--out", str(tmp_path / "report")]) == 0
    assert "tumour against healthy" in (tmp_path / "report/report.html").read_text()
    capsys.readouterr()
    assert report.main([str(folder), "--card"]) == 0
    assert "classes: tumour against healthy" in capsys.readouterr().out


def test_features_are_known_by_name_from_the_table_to_the_scores(tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    rows = [
        {
            "ill": ("no", "yes")[number % 4 == 0],
            **dict(zip("abc", map(repr, generator.normal(size=3).tolist()), strict=True)),
        }
        for number in range(60)
    ]
    for name, columns in (("t", ["ill", *"abc"]), ("new", [*"cab", "ill"])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
    out = tmp_path / "datasets" / "table"
    assert prepare.main(["--csv", str(tmp_path / "t.csv"), "--features", "--label", "ill", "--out", str(out)]) == 0
    folder = run(tmp_path / "ck", f"--dataset_name table --data_root {out.parent} --ratio_pos_train natural")
    written = tmp_path / "out.csv"
    argv = [str(folder), "--images", str(tmp_path / "new.csv"), "--out", str(written), "--threads", "1"]
    assert predict.main(argv) == 0
    scores = [float(row["score"]) for row in read(written)]
    for row in read(folder / "ensemble/test.csv"):
        number = int(row["path"].rpartition("#")[2])
        assert read(written)[number - 1]["path"] == f"new.csv#{number}"
        assert scores[number - 1] == pytest.approx(float(row["score"]), abs=1e-6)


@pytest.mark.parametrize("more", ["--bits 8", "--frames first"])
def test_a_run_scores_the_files_that_it_was_prepared_from(tmp_path: Path, more: str) -> None:
    """Images of two depths, or of two frames in a file, as prepare.py was told to read them."""
    generator = np.random.Generator(np.random.PCG64(2))
    for number in range(40):
        name = ("healthy", "tumour")[number % 4 == 0]
        deep = number % 2 == 1 and more == "--bits 8"
        values = generator.random((8, 8)) * (60000 if deep else 200) + (name == "tumour") * (5000 if deep else 20)
        images = [Image.fromarray(each.astype(np.uint16 if deep else np.uint8)) for each in (values, values.T)]
        path = tmp_path / "src" / name / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(path, save_all=True, append_images=images[1:] if more == "--frames first" else [])
    out = tmp_path / "datasets" / "scans"
    assert prepare.main([str(tmp_path / "src"), *more.split(), "--out", str(out)]) == 0
    command = f"--dataset_name scans --data_root {out.parent} --ratio_pos_train natural --positive_classes tumour"
    folder = run(tmp_path / "ck", command)
    argv = [str(folder), "--images", str(tmp_path / "src"), "--out", str(tmp_path / "out.csv"), "--threads", "1"]
    assert predict.main(argv) == 0
    scores = {row["path"]: float(row["score"]) for row in read(tmp_path / "out.csv")}
    tested = read(folder / "ensemble/test.csv")
    assert len(scores) == 40
    assert [scores[row["path"]] for row in tested] == pytest.approx([float(row["score"]) for row in tested], abs=1e-6)
