"""Confusion matrices as data, which ``class_parts.html.j2`` draws: rows are classes, columns are decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .class_rows import LARGEST, ClassRow
from .class_tables import outcome_sentence
from .svg import DIGIT, Mark
from .tables import number

MOST_NUMBERS = 20  # classes up to which each cell has its number and a tooltip
FIRST, LAST = 7, 6  # letters of a longer name beside the matrix
SHADES = 10  # of the cells of more classes
APART = 11.0  # units between two names
FEWEST_SHOWN = 0.005  # share of a row from which on its cell has a number
RIGHT, WRONG = 0.42, 0.62  # most opacity of a cell with a number, so that it stays legible


@dataclass(frozen=True)
class Name:
    """The name of a class beside its row and below its column; ``place`` is their middle, in units of the plot."""

    text: str
    place: float
    critical: bool


@dataclass(frozen=True)
class Number:
    """The share of a row, in per cent, in the middle of its cell."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of ``size`` x ``size`` units and its margins.

    Args:
        title: the rule of the decisions.
        classes: their number K; ``marks`` are drawn in K x K units.
        size: of the plot.
        left: margin for the names of the rows; those of the columns have as much below.
        names: of all classes, or of as many as have room, the critical ones first.
        critical: middles of the rows and columns of critical classes.
        marks: a rectangle for each cell that is not empty, or a path for each shade.
        numbers: none where there are many classes.
        words: what it shows, in sentences.
    """

    title: str
    classes: int
    size: float
    left: float
    names: tuple[Name, ...]
    critical: tuple[float, ...]
    marks: tuple[Mark, ...]
    numbers: tuple[Number, ...]
    words: tuple[str, ...]

    top = 26.0
    right = 14.0

    @property
    def is_tilted(self) -> bool:
        """Whether the names of the columns need it: some are wider than a cell."""
        return DIGIT * max(len(name.text) for name in self.names) > self.size / min(self.classes, MOST_NUMBERS)

    @property
    def width(self) -> float:
        """Of the whole chart."""
        return self.left + self.size + self.right

    @property
    def height(self) -> float:
        """Of the whole chart."""
        return self.top + self.size + (self.left if self.is_tilted else 24.0) + 18.0


def confusion_charts(row: ClassRow) -> tuple[Matrix, ...]:
    """Of the ensemble: by the largest output, and at the thresholds of each rule for the first TPR that it has."""
    first = {outcome.rule: outcome for outcome in reversed(row.outcomes)}
    charts = []
    for outcome in row.outcomes:
        if first[outcome.rule] is outcome:
            title = LARGEST if outcome.rule == LARGEST else f"thresholds for {outcome.name}"
            words = f"{outcome_sentence(row, outcome)}."
            charts.append(matrix_chart(row.matrix(outcome.ensemble), row.classes, row.critical, title, words))
    return tuple(charts)


def matrix_chart(
    matrix: NDArray[np.int64], names: Sequence[str], critical: Sequence[int], title: str, words: str
) -> Matrix:
    """The chart of (K, K) counts.

    Args:
        matrix: row the class, column the decision.
        names: of the classes.
        critical: labels of the critical ones.
        title: what decided.
        words: a sentence of what it gives.
    """
    classes = len(names)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = [_short(name) for name in names]
    left, size = 30.0 + DIGIT * max(map(len, shown)), 360.0
    few = classes <= MOST_NUMBERS
    cell = size / classes
    return Matrix(
        title,
        classes,
        size,
        left,
        _names(shown, critical, cell),
        tuple((label + 0.5) * cell for label in critical),
        _cells(matrix, shares, names) if few else _shades(shares),
        _numbers(shares, cell) if few else (),
        (f"{words[:1].upper()}{words[1:]}", *_confusions(shares, names, range(classes) if few else critical)),
    )


def _names(shown: Sequence[str], critical: Sequence[int], cell: float) -> tuple[Name, ...]:
    """The critical ones, then the first, every tenth and so on, as far as there is room between them."""
    every = 1 if len(shown) <= MOST_NUMBERS else 10
    found: list[Name] = []
    for label in [*critical, *range(0, len(shown), every)]:
        place = (label + 0.5) * cell
        if all(abs(place - other.place) >= min(APART, 0.99 * cell * every) for other in found):
            found.append(Name(shown[label], place, label in critical))
    return tuple(found)


def _short(name: str) -> str:
    """Its beginning and its end, as the names of many classes begin alike."""
    return name if len(name) <= FIRST + LAST + 1 else f"{name[:FIRST]}\N{HORIZONTAL ELLIPSIS}{name[-LAST:]}"


def _cells(matrix: NDArray[np.int64], shares: NDArray[np.float64], names: Sequence[str]) -> tuple[Mark, ...]:
    marks = []
    for row, column in np.argwhere(matrix > 0).tolist():
        css, most = ("right", RIGHT) if row == column else ("wrong", WRONG)
        label = f"class {names[row]} decided as {names[column]}: {matrix[row, column]} of {matrix[row].sum()}"
        place = {"class": f"cell {css}", "x": str(column), "y": str(row), "width": "1", "height": "1"}
        marks.append(Mark("rect", place | {"fill-opacity": f"{most * shares[row, column]:.3f}"}, label))
    return tuple(marks)


def _shades(shares: NDArray[np.float64]) -> tuple[Mark, ...]:
    """One path for all cells of a shade, which keeps the page small."""
    shade, is_right = np.ceil(shares * SHADES - 1e-9), np.eye(len(shares), dtype=bool)
    marks = []
    for css, of_kind in (("right", is_right), ("wrong", ~is_right)):
        for level in range(1, SHADES + 1):
            places = np.argwhere(of_kind & (shade == level)).tolist()
            if places:
                path = "".join(f"M{column} {row}h1v1h-1z" for row, column in places)
                marks.append(Mark("path", {"class": f"cell {css}", "d": path, "fill-opacity": f"{level / SHADES:g}"}))
    return tuple(marks)


def _numbers(shares: NDArray[np.float64], cell: float) -> tuple[Number, ...]:
    return tuple(
        Number(f"{100 * shares[row, column]:.0f}", (column + 0.5) * cell, (row + 0.5) * cell)
        for row, column in np.argwhere(shares >= FEWEST_SHOWN).tolist()
    )


def _confusions(shares: NDArray[np.float64], names: Sequence[str], labels: Sequence[int]) -> list[str]:
    """For each of ``labels`` how many are right, and what the others are mostly taken for."""
    found = []
    for label in labels:
        wrong = shares[label].copy()
        wrong[label] = 0
        other = int(wrong.argmax())
        text = f"Class {names[label]}: {number(shares[label, label], 1, percent=True)} % right"
        taken = f", {number(wrong[other], 1, percent=True)} % decided as {names[other]}" if wrong[other] > 0 else ""
        found.append(f"{text}{taken}.")
    return found
