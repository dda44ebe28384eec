"""The study of promises on real images: its order statistics against the rules, its expectation against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from studies import promises_cifar10 as study
from utils.metrics.promised_thresholds import Promise, crc_threshold, np_threshold
from utils.metrics.roc import threshold_at_tpr


@pytest.mark.parametrize("n", [60, 150, 333])
@pytest.mark.parametrize("tpr", study.TPRS)
def test_orders_are_those_of_the_rules(n: int, tpr: float) -> None:
    scores = np.sort(np.random.default_rng(n).normal(size=n))
    found = {rule: study.order(rule, n, tpr) for rule in study.RULES}
    expected = {
        "plug-in": threshold_at_tpr(np.repeat([1, 0], [n, 1]), np.append(scores, 0.0), tpr),
        "NP": np_threshold(scores, Promise(tpr, 0.05)),
        "CRC": crc_threshold(scores, tpr),
    }
    assert {rule: None if k is None else scores[k] for rule, k in found.items()} == expected


def test_expected_misses_are_those_of_a_simulation() -> None:
    """Uniform scores: 40 old ones, the third lowest as the threshold, 100 new ones of which 90 are to reach it."""
    generator = np.random.default_rng(1)
    thresholds = np.sort(generator.random((20_000, 40)), axis=1)[:, 2]
    reached = (generator.random((20_000, 100)) >= thresholds[:, None]).mean(axis=1)
    assert study.expected_misses(40, 2, 100, 0.9) == pytest.approx((reached < 0.9).mean(), abs=0.01)


def test_exchangeable_scores_miss_as_often_as_expected() -> None:
    """Each seed has scores of its own here, so that its draws and counts are independent of the others'."""
    generator = np.random.default_rng(2)
    rows = [
        row
        for seed in range(1, 41)
        for row in study.of_seed(generator.normal(size=2000), generator.normal(size=1000), seed=seed, draws=10)
    ]
    for item in study.summarised(rows):
        for part in ("test", "rest") if item["calibrations"] else ():
            seen = item[part]
            error = np.std(seen["misses_of_seeds"], ddof=1) / np.sqrt(40)
            assert abs(seen["misses"] - seen["expected"]) < 4 * error + 0.005, item


def test_commands_are_shown_without_this_machine_s_folders() -> None:
    command = "python main.py --data_root /here --seeds 1-10 --checkpoint_root '/a b' --threads 1"
    assert study.portable(command) == "python main.py --seeds 1-10 --threads 1"
