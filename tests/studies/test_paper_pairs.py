"""The paper's pairs: which rows are whole, and the means against those of the committed rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studies import paper_pairs

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "results" / "paper"


def test_means_are_those_of_the_rows_and_the_page_is_committed() -> None:
    pairs = paper_pairs.whole_pairs(PAPER)
    found = [paper_pairs.judged(*pair) for pair in pairs]
    names = ["auc", *(f"fpr_at_tpr_{tpr:g}" for tpr in paper_pairs.TPRS)]
    for pair, measures in zip(pairs, found, strict=True):
        for name, measure in zip(names, measures, strict=True):
            rows = [json.loads((row / "row.json").read_text()) for row in pair]
            assert measure["means"] == pytest.approx([row["over_seeds"]["test"][name]["mean"] for row in rows])
    assert paper_pairs.text(pairs, found) == (PAPER / "pairs.md").read_text(encoding="utf-8")


def test_a_row_that_lacks_a_seed_or_its_partner_is_left_out(tmp_path: Path) -> None:
    one, other = paper_pairs.whole_pairs(PAPER)[0]
    for row in (one, other):
        (tmp_path / "table" / row.name).mkdir(parents=True)
        shutil.copy(row / "row.json", tmp_path / "table" / row.name)
    assert len(paper_pairs.whole_pairs(tmp_path)) == 1
    path = tmp_path / "table" / other.name / "row.json"
    content = json.loads(path.read_text())
    del content["seeds"]["10"]
    path.write_text(json.dumps(content))
    assert paper_pairs.whole_pairs(tmp_path) == []
