"""validation.csv and test.csv of a run with K classes: one row for each sample. Imports no torch.

Columns: index, label (0..K-1), ``score_<name>`` of each critical class, ``output_<name>`` of each of the K classes,
split, original_class, and of prepared data path and group.
"""

from __future__ import annotations

import csv
import io
import itertools
import sys
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..metrics.scores import ClassScores
from ..system.files import write_text
from ..system.text_files import read_lines
from .scores_csv import OF_PREPARED

SCORE, OUTPUT = "score_", "output_"


def write_class_scores(path: Path, scores: ClassScores) -> None:
    """Write the scores with all digits, so that they are read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = [values for values in (scores.path, scores.group) if values is not None]
    critical = [SCORE + scores.names[label] for label in scores.critical]
    outputs = [OUTPUT + name for name in scores.names]
    writer.writerow(["index", "label", *critical, *outputs, "split", "original_class", *(OF_PREPARED if named else [])])
    numbers = np.concatenate([scores.scores, scores.outputs], axis=1).T.tolist()
    fixed = scores.split, scores.original_class.tolist()
    writer.writerows(zip(scores.index.tolist(), scores.label.tolist(), *numbers, *fixed, *named, strict=True))
    write_text(path, text.getvalue())


def read_class_scores(path: Path) -> ClassScores:
    """Read what ``write_class_scores`` wrote.

    Raises:
        UserError: the file is missing or is not what ``write_class_scores`` writes.
    """
    try:
        rows = csv.reader(read_lines(path))
        names, critical, is_named = _header(next(rows, []))
        width = len(names) + len(critical)
        index, label, original_class, split = list[int](), list[int](), list[int](), list[str]()
        values, paths, groups = list[np.ndarray[tuple[int], np.dtype[np.float64]]](), list[str](), list[str]()
        for row in rows:
            if len(row) != 4 + width + 2 * is_named:
                raise ValueError(f"line {rows.line_num} has {len(row)} columns")
            index.append(int(row[0]))
            label.append(int(row[1]))
            values.append(np.array(row[2 : 2 + width], dtype=np.float64))
            split.append(sys.intern(row[2 + width]))
            original_class.append(int(row[3 + width]))
            if is_named:
                paths.append(row[-2])
                groups.append(sys.intern(row[-1]))
        if not split:
            raise ValueError("no samples")
        labels, numbers = np.array(label, dtype=np.int64), np.stack(values)
        if labels.min() < 0 or labels.max() >= len(names):
            raise ValueError(f"a label is not one of 0..{len(names) - 1}")
        return ClassScores(
            index=np.array(index, dtype=np.int64),
            label=labels,
            outputs=np.ascontiguousarray(numbers[:, len(critical) :]),
            scores=np.ascontiguousarray(numbers[:, : len(critical)]),
            split=split,
            original_class=np.array(original_class, dtype=np.int64),
            names=names,
            critical=critical,
            path=paths if is_named else None,
            group=groups if is_named else None,
        )
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"cannot read the scores in {path}: {error}") from None


def _header(header: list[str]) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
    """The names of the classes, the labels of the critical ones, and whether paths and groups follow."""
    is_named = header[-2:] == OF_PREPARED
    columns = header[:-2] if is_named else header
    if columns[:2] != ["index", "label"] or columns[-2:] != ["split", "original_class"]:
        raise ValueError("not the expected columns")
    between = columns[2:-2]
    number = sum(1 for _ in itertools.takewhile(lambda name: name.startswith(SCORE), between))
    names = tuple(name.removeprefix(OUTPUT) for name in between[number:])
    if len(names) < 2 or not number or not all(name.startswith(OUTPUT) for name in between[number:]):
        raise ValueError("not the expected columns")
    critical = tuple(names.index(name.removeprefix(SCORE)) for name in between[:number])
    return names, critical, is_named
