"""The committed differences judged again: bounds against simulation, folds against the library's test, the tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from studies import judged
from studies.published_runs import RESULTS
from utils.metrics.seed_tests import corrected_resampled_t


@pytest.mark.parametrize("images", [0.0, 0.3, 1.0])
def test_a_third_of_the_interval_is_no_less_than_the_standard_error(images: float) -> None:
    """Percentile intervals of three resampled seeds plus images of SD ``images`` times that of a seed."""
    generator = np.random.default_rng(1)
    for _ in range(200):
        seeds = generator.normal(size=3)
        drawn = seeds[generator.integers(0, 3, size=(3, 4000))].mean(axis=0) + images * generator.normal(size=4000)
        low, high = np.quantile(drawn, [0.025, 0.975])
        error = np.sqrt(np.var(seeds, ddof=1) / 3 + images**2)
        assert (high - low) / 3 > 0.93 * error


def test_folds_are_judged_as_the_library_does() -> None:
    values = np.array([0.01, 0.03, 0.05])
    found = judged.of_folds({"mean": 0.03, "sd": float(np.std(values, ddof=1)), "n": 3}, ratio=1 / 2)
    assert found["p"] == pytest.approx(corrected_resampled_t(values, test_share=1 / 3))
    half = stats.t.ppf(0.975, 2) * 0.02 * np.sqrt(1 / 3 + 1 / 2)
    assert [found["low"], found["high"]] == pytest.approx([0.03 - half, 0.03 + half])


def test_a_difference_with_a_test_of_its_own_keeps_it() -> None:
    difference = {"mean": 0.1, "interval": [0.0, 0.2], "p": 0.05}
    assert judged.of_seeds(difference) == {"mean": 0.1, "low": 0.0, "high": 0.2, "p": 0.05}


def test_families_are_corrected_each_by_itself() -> None:
    def row(name: str, mean: float, alm: float | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "objective": name,
            "minus_bce": {"mean": mean, "interval": [mean - 0.015, mean + 0.015]},
        }
        return found if alm is None else found | {"alm_minus_without": {"mean": alm, "interval": [alm - 3, alm + 3]}}

    families = judged.comparison_families({"mnist": {"rows": [row("a", 0.1, 0.0), row("b", 0.02, None)]}})
    assert [(family["claim"], len(family["rows"])) for family in families] == [
        ("minus_bce", 2),
        ("alm_minus_without", 1),
    ]
    first, second = families[0]["rows"]
    assert first["p"] == pytest.approx(2 * stats.t.sf(10, 2))
    assert first["p_holm"] == pytest.approx(2 * first["p"])
    assert second["p_holm"] == pytest.approx(second["p"])
    # of 2 claims: 4 * sf(sqrt(S) * 2 / sqrt(3), S - 1) < .05
    expected = next(s for s in range(2, 99) if 4 * stats.t.sf(np.sqrt(s) * 0.02 / (0.01 * np.sqrt(3)), s - 1) < 0.05)
    assert second["seeds_needed"] == expected
    assert families[1]["rows"][0]["seeds_needed"] is None


def test_the_committed_result_is_that_of_the_committed_comparisons() -> None:
    read = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ("comparison", "judged")}
    families = judged.comparison_families(read["comparison"]["datasets"])
    for stored, family in zip(read["judged"]["families"], families, strict=True):
        for row, again in zip(stored["rows"], family["rows"], strict=True):
            assert row["objective"] == again["objective"]
            assert row["p_holm"] == pytest.approx(again["p_holm"])
    even_odd = json.loads((RESULTS / "published_even_odd.json").read_text())
    for stored, cell in zip(read["judged"]["folds"], even_odd["aum_minus_logistic"], strict=True):
        assert [stored["low"], stored["high"]] == pytest.approx(cell["BCE"]["interval"])
