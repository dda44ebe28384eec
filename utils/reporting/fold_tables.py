"""Cross-validation over subsets: trained on the same, the other or all subsets, tested on one (SOAK).

Reference: Hocking et al., "SOAK: Same/Other/All K-fold cross-validation", arXiv 2410.08643.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.stats import ttest_rel

from .analysis import Row
from .charts import Entry, Figure
from .labels import RESAMPLING, shown, varying_options
from .svg import Axis, Panel, axis
from .tables import Cell, Column, Table, p_value, rate, signed

ORDER = ("same", "other", "all")


@dataclass(frozen=True)
class Cross:
    """One model and objective, tested on one subset, trained on one choice of subsets: one AUC for each fold."""

    model: str
    test_on: str
    train_on: str
    label: str
    values: dict[int, float]  # fold -> mean test AUC of its seeds
    counts: str  # negatives : positives of the training set, of the first fold
    difference: float | None  # mean over the common folds, from training on the same subset
    p: float | None  # of the paired t test over those folds

    @property
    def mean(self) -> float:
        """Over the folds."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Over the folds, n - 1; None of one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Place:
    """The place of a row in the cross-validation."""

    model: str
    test_on: str
    train_on: str
    label: str
    fold: int
    subset: int


def places(rows: Sequence[Row]) -> list[Place]:
    """The place of each row. Its label names the other options that vary."""
    aside = {*RESAMPLING, "resnet_type", "ratio_pos_train"}
    varying = [name for name in varying_options([row.run.record.options for row in rows]) if name not in aside]
    found = []
    for row in rows:
        options = row.run.record.options
        extra = [f"{name}={shown(options.get(name))}" for name in varying]
        cut = ", cut to the smallest" if options.get("downsample") in (1, True) else ""
        found.append(
            Place(
                shown(options.get("resnet_type")),
                _subset(options),
                f"{shown(options.get('train_on'))}{cut}",
                ", ".join([row.full_name, *extra]),
                int(options.get("fold") or 0),
                int(options.get("test_subset") or 0),
            )
        )
    return found


def _subset(options: Mapping[str, Any]) -> str:
    """The tested subset by its ratio, with its number if two have the same ratio."""
    ratios, number = options.get("subset_ratios"), options.get("test_subset")
    if not (isinstance(ratios, tuple) and isinstance(number, int) and 1 <= number <= len(ratios)):
        return shown(number)
    ratio = ratios[number - 1]
    name = "balanced" if ratio == 1 else f"1:{shown(ratio)}"
    return f"{name} ({number})" if ratios.count(ratio) > 1 else name


def crosses(rows: Sequence[Row]) -> list[Cross]:
    """The rows grouped into cross-validations."""
    found: dict[tuple[str, str, str, str], dict[int, float]] = {}
    counts: dict[tuple[str, str, str, str], str] = {}
    for row, place in sorted(zip(rows, places(rows), strict=True), key=lambda each: _order(each[1])):
        key = (place.model, place.test_on, place.label, place.train_on)
        found.setdefault(key, {})[place.fold] = row.measures["auc"].mean
        trained = row.run.record.class_counts["train"]
        counts.setdefault(key, f"{trained['negative']} : {trained['positive']}")
    result = []
    for key, values in found.items():
        model, test_on, label, train_on = key
        word = train_on.split(",")[0]
        same = {} if word == "same" else found.get((model, test_on, label, f"same{train_on.removeprefix(word)}"), {})
        difference, p = _paired(values, same)
        result.append(Cross(model, test_on, train_on, label, values, counts[key], difference, p))
    return result


def _paired(values: Mapping[int, float], same: Mapping[int, float]) -> tuple[float | None, float | None]:
    """Mean difference over the common folds, and p of the paired t test; None if there are too few."""
    common = sorted(set(values) & set(same))
    changes = [values[fold] - same[fold] for fold in common]
    if not changes:
        return None, None
    p = None
    if len(common) > 1 and max(changes) - min(changes) > 1e-12:
        p = float(ttest_rel([values[fold] for fold in common], [same[fold] for fold in common]).pvalue)
    return statistics.fmean(changes), p


