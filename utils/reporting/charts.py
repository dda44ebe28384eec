"""The charts of the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..metrics.intervals import LEVEL, METHODS, roc_band
from .analysis import Metric, Report, Row
from .comparison import MOST_LETTERS, Change, Comparison, pairs
from .data_groups import group_letter
from .svg import Axis, Panel, Point, axis, thinned
from .tables import cut, exact_percent, number

BAND_POINTS = 10  # below the enlarged part, and in it
BAND = (
    f"{LEVEL * 100:g} % interval of the FPR at each TPR on its own, for new images ({METHODS['fpr_at_tpr_interval']})"
)
COLOURS = 8  # c0 .. c7 of page.css


@dataclass(frozen=True)
class Entry:
    """A legend entry; ``row`` makes it a button that highlights the row's curve."""

    text: str
    css: str
    row: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels side by side, with a common heading and legend."""

    heading: str
    panels: tuple[Panel, ...]
    legend: tuple[Entry, ...]
    caption: str = ""


@dataclass(frozen=True)
class Family:
    """The row of an objective without ALM, if there is one, and its rows with ALM, each with its colour."""

    rows: tuple[tuple[Row, str], ...]

    @property
    def heading(self) -> str:
        """The objective, and a note if its data are not those of the main group."""
        return self._heading(self.rows[0][0].label)

    @property
    def run_heading(self) -> str:
        """The same without a critical class."""
        return self._heading(self.rows[0][0].run_label)

    def _heading(self, label: str) -> str:
        first = self.rows[0][0]
        return f"{label} (not comparable: data {group_letter(first.group)})" if first.difference else label


def families(rows: Sequence[Row]) -> list[Family]:
    """Group each row without ALM (c0) with those of the same objective with it; a row without a partner is alone."""
    partner = {row.run.name: base.run.name for base, row in pairs(rows)}
    members: dict[str, list[Row]] = {row.run.name: [] for row in rows}
    for row in sorted(rows, key=lambda row: bool(row.constraint)):
        members[partner.get(row.run.name, row.run.name)].append(row)
    found = []
    for family in filter(None, members.values()):
        first = 1 if family[0].constraint else 0  # colour 0 is that of a row without ALM
        colours = [(first + place - 1) % (COLOURS - 1) + 1 if row.constraint else 0 for place, row in enumerate(family)]
        found.append(Family(tuple((row, f"c{colour}") for row, colour in zip(family, colours, strict=True))))
    return found


# --- ROC ---------------------------------------------------------------------------------------------------


def roc_overview(report: Report, group: int) -> Figure:
    """The ensembles of all rows of a group: one colour per objective, dashed without ALM."""
    rows = [row for row in report.rows if row.group == group]
    labels = list(dict.fromkeys(row.label for row in rows))
    styled = [(row, f"c{labels.index(row.label) % COLOURS}{'' if row.constraint else ' dashed'}") for row in rows]
    heading = "All rows" if group == 0 else f"Rows with data {group_letter(group)}"
    if rows[0].run.critical:
        other = f", data {group_letter(group)}" if rows[0].difference else ""
        heading = f"All rows of class {rows[0].run.critical}{other}"
    caption = "Solid with ALM, dashed without. Click a row in the legend to highlight it."
    return replace(_roc_figure(report, heading, styled, marked=False), caption=caption)


def roc_figure(report: Report, family: Family) -> Figure:
    """One objective without and with ALM, with the FPR at each TPR marked, and a band around it."""
    found = _roc_figure(report, family.heading, family.rows, marked=True)
    return replace(found, caption=f"Band: {BAND}.")


def _roc_figure(report: Report, heading: str, styled: Sequence[tuple[Row, str]], *, marked: bool) -> Figure:
    bottom, names = corner_bottom(report), ("false positive rate, %", "true positive rate, %")
    whole_axes = [axis(-0.008, 1.008, name, percent=True) for name in names]
    ranges = (-0.003, corner_width(report)), (bottom, 1.003)
    corner_axes = [axis(*ends, name, percent=True) for ends, name in zip(ranges, names, strict=True)]
    whole = Panel(whole_axes[0], whole_axes[1], "full ROC curve")
    corner = Panel(corner_axes[0], corner_axes[1], f"TPR above {exact_percent(round(bottom, 10))} %")
    whole.line([(0, 0), (1, 1)], "chance")
    for tpr in report.tprs:
        corner.line([(0, tpr), (1, tpr)], "guide")
    legend = []
    for row, css in styled:
        values = [(metric, row.measures[metric.key].ensemble) for metric in report.metrics]
        auc, *rates = (f"{metric.title}: {metric.shown(value)}" for metric, value in values)
        text = f"{row.name}, {auc}"
        points = list(zip(row.curve.fpr.tolist(), row.curve.tpr.tolist(), strict=True))
        ends = band_points(report, row) if marked else ([], [])
        dots = [points[row.curve.first_at(tpr)] for tpr in report.tprs] if marked else []
        legend.append(Entry(text, css, row.run.name))
        for panel, radius in ((whole, 3), (corner, 4.5)):
            if marked:
                panel.band(*ends, css)
            panel.line(points, css, label=text, row=row.run.name)
            for dot, rate in zip(dots, rates, strict=False):
                panel.dot(dot, css, label=f"{row.name}: {rate}", radius=radius)
            panel.words.append(f"{'; '.join([text, *rates])}.")
    if marked:
        for panel in (whole, corner):
            panel.words.append(f"Band: {BAND}.")
    return Figure(heading, (whole, corner), tuple(legend))


def band_points(report: Report, row: Row) -> tuple[list[Point], list[Point]]:
    """The lower and the upper ends of the FPR at TPRs in (0, 1], most of them where few positives are missed."""
    bottom, positives = corner_bottom(report), int(row.test.label.sum())
    missed = np.geomspace(max(1 - bottom, 1 / positives), 0.5 / positives, BAND_POINTS)  # closer and closer to 0
    tprs = sorted({*np.linspace(0.02, bottom or 0.02, BAND_POINTS).tolist(), *(1 - missed).tolist(), *report.tprs, 1.0})
    tprs = [tpr for tpr in tprs if tpr > 0]
    ends = roc_band(row.test.label, row.test.score, tprs, groups=row.test.groups)
    low, high = ([(end[side], tpr) for end, tpr in zip(ends, tprs, strict=True)] for side in (0, 1))
    return low, high


def corner_bottom(report: Report) -> float:
    """Lowest TPR of the enlarged part: ten points below the lowest target, at most 0.9."""
    return max(0.0, min([0.9, *(tpr - 0.1 for tpr in report.tprs)]))


def corner_width(report: Report) -> float:
    """Highest FPR of the enlarged part, the same in all figures: most rows reach the highest target below it."""
    tops = [tpr for tpr in report.tprs if tpr < 1] or [0.98]
    needed = sorted(row.curve.fpr_at(max(tops)) for row in report.rows)
    return min(1.0, max(0.05, 1.2 * needed[int(0.9 * (len(needed) - 1))])) if needed else 1.0


# --- AUC by epoch ------------------------------------------------------------------------------------------


def epoch_figure(family: Family, lows: Mapping[str, float]) -> Figure | None:
    """Mean and range of the seeds, on validation and training data; None without a history.

    Args:
        lows: lower ends of the AUC axes of ``val_auc`` and ``train_auc``.
    """
    styled = [(row, css, epochs) for row, css in family.rows if (epochs := by_epoch(row, "val_auc"))]
    if not styled:
        return None
    last = max([1, *(epoch for _, _, epochs in styled for epoch in epochs)])
    ticks = axis(0, last, "", most=min(8, last)).ticks
    across = Axis(-0.02 * last, 1.02 * last, "epoch", tuple((v, f"{v:.0f}") for v, _ in ticks if v == round(v)))
    panels = []
    for name, title in (("val_auc", "validation AUC"), ("train_auc", "training AUC")):
        panel = Panel(across, auc_axis(lows[name], "AUC"), title, height=270)
        for row, css, _ in styled:
            _draw_epochs(panel, row, css, name)
        panels.append(panel)
    counts = [(row, css, len(row.run.seeds)) for row, css, _ in styled]
    legend = tuple(Entry(f"{row.run_name} ({count} seed{'s'[: count > 1]})", css) for row, css, count in counts)
    of_classes = "Validation AUC: mean over all classes, each against the rest; training AUC: over the critical ones."
    caption = of_classes if family.rows[0][0].run.critical else ""
    return Figure(family.run_heading, tuple(panels), legend, caption)


def auc_axis(low: float, name: str) -> Axis:
    """From ``low`` to 1, with room for a dot at 1."""
    return replace(axis(low, 1.0, name), high=1.0 + 0.02 * (1.0 - low))


def by_epoch(row: Row, name: str) -> dict[int, list[float]]:
    """Of each epoch the values of the seeds that reached it."""
    found: dict[int, list[float]] = {}
    for seed in row.run.seeds:
        for epoch, value in enumerate(row.run.curves[seed][name]):
            if value is not None:
                found.setdefault(epoch, []).append(value)
    return dict(sorted(found.items()))


def lowest_auc(rows: Sequence[Row], name: str) -> float:
    """Lower end of an AUC axis: a multiple of 0.05 below all curves of that name, at most 0.9."""
    values = [value for row in rows for each in by_epoch(row, name).values() for value in each]
    return max(0.0, min(0.9, math.floor(min(values, default=0.5) * 20) / 20))


def _draw_epochs(panel: Panel, row: Row, css: str, name: str) -> None:
    epochs = by_epoch(row, name)
    if not epochs:
        panel.words.append(f"{row.run_name}: not recorded.")
        return
    means = {epoch: statistics.fmean(values) for epoch, values in epochs.items()}
    if len(row.run.seeds) > 1:
        lowest, highest = ([(epoch, end(values)) for epoch, values in epochs.items()] for end in (min, max))
        panel.band(lowest, highest, css)
    panel.line(list(means.items()), css, label=row.run_name)
    if len(means) == 1:
        panel.dot(next(iter(means.items())), css)
    if name == "val_auc":
        for seed, found in row.run.seeds.items():
            epoch, curve = found.best_epoch, row.run.curves[seed][name]
            if epoch is not None and epoch < len(curve) and (value := curve[epoch]) is not None:
                panel.dot((epoch, value), css, label=f"{row.run_name}, seed {seed}: best epoch {epoch}", radius=3)
    first, last, top = min(means), max(means), max(means, key=lambda epoch: means[epoch])
    text = {epoch: number(means[epoch], 3) for epoch in (first, last, top)}
    panel.words.append(
        f"{row.run_name}: mean {text[first]} in epoch {first}, highest {text[top]} in epoch {top}, {text[last]} in "
        f"the last epoch, {last}."
    )


# --- dots with a line of their own -------------------------------------------------------------------------


def dot_chart(across: Axis, title: str, names: Sequence[str], *, hints: tuple[str, str] = ("", "")) -> Panel:
    """An empty panel with a labelled line for each of ``names``, the first at the top."""
    shown = [cut(name, MOST_LETTERS) for name in names]
    ticks = tuple((float(len(names) - 1 - place), name) for place, name in enumerate(shown))
    up = Axis(-0.6, len(names) - 0.4, "", ticks)
    left, height = 24 + 6.6 * max(map(len, shown)), 108.0 + 27 * len(names)
    panel = Panel(across, up, title, height=height, left=left, right=24.0, top=46.0, hints=hints)
    panel.x = thinned(across, panel.width - panel.left - panel.right)
    return panel


def forest(metric: Metric, comparisons: Sequence[Comparison]) -> Panel:
    """Difference and interval of each row in one metric; filled dots are clear after correction."""
    changes = [each.changes[metric.key] for each in comparisons]
    reach = 1.08 * max([1e-3, *(abs(bound) for change in changes for bound in change.ends)])
    words = comparisons[0].words
    name = f"AUC, {words.difference}" if metric.tpr is None else f"FPR in points, {words.difference}"
    right, left = f"{words.better} \N{RIGHTWARDS ARROW}", f"\N{LEFTWARDS ARROW} {words.better}"
    hints = ("", right) if metric.sign > 0 else (left, "")
    across = axis(-reach, reach, name, percent=metric.tpr is not None, most=5)
    panel = dot_chart(across, metric.title, [each.row.name for each in comparisons], hints=hints)
    panel.line([(0, -1), (0, len(comparisons))], "zero")
    for (height, _), each, change in zip(panel.y.ticks, comparisons, changes, strict=True):
        text = f"{each.row.name}: {_change_in_words(metric, change)}"
        low, high = change.ends
        panel.line([(low, height), (high, height)], "c1")
        panel.dot((change.difference, height), "c1" if change.clear else "c1 hollow", label=text, radius=5)
        panel.words.append(f"{text}.")
    return panel


def _change_in_words(metric: Metric, change: Change) -> str:
    found = f"{metric.text(change.difference, sign=True)} {metric.bounds(*change.ends, sign=True)}"
    return found if metric.tpr is None else f"{found} points"
