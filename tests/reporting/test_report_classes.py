"""Runs of K classes in a report: rows of two sides for the critical classes, and what is shown of all classes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from report_folders import CLASSES, SIZES, Page, class_scores, make_class_run, make_run
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, recall_score, roc_auc_score

import report
from utils.metrics.scores import ClassScores
from utils.reporting.analysis import Report, analyse
from utils.reporting.class_rows import ClassRow, class_rows
from utils.reporting.class_tables import accuracies_table, recalls_table, runs_table
from utils.reporting.comparison import compare, rows_named
from utils.reporting.confusion_charts import Matrix, confusion_charts, matrix_chart
from utils.reporting.evidence import evidence
from utils.reporting.provenance import summary_facts, warnings
from utils.reporting.runs import read_folder
from utils.run_files.class_scores_csv import write_class_scores
from utils.run_files.scores_csv import write_scores

ALM: dict[str, Any] = {"use_ALM": 1, "mu": 0.01, "delta": 0.5, "against": "classes"}
TPRS = (0.95, 0.8)


def report_of(folder: Path) -> Report:
    return analyse(read_folder(folder), tprs=TPRS)


def row_of(folder: Path, name: str = "run") -> ClassRow:
    return next(row for row in class_rows(report_of(folder)) if row.name == name)


def problems(folder: Path) -> list[tuple[str, int | None, str]]:
    return [(problem.run, problem.seed, problem.state) for problem in read_folder(folder).problems]


def ensemble(part: str, seeds: Sequence[int] = (1, 2)) -> tuple[Any, Any, Any]:
    """Labels, outputs and scores of the runs made here, averaged."""
    found = [class_scores(part, seed) for seed in seeds]
    outputs, scores = (np.mean([getattr(each, name) for each in found], axis=0) for name in ("outputs", "scores"))
    return found[0].label, outputs, scores


def decided_by_hand(part: str, seeds: Sequence[int], tpr: float) -> tuple[Any, Any]:
    """Labels and decisions at the thresholds that reach a recall on validation; classes 2 and 3 are critical."""
    labels, _, scores = ensemble("validation", seeds)
    thresholds = []
    for column, own in enumerate((2, 3)):
        positives = np.sort(scores[labels == own, column])[::-1]
        thresholds.append(positives[int(np.ceil(tpr * len(positives) - 1e-9)) - 1])
    labels, outputs, scores = ensemble(part, seeds)
    decided = []
    for output, score in zip(outputs, scores, strict=True):
        excess = [score[0] - thresholds[0], score[1] - thresholds[1]]
        decided.append(2 + int(np.argmax(excess)) if max(excess) >= 0 else int(np.argmax(output[:2])))
    return labels, np.array(decided)


# --- rows of the critical classes --------------------------------------------------------------------------


def test_each_critical_class_is_a_row_of_two_sides(tmp_path: Path) -> None:
    """The same numbers as a run of two sides with the scores of the class as its scores."""
    make_class_run(tmp_path / "k", "run")
    rows = {row.name: row for row in report_of(tmp_path / "k").rows}
    assert list(rows) == ["run [class eel]", "run [class fox]"]
    for column, (name, own) in enumerate((("eel", 2), ("fox", 3))):
        row = rows[f"run [class {name}]"]
        counts = {part: (sum(sizes) - sizes[own], sizes[own]) for part, sizes in SIZES.items()}
        twin = make_run(tmp_path / name, "run", counts=counts)
        for seed in (1, 2):
            for part in ("validation", "test"):
                write_scores(twin / f"seed{seed}" / f"{part}.csv", class_scores(part, seed).view(column))
        (other,) = report_of(tmp_path / name).rows
        assert row.measures == other.measures
        assert row.points == other.points
        assert row.run.record.class_counts == other.run.record.class_counts
        assert row.settings == f"BCE, class {name}"


def test_rows_are_compared_within_their_critical_class(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "alm", gain=2.0, **ALM)
    make_class_run(tmp_path, "la", gain=1.8, training_type="LA")
    found = report_of(tmp_path)
    pairs = [(each.base.name, each.row.name) for each in compare(found)]
    assert pairs == [("run [class eel]", "alm [class eel]"), ("run [class fox]", "alm [class fox]")]
    assert not any(found.differences)
    assert not any("not comparable" in line for line in warnings(found))
    beside = compare(found, rows_named(found.rows, "la"))
    assert {(each.base.run.critical, each.row.run.critical) for each in beside} == {("eel", "eel"), ("fox", "fox")}
    assert [each.row.run_name for each in beside] == ["run", "alm"] * 2
    assert beside[0].words.heading == "Compared with la"
    alone = compare(found, rows_named(found.rows, "la [class fox]"))
    assert [each.row.name for each in alone] == ["run [class fox]", "alm [class fox]"]
    family = [change.p for each in beside for change in each.changes.values()]
    assert len(family) == 2 * 2 * 3
    largest = max(change.p_corrected or 0.0 for each in beside for change in each.changes.values())
    assert largest <= 1


def test_other_sizes_of_the_classes_are_other_data(tmp_path: Path) -> None:
    """Also where the critical class and the rest have as many samples as before."""
    make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "la", training_type="LA")
    make_class_run(tmp_path, "other", training_type="LDAM", sizes={**SIZES, "train": (160, 100, 30, 10)})
    found = report_of(tmp_path)
    others = {row.name: row.difference for row in found.rows if row.difference}
    assert others == dict.fromkeys(("other [class eel]", "other [class fox]"), "other sizes of the classes")
    table = runs_table(class_rows(found))
    assert [line[0].warning for line in table.rows] == ["", "", "not comparable: data C"]
    assert not any(cell.best for cell in table.rows[2])


def test_the_summary_counts_samples_and_runs(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "la", training_type="LA")
    found = report_of(tmp_path)
    facts = dict(summary_facts(found))
    assert facts["training"] == "300 samples of 4 classes, 10\N{EN DASH}200 of each"
    assert facts["test"] == "90 samples of 4 classes, 15\N{EN DASH}30 of each"
    assert (facts["critical"], facts["runs"], facts["rows"]) == ("eel, fox", "2", "4")
    told = warnings(found)
    assert [line for line in told if "scored on the same test set" in line] == [
        "2 runs were scored on the same test set. The best of 2 by these numbers is better here than on new data: "
        "choose among them by validation."
    ]
    assert (
        "The 12 positives of class eel of the validation set cannot resolve TPR 95 %: that asks for all of them."
        in told
    )


def test_the_default_threshold_is_that_of_the_class(tmp_path: Path) -> None:
    run = make_class_run(tmp_path, "run")
    of = {"eel": {"at_default_threshold": {"threshold": 0.25}}, "fox": {"at_default_threshold": {"threshold": "x"}}}
    (run / "results.json").write_text(json.dumps({"seeds": {}, "ensemble": {"test": {"critical": of}}}))
    rows = report_of(tmp_path).rows
    assert {row.run.critical: row.run.default_threshold for row in rows} == {"eel": 0.25, "fox": 0.0}


def test_a_folder_may_hold_both_kinds(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    make_run(tmp_path, "two")
    assert report.main([str(tmp_path)]) == 0
    found = report_of(tmp_path)
    assert sorted(row.name for row in found.rows) == ["run [class eel]", "run [class fox]", "two"]
    assert len({row.group for row in found.rows}) == 3
    assert [row.name for row in class_rows(found)] == ["run"]


# --- all classes -------------------------------------------------------------------------------------------


def test_accuracies_against_scikit_learn(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    row = row_of(tmp_path)

    def numbers(labels: Any, outputs: Any) -> dict[str, float]:
        decided = outputs.argmax(axis=1)
        recalls = recall_score(labels, decided, average=None)
        odds = [outputs[:, k] - np.log(np.exp(np.delete(outputs, k, axis=1)).sum(axis=1)) for k in range(4)]
        return {
            "accuracy": float((decided == labels).mean()),
            "balanced_accuracy": balanced_accuracy_score(labels, decided),
            "auc": float(np.mean([roc_auc_score(labels == k, odds[k]) for k in range(4)])),
            "many": recalls[0],  # 200 training samples
            "medium": (recalls[1] + recalls[2]) / 2,  # 60 and 30
            "few": recalls[3],  # 10
        }

    labels, outputs, _ = ensemble("test")
    seeds = {seed: numbers(labels, class_scores("test", seed).outputs) for seed in (1, 2)}
    last = {seed: numbers(labels, class_scores("test", seed + 100).outputs) for seed in (1, 2)}
    of_all = numbers(labels, outputs)
    assert list(row.measures) == list(of_all)
    for name, found in row.measures.items():
        assert found.ensemble == pytest.approx(of_all[name], abs=1e-12)
        values = [seeds[seed][name] for seed in (1, 2)]
        assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
        assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        assert row.last_measures[name].mean == pytest.approx(np.mean([last[k][name] for k in (1, 2)]), abs=1e-12)


@pytest.mark.parametrize("place", [0, 1])
def test_decisions_at_thresholds_by_hand(tmp_path: Path, place: int) -> None:
    make_class_run(tmp_path, "run")
    row = row_of(tmp_path)
    plain, *outcomes = row.outcomes
    assert [outcome.tpr for outcome in outcomes if outcome.rule == "plug-in"] == list(TPRS)
    outcome = outcomes[place]
    for seeds, decided in (((1, 2), outcome.ensemble), ((1,), outcome.seeds[1]), ((2,), outcome.seeds[2])):
        labels, by_hand = decided_by_hand("test", seeds, TPRS[place])
        assert decided.tolist() == by_hand.tolist()
    labels, by_hand = decided_by_hand("test", (1, 2), TPRS[place])
    assert row.matrix(outcome.ensemble).tolist() == confusion_matrix(labels, by_hand).tolist()
    error = row.error_of_others(outcome)
    assert error is not None
    assert error.ensemble == pytest.approx((by_hand != labels)[labels < 2].mean())
    assert row.recall(outcome, 3).ensemble == pytest.approx((by_hand[labels == 3] == 3).mean())
    assert row.matrix(plain.ensemble).tolist() == confusion_matrix(labels, ensemble("test")[1].argmax(axis=1)).tolist()


def test_promised_thresholds_decide_too(tmp_path: Path) -> None:
    """With 200 validation samples of each critical class a TPR of 0.8 can be promised, and with 12 nothing can."""
    sizes = {**SIZES, "validation": (30, 30, 200, 200)}
    make_class_run(tmp_path / "many", "run", sizes=sizes, promise=("0.8", "0.05"), num_epochs=3, tpr=(0.8,))
    make_class_run(tmp_path / "few", "run", promise=("0.8", "0.05"), num_epochs=3, tpr=(0.8,))
    row = row_of(tmp_path / "many")
    (promised,) = [each for each in row.outcomes if each.rule == "NP" and each.tpr == 0.8]
    thresholds = {}
    for view in row.views:
        (found,) = [each for each in evidence(view).decisions if each.rule == "NP" and each.tpr == 0.8]
        thresholds[view.run.critical] = found.threshold
    excess = row.test.scores - [thresholds["eel"], thresholds["fox"]]
    called = excess.max(axis=1) >= 0
    assert (np.isin(promised.ensemble, (2, 3)) == called).all()
    assert not promised.seeds
    assert not [each for each in row_of(tmp_path / "few").outcomes if each.rule == "NP"]


def test_tables(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "la", gain=2.5, training_type="LA", last=False)
    rows = class_rows(report_of(tmp_path))
    table = runs_table(rows)
    titles = [column.title for column in table.columns]
    assert titles[-6:] == ["AUC", "many", "medium", "few", "class eel", "class fox"]
    assert table.columns[-1].group == "FPR at TPR 95 % (in %)"
    run, la = table.rows
    assert [cell.best for cell in run[2:]] == [False] * 10
    assert [cell.best for cell in la[2:]] == [True] * 10
    assert la[1].text == "2"
    view = rows[1].views[1].measures["fpr_at_tpr_0.95"]
    assert la[-1].value == view.mean
    lines = [[cell.text for cell in line] for line in accuracies_table(rows[0], "x").rows]
    assert [line[0] for line in lines] == [
        *("best, mean of the seeds", "best, ensemble", "last, mean of the seeds", "best, seed 1", "best, seed 2")
    ]
    assert lines[2][-2:] == ["\N{EN DASH}"] * 2
    assert len(accuracies_table(rows[1], "x").rows) == 4  # no scores of the last epoch
    recalls = recalls_table(rows[0], "x")
    assert [(line[0].text, line[0].under, line[1].text, line[2].text) for line in recalls.rows] == [
        *(("cat", "", "200", "30"), ("dog", "", "60", "25"), ("eel", "critical", "30", "20")),
        ("fox", "critical", "10", "15"),
    ]


def test_all_classes_critical(tmp_path: Path) -> None:
    """There is no error of the others."""
    sizes = {part: each[2:] for part, each in SIZES.items()}
    make_class_run(tmp_path, "run", sizes=sizes, names=CLASSES[2:], critical=(0, 1))
    row = row_of(tmp_path)
    assert row.error_of_others(row.outcomes[1]) is None
    assert report.main([str(tmp_path)]) == 0


def test_folds(tmp_path: Path) -> None:
    """A row for each critical class, and the accuracies of all classes over the folds."""
    for fold, gain in ((1, 1.0), (2, 1.5), (3, 2.0)):
        for name in ("linear", "dense"):
            run = f"{name}_{fold}"
            make_class_run(tmp_path, run, gain=gain, folds=3, fold=fold, resnet_type=name, last=False)
    assert report.main([str(tmp_path)]) == 0
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert [row[3][0] for row in page.rows("resampling")] == ["BCE, class eel", "BCE, class fox"] * 2
    rows = page.rows("class_resampling")
    assert [[text for text, _ in row[:3]] for row in rows] == [["dense", "BCE", "3"], ["linear", "BCE", "3"]]
    means = []
    for gain in (1.0, 1.5, 2.0):
        found = [class_scores("test", seed, gain=gain) for seed in (1, 2)]
        means.append(np.mean([(each.outputs.argmax(axis=1) == each.label).mean() for each in found]))
    assert float(rows[0][3][1]) == pytest.approx(np.mean(means), abs=1e-12)
    assert rows[0][3][0].endswith(f"{100 * np.std(means, ddof=1):.2f}")
    assert "## Cross-validation" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_csv_files(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    assert report.main([str(tmp_path), "--tpr", "0.95", "0.8"]) == 0
    row = row_of(tmp_path)
    lines = {name: _read(tmp_path / "report" / f"{name}.csv") for name in ("class_runs", "classes", "confusion")}
    measures = {line["measure"]: line for line in lines["class_runs"]}
    assert float(measures["balanced_accuracy"]["ensemble"]) == row.measures["balanced_accuracy"].ensemble
    assert float(measures["last_accuracy"]["mean"]) == row.last_measures["accuracy"].mean
    assert measures["last_accuracy"]["ensemble"] == ""
    assert "error_of_others: plug-in 0.8" in measures
    assert len(lines["classes"]) == 4 * 3
    assert [line["critical"] for line in lines["classes"]] == ["0", "0", "1", "1"] * 3
    counted = [line for line in lines["confusion"] if line["rule"] == "plug-in 0.95"]
    matrix = np.zeros((4, 4), dtype=int)
    for line in counted:
        matrix[CLASSES.index(line["class"]), CLASSES.index(line["decided_as"])] = int(line["samples"])
    assert matrix.tolist() == row.matrix(row.outcomes[1].ensemble).tolist()


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- the confusion matrix ----------------------------------------------------------------------------------


def charts(classes: int, critical: Sequence[int] = (1,)) -> Matrix:
    matrix = np.eye(classes, dtype=np.int64) * 6 + np.roll(np.eye(classes, dtype=np.int64), 1, axis=1) * 2
    return matrix_chart(matrix, [f"class number {k}" for k in range(classes)], critical, "title", "it gives this.")


def test_few_classes_have_numbers_and_tooltips() -> None:
    chart = charts(20, critical=(12,))
    assert len(chart.marks) == len(chart.numbers) == 40
    assert {each.text for each in chart.numbers} == {"75", "25"}
    first = chart.marks[0]
    assert first.label == "class class number 0 decided as class number 0: 6 of 8"
    assert first.attributes["class"] == "cell right"
    assert [name.text for name in chart.names if name.critical] == ["class n\N{HORIZONTAL ELLIPSIS}ber 12"]
    assert len(chart.names) == 20
    assert "Class class number 1: 75.0 % right, 25.0 % decided as class number 2." in chart.words


def test_many_classes_have_shades_without_numbers() -> None:
    chart = charts(100, critical=(5, 6, 97))
    assert not chart.numbers
    assert [mark.tag for mark in chart.marks] == ["path", "path"]  # 75 % right, 25 % wrong
    assert chart.marks[0].attributes["d"].count("M") == 100  # type: ignore[union-attr]
    places = sorted(name.place for name in chart.names)
    assert min(np.diff(places)) >= 10.9
    assert [name.place for name in chart.names if name.critical] == pytest.approx([5.5 * 3.6, 97.5 * 3.6])  # 6 is near
    assert len(chart.critical) == 3
    assert len(chart.words) == 4  # of the critical classes alone


def test_charts_of_a_run(tmp_path: Path) -> None:
    make_class_run(tmp_path, "run")
    found = confusion_charts(row_of(tmp_path))
    assert [chart.title for chart in found] == ["largest output", "thresholds for recall 95 %"]
    assert found[1].words[0].startswith("Recall of class eel ")
    assert "error of the other classes" in found[1].words[0]


# --- the files ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    make_class_run(folder, "run")
    make_class_run(folder, "alm", gain=2.0, **ALM)
    assert report.main([str(folder), "--latex", str(folder / "table.tex")]) == 0
    return folder / "report"


def test_the_page_is_whole(out: Path) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    for tag in ("section", "table", "tr", "td", "th", "div", "svg", "g", "p", "details", "text", "title"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert [row[0][0].split()[0] for row in page.rows("class_runs")] == ["run", "alm"]
    shown = [given for tag, given in page.tags if tag == "svg" and given.get("class") == "chart confusion"]
    assert len(shown) == 4
    assert all(given["role"] == "img" and len(given["aria-label"] or "") > 100 for given in shown)
    assert '<h2 id="classes">All classes</h2>' in text
    assert text.count("Validation AUC: mean over all classes") == 1  # one chart for a run and the same with ALM
    assert not re.search(r"url\(|@import|https?://", text)


def test_markdown_and_latex(out: Path) -> None:
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "## All classes" in text
    assert "| fox critical | 10 | 15 |" in text
    tex = (out.parent / "table.tex").read_text(encoding="utf-8")
    assert "% Test set: 90 samples of 4 classes." in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2


def test_a_page_of_two_sides_has_nothing_of_it(tmp_path: Path) -> None:
    make_run(tmp_path, "run")
    assert report.main([str(tmp_path)]) == 0
    assert not list((tmp_path / "report").glob("*class*")) + list((tmp_path / "report").glob("confusion*"))
    for name in ("report.html", "report.md"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "All classes" not in text
        assert "critical class" not in text
        assert "onfusion matrix," not in text


def test_the_card_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One for each critical class."""
    run = make_class_run(tmp_path, "run")
    assert report.main([str(run), "--card", "--html", str(tmp_path / "card.html")]) == 0
    shown = capsys.readouterr().out
    assert shown.index("run [class eel]") < shown.index("run [class fox]")
    page = Page((tmp_path / "card.html").read_text(encoding="utf-8"))
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert any(str(name).startswith("card2") for name in ids)


