"""The scores of a set of samples: as a file, and averaged over seeds. Imports no torch."""

from __future__ import annotations

import csv
import io
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..system.files import write_text
from ..system.text_files import read_lines

COLUMNS = ["index", "label", "score", "split", "original_class"]


@dataclass(frozen=True)
class Scores:
    """The content of validation.csv or test.csv, row by row."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    split: list[str]
    original_class: NDArray[np.int64]

    def write(self, path: Path) -> None:
        """As CSV; scores with all their digits, so that reading gives the same bits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        columns = (
            self.index.tolist(),
            self.label.tolist(),
            self.score.tolist(),
            self.split,
            self.original_class.tolist(),
        )
        writer.writerows(zip(*columns, strict=True))
        write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: Path) -> Scores:
        """The other way round.

        Raises:
            UserError: the file is not there or not what ``write`` makes.
        """
        integers = array("q"), array("q"), array("q")  # as they are read, since texts would take ten times the memory
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
            return cls(index, label, np.array(score, dtype=np.float64), split, original_class)
        except (OSError, ValueError, OverflowError, csv.Error) as error:
            raise UserError(f"cannot read the scores in {path}: {error}") from None


def averaged(seeds: Sequence[Scores]) -> Scores:
    """The same samples with the mean of their scores.

    Raises:
        UserError: the seeds were not scored on the same samples.
    """
    first = seeds[0]
    for other in seeds[1:]:
        if not (np.array_equal(first.index, other.index) and np.array_equal(first.label, other.label)):
            raise UserError("the seeds were scored on different samples; evaluate them again with --train 0")
    return replace(first, score=np.mean([scores.score for scores in seeds], axis=0))