def _order(place: Place) -> tuple[str, int, int, str, str, int]:
    word = place.train_on.split(",")[0]
    position = ORDER.index(word) if word in ORDER else len(ORDER)
    return (place.model, place.subset, position, place.train_on, place.label, place.fold)


def resampling_table(found: Sequence[Cross]) -> Table:
    """One line for each model, test subset and choice of training subsets."""
    columns = (
        Column("model"),
        Column("tested on"),
        Column("trained on"),
        Column("objective"),
        Column("training set", numeric=True),
        Column("folds", numeric=True),
        Column("test AUC, mean \N{PLUS-MINUS SIGN} SD", numeric=True),
        Column("minus same", numeric=True),
        Column("paired t, p", numeric=True),
    )
    rows = []
    for each in found:
        spread = "" if each.deviation is None else f" \N{PLUS-MINUS SIGN} {rate(each.deviation, tpr=None)}"
        rows.append(
            (
                Cell(each.model),
                Cell(each.test_on),
                Cell(each.train_on),
                Cell(each.label),
                Cell(each.counts, float(each.counts.split()[-1])),
                Cell(str(len(each.values)), float(len(each.values))),
                Cell(rate(each.mean, tpr=None) + spread, each.mean),
                Cell("\N{EN DASH}" if each.difference is None else signed(each.difference, tpr=None), each.difference),
                Cell(p_value(each.p), 2.0 if each.p is None else each.p),
            )
        )
    return Table("resampling", "Cross-validation: trained on the same, the other or all subsets", columns, tuple(rows))


def resampling_figure(found: Sequence[Cross]) -> Figure:
    """A panel for each model and test subset: a dot for each fold, a line at mean and SD."""
    labels = list(dict.fromkeys(each.label for each in found))
    low = min(value for each in found for value in each.values.values())
    low = max(0.0, int(min(low, 0.98) * 50) / 50)
    panels = []
    for model, test_on in dict.fromkeys((each.model, each.test_on) for each in found):
        members = [each for each in found if (each.model, each.test_on) == (model, test_on)]
        panels.append(_panel(f"{model}, tested on {test_on}", members, labels, low))
    legend = tuple(Entry(label, f"c{number % 8}") for number, label in enumerate(labels))
    return Figure("Trained on the same, the other or all subsets", tuple(panels), legend)


def _panel(title: str, members: Sequence[Cross], labels: Sequence[str], low: float) -> Panel:
    count = len(members)
    across = axis(low, 1.0, "test AUC, a dot a fold")
    panel = Panel(
        replace(across, high=1.0 + 0.02 * (1.0 - low)),  # room for a dot at 1
        Axis(-0.6, count - 0.4, "", ()),
        title,
        height=80 + 30 * count,
        right=24.0,
        left=24 + 6.6 * max(len(each.train_on) for each in members),
    )
    words = []
    for position, each in enumerate(members):
        height, css = count - 1 - position, f"c{labels.index(each.label) % 8}"
        panel.note((low, height), each.train_on, anchor="end", css="name", shift=(-8, 4))
        spread = each.deviation or 0.0
        panel.line([(each.mean - spread, height), (each.mean + spread, height)], css)
        text = f"{each.label}, trained on {each.train_on}: mean {each.mean:.4f}, SD {spread:.4f}"
        panel.line([(each.mean, height - 0.22), (each.mean, height + 0.22)], css, label=text)
        for fold, value in each.values.items():
            panel.dot((value, height), f"{css} hollow", label=f"fold {fold}: {value:.4f}", radius=3.5)
        words.append(f"{text} over {len(each.values)} folds.")
    return panel.described(" ".join(words))
