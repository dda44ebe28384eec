"""Charts as data: a panel with two axes and the SVG elements drawn in it. ``page.html.j2`` renders them.

CSS classes set the colour (``c0`` .. ``c7``) and style (``dashed``, ``hollow``), see page.css. Each panel has a title
and a description for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .tables import minus

Point = tuple[float, float]
DIGIT = 6.6  # width of a letter of a tick, in units


@dataclass(frozen=True)
class Axis:
    """Range, name and ticks of an axis; each tick is (value, text)."""

    low: float
    high: float
    name: str
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Relative position of ``value``: 0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, name: str, *, percent: bool = False, most: int = 6) -> Axis:
    """An axis with about ``most`` round ticks at most."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    scale = 100 if percent else 1
    places = len(f"{step * scale:.10f}".rstrip("0").partition(".")[2])
    values = [number * step for number in range(first, last + 1)]
    return Axis(low, high, name, tuple((value, minus(f"{value * scale + 0.0:.{places}f}")) for value in values))


def thinned(found: Axis, width: float) -> Axis:
    """The axis with as many of its ticks as have room on a plot of ``width`` units, 0 or the middle one among them."""
    if len(found.ticks) < 2:
        return found
    values = [value for value, _ in found.ticks]
    needed = 12 + DIGIT * max(len(text) for _, text in found.ticks)
    every = math.ceil(needed / (width * (found.at(values[1]) - found.at(values[0]))))
    kept = min(range(len(values)), key=lambda number: (abs(values[number]), abs(2 * number + 1 - len(values))))
    ticks = tuple(tick for number, tick in enumerate(found.ticks) if (number - kept) % every == 0)
    return replace(found, ticks=ticks)


@dataclass(frozen=True)
class Mark:
    """An SVG element; the template escapes its attributes (None leaves one out) and its tooltip."""

    tag: str
    attributes: Mapping[str, str | None]
    label: str = ""


@dataclass
class Panel:
    """A chart of ``width`` x ``height`` units; a unit is about one pixel at full width."""

    x: Axis
    y: Axis
    title: str
    width: float = 430.0
    height: float = 330.0
    left: float = 62.0  # margins around the plot
    right: float = 14.0
    top: float = 28.0
    bottom: float = 44.0
    hints: tuple[str, str] = ("", "")  # above the left and the right end of the plot
    marks: list[Mark] = field(default_factory=list)  # drawn in the plot, in its coordinates
    words: list[str] = field(default_factory=list)  # what it shows, in sentences

    @property
    def inner_width(self) -> float:
        """Of the plot."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        """Of the plot."""
        return self.height - self.top - self.bottom

    def line(self, points: Sequence[Point], css: str, *, label: str = "", row: str = "") -> None:
        """Draw a line; ``label`` is its tooltip, ``row`` lets the legend find it."""
        given = {"class": f"line {css}", "data-row": row or None, "d": self._path(points)}
        self.marks.append(Mark("path", given, label))

    def band(self, lower: Sequence[Point], upper: Sequence[Point], css: str) -> None:
        """Fill the area between two lines."""
        self.marks.append(Mark("path", {"class": f"band {css}", "d": f"{self._path([*upper, *reversed(lower)])}Z"}))

    def dot(self, point: Point, css: str, *, label: str = "", radius: float = 4.0) -> None:
        """Draw a dot."""
        x, y = self.x.at(point[0]) * self.inner_width, (1 - self.y.at(point[1])) * self.inner_height
        given = {"class": f"dot {css}", "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"}
        self.marks.append(Mark("circle", given, label))

    def _path(self, points: Sequence[Point]) -> str:
        """SVG path to a tenth of a unit, from the last point before the visible range to the first after it.

        Points inside horizontal or vertical runs are dropped.
        """
        low, high = np.array([self.x.low, self.y.low]), np.array([self.x.high, self.y.high])
        given = (np.asarray(points, dtype=np.float64).reshape(-1, 2) - low) / (high - low)
        seen = np.flatnonzero(((given >= 0) & (given <= 1)).all(axis=1))
        if seen.size:
            given = given[max(0, seen[0] - 1) : seen[-1] + 2]
        across, down = given[:, 0] * self.inner_width, (1 - given[:, 1]) * self.inner_height
        placed = np.round(np.column_stack([across, down]), 1) + 0.0
        placed = placed[np.diff(placed, axis=0, prepend=np.nan).any(axis=1)]
        still = np.diff(placed, axis=0) == 0
        inside = np.zeros(len(placed), dtype=bool)
        inside[1:-1] = (still[:-1] & still[1:]).any(axis=1)
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in placed[~inside].tolist())
