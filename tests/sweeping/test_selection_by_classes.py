"""By which number of runs with K classes a grid or a search chooses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_folders import class_scores
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from utils.errors import UserError
from utils.metrics.class_summary import ClassEvaluation, class_summary
from utils.metrics.summary import EvaluationOptions
from utils.sweeping.selection import Rule
from utils.sweeping.table_file import Row

OPTIONS = EvaluationOptions((0.9, 0.8), 0.5, 0.0, (0.1,), 10.0, (10, 10))


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """A job whose run has the numbers of made-up validation scores."""
    evaluation = ClassEvaluation(("cat", "dog", "eel", "fox"), (200, 60, 30, 10), {"eel": OPTIONS, "fox": OPTIONS})
    block = class_summary(class_scores("validation", 1), options=evaluation)
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"seeds": {"1": {"validation": block}}}))
    return SimpleNamespace(paths=SimpleNamespace(results=path), seed=1)


def by_hand(name: str) -> float:
    found = class_scores("validation", 1)
    decided, views = found.outputs.argmax(axis=1), [(found.label == own, found.scores[:, own - 2]) for own in (2, 3)]
    if name == "validation accuracy":
        return float((decided == found.label).mean())
    if name == "validation balanced accuracy":
        return float(balanced_accuracy_score(found.label, decided))
    if name == "validation critical AUC":
        return float(np.mean([roc_auc_score(*view) for view in views]))
    if name == "validation AUC":
        z = found.outputs
        odds = [z[:, k] - np.log(np.exp(np.delete(z, k, axis=1)).sum(axis=1)) for k in range(4)]
        return float(np.mean([roc_auc_score(found.label == k, odds[k]) for k in range(4)]))
    curves = [roc_curve(*view, drop_intermediate=False) for view in views]
    return float(np.mean([fpr[tpr >= 0.8][0] for fpr, tpr, _ in curves]))


@pytest.mark.parametrize(
    "name",
    [
        *("validation AUC", "validation critical AUC", "validation accuracy", "validation balanced accuracy"),
        "validation FPR at TPR 0.8",
    ],
)
def test_each_number(job: Any, name: str) -> None:
    rule = Rule.parse(name.lower(), "t.yaml")
    assert str(rule) == name
    assert rule.value(job) == pytest.approx(by_hand(name), abs=1e-12)
    assert rule.sign == (-1 if "FPR" in name else 1)


def test_two_sides_have_no_accuracy() -> None:
    rule = Rule.parse("validation balanced accuracy", "t.yaml")
    with pytest.raises(UserError, match="select asks for the validation balanced accuracy, which only runs with task"):
        rule.check(Row("a", {}, (1,)))
    rule.check(Row("a", {"task": "classes"}, (1,)))


@pytest.mark.parametrize("critical", [{}, 3, {"eel": {}}, {"eel": {"auc": None}}])
def test_damaged_numbers(job: Any, critical: Any) -> None:
    content = json.loads(job.paths.results.read_text())
    content["seeds"]["1"]["validation"]["critical"] = critical
    job.paths.results.write_text(json.dumps(content))
    for name in ("validation critical AUC", "validation FPR at TPR 0.8"):
        with pytest.raises(UserError, match="cannot read"):
            Rule.parse(name, "t.yaml").value(job)
