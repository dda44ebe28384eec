"""Charts as SVG text: a panel with two axes and what is drawn into it. Colours come from the page's style sheet.

Classes: ``c0`` .. ``c7`` choose a colour (see page.css), ``dashed``, ``thin``, ``hollow`` a style. Each panel is an
image with a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: its range, its name, its ticks as (value, text)."""

    low: float
    high: float
    name: str
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Where ``value`` lies, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, name: str, *, percent: bool = False, most: int = 6) -> Axis:
    """An axis with at most about ``most`` round ticks."""
    step = _round_step((high - low) / most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    factor, decimals = (100, -2) if percent else (1, 0)
    places = max(0, -math.floor(math.log10(step) + 1e-9) + decimals)
    if float(f"{step * factor:.{places}f}") != float(f"{step * factor:.10g}"):
        places += 1
    values = [number * step for number in range(first, last + 1)]
    return Axis(low, high, name, tuple((value, minus(f"{value * factor + 0.0:.{places}f}")) for value in values))


def minus(text: str) -> str:
    """With a minus sign for a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


@dataclass
class Panel:
    """A chart of ``width`` x ``height`` units; one unit is about a pixel at full width.

    Args:
        x, y: the axes.
        left: room for what stands left of the vertical axis.
        title: stands above.
        marks: what has been drawn, in plot coordinates.
    """

    x: Axis
    y: Axis
    title: str
    width: float = 430.0
    height: float = 330.0
    left: float = 58.0
    right: float = 14.0
    top: float = 28.0
    bottom: float = 44.0
    marks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def place(self, point: Point) -> Point:
        """Units from the upper left corner of the plot."""
        x, y = point
        return self.x.at(x) * self._inner_width, (1 - self.y.at(y)) * self._inner_height

    @property
    def _inner_width(self) -> float:
        return self.width - self.left - self.right

    @property
    def _inner_height(self) -> float:
        return self.height - self.top - self.bottom

    def line(self, points: Sequence[Point], css: str, *, label: str = "", row: str = "") -> None:
        """A line through ``points``; ``label`` shows when pointed at, ``row`` lets the legend find it."""
        path = _path(self.place(point) for point in self._seen(points))
        data = f' data-row="{escape(row)}"' if row else ""
        hint = f"<title>{escape(label)}</title>" if label else ""
        if path:
            self.marks.append(f'<path class="line {css}"{data} d="{path}">{hint}</path>')

    def band(self, lower: Sequence[Point], upper: Sequence[Point], css: str) -> None:
        """The area between two lines."""
        path = _path(self.place(point) for point in [*upper, *reversed(lower)])
        if path:
            self.marks.append(f'<path class="band {css}" d="{path}Z"/>')

    def dot(self, point: Point, css: str, *, label: str = "", radius: float = 4.0) -> None:
        """A round mark."""
        x, y = self.place(point)
        hint = f"<title>{escape(label)}</title>" if label else ""
        self.marks.append(f'<circle class="dot {css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{hint}</circle>')

    def note(self, point: Point, text: str, *, css: str = "", anchor: str = "start", shift: Point = (0, 0)) -> None:
        """Text at ``point``, moved by ``shift`` units; may lie outside the plot."""
        x, y = self.place(point)
        x, y = x + self.left + shift[0], y + self.top + shift[1]
        self.notes.append(
            f'<text class="note {css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def svg(self, description: str) -> str:
        """The whole image; ``description`` is what it shows, in words."""
        inner = (
            f'<svg x="{self.left:g}" y="{self.top:g}" width="{self._inner_width:g}" height="{self._inner_height:g}">'
            + "".join(self.marks)
            + "</svg>"
        )
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(f"{self.title}. {description}")}">'
            f"{self._frame()}{inner}{''.join(self.notes)}</svg>"
        )

    def _frame(self) -> str:
        bottom, right = self.top + self._inner_height, self.left + self._inner_width
        parts = [f'<text class="chart-title" x="{self.left:g}" y="16">{escape(self.title)}</text>']
        for value, text in self.x.ticks:
            x = self.left + self.x.at(value) * self._inner_width
            parts.append(f'<path class="grid" d="M{x:.1f} {self.top:g}V{bottom:g}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15:g}" text-anchor="middle">{text}</text>')
        for value, text in self.y.ticks:
            y = self.top + (1 - self.y.at(value)) * self._inner_height
            parts.append(f'<path class="grid" d="M{self.left:g} {y:.1f}H{right:g}"/>')
            parts.append(
                f'<text class="tick" x="{self.left - 7:g}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
            )
        x, y = self.left + self._inner_width / 2, self.height - 8
        parts.append(f'<text class="axis" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(self.x.name)}</text>')
        if self.y.name:
            middle = self.top + self._inner_height / 2
            parts.append(
                f'<text class="axis" transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y.name)}</text>"
            )
        return "".join(parts)

    def _seen(self, points: Sequence[Point]) -> list[Point]:
        """``points`` from the last before the plot to the first behind it (x ascending, y ascending or within)."""
        inside = [
            number
            for number, (x, y) in enumerate(points)
            if self.x.low <= x <= self.x.high and self.y.low <= y <= self.y.high
        ]
        if not inside:
            return list(points)
        return list(points[max(0, inside[0] - 1) : inside[-1] + 2])


def _path(points: Iterable[Point]) -> str:
    """SVG path through ``points``, to a tenth of a unit, without points that lie on a straight level or upright run."""
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
