"""The gallery: the right images, worst first, and none where the data are missing or are others."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_by_hand as by_hand
from PIL import Image
from report_by_hand import STORED
from report_folders import class_scores, make_class_run, make_run
from sklearn.datasets import load_digits

import report
from utils.data import load_raw
from utils.data.rows import data_checksum, rows_in_use
from utils.reporting.gallery import MOST_PIXELS, as_uri
from utils.run_files.class_scores_csv import write_class_scores
from utils.run_files.scores_csv import read_scores

IMAGE = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="(\w+) (\d+), class (\d+), ([^"]+)">')


def shown(page: str) -> list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], int, int, float]]:
    """Pixels, index, class and score of each image."""
    return [
        (np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), int(index), int(digit), float(score))
        for data, split, index, digit, score in IMAGE.findall(page.replace("\N{MINUS SIGN}", "-"))
    ]


def test_what_a_threshold_gets_wrong_worst_first(tmp_path: Path) -> None:
    """The stored runs are of the digits 3 and 8: three seeds, no promise from 13 positives, so the plug-in for .98."""
    target = tmp_path / "card.html"
    assert report.main([str(STORED / "bce"), "--card", "--html", str(target), "--tpr", "0.9", "0.98"]) == 0
    page = target.read_text(encoding="utf-8")
    threshold = by_hand.threshold(*by_hand.ensemble("bce", (1, 2, 3), "validation"), 0.98)
    labels, scores = by_hand.ensemble("bce", (1, 2, 3), "test")
    index = read_scores(STORED / "bce" / "seed1" / "test.csv").index
    missed = sorted(
        (score, i) for score, label, i in zip(scores, labels, index, strict=True) if label and score < threshold
    )
    alarms = [
        (score, i) for score, label, i in zip(scores, labels, index, strict=True) if not label and score >= threshold
    ]
    expected = [i for _, i in missed] + [i for _, i in sorted(alarms, reverse=True)]
    assert missed
    assert alarms
    found = shown(page)
    assert [i for _, i, _, _ in found] == expected
    raw = load_raw("digits", data_root=tmp_path)
    for pixels, i, digit, score in found:
        assert np.array_equal(pixels, raw.test_images[i, :, :, 0])
        assert digit == raw.test_labels[i]
        assert score == pytest.approx({b: a for a, b in [*missed, *alarms]}[i], abs=0.006)
    text = (
        f"At the threshold by plug-in, TPR 98 %, {len(missed)} of 44 test positives are missed and {len(alarms)} of 46"
    )
    assert text in page


def test_a_critical_class_among_others(tmp_path: Path) -> None:
    """The positives are the eights; threes and fives are the negatives."""
    raw, digits, few = load_raw("digits", data_root=tmp_path), (3, 5, 8), 20
    images, _, original_class, original_split = rows_in_use(raw, digits)
    sizes = dict.fromkeys(("train", "validation", "test"), (few, few, few))
    made: dict[str, Any] = {"sizes": sizes, "names": ("3", "5", "8"), "critical": (2,), "gain": 0.5}
    checksum = data_checksum(images, original_class, original_split)
    run = make_class_run(tmp_path, "run", seeds=(1,), checksum=checksum, classes=digits, last=False, **made)
    index = np.concatenate([np.flatnonzero(raw.test_labels == digit)[:few] for digit in digits])
    found = replace(class_scores("test", 1, **made), index=index, original_class=np.repeat(digits, few))
    write_class_scores(run / "seed1" / "test.csv", found)
    target = tmp_path / "card.html"
    assert report.main([str(run), "--card", "--html", str(target), "--tpr", "0.5"]) == 0
    pictures = shown(target.read_text(encoding="utf-8"))
    assert {digit == 8 for _, _, digit, _ in pictures} == {True, False}
    by_index = dict(zip(index.tolist(), found.scores[:, 0].tolist(), strict=True))
    for pixels, i, digit, score in pictures:
        assert np.array_equal(pixels, raw.test_images[i, :, :, 0])
        assert digit == raw.test_labels[i]
        assert score == pytest.approx(by_index[i], abs=0.006)


def test_at_most_as_many_as_asked(tmp_path: Path) -> None:
    for asked, most in (("0", 0), ("1", 2)):
        target = tmp_path / "card.html"
        assert report.main([str(STORED / "bce"), "--card", "--html", str(target), "--gallery", asked]) == 0
        page = target.read_text(encoding="utf-8")
        assert len(shown(page)) == most
        assert ("Missed positives and worst false alarms" in page) == bool(most)


def test_the_report_shows_the_images_of_each_row(text: str) -> None:
    assert text.count("<h3>Missed positives and worst false alarms</h3>") == 6
    assert len(shown(text)) >= 6


def test_other_data_are_never_shown(tmp_path: Path) -> None:
    """The digits are there, but the run was scored on a data set with another checksum."""
    run = make_run(tmp_path / "runs", "run", negative_classes=(1, 3), positive_classes=(0, 2))
    assert report.main([str(run), "--card", "--html", str(tmp_path / "card.html")]) == 0
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "are not those that were scored." in page
    assert "<img" not in page


def own_data(folder: Path, *, shift: int = 0) -> None:
    digits = load_digits()
    images = np.clip(digits.images * 15 + shift, 0, 255).astype(np.uint8)
    half, labels = len(images) // 2, digits.target % 2
    np.savez(
        folder / "scans.npz",
        x_train=images[:half],
        y_train=labels[:half],
        x_test=images[half:],
        y_test=labels[half:],
    )


@pytest.mark.parametrize("state", ["missing", "changed", "damaged"])
def test_data_that_are_gone_or_changed_are_told(tmp_path: Path, state: str) -> None:
    if state == "changed":
        own_data(tmp_path)
    elif state == "damaged":
        (tmp_path / "scans.npz").write_bytes(b"PK\x03\x04 nothing")
    run = make_run(
        tmp_path / "runs",
        "run",
        dataset_name="scans",
        data_root=str(tmp_path),
        negative_classes=(0,),
        positive_classes=(1,),
    )
    assert report.main([str(run), "--card", "--html", str(tmp_path / "card.html")]) == 0
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "The images cannot be shown: " in page
    assert "<img" not in page


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_large_image_is_reduced(channels: int) -> None:
    image = np.zeros((40, 400, channels), dtype=np.uint8)
    image[:, 200:] = 255
    picture = Image.open(io.BytesIO(base64.b64decode(as_uri(image).partition(",")[2])))
    assert picture.size == (MOST_PIXELS, 10)
    assert picture.mode == ("RGB" if channels == 3 else "L")
    pixels = np.asarray(picture)
    assert pixels[:, :40].max() < 5
    assert pixels[:, 60:].min() > 250


@pytest.mark.parametrize("given", ["-1", "many", "1.5", "201"])
def test_a_bad_number_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(STORED), f"--gallery={given}"]) == 2
    assert f"--gallery must be a number of images, 0 to 200, got {given}" in capsys.readouterr().err


def test_a_gallery_needs_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(STORED / "bce"), "--card", "--gallery", "3"]) == 2
    assert "give --html FILE too" in capsys.readouterr().err
