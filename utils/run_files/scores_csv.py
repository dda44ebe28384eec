"""validation.csv and test.csv: one row for each sample. Imports no torch."""

from __future__ import annotations

import csv
import io
import sys
from array import array
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..metrics.scores import Scores
from ..system.files import write_text
from ..system.text_files import read_lines

COLUMNS = ["index", "label", "score", "split", "original_class"]


def write_scores(path: Path, scores: Scores) -> None:
    """Write the scores with all digits, so that they are read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = (
        scores.index.tolist(),
        scores.label.tolist(),
        scores.score.tolist(),
        scores.split,
        scores.original_class.tolist(),
    )
    writer.writerows(zip(*columns, strict=True))
    write_text(path, text.getvalue())


def read_scores(path: Path) -> Scores:
    """Read what ``write_scores`` wrote.

    Raises:
        UserError: the file is missing or is not what ``write_scores`` writes.
    """
    integers = array("q"), array("q"), array("q")  # converted as they are read: strings would take ten times the memory
    score, split = array("d"), list[str]()
    try:
        rows = csv.reader(read_lines(path))
        if next(rows, None) != COLUMNS:
            raise ValueError("not the expected columns")
        for row in rows:
            if len(row) != len(COLUMNS):
                raise ValueError(f"line {rows.line_num} has {len(row)} columns")
            for column, text in zip(integers, (row[0], row[1], row[4]), strict=True):
                column.append(int(text))
            score.append(float(row[2]))
            split.append(sys.intern(row[3]))
        if not split:
            raise ValueError("no samples")
        index, label, original_class = (np.array(column, dtype=np.int64) for column in integers)
        return Scores(index, label, np.array(score, dtype=np.float64), split, original_class)
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"cannot read the scores in {path}: {error}") from None
