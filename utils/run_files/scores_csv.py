"""validation.csv and test.csv: one row for each sample; of prepared data with its path and group. Imports no torch."""

from __future__ import annotations

import csv
import io
import sys
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..metrics.scores import Scores
from ..system.files import write_text
from ..system.text_files import read_lines

COLUMNS = ["index", "label", "score", "split", "original_class"]
OF_PREPARED = ["path", "group"]  # two columns more


def write_scores(path: Path, scores: Scores) -> None:
    """Write the scores with all digits, so that they are read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = [values for values in (scores.path, scores.group) if values is not None]
    writer.writerow([*COLUMNS, *OF_PREPARED] if named else COLUMNS)
    columns = (
        scores.index.tolist(),
        scores.label.tolist(),
        scores.score.tolist(),
        scores.split,
        scores.original_class.tolist(),
        *named,
    )
    writer.writerows(zip(*columns, strict=True))
    write_text(path, text.getvalue())


def read_scores(path: Path) -> Scores:
    """Read what ``write_scores`` wrote.

    Raises:
        UserError: the file is missing or is not what ``write_scores`` writes.
    """
    integers = array("q"), array("q"), array("q")  # converted as they are read: strings would take ten times the memory
    score, split, path_of, group_of = array("d"), list[str](), list[str](), list[str]()
    try:
        rows = csv.reader(read_lines(path))
        header = next(rows, None)
        if header not in (COLUMNS, [*COLUMNS, *OF_PREPARED]):
            raise ValueError("not the expected columns")
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"line {rows.line_num} has {len(row)} columns")
            for column, text in zip(integers, (row[0], row[1], row[4]), strict=True):
                column.append(int(text))
            score.append(float(row[2]))
            split.append(sys.intern(row[3]))
            if len(row) > len(COLUMNS):
                path_of.append(row[5])
                group_of.append(sys.intern(row[6]))
        if not split:
            raise ValueError("no samples")
        index, label, original_class = (np.array(column, dtype=np.int64) for column in integers)
        scores = Scores(index, label, np.array(score, dtype=np.float64), split, original_class)
        return replace(scores, path=path_of, group=group_of) if path_of else scores
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"cannot read the scores in {path}: {error}") from None
