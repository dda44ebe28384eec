"""Score files of runs with K classes: what is written is read, what is damaged is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.scores import ClassScores
from utils.run_files.class_scores_csv import read_class_scores, write_class_scores

HEADER = "index,label,score_b,output_a,output_b,split,original_class"
ROW = "7,1,0.25,-1.5,2.0,test,4"


def made(names: tuple[str, ...] = ("a", "b", "c"), critical: tuple[int, ...] = (2, 0)) -> ClassScores:
    stream = np.random.default_rng(0)
    return ClassScores(
        index=np.array([5, 9, 1]),
        label=np.array([0, 2, 1]),
        outputs=stream.normal(size=(3, len(names))),
        scores=stream.normal(size=(3, len(critical))) * 1e-17,
        split=["test", "test", "train"],
        original_class=np.array([8, 3, 4]),
        names=names,
        critical=critical,
    )


@pytest.mark.parametrize(
    "scores",
    [
        made(),
        made(("score_a", "output_b", 'a,b"c'), (0, 1, 2)),  # names like columns, and with what CSV must quote
        replace(made(), path=["x/1.png", "x,2.png", ""], group=["p", "p", ""]),
        made(("path", "group", "split"), (1,)),
    ],
    ids=["plain", "odd names", "prepared", "names of columns"],
)
def test_every_digit_is_read_back(tmp_path: Path, scores: ClassScores) -> None:
    write_class_scores(tmp_path / "test.csv", scores)
    found = read_class_scores(tmp_path / "test.csv")
    assert (found.names, found.critical, found.split) == (scores.names, scores.critical, scores.split)
    assert (found.path, found.group) == (scores.path, scores.group)
    for name in ("index", "label", "outputs", "scores", "original_class"):
        assert np.array_equal(getattr(found, name), getattr(scores, name)), name


def test_a_file_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text(f"{HEADER}\n{ROW}\n")
    found = read_class_scores(path)
    assert (found.names, found.critical) == (("a", "b"), (1,))
    assert (found.index.tolist(), found.label.tolist(), found.original_class.tolist()) == ([7], [1], [4])
    assert (found.scores.tolist(), found.outputs.tolist()) == ([[0.25]], [[-1.5, 2.0]])


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "not the expected columns"),
        (f"{HEADER}\n", "no samples"),
        (f"index,label,score,split,original_class\n{ROW}\n", "not the expected columns"),
        (f"index,label,output_a,output_b,split,original_class\n{ROW}\n", "not the expected columns"),
        (f"index,label,score_c,output_a,output_b,split,original_class\n{ROW}\n", "not in"),
        (f"{HEADER}\n{ROW},9\n", "line 2 has 8 columns"),
        (f"{HEADER}\n{ROW.replace('0.25', 'x')}\n", "could not convert"),
        (f"{HEADER}\n{ROW.replace(',1,', ',2,')}\n", "a label is not one of 0..1"),
        (f"{HEADER}\n{ROW.replace(',1,', ',-1,')}\n", "a label is not one of 0..1"),
        (f"{HEADER}\n{ROW.replace('7', '9' * 30)}\n", "cannot read the scores"),
    ],
)
def test_what_is_damaged_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "test.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        read_class_scores(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the scores"):
        read_class_scores(tmp_path / "none.csv")