# --- damage ------------------------------------------------------------------------------------------------


def damaged(scores: ClassScores, kind: str) -> ClassScores:
    outputs, label, values = scores.outputs.copy(), scores.label.copy(), scores.scores.copy()
    names, critical = list(scores.names), scores.critical
    if kind == "output":
        outputs[3, 0] = np.inf
    elif kind == "score":
        values[3, 0] = np.nan
    elif kind == "class":
        label[label == 1] = 0
    elif kind == "names":
        names[1] = "elk"
    elif kind == "critical":
        critical = (2, 2)
    return ClassScores(
        scores.index, label, outputs, values, scores.split, scores.original_class, tuple(names), critical
    )


@pytest.mark.parametrize("kind", ["output", "score", "class", "names", "critical"])
def test_a_damaged_score_file_leaves_out_its_seed(tmp_path: Path, kind: str) -> None:
    run = make_class_run(tmp_path, "run", seeds=(1, 2, 3))
    path = run / "seed2" / "test.csv"
    write_class_scores(path, damaged(class_scores("test", 2), kind))
    assert problems(tmp_path) == [("run", 2, "damaged")]
    assert {tuple(row.run.seeds) for row in report_of(tmp_path).rows} == {(1, 3)}
    assert report.main([str(tmp_path)]) == 0
    assert str(path) in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "index,label,score,split,original_class\n0,1,0.5,test,1\n", "\0"])
