"""Cross-validation over subsets: trained on the same, the other or all subsets, tested on one (SOAK).

Reference: Hocking et al., "SOAK: Same/Other/All K-fold cross-validation", arXiv 2410.08643.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import NATURAL
from ..metrics.paired_tests import holm
from ..metrics.seed_tests import corrected_resampled_t
from .analysis import Metric, Row
from .charts import COLOURS, Entry, Figure, auc_axis, dot_chart
from .class_rows import ClassRow, Spread
from .class_tables import mean_cell
from .labels import RESAMPLING, ratio, shown, varying_options
from .svg import Panel
from .tables import DASH, SAME, Cell, Column, Table, count, numeric, p_cell

ORDER = ("same", "other", "all")
AUC = Metric(None)


@dataclass
class Cross:
    """One model and objective, tested on one subset, trained on one choice of subsets: one AUC for each fold."""

    model: str
    test_on: str
    train_on: str
    label: str
    counts: str  # negatives : positives of the training set, of the first fold
    test_share: float  # of the images of a fold, those that it tests; of the first fold
    values: dict[int, float]  # fold -> mean test AUC of its seeds
    difference: float | None = None  # mean over the common folds, from training on the same subset
    p: float | None = None  # of the t test over those folds, corrected for training sets that overlap
    p_corrected: float | None = None  # after Holm's correction over all of the page

    @property
    def mean(self) -> float:
        """Over the folds."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Over the folds, n - 1; None of one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    def compare(self, same: Cross) -> None:
        """Set difference and p; the p needs two folds that do not differ alike."""
        common = sorted(set(self.values) & set(same.values))
        ours, theirs = ([each.values[fold] for fold in common] for each in (self, same))
        changes = [our - their for our, their in zip(ours, theirs, strict=True)]
        if changes:
            self.difference = statistics.fmean(changes)
            if max(changes) - min(changes) > SAME:
                share = max(self.test_share, same.test_share)  # of the smaller training set
                self.p = corrected_resampled_t(np.array(changes), test_share=share)


def crosses(rows: Sequence[Row]) -> list[Cross]:
    """The rows grouped into cross-validations. Their labels name the other options that vary."""
    aside = {*RESAMPLING, "resnet_type", "ratio_pos_train"}
    varying = [name for name in varying_options([row.run.record.options for row in rows]) if name not in aside]
    found: dict[tuple[Any, ...], Cross] = {}
    for row in rows:
        options = row.run.record.options
        model, word = (shown(options.get(name)) for name in ("resnet_type", "train_on"))
        label = ", ".join([row.settings, *(f"{name}={shown(options.get(name))}" for name in varying)])
        cut = ", cut to the smallest" if options.get("downsample") in (1, True) else ""
        place = ORDER.index(word) if word in ORDER else len(ORDER)
        key = (model, int(options.get("test_subset") or 0), place, f"{word}{cut}", label)
        trained = ratio(row.run.record.class_counts["train"])
        share = _test_share(row.run.record.class_counts)
        cross = found.setdefault(key, Cross(model, _subset(options), f"{word}{cut}", label, trained, share, {}))
        cross.values[int(options.get("fold") or 0)] = row.measures["auc"].mean
    for (model, subset, place, train_on, label), cross in found.items():
        same = found.get((model, subset, 0, "same" + train_on.removeprefix(train_on.split(",")[0]), label))
        if place and same:
            cross.compare(same)
    for cross, p in zip(found.values(), holm([cross.p for cross in found.values()]), strict=True):
        cross.p_corrected = p
    return [found[key] for key in sorted(found)]


def _test_share(class_counts: Mapping[str, Mapping[str, int]]) -> float:
    """The test set's share of all images; those of validation, which choose the epoch, are training's.

    >>> _test_share({"train": {"negative": 5, "positive": 1}, "validation": {"negative": 2}, "test": {"negative": 2}})
    0.2
    """
    sizes = {part: sum(counts.values()) for part, counts in class_counts.items()}
    return sizes["test"] / sum(sizes.values())


