"""The evidence card of a row: how many samples, what is measured, what is promised, what more samples would give."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..metrics.intervals import methods
from ..metrics.planning import SIZES, planned_fpr_intervals, planned_tpr_interval
from ..metrics.prevalence import net_benefit, npv, ppv
from ..metrics.promised_thresholds import USUAL_RISK, Promise, positives_for_claim, samples_needed
from .analysis import Row, metrics_for
from .charts import Figure
from .evidence import Evidence, evidence
from .gallery import Gallery, Originals, gallery
from .labels import named_classes
from .prevalence_charts import EVERYTHING, prevalence_figure
from .tables import DASH, Cell, Column, Table, count, exact, exact_percent, number, numeric, percent, significant
from .threshold_tables import AT_LEAST, PER_LEVEL, counted, decisions_table, pair_tables, percent_bounds, promises_table

FINEST = 0.999999  # no claim of a higher TPR is planned
MOST_PLANNED = 20_000  # positives for a claim with none missed; beyond, the other number is not looked for


@dataclass(frozen=True)
class Prevalence:
    """A share of positives in (0, 1), and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class Section:
    """A part of a card."""

    heading: str
    tables: tuple[Table, ...]
    text: str = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Card:
    """All that a card shows."""

    row: Row
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    gallery: Gallery | None = None


def card_of(
    row: Row,
    prevalences: Sequence[float],
    *,
    place: int = 1,
    originals: Originals | None = None,
    most: int = 0,
) -> Card:
    """The card of a row.

    Args:
        prevalences: at which PPV, NPV and net benefit are shown; of none, those of the test and of the training set.
        place: of the row on the page: the tables of its card are named after it.
        originals: where the images of the gallery are from; None for no gallery.
        most: images of each kind in the gallery.
    """
    found = evidence(row)
    shares = [Prevalence(value, "as asked") for value in prevalences] or own_prevalences(row)
    probability = 1 / (1 + found.cost_ratio)
    per_thousand = f"Net benefit is in true positives per 1,000 samples at a threshold probability of {probability:.3g}"
    cost = f"a missed positive costs as much as {found.cost_ratio:g} false alarms (--cost_ratio of the run)"
    key = f"card{place}"
    sections = (
        Section("Samples", (_sizes_table(row, key),)),
        Section("Measured on the test set", (_measures_table(row, key),)),
        Section("What can be promised about new samples", (promises_table(row, found, key),), _basis(found)),
        Section(
            "Each threshold on the test set",
            (decisions_table(row, found.given, key), *pair_tables(row, found, key)),
        ),
        Section(
            "At other prevalences",
            (_prevalence_table(found, shares, probability, key),),
            f"{per_thousand}: {cost}. To call nothing positive has a net benefit of 0.",
            (prevalence_figure(found, [share.value for share in shares], probability),),
        ),
        _planner(row, found, key),
    )
    pictures = gallery(row, found, originals, most) if originals is not None and most else None
    return Card(row, _facts(row), sections, pictures)


def own_prevalences(row: Row) -> list[Prevalence]:
    """The share of positives in the test set, and in the training set."""
    counts = row.run.record.class_counts["train"]
    positives, both = counts["positive"], counts["positive"] + counts["negative"]
    found = [Prevalence(float(row.test.label.mean()), "test set")]
    return [*found, Prevalence(positives / both, "training set")] if 0 < positives < both else found


def _facts(row: Row) -> tuple[tuple[str, str], ...]:
    options, record = row.run.record.options, row.run.record
    seeds = ", ".join(map(str, row.run.seeds))
    facts = [
        ("settings", row.settings),
        ("data", str(options.get("dataset_name", "?"))),
        ("classes", named_classes(options)),
        ("positives", f"class {row.run.critical} of {len(record.classes)}" if row.run.critical else ""),
        ("model", str(options.get("resnet_type", "?"))),
        ("seeds, averaged", seeds),
        ("data checksum", record.checksum[:12]),
        ("finished", row.run.finished),
    ]
    return tuple(fact for fact in facts if fact[1])


# --- what is there -----------------------------------------------------------------------------------------


def _sizes_table(row: Row, key: str) -> Table:
    sets = [("validation", row.validation), ("calibration", row.calibration), ("test", row.test)]
    counts = row.run.record.class_counts["train"]
    sizes = [("train", counts["negative"], counts["positive"])]
    for name, scores in sets:
        if scores is not None:
            positives = int(scores.label.sum())
            sizes.append((name, len(scores.label) - positives, positives))
    rows = []
    for name, negatives, positives in sizes:
        both = negatives + positives
        rows.append([Cell(name), count(negatives), count(positives), percent(positives / both if both else None)])
    columns = (Column("set"), *numeric("negatives", "positives", "prevalence, %"))
    return Table(f"{key}_sizes", "Samples of each class", columns, rows)


def _measures_table(row: Row, key: str) -> Table:
    rows, how = [], methods(row.test.groups)
    for metric in metrics_for(row.tprs):
        measure = row.measures[metric.key]
        unit = "" if metric.tpr is None else ", in %"
        method = how["auc_interval" if metric.tpr is None else "fpr_at_tpr_interval"]
        spread = DASH if measure.deviation is None else metric.text(measure.deviation)
        cells = [Cell(f"{metric.title}{unit}"), metric.cell(measure.ensemble, metric.bounds(measure.low, measure.high))]
        rows.append([*cells, metric.cell(measure.mean), Cell(spread, measure.deviation), Cell(method)])
    columns = (Column("measure"), *numeric(f"ensemble, {PER_LEVEL}", "mean of the seeds", "SD"), Column("interval by"))
    return Table(f"{key}_measures", "The ensemble, and the seeds that it averages", columns, rows)


# --- what is promised, and where ---------------------------------------------------------------------------


