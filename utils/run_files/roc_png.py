"""roc.png: the ROC of the test set, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..metrics.roc import Roc, roc
from ..metrics.scores import Scores
from ..system.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEED, ENSEMBLE, POINT, DEFAULT = "#9db4cc", "#14508c", "#c2410c", "#111111"
CORNER = 0.80  # the right panel shows TPRs from here up


def roc_figure(seeds: Mapping[int, Scores], ensemble: Scores, result: dict[str, Any], *, title: str) -> Figure:
    """The ROC of each seed and of their average on the test set, whole and at high TPR.

    Args:
        seeds: test scores of each seed.
        ensemble: test scores averaged over the seeds.
        result: its block of results.json; the default threshold and the operating points are marked.
        title: the run's name.
    """
    from matplotlib.figure import Figure  # loaded when a seed ends, not when it starts

    figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=120)
    whole, corner = figure.subplots(1, 2)
    curves = [roc(scores.label, scores.score) for scores in seeds.values()]
    mean = roc(ensemble.label, ensemble.score)
    for axes in (whole, corner):
        _draw_curves(axes, curves, mean, result)
        _mark_thresholds(axes, result["test"])
    whole.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    whole.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title="whole", ylabel="true positive rate")
    corner.set(
        ylim=(CORNER, 1.005),
        xlim=(-0.01, _corner_width(mean)),
        title=f"true positive rate above {CORNER:.0%}",
    )
    whole.legend(loc="lower right", frameon=False, fontsize=9)
    test = result["test"]
    figure.suptitle(f"{title}   (test: {test['n_positive']} positives, {test['n_negative']} negatives)", fontsize=11)
    return figure


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
    points = test["operating_points"]
    axes.plot(
        [point["fpr"] for point in points],
        [point["tpr"] for point in points],
        "o",
        color=POINT,
        markersize=7,
        label="thresholds chosen on validation for TPR " + ", ".join(f"{point['target_tpr']:.0%}" for point in points),
    )
    for point in points:
        axes.annotate(
            f"{point['target_tpr']:.0%}",
            (point["fpr"], point["tpr"]),
            xytext=(7, -11),
            textcoords="offset points",
            fontsize=9,
            color=POINT,
            annotation_clip=True,
        )
    default = test["at_default_threshold"]
    axes.plot([default["fpr"]], [default["tpr"]], "D", color=DEFAULT, markersize=7, label="default threshold")


def _corner_width(mean: Roc) -> float:
    """The FPR at which the ensemble finds every positive, plus a margin; at most 1.02."""
    return min(1.02, max(0.05, 1.15 * float(mean.fpr[(mean.tpr >= 1).argmax()])))
