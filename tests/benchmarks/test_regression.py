"""Today's ratios against the committed ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench_run, regression
from benchmarks.measuring import RESULTS, ROOT
from benchmarks.regression import Comparison, Watched
from benchmarks.synthetic import QUICK_SHAPES, write


@pytest.mark.parametrize(
    "sense, today, worse",
    [
        ("at most", 2.19, False),
        ("at most", 2.21, True),
        ("at most", 0.5, False),
        ("at least", 1.81, False),
        ("at least", 1.79, True),
        ("at least", 9.0, False),
    ],
)
def test_worse_is_on_the_wrong_side_by_more_than_the_tolerance(sense: str, today: float, worse: bool) -> None:
    assert Comparison(Watched("step", "a / b", sense, 0.1), today=today, committed=2.0).is_worse is worse


def test_table_has_both_numbers_and_the_limit() -> None:
    better = Comparison(Watched("step", "a / b", "at most", 0.1), today=1.0, committed=2.0)
    worse = Comparison(Watched("step", "longer / b", "at least", 0.25), today=1.0, committed=2.0)
    head, first, second = regression.table([better, worse]).splitlines()
    assert head.split() == ["ratio", "today", "committed", "may", "be"]
    assert first.split("  ")[0] == "a / b"
    assert "at most 2.2 (+10%)" in first
    assert "at least 1.5 (-25%)  WORSE" in second
    assert "WORSE" not in first


def test_every_watched_ratio_is_committed() -> None:
    medians = regression.committed_medians(ROOT / RESULTS)
    assert list(medians) == [each.what for each in regression.WATCHED]
    assert all(median > 0 for median in medians.values())


def test_committed_numbers_are_the_newest_of_each_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "WATCHED", (Watched("step", "a / b", "at most", 0.1),))
    for month, median in (("2026-09", 1.0), ("2026-11", 3.0), ("2026-10", 2.0)):
        content = {"rows": [{"what": "a / b", "median": median}]}
        (tmp_path / f"step_cpu_{month}.json").write_text(json.dumps(content))
    (tmp_path / "step_h200_2026-12.json").write_text(json.dumps({"rows": [{"what": "a / b", "median": 9.0}]}))
    assert regression.committed_medians(tmp_path) == {"a / b": 3.0}
    monkeypatch.setattr(regression, "WATCHED", (Watched("step", "b / a", "at most", 0.1),))
    with pytest.raises(LookupError, match=r"expected one row 'b / a' in .*step_cpu_\*\.json, got 0"):
        regression.committed_medians(tmp_path)


@pytest.mark.parametrize("factor, code", [(1.0, 0), (1.2, 1)])
def test_exit_code(
    factor: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = regression.committed_medians(ROOT / RESULTS)
    today = {what: factor * value for what, value in committed.items()}
    monkeypatch.setattr(regression, "measured", lambda data_root, argv: today)
    assert regression.main([]) == code
    printed = capsys.readouterr().out
    assert ("worse than committed" in printed) is bool(code)
    assert "main.py --help / that import" in printed


@pytest.mark.slow
def test_benches_name_their_rows_as_the_watched_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step of each, on small sets of noise."""
    for name, shape in QUICK_SHAPES.items():
        write(tmp_path / f"{name}.npz", shape)
    short = {"rounds": 1, "steps": 1, "plain_rounds": 1, "plain_steps": 1, "parts": 1}
    plans = {name: [replace(plan, **short) for plan in plans] for name, plans in regression.PLANS.items()}
    monkeypatch.setattr(regression, "PLANS", plans)
    monkeypatch.setattr(regression, "QUICK_RESULTS", tmp_path)
    monkeypatch.setattr(bench_run, "start_up", lambda *arguments: None)
    monkeypatch.setattr(bench_run, "seeds_at_once", lambda *arguments: None)
    medians = regression.measured(str(tmp_path), [])
    assert {each.what for each in regression.WATCHED if each.file == "step"} <= set(medians)
