"""PPV, NPV and net benefit of each threshold over the prevalence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..metrics.prevalence import net_benefit, npv, ppv
from .charts import COLOURS, Entry, Figure
from .evidence import NP, PLUG_IN, Decision, Evidence
from .svg import Axis, Panel, axis
from .tables import number, significant

EVERYTHING = "call all positive"
LOWEST, HIGHEST, POINTS = 1e-4, 0.5, 61
Value = Callable[[float, float, float], float | None]  # of prevalence, TPR and FPR


def prevalence_figure(found: Evidence, marked: Sequence[float], probability: float) -> Figure:
    """Three panels over a logarithmic axis; dots at the prevalences ``marked``.

    Of the promises only NP is drawn, and for a TPR without one the plug-in threshold.
    """

    def benefit(share: float, tpr: float, fpr: float) -> float:
        return 1000 * net_benefit(share, tpr=tpr, fpr=fpr, threshold_probability=probability)

    kept = {each.tpr for each in found.given if each.rule == NP}
    drawn = [each for each in found.given if each.rule == NP or (each.rule == PLUG_IN and each.tpr not in kept)]
    shares = _shares(marked)
    panels = [
        _panel("PPV, %", shares, marked, drawn, lambda share, tpr, fpr: ppv(share, tpr=tpr, fpr=fpr), percent=True),
        _panel("NPV, %", shares, marked, drawn, lambda share, tpr, fpr: npv(share, tpr=tpr, fpr=fpr), percent=True),
        _panel("net benefit per 1,000", shares, marked, drawn, benefit, percent=False),
    ]
    everything = [(math.log10(share), benefit(share, 1.0, 1.0)) for share in shares]
    panels[2].line(everything, "c7 dashed", label=EVERYTHING)
    legend = [Entry(each.short, f"c{place % COLOURS}") for place, each in enumerate(drawn)]
    return Figure("Over the prevalence", tuple(panels), (*legend, Entry(f"{EVERYTHING} (net benefit)", "c7 dashed")))


def _shares(marked: Sequence[float]) -> list[float]:
    low, high = min([LOWEST, *marked]), max([HIGHEST, *marked])
    return sorted({*np.geomspace(low, high, POINTS).tolist(), *marked})


def _panel(
    title: str,
    shares: Sequence[float],
    marked: Sequence[float],
    drawn: Sequence[Decision],
    value: Value,
    *,
    percent: bool,
) -> Panel:
    curves = []
    for each in drawn:
        assert each.rates is not None
        tpr, fpr = each.rates.tpr, each.rates.fpr
        curves.append([(share, y) for share in shares if (y := value(share, tpr, fpr)) is not None])
    values = [y for points in curves for _, y in points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low, high = (math.floor(low * 20) / 20, 1.0) if percent else (min(low, 0.0), max(high, 1e-3))
    low, room = (low, 0.02 * (high - low)) if low < high else (high - 0.05, 0.001)
    up = axis(low - room, high + room, title, percent=percent)
    panel = Panel(_prevalence_axis(shares), up, title, height=290)
    for place, (each, points) in enumerate(zip(drawn, curves, strict=True)):
        css = f"c{place % COLOURS}"
        panel.line([(math.log10(share), y) for share, y in points], css, label=each.short)
        for share, y in points:
            if share in marked:
                text = f"{each.short}: {number(y, 2, percent=percent)} at {significant(share * 100)} %"
                panel.dot((math.log10(share), y), css, label=text, radius=3)
                panel.words.append(f"{text}.")
    return panel


def _prevalence_axis(shares: Sequence[float]) -> Axis:
    """Logarithmic, with a tick at each power of ten and at its half."""
    low, high = math.log10(shares[0]), math.log10(shares[-1])
    powers = range(math.floor(low), 1)
    ticks = [(math.log10(value), f"{value * 100:g}") for value in (10.0**power for power in powers)]
    if high <= math.log10(0.5) + 1e-9:
        ticks.append((math.log10(0.5), "50"))
    room = 0.02 * (high - low)
    shown = tuple(tick for tick in ticks if low - 1e-9 <= tick[0] <= high + 1e-9)
    return Axis(low - room, high + room, "prevalence, %", shown)