def class_resampling_table(rows: Sequence[ClassRow]) -> Table:
    """Runs of K classes, one of which is a fold: a line for each model and objective, over the folds."""
    options = [row.run.record.options for row in rows]
    varying = [name for name in varying_options(options) if name not in {*RESAMPLING, "resnet_type"}]
    found: dict[tuple[str, str], dict[int, ClassRow]] = {}
    for row, own in zip(rows, options, strict=True):
        label = ", ".join([row.settings, *(f"{name}={shown(own.get(name))}" for name in varying)])
        found.setdefault((shown(own.get("resnet_type")), label), {})[int(own.get("fold") or 0)] = row
    columns = [*map(Column, ("model", "objective")), *numeric("folds")]
    columns += numeric(
        "accuracy, %", "balanced accuracy, %", "AUC", group="test, mean \N{PLUS-MINUS SIGN} SD over folds"
    )
    lines = []
    for (model, label), folds in sorted(found.items()):
        cells = [Cell(model), Cell(label), count(len(folds))]
        for name in ("accuracy", "balanced_accuracy", "auc"):
            means = {fold: mean for fold, row in folds.items() if (mean := row.measures[name].mean) is not None}
            cells.append(mean_cell(Spread(means), auc=name == "auc"))
        lines.append(cells)
    return Table("class_resampling", "Cross-validation: all classes by the largest output", columns, lines)


def _subset(options: Mapping[str, Any]) -> str:
    """The tested subset by its ratio, with its number if two have the same ratio."""
    ratios, number = options.get("subset_ratios"), options.get("test_subset")
    if not (isinstance(ratios, tuple) and isinstance(number, int) and 1 <= number <= len(ratios)):
        return shown(number)
    own = ratios[number - 1]
    name = "balanced" if own == 1 else "all images" if own == NATURAL else f"1:{shown(own)}"
    return f"{name} ({number})" if ratios.count(own) > 1 else name


def resampling_table(found: Sequence[Cross]) -> Table:
    """One line for each model, test subset and choice of training subsets."""
    names = ("training set", "folds", "test AUC, mean \N{PLUS-MINUS SIGN} SD", "minus same", "p", "p, Holm")
    columns = [*map(Column, ("model", "tested on", "trained on", "objective")), *numeric(*names)]
    rows = []
    for each in found:
        spread = "" if each.deviation is None else f"\N{PLUS-MINUS SIGN} {AUC.text(each.deviation)}"
        difference = DASH if each.difference is None else AUC.text(each.difference, sign=True)
        cells = [Cell(text) for text in (each.model, each.test_on, each.train_on, each.label)]
        cells += [Cell(each.counts, float(each.counts.split()[-1])), count(len(each.values))]
        rows.append([*cells, AUC.cell(each.mean, spread), Cell(difference, each.difference)])
        rows[-1] += [p_cell(each.p), p_cell(each.p_corrected)]
    return Table("resampling", "Cross-validation: trained on the same, the other or all subsets", columns, rows)


def resampling_figure(found: Sequence[Cross]) -> Figure:
    """A panel for each model and test subset: a dot for each fold, a line at mean and SD."""
    labels = list(dict.fromkeys(each.label for each in found))
    low = max(0.0, int(min([0.98, *(value for each in found for value in each.values.values())]) * 50) / 50)
    panels = []
    for model, test_on in dict.fromkeys((each.model, each.test_on) for each in found):
        members = [each for each in found if (each.model, each.test_on) == (model, test_on)]
        panel = dot_chart(
            auc_axis(low, "test AUC, a dot a fold"),
            f"{model}, tested on {test_on}",
            [each.train_on for each in members],
        )
        for (height, _), each in zip(panel.y.ticks, members, strict=True):
            _draw(panel, height, each, f"c{labels.index(each.label) % COLOURS}")
        panels.append(panel)
    legend = tuple(Entry(label, f"c{number % COLOURS}") for number, label in enumerate(labels))
    return Figure("Trained on the same, the other or all subsets", tuple(panels), legend)


def _draw(panel: Panel, height: float, each: Cross, css: str) -> None:
    spread = each.deviation or 0.0
    text = f"{each.label}, trained on {each.train_on}: mean {AUC.text(each.mean)}, SD {AUC.text(spread)}"
    panel.line([(each.mean - spread, height), (each.mean + spread, height)], css)
    panel.line([(each.mean, height - 0.22), (each.mean, height + 0.22)], css, label=text)
    for fold, value in each.values.items():
        panel.dot((value, height), f"{css} hollow", label=f"fold {fold}: {AUC.text(value)}", radius=3.5)
    panel.words.append(f"{text} over {len(each.values)} folds.")
