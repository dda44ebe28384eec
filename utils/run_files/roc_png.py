"""roc.png: the ROC of the test set, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.roc import Roc, roc
from ..metrics.scores import Scores
from ..system.files import write_atomically
from ..system.pictures import plain_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SEED, ENSEMBLE, POINT, DEFAULT = "#9db4cc", "#14508c", "#c2410c", "#111111"
CORNER = 0.80  # the right panel shows TPRs from here up, or from the lowest operating point
NARROWEST = 12  # negatives that the right panel shows at least
COLUMN = (0.60, 0.98)  # left and right end of the labels, as fractions of the panel
LABEL = 0.075  # height of a label, as a fraction of the panel


@plain_matplotlib()
def roc_figure(seeds: Mapping[int, Scores], ensemble: Scores, result: dict[str, Any], *, title: str) -> Figure:
    """The ROC of each seed and of their average on the test set, whole and at high TPR.

    Args:
        seeds: test scores of each seed.
        ensemble: test scores averaged over the seeds.
        result: its block of results.json; the default threshold and the operating points are marked.
        title: the run's name.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=120)
    whole, corner = figure.subplots(1, 2)
    curves = [roc(scores.label, scores.score) for scores in seeds.values()]
    mean = roc(ensemble.label, ensemble.score)
    for axes in (whole, corner):
        _draw_curves(axes, curves, mean, result)
    whole.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    whole.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="whole", ylabel="true positive rate")
    test = result["test"]
    low, left, right = _corner(mean, test)
    height, width = 1 - low, max(right - left, NARROWEST / test["n_negative"])
    corner.set(
        ylim=(low - 0.03 * height, 1 + 0.03 * height),
        xlim=(left - 0.04 * width, left + 1.04 * width),
        title=f"true positive rate above {low:.0%}",
    )
    corner.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    for axes in (whole, corner):
        _mark_thresholds(axes, test)
    _name_points(corner, test["operating_points"])
    whole.legend(loc="lower right", frameon=False, fontsize=9)
    figure.suptitle(f"{title}   (test: {test['n_positive']} positives, {test['n_negative']} negatives)", fontsize=11)
    return figure


@plain_matplotlib()
def pixels(figure: Figure) -> NDArray[np.uint8]:
    """(height, width, 3) colours of the drawn figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


@plain_matplotlib()
def save_figure(figure: Figure, path: Path) -> None:
    """As PNG, atomically."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, lambda stream: stream.write(content.getvalue()))


def _draw_curves(axes: Axes, curves: list[Roc], mean: Roc, result: dict[str, Any]) -> None:
    for number, curve in enumerate(curves if len(curves) > 1 else []):
        label = f"the {len(curves)} seeds" if number == 0 else None
        axes.step(curve.fpr, curve.tpr, where="post", color=SEED, linewidth=0.9, label=label)
    low, high = result["test"]["auc_interval"]
    label = f"{'ensemble' if len(curves) > 1 else 'seed'}: AUC {result['test']['auc']:.3f} [{low:.3f}, {high:.3f}]"
    axes.step(mean.fpr, mean.tpr, where="post", color=ENSEMBLE, linewidth=2, label=label)
    axes.set_xlabel("false positive rate")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _mark_thresholds(axes: Axes, test: dict[str, Any]) -> None:
    points, default = test["operating_points"], test["at_default_threshold"]
    _mark(axes, points, "o", color=POINT, label="thresholds chosen on validation for the TPRs on the right")
    _mark(axes, [default], "D", color=DEFAULT, label="default threshold")


def _mark(axes: Axes, points: list[dict[str, Any]], marker: str, *, color: str, label: str) -> None:
    """Mark the points that lie within the axes, each whole, also on their edge."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    shown = [point for point in points if left <= point["fpr"] <= right and low <= point["tpr"] <= high]
    x, y = [point["fpr"] for point in shown], [point["tpr"] for point in shown]
    (marks,) = axes.plot(x, y, marker, color=color, markersize=7, label=label, clip_on=False, zorder=3)
    marks.set_in_layout(False)


def _name_points(axes: Axes, points: list[dict[str, Any]]) -> None:
    """A label for each point, in a column in the lower right, below the curves, with a line to its point."""
    (left, right), (start, end) = axes.get_xlim(), COLUMN
    for row, point in enumerate(sorted(points, key=lambda point: (float(point["tpr"]), float(point["target_tpr"])))):
        across = ((point["fpr"] - left) / (right - left) - start) / (end - start)
        label = axes.annotate(
            f"for {_percent(point['target_tpr'])}: TPR {100 * point['tpr']:.4g}%, FPR {100 * point['fpr']:.3g}%",
            (point["fpr"], point["tpr"]),
            xytext=(end, 0.06 + LABEL * row),
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=9,
            color=POINT,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9},
            arrowprops={
                "arrowstyle": "-",
                "color": POINT,
                "linewidth": 0.6,
                "shrinkB": 4,
                "relpos": (min(1.0, max(0.0, across)), 0.5),
            },
        )
        label.set_in_layout(False)  # the panels keep their size


def _percent(rate: float) -> str:
    """As short as it is exact.

    >>> _percent(0.98), _percent(0.995)
    ('98%', '99.5%')
    """
    return f"{100 * rate:.10g}%"


def _corner(mean: Roc, test: dict[str, Any]) -> tuple[float, float, float]:
    """Lowest TPR, and lowest and highest FPR, of the right panel.

    It holds all operating points, and the ensemble's curve from ``CORNER``, or the lowest point's TPR, up to the
    highest TPR that was asked for; beyond that, a few positives that are never found would take most of the panel.
    """
    points = test["operating_points"]
    low = min([CORNER, *(point["tpr"] for point in points)])
    highest = max([point["target_tpr"] for point in points], default=1.0)
    left, right = (float(mean.fpr[(mean.tpr >= tpr).argmax()]) for tpr in (low, highest))
    rates = [point["fpr"] for point in points]
    return low, min([left, *rates]), max([right, *rates])
