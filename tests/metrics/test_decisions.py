"""Choosing among the thresholds of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.decisions import Decisions, Pair, Threshold, chosen_for_each

KEPT = Threshold("NP", 0.95, 1.0, risk=0.05, on="calibration", n=80, needed=59)
TOO_FEW = Threshold("NP", 0.98, None, risk=0.05, on="calibration", n=80, needed=149)
PLAIN = Threshold("plug-in", 0.98, 0.5, on="validation", n=40)
DEFAULT = Threshold("default", None, 0.0)
ALL = Decisions((TOO_FEW, KEPT, PLAIN, DEFAULT), (Pair(0.95, 0.05, 0.05, low=0.5, high=3.0),), 2.0)


def test_the_highest_tpr_that_can_be_promised_is_chosen_unasked() -> None:
    assert ALL.chosen() == KEPT
    assert Decisions((TOO_FEW, PLAIN, DEFAULT), (), None).chosen() == PLAIN
    assert Decisions((DEFAULT,), (), None).chosen() == DEFAULT


def test_a_rule_and_its_target_choose() -> None:
    assert ALL.chosen(rule="plug-in") == PLAIN
    assert ALL.chosen(rule="NP", target=0.95) == KEPT
    assert ALL.chosen(target=0.95) == KEPT
    assert ALL.chosen(rule="default") == DEFAULT
    with pytest.raises(UserError, match=r"a TPR of 0.98 cannot be promised: NP needs 149 positives, got 80 on"):
        ALL.chosen(target=0.98)
    with pytest.raises(UserError, match=r"^no threshold by cost for 3; there are NP 0.95, plug-in 0.98, default$"):
        ALL.chosen(rule="cost", target=3)  # NP 0.98 has no value, and would be refused
    with pytest.raises(UserError, match=r"^no threshold by CRC; there are NP 0.95, plug-in 0.98, default$"):
        ALL.chosen(rule="CRC")
    few = Decisions((TOO_FEW, PLAIN, DEFAULT), (), None)
    more = "; the run's command with --train 0 --promise 0.97 0.05 chooses it, if its positives are enough"
    with pytest.raises(UserError, match=rf"^no threshold by NP for 0.97; there are plug-in 0.98, default{more}$"):
        few.chosen(target=0.97)


def test_what_is_written_is_read_back() -> None:
    assert Decisions.from_dict(ALL.as_dict()) == ALL


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": "1"},
        {"thresholds": [{"rule": "best", "target": None, "value": 0.0}]},
        {"thresholds": [{"rule": "default", "target": None, "value": float("inf")}]},
        {"thresholds": [{"rule": "default", "target": None, "value": True}]},
        {"thresholds": [{"rule": "default", "target": None, "value": 0.0, "other": 1}]},
        {"thresholds": 3},
        {"pairs": [{"tpr": 0.9, "fpr": 0.1, "risk": 0.05, "low": None, "high": 1.0}]},
    ],
)
def test_hostile_content_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Decisions.from_dict({**ALL.as_dict(), **change})


def test_probabilities_are_those_of_the_temperature() -> None:
    found = ALL.probabilities(np.array([0.0, 2 * np.log(3), -1e4]))
    assert found is not None
    np.testing.assert_allclose(found, [0.5, 0.75, 0.0], atol=1e-15)  # sigma(log 3) = 3/4
    assert Decisions((DEFAULT,), (), None).probabilities(np.zeros(2)) is None


def test_every_rule_says_what_it_promises() -> None:
    for rule in ("NP", "CRC", "plug-in", "fpr", "cost", "prior", "default"):
        words = Threshold(rule, 0.9, 0.0, risk=0.1, on="validation", n=7).meaning
        assert ("no promise" in words) == (rule not in ("NP", "CRC"))


# --- of several critical classes ---

HIGH = Threshold("NP", 0.98, 2.0, risk=0.05, on="calibration", n=200, needed=149)
LOW = Threshold("NP", 0.95, 1.5, risk=0.05, on="calibration", n=200, needed=59)
OTHER = Decisions((HIGH, LOW, Threshold("plug-in", 0.98, 0.7, on="validation", n=90), DEFAULT), (), None)


def test_the_highest_promise_that_every_class_keeps_is_chosen_unasked() -> None:
    """NP 0.98 is there for one of them only."""
    assert chosen_for_each({"a": ALL, "b": OTHER}) == {"a": KEPT, "b": LOW}
    assert chosen_for_each({"b": OTHER}) == {"b": HIGH}
    without = Decisions((TOO_FEW, PLAIN, DEFAULT), (), None)
    assert chosen_for_each({"a": without, "b": OTHER}) == {"a": PLAIN, "b": OTHER.thresholds[2]}
    assert chosen_for_each({"a": Decisions((DEFAULT,), (), None), "b": OTHER}) == {"a": DEFAULT, "b": DEFAULT}


def test_of_two_thresholds_for_one_target_the_first_counts() -> None:
    """As ``chosen`` takes it: a promise at a risk that cannot be kept is not replaced by a looser one unasked."""
    both = Decisions((TOO_FEW, HIGH, LOW), (), None)
    assert chosen_for_each({"a": both}) == {"a": LOW}


def test_a_class_that_lacks_the_threshold_is_named() -> None:
    with pytest.raises(UserError, match=r"^class a: a TPR of 0.98 cannot be promised: NP needs 149 positives, got 80"):
        chosen_for_each({"b": OTHER, "a": ALL}, target=0.98)
    with pytest.raises(UserError, match=r"^class b: no threshold by plug-in for 0.9; there are NP 0.98"):
        chosen_for_each({"b": OTHER, "a": ALL}, rule="plug-in", target=0.9)
