"""The study of patients with several images: it runs, and its verdict is held against made-up tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from studies import patients


def test_it_writes_both_files(tmp_path: Path) -> None:
    assert patients.main(["--simulations", "2", "--processes", "1", "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "patients.json").read_text())
    assert len(content["rows"]) == len(patients.PATIENTS) * len(patients.LIKENESS) * len(patients.SIZES)
    assert "by groups \\| as if every image were a patient" in (tmp_path / "patients.md").read_text()


@pytest.mark.parametrize("likeness", patients.LIKENESS)
def test_images_of_a_patient_are_as_alike_as_said(likeness: float) -> None:
    scores, groups = patients._images(20_000, likeness, (2,), np.random.default_rng(0))
    pairs = scores[np.argsort(groups, kind="stable")].reshape(-1, 2)
    assert scores.var() == pytest.approx(1, abs=0.03)
    assert float((pairs[:, 0] * pairs[:, 1]).mean()) == pytest.approx(likeness, abs=0.05)


def test_a_broken_level_is_named() -> None:
    good = {key: {"groups": [0.95, 0.1], "images": [0.5, 0.1]} for key in patients.NUMBERS}
    row = {"patients": 30, "likeness": 1.0, "images of a patient": "4"} | good
    row |= {"NP misses": {"groups": 0.05, "images": 0.9}}
    assert patients.failures([row], 1000) == []
    broken = row | {"AUC": {"groups": [0.9, 0.1], "images": [0.9, 0.1]}, "NP misses": {"groups": 0.1, "images": 0.1}}
    assert patients.failures([broken], 1000) == [
        "30 patients, likeness 1, 4 images: AUC covers 0.900",
        "30 patients, likeness 1, 4 images: NP misses 0.100",
    ]
