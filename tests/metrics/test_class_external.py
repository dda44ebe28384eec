"""Frozen thresholds of several critical classes on other data."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from utils.metrics import class_external, scores
from utils.metrics.class_external import class_labels, common_thresholds
from utils.metrics.decisions import Decisions, Threshold


def test_doctests() -> None:
    for module in (class_external, scores):
        found = doctest.testmod(module)
        assert (found.failed, found.attempted > 0) == (0, True)


def test_a_label_is_a_name_and_never_a_place() -> None:
    """Classes 0 and 1 are called "1" and "0"; of cat and dog nobody knows which is 0."""
    assert class_labels(["1", "0"], names=["1", "0"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^rat, 0$"):
        class_labels(["cat", "rat", "0", "rat"], names=["cat", "dog"])
    assert class_labels([], names=["cat", "dog"]).dtype == np.int64


def test_rules_that_all_classes_have() -> None:
    """NP 0.98 is too much for one of them, NP 0.9 is not asked of the other."""
    few = Threshold("NP", 0.98, None, risk=0.05, on="calibration", n=9, needed=149)
    many = Threshold("NP", 0.98, 4.0, risk=0.05, on="calibration", n=200, needed=149)
    low = Threshold("NP", 0.9, 1.0, risk=0.05, on="calibration", n=9, needed=8)
    plain = [Threshold("plug-in", 0.9, value, on="validation", n=9) for value in (2.0, 3.0)]
    prior = [Threshold("prior", value, 0.0, on="validation", n=9) for value in (0.1, 0.2)]
    default = Threshold("default", None, 0.0)
    one = Decisions((few, low, prior[0], plain[0], default), (), None)
    other = Decisions((many, prior[1], plain[1], default), (), None)
    found = common_thresholds({"a": one, "b": other})
    assert found == [("plug-in", 0.9, [2.0, 3.0]), ("default", None, [0.0, 0.0])]
    assert common_thresholds({"b": other})[1] == ("NP", 0.98, [4.0])
