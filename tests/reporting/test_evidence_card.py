"""The evidence card: its numbers by hand, its text and page, and the input it rejects."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from report_folders import Page, make_run
from scipy.stats import binom, binomtest

import report
from utils.metrics.scores import Scores
from utils.reporting.analysis import given_names, rows_of
from utils.reporting.card import Card, card_of
from utils.reporting.runs import read_single
from utils.reporting.tables import Table
from utils.run_files.scores_csv import write_scores

TPRS = (0.98, 0.9)


def with_scores(run: Path, seed: int, part: str, labels: list[int], values: list[float]) -> None:
    index, label = np.arange(len(labels)), np.array(labels)
    write_scores(
        run / f"seed{seed}" / f"{part}.csv", Scores(index, label, np.array(values), [part] * len(index), label)
    )


def card(run: Path, *prevalences: float) -> Card:
    found = read_single(run)
    (row,) = rows_of(found.runs, TPRS, 1, names=given_names(found))
    return card_of(row, prevalences)


def table(made: Card, name: str) -> Table:
    (found,) = [each for section in made.sections for each in section.tables if each.key == f"card1_{name}"]
    return found


def texts(made: Card, name: str) -> list[list[str]]:
    return [[" ".join(filter(None, (cell.text, cell.under))) for cell in row] for row in table(made, name).rows]


def percent(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """One seed; test: 50 positives 1 ... 50, 100 negatives -99 ... 0 and 40.5 of them one; calibration of its own."""
    made = make_run(tmp_path / "runs", "scans", seeds=(1,), tpr=TPRS, cost_ratio=4.0)
    test = [float(value) for value in range(1, 51)]
    with_scores(made, 1, "test", [1] * 50 + [0] * 100, [*test, 40.5, *map(float, range(-98, 1))])
    kept = [float(value) for value in range(1, 41)]
    with_scores(made, 1, "calibration", [1] * 40 + [0] * 3, [*kept, -1.0, -2.0, -3.0])
    return made


def test_promises_are_given_or_say_what_they_need(run: Path) -> None:
    """40 calibration positives 1 ... 40: none may be missed for .90 (P(Bin(40, .1) = 0) = .0148, <= 1: .0805)."""
    assert binom.cdf(0, 40, 0.1) < 0.05 < binom.cdf(1, 40, 0.1)
    rows = texts(card(run), "promises")
    assert [row[:2] + row[3:6] for row in rows[:4]] == [
        ["NP", "TPR ≥ 98 %", "40", "149", "needs 149 positives"],
        ["CRC", "TPR ≥ 98 %", "40", "49", "needs 49 positives"],
        ["NP", "TPR ≥ 90 %", "40", "29", "given"],
        ["CRC", "TPR ≥ 90 %", "40", "9", "given"],
    ]
    # CRC: floor(.1 * 41) - 1 = 3 may be missed: the fourth
    assert [row[6] for row in rows[:4]] == ["–", "–", "score ≥ 1", "score ≥ 4"]
    # d/2 each: .98^n <= .025 from n = 183, .9^n from 36; FPR .01 from 368 negatives, .05 from 72, .1 from 36
    assert [row[5] for row in rows[4:]] == [
        f"needs {n} positives, {m} negatives" for n in (183, 36) for m in (368, 72, 36)
    ]


def test_thresholds_have_exact_intervals(run: Path) -> None:
    rows = {(row[0], row[1]): row for row in texts(card(run), "thresholds")}
    found = rows["CRC", "TPR ≥ 90 %"]  # 4: 47 of 50 positives, 1 of 100 negatives
    of_tpr, of_fpr = (binomtest(*counts).proportion_ci(0.95, "exact") for counts in ((47, 50), (1, 100)))
    assert found[2:] == [
        "on average over calibration sets",
        "40 calibration positives",
        "4",
        f"94.0 {percent(*of_tpr)}",
        f"1.0 [{100 * of_fpr.low:.2f}, {100 * of_fpr.high:.1f}]",  # 0.03: not shown as 0.0
    ]
    assert rows["NP", "TPR ≥ 90 %"][2] == "missed with probability ≤ 0.05"
    assert rows["default", "–"][2] == "no promise"
    assert ("NP", "TPR ≥ 98 %") not in rows


def test_at_a_prevalence_by_hand(run: Path) -> None:
    """TPR .94, FPR .01 at 1 %: 94 of 10,000 found, 99 false alarms; 9,801 of 9,807 cleared are right.

    A missed positive costs 4 false alarms: .0094 - .0099 / 4 = .006925. All positive: .01 - .99 / 4 = -.2375.
    """
    made = card(run, 0.01)
    rows = {row[0]: row for row in texts(made, "prevalence")}
    assert rows["CRC, TPR 90 %"][1:] == ["1 % (as asked)", "48.7", "99.94", "6.9"]
    assert rows["call all positive"][1:] == ["1 % (as asked)", "1.0", "–", "−237.5"]
    cells = {row[0].text: row for row in table(made, "prevalence").rows}
    assert cells["CRC, TPR 90 %"][4].value == pytest.approx(0.006925, abs=1e-12)
    assert cells["CRC, TPR 90 %"][3].value == pytest.approx(9801 / 9807, abs=1e-12)


def test_without_prevalences_those_of_the_sets(run: Path) -> None:
    shares = {row[1] for row in texts(card(run), "prevalence")}
    assert shares == {"33.3 % (test set)", "4.76 % (training set)"}  # 50 of 150, 10 of 210


def test_the_planner(run: Path) -> None:
    (first, second) = texts(card(run), "claims")
    assert first == ["TPR ≥ 98 %", "0.05", "149", "49", "149", first[5]]
    assert second[:5] == ["TPR ≥ 90 %", "0.05", "29", "9", "29"]
    needed = int(first[5].split()[0])  # 1 % seen to be missed where 2 % may be

    def enough(n: int) -> bool:
        return bool(binom.cdf(n - int(np.ceil(0.99 * n - 1e-9)), n, 0.02) <= 0.05)

    assert first[5].endswith("TPR 99 % seen")
    assert enough(needed)
    assert not any(enough(n) for n in range(149, needed))
    rows = texts(card(run), "widths")
    assert [row[0] for row in rows] == ["30", "50 (this test set)", "60", "150", "200", "500", "1000"]
    exact = binomtest(98 * 10, 1000).proportion_ci(0.95, "exact")
    assert rows[-1][1] == f"{100 * (exact.high - exact.low):.1f} {percent(*exact)}"


def test_a_plan_of_this_test_set_is_its_interval(run: Path) -> None:
    made = card(run)
    planned = next(row for row in table(made, "widths").rows if "this test set" in row[0].text)
    measured = table(made, "measures").rows
    assert [planned[2].under, planned[4].under] == [measured[1][1].under, measured[2][1].under]


def test_the_planner_counts_groups_and_plans_no_widths_of_them(run: Path) -> None:
    """Five images a patient: widths for other numbers of images would be narrower than the intervals of the card."""
    for part, positives, negatives in (("test", 50, 100), ("calibration", 40, 3)):
        both = positives + negatives
        labels = np.repeat([1, 0], [positives, negatives])
        patients = [f"p{number // 5}" for number in range(both)]
        paths = [f"{number}.png" for number in range(both)]
        made = Scores(np.arange(both), labels, np.arange(float(both)), [part] * both, labels, paths, patients)
        write_scores(run / "seed1" / f"{part}.csv", made)
    made_card = card(run, 0.1)
    (planner,) = [section for section in made_card.sections if section.heading == "Planner"]
    assert [table.key for table in planner.tables] == ["card1_claims"]
    assert planner.tables[0].caption.startswith("Groups of positives that a claim needs")
    assert "a claim counts groups" in planner.text
    promises = table(made_card, "promises")
    assert [column.title for column in promises.columns][3] == "groups of positives"
    assert {row[3] for row in texts(made_card, "promises")} == {"8"}  # 40 positives
    assert "needs 149 groups of positives" in {row[5] for row in texts(made_card, "promises")}


def test_several_seeds_that_validation_chose_are_corrected_for(tmp_path: Path) -> None:
    """Three epochs, two seeds: nine models. 20 validation positives; .9^n <= .05 / 9 from n = 50."""
    made = card(make_run(tmp_path, "run", tpr=TPRS, num_epochs=3))
    (basis,) = [each.text for each in made.sections if each.heading.startswith("What can be promised")]
    assert "From 20 positives and 20 negatives of the validation set, which chose among 9 models" in basis
    assert [row[4] for row in texts(made, "promises")] == [
        str(int(np.ceil(np.log(0.05 / 9) / np.log(t)))) for t in TPRS
    ]


def test_text_and_page_say_the_same(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "card.html"
    before = set(run.rglob("*"))
    assert report.main([str(run), "--card", "--prevalence", "0.01", "0.001", "--html", str(target)]) == 0
    text = capsys.readouterr().out
    page = target.read_text(encoding="utf-8")
    assert text.startswith("scans\n")
    assert text.rstrip().endswith(f"--prevalence 0.01 0.001 --html {target}")
    found = Page(page)
    for name in ("sizes", "measures", "promises", "thresholds", "prevalence", "claims", "widths"):
        for row in found.rows(f"card1_{name}"):
            for cell, _ in row:
                assert all(part in text for part in cell.split(" [")[0].split("  ")), cell
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    assert set(run.rglob("*")) == before


def test_the_page_of_a_card_is_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "scans", dataset_name="<script>alert(1)</script>", training_type="<b>x")
    assert report.main([str(run), "--card", "--html", str(tmp_path / "card.html")]) == 0
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>x" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{runs}", "--card"], "no run in "),
        (["{runs}/scans", "--card", "--prevalence", "1.5"], "--prevalence must be shares of positives in (0, 1)"),
        (["{runs}/scans", "--card", "--prevalence", "0"], "--prevalence must be shares of positives in (0, 1)"),
        (["{runs}/scans", "--card", "--out", "x"], "--out is for a report"),
        (["{runs}/scans", "--card", "--html", "{runs}"], "--html must be a file in a folder that exists"),
        (["{runs}/scans", "--card", "--html", "{runs}/none/card.html"], "--html must be a file in a folder"),
        (["{runs}", "--html", "card.html"], "--html is for --card"),
        (["{runs}/scans"], "is a single run; expected the folder of the runs: python report.py"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(run.parent.rglob("*"))
    assert report.main([argument.replace("{runs}", str(run.parent)) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.fullmatch(r"error: [^\n]+\n", shown.err)
    assert message in shown.err
    assert set(run.parent.rglob("*")) == before


def test_a_run_without_a_finished_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", seeds=(1,))
    (run / "seed1" / "done").unlink()
    assert report.main([str(run), "--card"]) == 2


def test_the_report_has_a_card_and_the_promises_of_each_row(run: Path, tmp_path: Path) -> None:
    make_run(run.parent, "other", training_type="LDAM")
    assert report.main([str(run.parent), "--out", str(tmp_path / "out"), "--prevalence", "0.02"]) == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert [row[1][0] for row in page.rows("card1_prevalence")] == ["2 % (as asked)"] * len(
        page.rows("card1_prevalence")
    )
    assert page.rows("card2_thresholds")
    promised = [[cell for cell, _ in row] for row in page.rows("promised")]
    (kept,) = [row for row in promised if row[0].startswith("scans") and row[1:3] == ["CRC", "TPR ≥ 90 %"]]
    assert kept[3:6] == ["on average over calibration sets", "40 calibration positives", "4"]
    assert next(row[5] for row in promised if row[0].startswith("other")).startswith("– needs ")
    assert sum(tag == "details" and "open" in given for tag, given in page.tags) == 0
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "40 calibration positives" in markdown
