r"""The table of results for a paper, in LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from .analysis import Report, Row
from .class_rows import ClassRow
from .class_tables import runs_table
from .contents import results_table
from .tables import Cell, Column, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}
SEARCHED = re.compile("|".join([*map(re.escape, SPECIAL), "-(?=-)"]))  # two hyphens would become a dash


def escaped(text: str) -> str:
    r"""``text`` on one line, as LaTeX sets it letter by letter.

    >>> print(escaped("10 % of a_b & {c}"))
    10 \% of a\_b \& \{c\}
    """
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return SEARCHED.sub(lambda found: SPECIAL.get(found.group(), "-{}"), line)


def results_latex(report: Report, of_classes: Sequence[ClassRow] = (), *, command: str) -> str:
    r"""The rows, each with its settings in a second line; ``\usepackage{booktabs}`` is needed.

    Args:
        report: the rows.
        of_classes: the runs of K classes among them, which get a table of their own below.
        command: of this report, for a comment.
    """
    comments = [
        f"By: {' '.join(command.split())}",
        r"Needs \usepackage{booktabs}. Bold: the best of its column on this test set, and so chosen on it.",
        *(f"Test set: {_size(row)}." for row in report.rows[:1]),
        "Mean and SD over the seeds; ensemble with a 95 % interval for new images.",
    ]
    more = ["", "% All classes of each run.", *_tabular(runs_table(of_classes))] if of_classes else []
    return "\n".join([*(f"% {line}" for line in comments), *_tabular(results_table(report)), *more, ""])


def _size(row: Row) -> str:
    record = row.run.record
    if record.sizes:
        return f"{sum(record.sizes['test'].values())} samples of {len(record.sizes['test'])} classes"
    return f"{record.class_counts['test']['positive']} positives, {record.class_counts['test']['negative']} negatives"


def _tabular(table: Table) -> list[str]:
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}", r"\toprule", *_headings(table)]
    for place, row in enumerate(table.rows):
        lines += [r"\addlinespace"] * bool(place)
        lines += [_line([_first(cell) for cell in row]), _line([_second(cell) for cell in row])]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _headings(table: Table) -> list[str]:
    """The headings that columns share, each with a rule below, and those of the columns."""
    ends = list(accumulate(span for _, span in table.groups))
    spans = [(name, end - span + 1, end) for (name, span), end in zip(table.groups, ends, strict=True)]
    cells, rules = [], []
    for name, start, end in spans:
        if name:
            cells.append(rf"\multicolumn{{{end - start + 1}}}{{c}}{{{escaped(name)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{end}}}")
        else:
            cells += [""] * (end - start + 1)
    titles = [_title(column) for column in table.columns]
    return [_line(cells), "".join(rules), _line(titles), r"\midrule"]


def _title(column: Column) -> str:
    return escaped(column.title)


def _first(cell: Cell) -> str:
    text = escaped(cell.text)
    warned = f" ({escaped(cell.warning)})" if cell.warning else ""
    return (rf"\textbf{{{text}}}" if cell.best else text) + warned


def _second(cell: Cell) -> str:
    return rf"{{\footnotesize {escaped(cell.under)}}}" if cell.under else ""


def _line(cells: list[str]) -> str:
    r"""A row. One that begins with a bracket or a star would be read as an argument of the ``\\`` before it."""
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return f"{guard}{' & '.join(cells)} \\\\"
