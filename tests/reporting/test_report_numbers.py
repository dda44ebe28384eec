"""Every number of the report, worked out again from the stored score files by slow definitions."""

from __future__ import annotations

import csv
import json
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_by_hand as by_hand
import yaml
from report_by_hand import STORED
from report_folders import COUNTS, Page, make_run

import report
from utils.metrics.scores import Scores, averaged
from utils.metrics.summary import EvaluationOptions, summary_with_intervals
from utils.reporting import tables
from utils.reporting.analysis import analyse, metrics_for
from utils.reporting.charts import band_points
from utils.reporting.fold_tables import crosses
from utils.reporting.runs import read_folder
from utils.run_files.scores_csv import read_scores, write_scores

TPRS = (0.98, 0.95, 0.9)
METRICS = (None, *TPRS)
SEEDS = {"bce": (1, 2, 3), "bce_alm": (1, 2, 3), "s_lm": (1, 2), "s_lm_alm": (1, 2), "mbauc": (1,), "bce_1to5": (1,)}
ORDER = list(SEEDS)  # of the page: the objectives of the paper's tables, then the rows with other data
PAIRS = (("bce", "bce_alm"), ("s_lm", "s_lm_alm"))


def key_of(tpr: float | None) -> str:
    return "auc" if tpr is None else f"fpr_at_tpr_{tpr:g}"


def per_seed(run: str, tpr: float | None) -> list[float]:
    return [by_hand.metric(*by_hand.scores_of(STORED / run / f"seed{k}" / "test.csv"), tpr) for k in SEEDS[run]]


def shown(value: float, tpr: float | None) -> str:
    return f"{value:.4f}" if tpr is None else f"{100 * value:.1f}"


def signed(value: float, tpr: float | None) -> str:
    text = f"{value:+.4f}" if tpr is None else f"{100 * value:+.1f}"
    return (text[1:] if float(text) == 0 else text).replace("-", "\N{MINUS SIGN}")


