"""Charts as data: a panel with two axes and the SVG elements drawn in it. ``page.html.j2`` renders them.

CSS classes set the colour (``c0`` .. ``c7``) and style (``dashed``, ``hollow``), see page.css. Each panel has a title
and a description for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]


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
    step = _round_step((high - low) / most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    factor, decimals = (100, -2) if percent else (1, 0)
    places = max(0, -math.floor(math.log10(step) + 1e-9) + decimals)
    if float(f"{step * factor:.{places}f}") != float(f"{step * factor:.10g}"):
        places += 1
    values = [number * step for number in range(first, last + 1)]
    return Axis(low, high, name, tuple((value, minus(f"{value * factor + 0.0:.{places}f}")) for value in values))


def minus(text: str) -> str:
    """``text`` with minus signs instead of hyphens."""
    return text.replace("-", "\N{MINUS SIGN}")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


@dataclass(frozen=True)
class Mark:
    """An SVG element; the template escapes its values.

    Args:
        attributes: values by name; None leaves an attribute out.
        text: content of the element.
        label: tooltip.
    """

    tag: str
    attributes: Mapping[str, str | None]
    text: str = ""
    label: str = ""


def _text(css: str, text: str, *, anchor: str | None = None, **position: str) -> Mark:
    return Mark("text", {"class": css, **position, "text-anchor": anchor}, text)


@dataclass
class Panel:
    """A chart of ``width`` x ``height`` units; a unit is about one pixel at full width.

    Args:
        x, y: the axes.
        left: margin to the left of the plot; ``right``, ``top`` and ``bottom`` likewise.
        title: shown above the plot.
        description: what the panel shows, in words.
        marks: elements drawn in the plot, in its coordinates.
        notes: texts in the coordinates of the whole chart.
    """

    x: Axis
    y: Axis
    title: str
    width: float = 430.0
    height: float = 330.0
    left: float = 62.0
    right: float = 14.0
    top: float = 28.0
    bottom: float = 44.0
    description: str = ""
    marks: list[Mark] = field(default_factory=list)
    notes: list[Mark] = field(default_factory=list)

    def place(self, point: Point) -> Point:
        """Position of ``point`` in units from the upper left corner of the plot."""
        x, y = point
        return self.x.at(x) * self.inner_width, (1 - self.y.at(y)) * self.inner_height

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
        path = _path(self.place(point) for point in self._seen(points))
        if path:
            given = {"class": f"line {css}", "data-row": row or None, "d": path}
            self.marks.append(Mark("path", given, label=label))

    def band(self, lower: Sequence[Point], upper: Sequence[Point], css: str) -> None:
        """Fill the area between two lines."""
        path = _path(self.place(point) for point in [*upper, *reversed(lower)])
        if path:
            self.marks.append(Mark("path", {"class": f"band {css}", "d": f"{path}Z"}))

    def dot(self, point: Point, css: str, *, label: str = "", radius: float = 4.0) -> None:
        """Draw a dot."""
        x, y = self.place(point)
        given = {"class": f"dot {css}", "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"}
        self.marks.append(Mark("circle", given, label=label))

    def note(self, point: Point, text: str, *, css: str = "", anchor: str = "start", shift: Point = (0, 0)) -> None:
        """Write text at ``point``, moved by ``shift`` units; it may lie outside the plot."""
        x, y = self.place(point)
        x, y = x + self.left + shift[0], y + self.top + shift[1]
        self.notes.append(_text(f"note {css}", text, x=f"{x:.1f}", y=f"{y:.1f}", anchor=anchor))

    def described(self, description: str) -> Panel:
        """Set the description and return the panel."""
        self.description = description
        return self

    @property
    def frame(self) -> list[Mark]:
        """Title, grid, ticks and axis names."""
        bottom, right = self.top + self.inner_height, self.left + self.inner_width
        marks = [_text("chart-title", self.title, x=f"{self.left:g}", y="16")]
        for value, text in self.x.ticks:
            x = f"{self.left + self.x.at(value) * self.inner_width:.1f}"
            marks.append(Mark("path", {"class": "grid", "d": f"M{x} {self.top:g}V{bottom:g}"}))
            marks.append(_text("tick", text, x=x, y=f"{bottom + 15:g}", anchor="middle"))
        for value, text in self.y.ticks:
            y = self.top + (1 - self.y.at(value)) * self.inner_height
            marks.append(Mark("path", {"class": "grid", "d": f"M{self.left:g} {y:.1f}H{right:g}"}))
            marks.append(_text("tick", text, x=f"{self.left - 7:g}", y=f"{y + 4:.1f}", anchor="end"))
        x = f"{self.left + self.inner_width / 2:g}"
        marks.append(_text("axis", self.x.name, x=x, y=f"{self.height - 8:g}", anchor="middle"))
        if self.y.name:
            turned = f"translate(14 {self.top + self.inner_height / 2:g}) rotate(-90)"
            marks.append(_text("axis", self.y.name, transform=turned, anchor="middle"))
        return marks

    def _seen(self, points: Sequence[Point]) -> list[Point]:
        """``points`` from the last before the visible range to the first after it (x ascending)."""
        inside = [
            number
            for number, (x, y) in enumerate(points)
            if self.x.low <= x <= self.x.high and self.y.low <= y <= self.y.high
        ]
        if not inside:
            return list(points)
        return list(points[max(0, inside[0] - 1) : inside[-1] + 2])


def _path(points: Iterable[Point]) -> str:
    """SVG path through ``points``, to a tenth of a unit; points inside horizontal or vertical runs are dropped."""
    kept: list[tuple[float, float]] = []
    for x, y in points:
        point = (round(x, 1), round(y, 1))
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept[-1] = point
        else:
            kept.append(point)
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept) if len(kept) > 1 else ""
