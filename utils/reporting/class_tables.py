"""The tables of runs with K classes, for the page, for Markdown and for LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .analysis import Measure, Metric
from .class_rows import LARGEST, SHOTS, ClassRow, Outcome, Spread
from .contents import NAME
from .data_groups import group_letter
from .tables import DASH, SAME, Cell, Column, Table, count, cut, exact_percent, number, numeric
from .threshold_tables import percent_bounds

MOST_CRITICAL = 10  # critical classes with a column of their own
TITLES = {"balanced_accuracy": "balanced", "auc": "AUC"}  # other measures keep their names
SPREAD = "mean \N{PLUS-MINUS SIGN} SD"
IN_PERCENT = " (in %)"


def runs_table(rows: Sequence[ClassRow]) -> Table:
    """A line for each run; the best values among the runs of the same data are marked."""
    tpr = rows[0].views[0].tprs[0]
    shots = [name for name in SHOTS if any(name in row.measures for row in rows)]
    critical = list(dict.fromkeys(view.run.critical for row in rows for view in row.views))
    shown, left_out = critical[:MOST_CRITICAL], len(critical[MOST_CRITICAL:])
    columns = [NAME, *numeric("seeds")]
    for name in ("accuracy", "balanced accuracy"):
        columns += numeric(SPREAD, "ensemble", group=name + IN_PERCENT)
    columns += numeric("AUC") + numeric(*shots, group="recall" + IN_PERCENT)
    columns += numeric(
        *(f"class {cut(name, 20)}" for name in shown), group=f"FPR at TPR {exact_percent(tpr)} %{IN_PERCENT}"
    )
    lines = []
    for row in rows:
        cells = [Cell(row.name, under=row.settings, warning=class_warning(row)), count(len(row.run.seeds))]
        for name in ("accuracy", "balanced_accuracy"):
            cells += [mean_cell(row.measures[name]), _ensemble(row.measures[name])]
        cells += [mean_cell(row.measures["auc"], auc=True), *(mean_cell(row.measures.get(name)) for name in shots)]
        views = {view.run.critical: view for view in row.views}
        key = Metric(tpr).key
        cells += [mean_cell(views[name].measures[key] if name in views else None) for name in shown]
        lines.append(cells)
    lower = range(len(columns) - len(shown), len(columns))
    for column in range(2, len(columns)):
        _mark_best(rows, lines, column, sign=-1 if column in lower else 1)
    caption = "Test set: all classes by the largest output, each critical class against the rest; mean over the seeds"
    more = f"; {left_out} more critical classes are in the table of results" if left_out else ""
    return Table("class_runs", caption + more, columns, lines)


def class_warning(row: ClassRow) -> str:
    """Why a run may not be compared with the others."""
    return f"not comparable: data {group_letter(row.views[0].group)}" if row.data else ""


def accuracies_table(row: ClassRow, key: str) -> Table:
    """One run: the best epochs, their ensemble, and the last epochs beside."""
    names = list(row.measures)
    thresholds = [outcome for outcome in row.outcomes if outcome.tpr is not None]
    errors = [row.error_of_others(outcome) for outcome in thresholds]
    columns = [Column("epoch")]
    columns += numeric(*(TITLES.get(name, name) for name in names), group=f"{LARGEST}, rates in %")
    columns += numeric(*(outcome.name for outcome in thresholds), group=f"error of the other classes{IN_PERCENT}")
    last = row.last_measures
    lines = [
        [
            Cell("best, mean of the seeds"),
            *(mean_cell(row.measures[name], auc=name == "auc") for name in names),
            *map(mean_cell, errors),
        ],
        [
            Cell("best, ensemble"),
            *(_ensemble(row.measures[name], auc=name == "auc") for name in names),
            *map(_ensemble, errors),
        ],
    ]
    if row.run.last:
        means = [mean_cell(last[name], auc=name == "auc") for name in names]
        lines.append([Cell("last, mean of the seeds"), *means, *[Cell(DASH)] * len(errors)])
    for seed in row.run.seeds if len(row.run.seeds) > 1 else ():
        values = [_one(row.measures[name], seed, auc=name == "auc") for name in names]
        lines.append([Cell(f"best, seed {seed}"), *values, *(_one(error, seed) for error in errors)])
    return Table(f"{key}_accuracies", f"Test set, {row.test.label.size} samples", columns, lines)


def recalls_table(row: ClassRow, key: str) -> Table:
    """One run: each class, its samples, and how many of them are decided rightly by each rule."""
    tests = row.matrix(row.outcomes[0].ensemble).sum(axis=1).tolist()
    columns = [Column("class"), *numeric("training", "test", group="samples")]
    columns += numeric(SPREAD, "ensemble", group=f"recall by the {LARGEST}{IN_PERCENT}")
    columns += numeric(*(outcome.name for outcome in row.outcomes[1:]), group=f"at thresholds, ensemble{IN_PERCENT}")
    lines = []
    for label, name in enumerate(row.classes):
        plain = row.recall(row.outcomes[0], label)
        cells = [Cell(name, under="critical" if label in row.critical else "")]
        cells += [count(row.train_counts[label]), count(tests[label]), mean_cell(plain), _ensemble(plain)]
        lines.append([*cells, *(_ensemble(row.recall(outcome, label)) for outcome in row.outcomes[1:])])
    return Table(f"{key}_recalls", "Recall of each class on the test set", columns, lines)


def outcome_sentence(row: ClassRow, outcome: Outcome) -> str:
    """What the ensemble's decisions give, for a caption."""
    error = row.error_of_others(outcome)
    names = [row.classes[label] for label in row.critical][:MOST_CRITICAL]
    recalls = [_text(row.recall(outcome, label).ensemble) for label in row.critical][:MOST_CRITICAL]
    text = ", ".join(f"class {name} {recall} %" for name, recall in zip(names, recalls, strict=True))
    others = "" if error is None else f"; error of the other classes {_text(error.ensemble)} %"
    return f"recall of {text}{others}"


def _mark_best(rows: Sequence[ClassRow], lines: Sequence[list[Cell]], column: int, *, sign: int) -> None:
    for data in {row.data for row in rows}:
        places = [place for place, row in enumerate(rows) if row.data == data]
        values = {place: sign * value for place in places if (value := lines[place][column].value) is not None}
        best = [place for place, value in values.items() if value > max(values.values()) - SAME]
        for place in best if len(best) < len(values) else ():
            lines[place][column] = replace(lines[place][column], best=True)


def mean_cell(found: Spread | Measure | None, *, auc: bool = False) -> Cell:
    """Mean and SD over the seeds."""
    if found is None or found.mean is None:
        return Cell(DASH)
    spread = "" if found.deviation is None else f"\N{PLUS-MINUS SIGN} {_text(found.deviation, auc=auc)}"
    return Cell(_text(found.mean, auc=auc), found.mean, spread)


def _ensemble(found: Spread | None, *, auc: bool = False) -> Cell:
    if found is None or found.ensemble is None:
        return Cell(DASH)
    bounds = "" if found.interval is None else percent_bounds(*found.interval)
    return Cell(_text(found.ensemble, auc=auc), found.ensemble, bounds)


def _one(found: Spread | None, seed: int, *, auc: bool = False) -> Cell:
    if found is None or seed not in found.per_seed:
        return Cell(DASH)
    return Cell(_text(found.per_seed[seed], auc=auc), found.per_seed[seed])


def _text(value: float | None, *, auc: bool = False) -> str:
    """An AUC with four decimals, or a rate in per cent with two."""
    assert value is not None
    return number(value, 4 if auc else 2, percent=not auc)