def test_a_file_that_is_not_of_classes(tmp_path: Path, text: str) -> None:
    run = make_class_run(tmp_path, "run")
    (run / "seed1" / "validation.csv").write_text(text)
    assert problems(tmp_path) == [("run", 1, "damaged")]


def test_sets_with_other_critical_classes_are_damage(tmp_path: Path) -> None:
    run = make_class_run(tmp_path, "run")
    write_class_scores(run / "seed1" / "validation.csv", class_scores("validation", 1, critical=(1, 3)))
    (problem,) = read_folder(tmp_path).problems
    assert (problem.seed, problem.state) == (1, "damaged")
    assert problem.message.endswith("validation.csv: other critical classes than those of the test set")


def test_seeds_with_other_critical_classes_are_left_out(tmp_path: Path) -> None:
    run = make_class_run(tmp_path, "run")
    for part in ("validation", "test"):
        write_class_scores(run / "seed2" / f"{part}.csv", class_scores(part, 2, critical=(1, 3)))
    assert problems(tmp_path) == [("run", 2, "damaged")]
    assert [row.run.critical for row in report_of(tmp_path).rows] == ["eel", "fox"]


@pytest.mark.parametrize("kind", ["text", "samples"])
def test_damaged_scores_of_the_last_epoch_are_told_and_passed_over(tmp_path: Path, kind: str) -> None:
    run = make_class_run(tmp_path, "run")
    path = run / "seed1" / "last_test.csv"
    if kind == "text":
        path.write_text("index\n")
    else:
        shutil.copy(run / "seed1" / "validation.csv", path)
    assert problems(tmp_path) == [("run", 1, "damaged")]
    row = row_of(tmp_path)
    assert list(row.run.seeds) == [1, 2]
    assert list(row.last_measures["accuracy"].per_seed) == [2]


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"train": {"cat": 1}},
        {part: {"cat": 5} for part in SIZES},
        {part: dict(zip(CLASSES, (5, 5, 5, -5), strict=True)) for part in SIZES},
        {"train": {"cat": 1, "dog": 2}, "validation": {"dog": 1, "cat": 2}, "test": {"cat": 1, "dog": 2}},
        {part: {"negative": [], "positive": 5} for part in SIZES},
        dict.fromkeys(SIZES, 5),
    ],
)
def test_damaged_counts_leave_out_the_run(tmp_path: Path, counts: dict[str, Any]) -> None:
    run = make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "other", training_type="LA")
    record = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**record, "class_counts": counts}, sort_keys=False))
    assert problems(tmp_path) == [("run", None, "damaged")]
    assert [row.run_name for row in report_of(tmp_path).rows] == ["other", "other"]


def test_a_run_without_a_finished_seed(tmp_path: Path) -> None:
    run = make_class_run(tmp_path, "run")
    make_class_run(tmp_path, "other", training_type="LA")
    for seed in (1, 2):
        (run / f"seed{seed}" / "done").unlink()
    assert problems(tmp_path) == [("run", 1, "unfinished"), ("run", 2, "unfinished")]
    assert [row.name for row in class_rows(report_of(tmp_path))] == ["other"]


def test_hostile_names_of_classes(tmp_path: Path) -> None:
    names = ('<script>alert(1)</script>"', "=cmd()", "a|b`c\\", "x" * 500)
    make_class_run(tmp_path, "run", names=names, critical=(0, 3))
    assert report.main([str(tmp_path), "--latex", str(tmp_path / "t.tex")]) == 0
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    for path in (tmp_path / "report").glob("*.csv"):
        assert not [line for line in path.read_text().splitlines() if line.startswith("=") or ",=" in line]
