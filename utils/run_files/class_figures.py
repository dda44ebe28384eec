"""roc.png and confusion.png of a run with K classes, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.roc import roc
from ..metrics.scores import ClassScores
from ..system.pictures import plain_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 10  # critical classes with a colour of their own
MOST_NUMBERS = 20  # classes up to which each cell of the matrix shows its number
CORNER = 0.80  # the right panel shows TPRs from here up


@plain_matplotlib()
def class_roc_figure(
    seeds: Mapping[int, ClassScores], ensemble: ClassScores, result: dict[str, Any], *, title: str
) -> Figure:
    """The ROC of each critical class against the rest on the test set, whole and at high TPR.

    Args:
        seeds: test scores of each seed, drawn thin if there are several.
        ensemble: test scores averaged over the seeds.
        result: its block of results.json; the thresholds chosen on validation are marked.
        title: the run's name.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=120)
    whole, corner = figure.subplots(1, 2)
    colours = colormaps["tab10"].colors[:MOST_CURVES]  # type: ignore[attr-defined]
    shown = list(ensemble.views.items())[:MOST_CURVES]
    reached = 0.0
    for column, ((name, view), colour) in enumerate(zip(shown, colours, strict=False)):
        mean, block = roc(view.label, view.score), result["test"]["critical"][name]
        low, high = block["auc_interval"]
        for axes in (whole, corner):
            for scores in seeds.values() if len(seeds) > 1 else ():
                curve = roc(scores.view(column).label, scores.view(column).score)
                axes.step(curve.fpr, curve.tpr, where="post", color=colour, linewidth=0.6, alpha=0.5)
            label = f"{name}: AUC {block['auc']:.3f} [{low:.3f}, {high:.3f}]"
            axes.step(mean.fpr, mean.tpr, where="post", color=colour, linewidth=2, label=label)
            points = block["operating_points"]
            axes.plot([p["fpr"] for p in points], [p["tpr"] for p in points], "o", color=colour, markersize=6)
        reached = max([reached, *(max(mean.fpr_at(p["target_tpr"]), p["fpr"]) for p in points)])
    for axes in (whole, corner):
        axes.set_xlabel("false positive rate")
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    whole.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    whole.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="each against the rest", ylabel="true positive rate")
    corner.set(
        xlim=(-0.02 * reached, 1.05 * reached + 0.01),
        ylim=(CORNER - 0.006, 1.006),
        title=f"above {CORNER:.0%}; points: thresholds chosen on validation",
    )
    whole.legend(loc="lower right", frameon=False, fontsize=9)
    left_out = len(ensemble.views) - len(shown)
    more = f", {left_out} more critical classes not shown" if left_out else ""
    figure.suptitle(f"{title}   (test: {len(ensemble.label)} samples of {len(ensemble.names)} classes{more})")
    return figure


@plain_matplotlib()
def confusion_figure(
    seeds: Mapping[int, ClassScores], ensemble: ClassScores, result: dict[str, Any], *, title: str
) -> Figure:
    """The confusion matrix of the test set, and that of the decisions at the highest recall of the critical classes.

    Arguments as of ``class_roc_figure``; each row sums to 100 %.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.2), layout="constrained", dpi=120)
    plain, at_recall = figure.subplots(1, 2)
    test = result["test"]
    decided = test["decisions"][0]
    draw_matrix(plain, test["confusion"], ensemble)
    plain.set_title(f"largest output: accuracy {test['accuracy']:.1%}, balanced {test['balanced_accuracy']:.1%}")
    draw_matrix(at_recall, decided["confusion"], ensemble)
    others = f"; error of the others {decided['error_of_others']:.1%}" if "error_of_others" in decided else ""
    at_recall.set_title(f"thresholds of validation for recall {decided['tpr']:.0%} of critical classes (bold){others}")
    for axes in (plain, at_recall):
        axes.title.set_fontsize(9)
    figure.suptitle(f"{title}   (rows: class, columns: decision, % of the row; test: {test['n']} samples)")
    return figure


def draw_matrix(axes: Axes, matrix: Any, scores: ClassScores) -> None:
    """Draw (K, K) counts as shares of each row, with the names of critical classes in bold."""
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    classes = len(scores.names)
    few = classes <= MOST_NUMBERS
    ticks = range(classes) if few else range(0, classes, 10)
    names = [scores.names[label][:16] for label in ticks]
    axes.set_xticks(list(ticks), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(list(ticks), names, fontsize=8)
    for label, text in zip(ticks, axes.get_yticklabels(), strict=True):
        text.set_fontweight("bold" if label in scores.critical else "normal")
    for row in range(classes if few else 0):
        for column in range(classes):
            if shares[row, column] >= 0.005:
                colour = "white" if shares[row, column] > 0.5 else "0.2"
                axes.text(
                    column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour
                )
