"""Any row as the reference: which rows are compared, the tests and their family, and what is refused."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import report_by_hand as by_hand
from report_by_hand import STORED
from report_folders import COUNTS, Page, make_run

import report
from utils.errors import UserError
from utils.reporting.analysis import Report, analyse
from utils.reporting.comparison import compare, rows_named
from utils.reporting.contents import comparison_table
from utils.reporting.runs import read_folder

METRICS = (None, 0.98, 0.95, 0.9)


def report_of(folder: Path) -> Report:
    return analyse(read_folder(folder), tprs=(0.9,))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored runs, all beside s_lm."""
    out = tmp_path_factory.mktemp("baseline")
    assert report.main([str(STORED), "--out", str(out), "--baseline", "s_lm"]) == 0
    return out


def test_every_row_of_the_same_data_is_compared(written: Path) -> None:
    """mbauc shares seed 1 with s_lm; bce_1to5 has other data."""
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    rows = page.rows("alm_auc")
    assert [row[0][0].split()[0] for row in rows] == ["bce", "bce_alm", "s_lm_alm", "mbauc"]
    assert [row[1][0] for row in rows] == ["2", "2", "2", "1"]
    text = (written / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="alm">Compared with s_lm</h2>' in text
    assert "Not compared, because of other data or no common seed: bce_1to5." in text
    assert "ALM better" not in text
    assert "row better" in text


def test_numbers_by_hand(written: Path) -> None:
    """bce minus s_lm over seeds 1 and 2, by the same test as with and without ALM."""
    with open(written / "baseline.csv", newline="", encoding="utf-8") as stream:
        lines = {(line["model_name"], line["metric"]): line for line in csv.DictReader(stream)}
    assert len(lines) == 4 * 4
    for tpr in METRICS:
        line = lines["bce", "auc" if tpr is None else f"fpr_at_tpr_{tpr:g}"]
        values, drawn = {}, {}
        for run in ("s_lm", "bce"):
            scored = [by_hand.scores_of(STORED / run / f"seed{k}" / "test.csv") for k in (1, 2)]
            values[run] = np.array([by_hand.metric(*each, tpr) for each in scored])
            drawn[run] = [by_hand.resampled(*each, tpr, 500, "bootstrap of the seeds") for each in scored]
        changes = values["bce"] - values["s_lm"]
        p = by_hand.seed_p(changes, np.stack(drawn["bce"], axis=1) - np.stack(drawn["s_lm"], axis=1))
        assert line["compared_with"] == "s_lm"
        assert float(line["difference"]) == pytest.approx(changes.mean(), abs=1e-12)
        assert float(line["p"]) == pytest.approx(p, rel=1e-9)
    order, largest = sorted((float(line["p"]), key) for key, line in lines.items() if line["p"]), 0.0
    for rank, (p, key) in enumerate(order):  # one family: all rows and metrics that have a p
        largest = min(1.0, max(largest, (len(order) - rank) * p))
        assert float(lines[key]["p_corrected"]) == pytest.approx(largest, rel=1e-9)


def test_one_seed_and_few_seeds_say_how_many_are_needed(tmp_path: Path) -> None:
    make_run(tmp_path, "base", seeds=(1, 2, 3), gain=1.5)
    make_run(tmp_path, "one", seeds=(1,), gain=2.0, training_type="LDAM")
    make_run(tmp_path, "same", seeds=(1, 2, 3), gain=1.5, training_type="MBAUC")
    make_run(tmp_path, "better", seeds=(1, 2, 3), gain=1.6, training_type="SYM_FL", gamma=2.0)
    found = report_of(tmp_path)
    compared = compare(found, rows_named(found.rows, "base"))
    cells = {row[0].text: row[5].text for row in comparison_table(found.metrics[0], compared).rows}
    assert cells["one"] == "at least 2"
    assert cells["same"] == "\N{EN DASH}"  # no difference
    (change,) = [each.changes["auc"] for each in compared if each.row.name == "better"]
    assert change.clear == (cells["better"] == "\N{EN DASH}")
    assert change.clear or cells["better"] in (str(change.needed), "more images")


@pytest.mark.parametrize("name", ["bse", "", "base "])
def test_a_bad_name_lists_the_rows(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("base", "other", "third"):
        make_run(tmp_path / "runs", run, training_type=run)
    assert report.main([str(tmp_path / "runs"), "--baseline", name]) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(r"error: --baseline must be one of the rows base, other, third; got[^\n]*\n", shown.err)
    assert not (tmp_path / "runs" / "report").exists()


def test_a_baseline_with_nothing_beside_it_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, "base", seeds=(1, 2))
    make_run(tmp_path, "seeds", seeds=(3,), training_type="LDAM")
    make_run(tmp_path, "data", counts={**COUNTS, "train": (200, 20)})
    found = report_of(tmp_path)
    with pytest.raises(UserError, match="nothing to compare with base: no other row has its data and one of its seeds"):
        compare(found, rows_named(found.rows, "base"))


def test_figures_keep_an_objective_and_its_row_with_alm_together(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    headings = re.findall(r'<div class="figure"><h3>([^<]*)</h3>', text)
    assert headings.count("BCE, num_epochs=3, 1:10") == 2, headings  # ROC and AUC by epoch