def lines(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_results_of_every_row(page: Page) -> None:
    rows = page.rows("results")
    assert len(rows) == len(ORDER)
    for run, row in zip(ORDER, rows, strict=True):
        assert row[1] == (str(len(SEEDS[run])), repr(float(len(SEEDS[run]))))
        for position, tpr in enumerate(METRICS):
            (mean_text, mean), (text, value) = row[2 + 2 * position : 4 + 2 * position]
            seeds = per_seed(run, tpr)
            assert float(mean) == pytest.approx(statistics.fmean(seeds), abs=1e-12)
            spread = f"± {shown(statistics.stdev(seeds), tpr)}" if len(seeds) > 1 else ""
            assert mean_text.replace("★ (best)", "").split() == [shown(float(mean), tpr), *spread.split()]
            labels, scores = by_hand.ensemble(run, SEEDS[run], "test")
            expected = by_hand.metric(labels, scores, tpr)
            assert float(value) == pytest.approx(expected, abs=1e-12)
            low, high = by_hand.interval(labels, scores, tpr)
            kept = [tables.number(end, 4 if tpr is None else 1, percent=tpr is not None) for end in (low, high)]
            bounds = f"[{kept[0]}, {kept[1]}]"
            assert text.replace("★ (best)", "") == f"{shown(expected, tpr)} {bounds}"


def test_best_of_every_column(page: Page) -> None:
    rows = page.rows("results")
    comparable = range(len(ORDER) - 1)  # the last has other data
    assert "not comparable: data B" in rows[-1][0][0]
    for column in range(2, 2 + 2 * len(METRICS)):
        values = [float(rows[row][column][1]) for row in comparable]
        top = max(values) if column < 4 else min(values)
        marked = {number for number, row in enumerate(rows) if "(best)" in row[column][0]}
        assert marked == {number for number in comparable if abs(values[number] - top) < 1e-12}


def changes_by_hand(base: str, alm: str, tpr: float | None) -> tuple[list[float], float]:
    """The difference of each seed, and the p of their mean."""
    drawn = []
    for k in SEEDS[base]:
        one, other = (by_hand.scores_of(STORED / run / f"seed{k}" / "test.csv") for run in (base, alm))
        first, second = (by_hand.resampled(*scores, tpr, 500, "bootstrap of the seeds") for scores in (one, other))
        drawn.append(second - first)
    changes = [b - a for a, b in zip(per_seed(base, tpr), per_seed(alm, tpr), strict=True)]
    return changes, by_hand.seed_p(np.array(changes), np.stack(drawn, axis=1))


def test_differences_intervals_and_tests(page: Page) -> None:
    ps, seen = [], []
    for tpr in METRICS:
        rows = page.rows("alm_" + key_of(tpr).replace(".", "_"))
        for (base, alm), row in zip(PAIRS, rows, strict=True):
            changes, p = changes_by_hand(base, alm, tpr)
            assert row[1][0] == str(len(SEEDS[base]))
            assert float(row[2][1]) == pytest.approx(statistics.fmean(changes), abs=1e-12)
            assert float(row[3][1]) == pytest.approx(p, rel=1e-9)
            ps.append(p)
            seen.append(float(row[4][1]))
            labels, first = by_hand.ensemble(base, SEEDS[base], "test")
            _, second = by_hand.ensemble(alm, SEEDS[alm], "test")
            without, with_alm = by_hand.metric(labels, first, tpr), by_hand.metric(labels, second, tpr)
            assert [float(row[place][1]) for place in (6, 7, 8)] == pytest.approx(
                [without, with_alm, with_alm - without], abs=1e-12
            )
            drawn = by_hand.resampled(labels, second, tpr, 2000) - by_hand.resampled(labels, first, tpr, 2000)
            low, high = by_hand.middle(drawn)
            assert row[8][0] == f"{signed(with_alm - without, tpr)} [{signed(low, tpr)}, {signed(high, tpr)}]"
    order, largest = sorted(range(len(ps)), key=lambda number: ps[number]), 0.0
    for rank, number in enumerate(order):  # Holm, over all of the page
        largest = min(1.0, max(largest, (len(ps) - rank) * ps[number]))
        assert seen[number] == pytest.approx(largest, rel=1e-9)


def test_operating_points(page: Page) -> None:
    rows = iter(page.rows("points"))
    for run in ORDER:
        for tpr in TPRS:
            row = next(rows)
            threshold = by_hand.threshold(*by_hand.ensemble(run, SEEDS[run], "validation"), tpr)
            labels, scores = by_hand.ensemble(run, SEEDS[run], "test")
            called = scores >= threshold
            counts = [int((called == said)[labels == label].sum()) for label, said in ((1, 1), (1, 0), (0, 1), (0, 0))]
            assert float(row[2][1]) == pytest.approx(threshold, abs=1e-12)
            assert [int(text) for text, _ in row[3:7]] == counts
            assert float(row[7][1]) == pytest.approx(counts[0] / (counts[0] + counts[1]))
            assert float(row[8][1]) == pytest.approx(counts[2] / (counts[2] + counts[3]))


def test_matrices_show_the_same_counts(page: Page, text: str) -> None:
    row = page.rows("points")[0]
    matrix = text[text.index('class="matrix"') :]
    cells = re.findall(r'<td class="(right|wrong)" style="--share:[0-9.]+">(\d+)', matrix)[:4]
    assert cells == list(zip(("right", "wrong", "wrong", "right"), (text for text, _ in row[3:7]), strict=True))
    assert matrix[matrix.index("score ≥ ") + 8 :].startswith(f"{row[2][0]}<")


def test_a_printed_threshold_gives_the_counts_beside_it(page: Page, out: Path) -> None:
    """Typed in again, it also meets the target for which it was chosen on the validation set."""
    markdown = (out / "report.md").read_text(encoding="utf-8")
    points, rules = iter(page.rows("points")), iter(page.rows("rules"))
    for run in ORDER:
        for row in [next(points) for _ in TPRS] + [next(rules) for _ in range(6)]:
            rule, target, text = [cell for cell, _ in row[1:4]] if len(row) > 9 else ["tpr", row[1][0], row[2][0]]
            assert f"| {text} |" in markdown
            rates = {}
            for part in ("validation", "test"):
                labels, scores = by_hand.ensemble(run, SEEDS[run], part)
                rates[part] = [float((scores[labels == side] >= float(text)).mean()) for side in (1, 0)]
            shown = row[7:9] if rule == "tpr" else row[4:6]
            assert [float(value) for _, value in shown] == pytest.approx(rates["test"], abs=1e-12)
            assert rule != "tpr" or rates["validation"][0] >= float(target) / 100
            assert rule != "fpr" or rates["validation"][1] <= float(target)


def test_a_printed_number_is_no_limit_that_the_value_misses() -> None:
    rounded = {0.99994: "0.9999", 0.99996: "0.99996", 0.9999999: "0.9999999", 1.0: "1.0000", 0.00002: "0.00002"}
    assert {value: tables.number(value, 4) for value in rounded} == rounded
    assert tables.number(1 - 1e-14, 4) == "1.0000"  # a rounding error
    rates = {0.0004: "0.04", 0.0: "0.0", 0.99951: "99.95", 1.0: "100.0", 48 / 49: "97.96", 0.98: "98.0"}
    assert {value: tables.number(value, 1, percent=True, apart=(0.98,)) for value in rates} == rates
    changes = {0.00003: "+0.00003", -0.00003: "−0.00003", 0.0: "0.0000", 1e-15: "0.0000", 0.5: "+0.5000"}
    assert {value: tables.number(value, 4, sign=True) for value in changes} == changes
    ps = {0.00009: "< 0.0001", 0.04996: "0.04996", 0.0504: "0.0504", 0.05: "0.050", 0.9996: "0.9996", 1.0: "1.00"}
    assert {value: tables.p_value(value) for value in ps} == ps
    digits = {0.9996: "0.9996", 1.0: "1", 1.004: "1.004", 938000.0: "9.38e+05"}
    assert {value: tables.significant(value) for value in digits} == digits
    titles = [metric.title for metric in metrics_for((0.9999999, 0.07))]
    assert titles == ["AUC", "FPR at TPR 99.99999 %", "FPR at TPR 7 %"]


def test_one_pair_of_300000_in_the_wrong_order_is_not_perfect(tmp_path: Path) -> None:
    """100 positives, 3000 negatives: AUC is 1 - 1 / 300000, and FPR at TPR 100 % is 1 / 3000."""
    run = make_run(tmp_path, "run", seeds=(1,), tpr=(1.0,), counts={**COUNTS, "test": (3000, 100)})
    labels = np.repeat([0, 1], [3000, 100])
    scores = np.concatenate([[0.5], -np.arange(1, 3000), [0.25], np.arange(1, 100)])
    index = np.arange(len(labels))
    write_scores(run / "seed1" / "test.csv", Scores(index, labels, scores, ["test"] * len(index), labels))
    assert report.main([str(tmp_path)]) == 0
    text = (tmp_path / "report" / "report.html").read_text()
    (row,) = Page(text).rows("results")
    assert [cell.split()[0] for cell, _ in row[2:]] == ["0.999997", "0.999997", "0.03", "0.03"]
    assert "AUC: 0.999997" in text  # the legend
    assert not re.search(r"AUC:? 1\.0000|100 %: 0\.0 %|<b>0\.0 %", text)


def test_mcnemar_at_the_operating_points(page: Page) -> None:
    rows = iter(page.rows("point_changes"))
    for base, alm in PAIRS:
        for tpr in TPRS:
            row = next(rows)
            labels, _ = by_hand.ensemble(base, SEEDS[base], "test")
            wrong = []
            for run in (base, alm):
                threshold = by_hand.threshold(*by_hand.ensemble(run, SEEDS[run], "validation"), tpr)
                wrong.append((by_hand.ensemble(run, SEEDS[run], "test")[1] >= threshold) != (labels == 1))
            for place, label in ((2, 0), (6, 1)):
                one = int((wrong[0] & ~wrong[1] & (labels == label)).sum())
                other = int((wrong[1] & ~wrong[0] & (labels == label)).sum())
                assert [int(row[place][0]), int(row[place + 1][0])] == [one, other]
                assert float(row[place + 2][1]) == pytest.approx(by_hand.mcnemar_p(one, other))


def test_every_seed(page: Page) -> None:
    rows = iter(page.rows("seeds"))
    for run in ORDER:
        for number, seed in enumerate(SEEDS[run]):
            row = next(rows)
            done = json.loads((STORED / run / f"seed{seed}" / "done").read_text())
            assert [text for text, _ in row[1:5]] == [run, str(seed), str(done["epochs"]), str(done["best_epoch"])]
            for column, tpr in enumerate(METRICS, 5):
                assert float(row[column][1]) == pytest.approx(per_seed(run, tpr)[number], abs=1e-12)


@pytest.mark.parametrize("run", ["bce", "bce_alm"])
def test_results_json_says_the_same(out: Path, run: str) -> None:
    """main.py and report.py must not show two intervals for one number."""
    stored = json.loads((STORED / run / "results.json").read_text())["ensemble"]["test"]
    found = {line["metric"]: line for line in lines(out / "rows.csv") if line["model_name"] == run}
    assert float(found["auc"]["ensemble"]) == stored["auc"]
    assert [float(found["auc"][f"ensemble_{side}"]) for side in ("low", "high")] == stored["auc_interval"]
    for tpr in TPRS:
        line = found[key_of(tpr)]
        assert float(line["ensemble"]) == stored["fpr_at_tpr"][str(tpr)]
        bounds = [float(line[f"ensemble_{side}"]) for side in ("low", "high")]
        assert bounds == stored["fpr_at_tpr_interval"][str(tpr)]
    points = [line for line in lines(out / "operating_points.csv") if line["model_name"] == run]
    for line, point in zip(points, stored["operating_points"], strict=True):
        assert {name: float(line[name]) for name in ("threshold", "tp", "fn", "fp", "tn", "tpr", "fpr")} == {
            name: point[name] for name in ("threshold", "tp", "fn", "fp", "tn", "tpr", "fpr")
        }


@pytest.mark.parametrize("run", SEEDS)
def test_other_thresholds_are_those_that_results_json_would_have(page: Page, out: Path, run: str) -> None:
    """The stored results.json are older than these numbers: they are made anew from the scores."""
    counts = yaml.safe_load((STORED / run / "config.yaml").read_text())["class_counts"]["train"]
    sets = {
        part: averaged([read_scores(STORED / run / f"seed{seed}" / f"{part}.csv") for seed in SEEDS[run]])
        for part in ("validation", "test")
    }
    fprs, trained = (0.01, 0.05, 0.1), (counts["negative"], counts["positive"])
    options = EvaluationOptions(TPRS, 0.5, 0.0, fprs, 10.0, trained)
    stored = summary_with_intervals(**sets, options=options, generator=np.random.default_rng(0))
    default = {"rule": "default", "threshold": 0.0, **stored["at_default_threshold"]}
    default = {name: default[name] for name in ("rule", "threshold", "tpr", "fpr", "precision", "f1", "expected_cost")}
    found = [line for line in lines(out / "thresholds.csv") if line["model_name"] == run]
    for line, rule in zip(found, [default, *stored["thresholds"]], strict=True):
        assert line["rule"].lower() == rule["rule"]
        for name, value in rule.items():
            assert name == "rule" or float(line[name]) == pytest.approx(value, abs=1e-12), name
    (row,) = (row for row, name in zip(page.rows("rankings"), ORDER, strict=True) if name == run)
    expected = [stored["auprc"], stored["prior"], *stored["tpr_at_fpr"].values()]
    expected += [stored["calibration"][name] for name in ("error", "error_scaled", "temperature")]
    assert [float(value) for _, value in row[1:]] == pytest.approx(expected, abs=1e-12)


def test_csv_and_markdown_hold_what_the_page_holds(page: Page, out: Path) -> None:
    means = [line["mean"] for line in lines(out / "rows.csv")]
    assert means == [row[column][1] for row in page.rows("results") for column in (2, 4, 6, 8)]
    changes = lines(out / "alm.csv")
    assert [line["difference"] for line in changes if line["metric"] == "auc"] == [
        row[2][1] for row in page.rows("alm_auc")
    ]
    assert {(line["compared_with"], line["model_name"]) for line in changes} == set(PAIRS)
    assert len(lines(out / "seeds.csv")) == sum(map(len, SEEDS.values()))
    markdown = (out / "report.md").read_text(encoding="utf-8")
    for row in page.rows("results"):
        for _, value in row[2:4]:
            assert f"{float(value):.4f}" in markdown


def test_tally(out: Path) -> None:
    """In the mean over the seeds, counted by hand; a difference below 1e-12 is a tie."""
    markdown = (out / "report.md").read_text(encoding="utf-8")
    for title, tpr, sign in (("AUC", None, 1), ("FPR at TPR 98 %", 0.98, -1)):
        gains = [
            sign * (statistics.fmean(per_seed(alm, tpr)) - statistics.fmean(per_seed(base, tpr))) for base, alm in PAIRS
        ]
        better, worse = sum(gain > 1e-12 for gain in gains), sum(gain < -1e-12 for gain in gains)
        expected = f"better with ALM in {better} of 2 rows (0 clearly), worse in {worse} (0 clearly)."
        assert f"- {title}: {expected}" in markdown


def test_other_rates_can_be_asked_for(tmp_path: Path) -> None:
    assert report.main([str(STORED), "--out", str(tmp_path), "--tpr", "0.8", "1"]) == 0
    found = {(line["model_name"], line["metric"]): float(line["ensemble"]) for line in lines(tmp_path / "rows.csv")}
    assert {metric for _, metric in found} == {"auc", "fpr_at_tpr_0.8", "fpr_at_tpr_1"}
    labels, scores = by_hand.ensemble("bce", SEEDS["bce"], "test")
    assert found["bce", "fpr_at_tpr_1"] == np.mean(scores[labels == 0] >= scores[labels == 1].min())


def test_folds_are_put_together_and_compared_over_folds(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folds": 3, "subset_ratios": (1, 99), "test_subset": 2, "resnet_type": "linear"}
    for train_on, gain, trained in (("same", 0.5, (70, 10)), ("other", 1.5, (30, 10)), ("all", 2.0, (120, 20))):
        counts = {"train": trained, "validation": (25, 15), "test": (40, 20)}
        for fold in (1, 2, 3):
            made = options | {"train_on": train_on, "fold": fold}
            make_run(tmp_path, f"{train_on}{fold}", seeds=(fold,), gain=gain, counts=counts, **made)
    report_of_folds = analyse(read_folder(tmp_path), tprs=(0.9,))
    assert not report_of_folds.rows
    found = crosses(report_of_folds.folds)
    assert [(each.model, each.test_on, each.train_on, each.label) for each in found] == [
        ("linear", "1:99", train_on, "BCE") for train_on in ("same", "other", "all")
    ]
    same, other, every = found
    assert same.difference is None
    assert other.difference is not None
    assert other.difference == pytest.approx(other.mean - same.mean)
    changes = [other.values[fold] - same.values[fold] for fold in (1, 2, 3)]
    # Nadeau and Bengio: 1/3 of three folds, and 60 test images of 80 from the smaller training side, not 1/3 alone
    spread = ((1 / 3 + 60 / 80) * sum((change - other.difference) ** 2 for change in changes) / 2) ** 0.5
    t = other.difference / spread
    # Student's t with 2 degrees of freedom: P(|T| > t) = 1 - t / sqrt(2 + t^2)
    assert other.p == pytest.approx(1 - t / (2 + t * t) ** 0.5)
    assert other.p is not None
    assert every.p is not None
    less, more = sorted([other.p, every.p])
    assert sorted([other.p_corrected or 0, every.p_corrected or 0]) == pytest.approx([2 * less, max(2 * less, more)])


def test_the_band_of_a_row_holds_its_curve_and_its_intervals(text: str) -> None:
    """At the targets it is the interval of the table, to what a picture shows; everywhere the curve lies inside."""
    found = analyse(read_folder(STORED), tprs=TPRS)
    for row in found.rows[:2]:
        low, high = band_points(found, row)
        for (left, tpr), (right, _) in zip(low, high, strict=True):
            assert left <= row.curve.fpr_at(tpr) <= right
        ends = {tpr: (left, right) for (left, tpr), (right, _) in zip(low, high, strict=True)}
        for tpr in TPRS:
            measure = row.measures[key_of(tpr)]
            assert ends[tpr] == pytest.approx((measure.low, measure.high), abs=1e-4)
    said = "95 % interval of the FPR at each TPR on its own, for new images"
    assert f'<p class="soft">Band: {said} (order statistics and Clopper-Pearson, tested jointly).</p>' in text
    assert text.count('class="band') >= 2 * len(ORDER)
