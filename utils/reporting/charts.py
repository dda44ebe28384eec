"""The charts of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .analysis import Metric, Report, Row, group_letter
from .comparison import CLEAR, Change, Comparison
from .svg import Axis, Panel, Point, axis, minus

COLOURS = 8  # c0 .. c7 of page.css
MOST_LETTERS = 30  # of a name in a forest plot; a longer one is cut


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
    """The row of an objective without ALM, if there is one, and its rows with ALM."""

    rows: tuple[Row, ...]

    @property
    def heading(self) -> str:
        """The objective, and a note if its data are not those of the main group."""
        group = self.rows[0].group
        return f"{self.rows[0].label} (not comparable: data {group_letter(group)})" if group else self.rows[0].label

    def styles(self) -> list[tuple[Row, str]]:
        """Each row with its colour: c0 without ALM, the others with ALM."""
        number = 1
        styled = []
        for row in self.rows:
            styled.append((row, f"c{number}" if row.constraint else "c0"))
            number = number % (COLOURS - 1) + 1 if row.constraint else number
        return styled


def families(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> list[Family]:
    """Group each row without ALM with the rows compared with it; a row without a partner is alone."""
    partner = {each.alm.run.name: each.base.run.name for each in comparisons}
    members: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: bool(row.constraint)):
        members.setdefault(partner.get(row.run.name, row.run.name), []).append(row)
    order = [row.run.name for row in rows]
    return [Family(tuple(found)) for _, found in sorted(members.items(), key=lambda item: order.index(item[0]))]


# --- ROC ---------------------------------------------------------------------------------------------------


def roc_overview(report: Report, group: int) -> Figure:
    """The ensembles of all rows of a group: one colour per objective, dashed without ALM."""
    rows = [row for row in report.rows if row.group == group]
    labels = list(dict.fromkeys(row.label for row in rows))
    styled = [(row, f"c{labels.index(row.label) % COLOURS}{'' if row.constraint else ' dashed'}") for row in rows]
    heading = "All rows" if group == 0 else f"Rows with data {group_letter(group)}"
    caption = "Solid with ALM, dashed without. Click a row in the legend to highlight it."
    return Figure(heading, _roc_panels(report, styled, marked=False), _legend(styled), caption)


def roc_figure(report: Report, family: Family) -> Figure:
    """One objective without and with ALM, with the FPR at each TPR marked."""
    styled = family.styles()
    return Figure(family.heading, _roc_panels(report, styled, marked=True), _legend(styled))


def _legend(styled: Sequence[tuple[Row, str]]) -> tuple[Entry, ...]:
    return tuple(
        Entry(f"{row.full_name}: AUC {row.measures['auc'].ensemble:.4f}", css, row.run.name) for row, css in styled
    )


def _roc_panels(report: Report, styled: Sequence[tuple[Row, str]], *, marked: bool) -> tuple[Panel, ...]:
    names = "false positive rate, %", "true positive rate, %"
    across, up = (axis(-0.008, 1.008, name, percent=True) for name in names)
    whole = Panel(across, up, "full ROC curve")
    bottom = corner_bottom(report)
    wide = axis(-0.003, corner_width(report), names[0], percent=True)
    corner = Panel(wide, axis(bottom, 1.003, names[1], percent=True), f"TPR above {bottom * 100:g} %")
    whole.line([(0, 0), (1, 1)], "chance")
    for tpr in report.tprs:
        corner.line([(0, tpr), (1, tpr)], "guide")
    for row, css in styled:
        points: list[Point] = list(zip(row.curve.fpr.tolist(), row.curve.tpr.tolist(), strict=True))
        for panel in (whole, corner):
            panel.line(points, css, label=f"{row.full_name}: AUC {row.measures['auc'].ensemble:.4f}", row=row.run.name)
            if marked:
                _mark(panel, report, row, css, radius=4.5 if panel is corner else 3)
    description = " ".join(_in_words(report, row) for row, _ in styled)
    return whole.described(description), corner.described(description)


def _mark(panel: Panel, report: Report, row: Row, css: str, *, radius: float) -> None:
    for tpr in report.tprs:
        fpr, reached = row.curve.fpr_at(tpr), row.curve.tpr[row.curve.first_at(tpr)].item()
        panel.dot((fpr, reached), css, label=f"{row.full_name}: FPR {fpr:.1%} at TPR {tpr * 100:g} %", radius=radius)


def _in_words(report: Report, row: Row) -> str:
    rates = ", ".join(
        f"{metric.title}: {row.measures[metric.key].ensemble * 100:.1f} %" for metric in report.metrics[1:]
    )
    return f"{row.full_name}: AUC {row.measures['auc'].ensemble:.4f}; {rates}."


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
    styled = [
        (row, css) for row, css in family.styles() if any(row.run.curves[seed]["val_auc"] for seed in row.run.seeds)
    ]
    if not styled:
        return None
    last = max(len(row.run.curves[seed]["val_auc"]) for row, _ in styled for seed in row.run.seeds)
    panels = []
    for name, title in (("val_auc", "validation AUC"), ("train_auc", "training AUC")):
        up = axis(lows[name], 1.0, "AUC")
        up = replace(up, high=1.0 + 0.02 * (1.0 - lows[name]))  # room for a dot at 1
        panel = Panel(_epoch_axis(last), up, title, height=270)
        words = []
        for row, css in styled:
            _draw_epochs(panel, row, css, name)
            words.append(_epochs_in_words(row, name))
        panels.append(panel.described(" ".join(words)))
    legend = tuple(Entry(f"{row.full_name} ({_seeds(len(row.run.seeds))})", css) for row, css in styled)
    return Figure(family.heading, tuple(panels), legend)


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _epoch_axis(last: int) -> Axis:
    high = max(last - 1, 1)
    ticks = axis(0, high, "epoch", most=min(8, high)).ticks
    whole = tuple((value, text) for value, text in ticks if abs(value - round(value)) < 1e-9)
    return Axis(-0.02 * high, 1.02 * high, "epoch", tuple((value, f"{value:.0f}") for value, _ in whole))


def _by_epoch(row: Row, name: str) -> list[tuple[int, list[float]]]:
    """Each epoch with the values of the seeds that reached it."""
    curves = [row.run.curves[seed][name] for seed in row.run.seeds]
    longest = max((len(curve) for curve in curves), default=0)
    found = []
    for epoch in range(longest):
        values = [value for curve in curves if epoch < len(curve) and (value := curve[epoch]) is not None]
        if values:
            found.append((epoch, values))
    return found


def lowest_auc(rows: Sequence[Row], name: str) -> float:
    """Lower end of an AUC axis: a multiple of 0.05 below all curves of that name, at most 0.9."""
    values = [value for row in rows for _, each in _by_epoch(row, name) for value in each]
    return max(0.0, min(0.9, math.floor(min(values, default=0.5) * 20) / 20))


def _draw_epochs(panel: Panel, row: Row, css: str, name: str) -> None:
    epochs = _by_epoch(row, name)
    if len(row.run.seeds) > 1:
        panel.band(
            [(epoch, min(values)) for epoch, values in epochs], [(epoch, max(values)) for epoch, values in epochs], css
        )
    means = [(float(epoch), sum(values) / len(values)) for epoch, values in epochs]
    panel.line(means, css, label=row.full_name)
    if len(means) == 1:
        panel.dot(means[0], css)
    if name == "val_auc":
        for number, seed in row.run.seeds.items():
            curve = row.run.curves[number][name]
            epoch = seed.best_epoch
            if epoch is not None and 0 <= epoch < len(curve) and (value := curve[epoch]) is not None:
                panel.dot((epoch, value), css, label=f"{row.full_name}, seed {number}: best epoch {epoch}", radius=3)


def _epochs_in_words(row: Row, name: str) -> str:
    epochs = _by_epoch(row, name)
    if not epochs:
        return f"{row.full_name}: not recorded."
    means = {epoch: sum(values) / len(values) for epoch, values in epochs}
    first, last, top = epochs[0][0], epochs[-1][0], max(means, key=lambda epoch: means[epoch])
    return (
        f"{row.full_name}: mean {means[first]:.3f} in epoch {first}, highest {means[top]:.3f} in epoch {top}, "
        f"{means[last]:.3f} in the last epoch, {last}."
    )


# --- effect of ALM -----------------------------------------------------------------------------------------


def forest(metric: Metric, comparisons: Sequence[Comparison]) -> Panel:
    """Difference and interval of each row in one metric; filled dots are clear after correction."""
    changes = [each.changes[metric.key] for each in comparisons]
    reach = 1.08 * max([1e-3, *(abs(bound) for change in changes for bound in (change.low, change.high))])
    name = "AUC, with ALM minus without" if metric.tpr is None else "FPR in points, with ALM minus without"
    count = len(comparisons)
    left = 24 + 6.6 * max(len(_forest_label(each, comparisons)) for each in comparisons)
    rows = Axis(-0.6, count - 0.4, "", ())
    panel = Panel(
        axis(-reach, reach, name, percent=metric.tpr is not None, most=5),
        rows,
        metric.title,
        height=108 + 27 * count,
        top=46,
        left=left,
    )
    panel.line([(0, -1), (0, count)], "zero")
    words = []
    for position, (each, change) in enumerate(zip(comparisons, changes, strict=True)):
        height = count - 1 - position
        clear = change.p_corrected is not None and change.p_corrected < CLEAR
        panel.line([(change.low, height), (change.high, height)], "c1")
        text = f"{_forest_label(each, comparisons)}: {_change_in_words(metric, change)}"
        panel.dot((change.difference, height), "c1" if clear else "c1 hollow", label=text, radius=5)
        panel.note((panel.x.low, height), _forest_label(each, comparisons), anchor="end", css="name", shift=(-8, 4))
        words.append(text + ".")
    better = (reach, "end", "ALM better \N{RIGHTWARDS ARROW}"), (-reach, "start", "\N{LEFTWARDS ARROW} ALM better")
    side, anchor, text = better[0] if metric.sign > 0 else better[1]
    panel.note((side, rows.high), text, anchor=anchor, css="hint", shift=(0, -5))
    return panel.described(" ".join(words))


def _forest_label(each: Comparison, comparisons: Sequence[Comparison]) -> str:
    """The objective, with its constraint if several rows have that objective."""
    repeated = sum(other.alm.label == each.alm.label for other in comparisons) > 1
    name = f"{each.alm.label}, {each.alm.constraint.removeprefix('ALM ')}" if repeated else each.alm.label
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def _change_in_words(metric: Metric, change: Change) -> str:
    if metric.tpr is None:
        return minus(f"{change.difference:+.4f} [{change.low:+.4f}, {change.high:+.4f}]")
    return minus(f"{change.difference * 100:+.1f} [{change.low * 100:+.1f}, {change.high * 100:+.1f}] points")