def _basis(found: Evidence) -> str:
    both = f"{found.positives} {counted(found)} and {found.negatives} {counted(found, 'negatives')}"
    text = f"From {both} of the {found.on} set"
    if found.unit == "group":
        text += " (one sample of each, drawn at random)"
    if found.on == "calibration":
        return f"{text}, which was set apart before training."
    if found.compared == 1:
        return f"{text}, which chose nothing."
    among = f"{found.compared:,.0f}" if found.compared < 1e6 else f"{found.compared:.2g}"
    return (
        f"{text}, which chose among {among} models (epochs of each seed): the allowed probability of a miss is divided "
        "by their number. That the set may also have steered mu and lr is not in it. A set that nothing else looks at "
        "needs no correction and fewer positives, and allows two thresholds: --calibration_fraction."
    )


# --- other prevalences -------------------------------------------------------------------------------------


def _prevalence_table(found: Evidence, shares: Sequence[Prevalence], probability: float, key: str) -> Table:
    rows = []
    for share in shares:
        where = f"{significant(share.value * 100)} % ({share.source})"
        everything = [(EVERYTHING, 1.0, 1.0)]
        rates = [(each.short, each.rates.tpr, each.rates.fpr) for each in found.given if each.rates is not None]
        for name, tpr, fpr in rates + everything:
            benefit = net_benefit(share.value, tpr=tpr, fpr=fpr, threshold_probability=probability)
            cells = [Cell(name), Cell(where, share.value), percent(ppv(share.value, tpr=tpr, fpr=fpr))]
            cells += [_predictive(npv(share.value, tpr=tpr, fpr=fpr)), Cell(number(benefit * 1000, 1), benefit)]
            rows.append(cells)
    columns = (Column("threshold"), *numeric("prevalence", "PPV, %", "NPV, %", "net benefit per 1,000"))
    return Table(f"{key}_prevalence", "What an alarm, and a clearance, is worth", columns, rows)


def _predictive(value: float | None) -> Cell:
    return Cell(DASH) if value is None else Cell(number(value, 2, percent=True), value)


# --- planner -----------------------------------------------------------------------------------------------


def _planner(row: Row, found: Evidence, key: str) -> Section:
    """Claims, and widths of intervals: not where samples are of groups, which count as one, and differ in size."""
    claims = _claims_table(row, found, key)
    if row.test.groups is not None:
        words = "The samples of a group are alike: a claim counts groups. Widths of intervals with other groups are not"
        return Section("Planner", (claims,), f"{words} planned.")
    return Section("Planner", (claims, _widths_table(row, key)), _plan_says(row))


def _plan_says(row: Row) -> str:
    positives = int(row.test.label.sum())
    return (
        "Intervals with other numbers of test positives. Of the TPR: Clopper-Pearson if the share that is found is the "
        f"TPR of the column. Of the FPR at that TPR: if further positives score as the {positives} of this test set "
        f"do, beside the same {len(row.test.label) - positives} negatives. For many more positives than these it is a "
        "guess, and for fewer an average one: a draw may be wider or narrower."
    )


def _claims_table(row: Row, found: Evidence, key: str) -> Table:
    """Of each promise of the run, and of each TPR of the card."""
    claims = [*found.promises, *(Promise(tpr, USUAL_RISK) for tpr in row.tprs if tpr < FINEST)]
    rows = []
    for promise in dict.fromkeys(claims):
        better = (1 + promise.tpr) / 2
        cells = [Cell(f"TPR {AT_LEAST} {exact_percent(promise.tpr)} %", promise.tpr), Cell(exact(promise.risk))]
        cells += [count(samples_needed(1 - promise.tpr, promise.risk)), count(_crc_needs(promise))]
        cells.append(count(positives_for_claim(promise.tpr, promise.risk, 1.0)))
        rows.append([*cells, replace(count(_halved(promise)), under=f"TPR {exact_percent(better)} % seen")])
    columns = (Column("claim"), *numeric("d"))
    unit = counted(found)
    columns += numeric("NP", "CRC (on average)", group=f"to give a threshold: {unit} of a set of its own")
    columns += numeric(
        "none missed", "half of the misses allowed", group=f"to claim it of a threshold: {unit} of a test set"
    )
    return Table(f"{key}_claims", f"{unit.capitalize()} that a claim needs, at a level of 1 - d", columns, rows)


@functools.lru_cache
def _halved(promise: Promise) -> int | None:
    """The test positives that a claim needs if half of the misses allowed are seen."""
    if samples_needed(1 - promise.tpr, promise.risk) > MOST_PLANNED:
        return None
    return positives_for_claim(promise.tpr, promise.risk, (1 + promise.tpr) / 2)


def _crc_needs(promise: Promise) -> int:
    return math.ceil(1 / (1 - promise.tpr) - 1 - 1e-9)


def _widths_table(row: Row, key: str) -> Table:
    positives, labels, scores = int(row.test.label.sum()), row.test.label, row.test.score
    rows = []
    for n in sorted({*SIZES, positives}):
        cells = [Cell(f"{n}{' (this test set)' if n == positives else ''}", float(n))]
        planned = planned_fpr_intervals(labels, scores, row.tprs, n)
        for tpr, of_fpr in zip(row.tprs, planned, strict=True):
            for low, high in (planned_tpr_interval(n, tpr), of_fpr):
                cells.append(Cell(number(high - low, 1, percent=True), high - low, percent_bounds(low, high)))
        rows.append(cells)
    columns = [*numeric("test positives")]
    for tpr in row.tprs:
        columns += numeric("TPR", "FPR", group=f"at TPR {exact_percent(tpr)} %")
    return Table(f"{key}_widths", f"Width of the {PER_LEVEL}s, in points", columns, rows)
