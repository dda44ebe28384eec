"""The coverage study: fast against slow, its truths against many samples, its verdict against made-up tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import coverage
from studies.populations import POPULATIONS, population
from utils.metrics.promised_thresholds import Promise, crc_threshold, np_threshold
from utils.metrics.roc import auc, fpr_at_tpr, threshold_at_tpr


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("asked", [0.7, 0.98])
def test_true_values_are_those_of_a_large_sample(name: str, asked: float) -> None:
    which, generator = population(name, asked), np.random.default_rng(1)
    positives, negatives = (which.draw(200_000, positive=side, generator=generator) for side in (True, False))
    labels, scores = np.repeat([1, 0], 200_000), np.concatenate([positives, negatives])
    assert which.auc() == pytest.approx(auc(labels, scores), abs=0.004)
    assert name == "ties" or which.auc() == pytest.approx(asked)
    assert which.fpr_at(0.93) == pytest.approx(fpr_at_tpr(labels, scores, 0.93), abs=0.008)
    for threshold in (0.5, 1.3):
        assert which.above(threshold, positive=True) == pytest.approx((positives >= threshold).mean(), abs=0.004)


@pytest.mark.parametrize("name", POPULATIONS)
def test_all_simulations_at_once_are_the_rules_one_by_one(name: str) -> None:
    which, count, tpr = population(name, 0.9), 30, 0.95
    scores = np.sort(which.draw((count, 60), positive=True, generator=np.random.default_rng(2)), axis=1)
    reached = coverage._reached(which, scores, tpr)
    labels = np.repeat([1, 0], [60, 1])
    plug_in = [threshold_at_tpr(labels, np.append(row, 0.0), tpr) for row in scores]
    kept, mean = (
        [rule(row) for row in scores]
        for rule in (lambda row: np_threshold(row, Promise(tpr, 0.05)), lambda row: crc_threshold(row, tpr))
    )
    assert reached["plug-in misses"] == np.mean([which.above(t, positive=True) < tpr for t in plug_in])
    assert reached["NP misses"] == np.mean([which.above(t, positive=True) < tpr for t in kept if t is not None])
    assert reached["mean TPR, CRC"] == pytest.approx(
        np.mean([which.above(t, positive=True) for t in mean if t is not None])
    )


def test_too_few_positives_have_no_rate() -> None:
    which = population("normal", 0.9)
    reached = coverage._reached(which, np.zeros((2, 30)), 0.98)
    assert (reached["NP misses"], reached["mean TPR, CRC"]) == (None, None)


def test_the_verdict_names_what_breaks_its_level() -> None:
    """Two standard errors of 2,000 simulations: .0097 of a rate of .05, .0106 of .94."""
    promise: dict[str, Any] = {
        "scores": "ties",
        "positives": 60,
        "TPR": 0.95,
        "NP misses": 0.0597,
        "plug-in misses": 0.6,
    }
    promise |= {"mean TPR, CRC": 0.9485, "its SE": 0.001}
    chosen: dict[str, Any] = {"positives": 60, "TPR": 0.95, "NP misses, d": 0.2, "NP misses, d / 50": 0.06}
    covered: dict[str, Any] = {"scores": "ties", "asked AUC": 0.7, "positives": 20, "AUC": {"covers": 0.93}}
    tested: dict[str, Any] = {"seeds": 3, "image SD / seed SD": 0.5, "rejects": 0.07}
    good = {"thresholds": [promise], "chosen": [chosen | {"NP misses, d / 50": None}], "intervals": [covered]}
    assert coverage.failures(good | {"tests": [tested]}, 2000) == []
    bad = {
        "thresholds": [promise | {"NP misses": 0.0598, "mean TPR, CRC": 0.9479}],
        "chosen": [chosen],
        "intervals": [covered | {"AUC": {"covers": 0.929}}],
        "tests": [
            tested | {"rejects": 0.029, "rejects at .05/40, over it": 1.61},
            tested | {"seeds": 2, "rejects": 0.02},
        ],
    }
    assert coverage.failures(bad, 2000) == [
        "thresholds: ties, 60, TPR 0.95: NP misses 0.060",
        "thresholds: ties, 60: mean TPR of CRC 0.9479 for 0.95",
        "chosen: 60, TPR 0.95: NP misses, d / 50 0.060",
        "intervals: ties, 20, AUC 0.7: AUC covers 0.929",
        "tests: 3, 0.5: rejects 0.029",
        "tests: 3, 0.5: rejects at .05/40, over it: 1.61",
    ]


@pytest.mark.slow
def test_the_command_writes_its_tables(tmp_path: Path) -> None:
    assert coverage.main(["--simulations", "4", "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "coverage.json").read_text())
    assert {name: len(rows) for name, rows in content["tables"].items()} == {
        "intervals": 36,
        "thresholds": 54,
        "chosen": 18,
        "ensembles": 4,
        "tests": 20,
        "tests of scores": 3,
    }
    assert content["cpu_seconds"] > 0
    text = (tmp_path / "coverage.md").read_text()
    assert all(f"## {title}" in text for title in coverage._TITLES.values())
