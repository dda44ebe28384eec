"""Tables of thresholds: what each promises, and what it gives on the test set."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.intervals import LEVEL, methods
from ..metrics.roc import Rates
from ..metrics.thresholds import shown_threshold
from .analysis import Report, Row
from .contents import NAME
from .evidence import CRC, NP, Decision, Evidence, evidence
from .tables import DASH, Cell, Column, Table, count, exact, exact_percent, number, numeric, percent

PER_LEVEL = f"{LEVEL * 100:g} % interval"
AT_LEAST, AT_MOST = "\N{GREATER-THAN OR EQUAL TO}", "\N{LESS-THAN OR EQUAL TO}"


def wanted_text(each: Decision) -> str:
    """What the threshold is meant to reach."""
    return DASH if each.tpr is None else f"TPR {AT_LEAST} {exact_percent(each.tpr)} %"


def counted(found: Evidence, side: str = "positives") -> str:
    """What is counted: samples of a class, or groups that have some."""
    return f"groups of {side}" if found.unit == "group" else side


def chosen_on(each: Decision, row: Row) -> str:
    """The set that chose a threshold, with its size; a promise counts groups where samples are of groups."""
    by_groups = each.rule in (NP, CRC) and row.validation.groups is not None
    return f"{each.n} {'groups of ' if by_groups else ''}{each.on} positives"


def threshold_of(row: Row, threshold: float) -> str:
    """With the digits that give the counts of every set of the row when it is typed in again."""
    sets = [row.validation, row.test] + ([row.calibration] if row.calibration is not None else [])
    return shown_threshold(threshold, *(scores.score for scores in sets))


def promises_table(row: Row, found: Evidence, key: str) -> Table:
    """Each promise of a row: given, or how many samples it needs."""
    rows = []
    for each in found.decisions:
        if each.rule not in (NP, CRC):
            continue
        there = f"needs {each.needed} {counted(found)}" if each.threshold is None else "given"
        shown = DASH if each.threshold is None else f"score {AT_LEAST} {threshold_of(row, each.threshold)}"
        cells = [Cell(each.rule), Cell(wanted_text(each), each.tpr), Cell(each.says), count(each.n)]
        rows.append([*cells, count(each.needed), Cell(there), Cell(shown, each.threshold)])
    for pair in found.pairs:
        wanted = f"TPR {AT_LEAST} {exact_percent(pair.tpr)} %, FPR {AT_MOST} {exact_percent(pair.fpr)} %"
        says = f"either missed with probability {AT_MOST} {pair.risk:g}"
        short = f"needs {pair.needed[0]} {counted(found)}, {pair.needed[1]} {counted(found, 'negatives')}"
        shown = DASH
        if pair.low is not None and pair.high is not None:
            shown = f"out < {threshold_of(row, pair.low)}, in {AT_LEAST} {threshold_of(row, pair.high)}"
        cells = [Cell("two thresholds"), Cell(wanted, pair.tpr), Cell(says), count(pair.there[0])]
        rows.append([*cells, count(pair.needed[0]), Cell("given" if pair.low is not None else short), Cell(shown)])
    columns = (Column("rule"), Column("promise"), Column("level"), *numeric(counted(found), "needed"))
    caption = "Each promise: given, or how many samples it needs"
    return Table(f"{key}_promises", caption, (*columns, Column("state"), Column("threshold")), rows)


def decisions_table(row: Row, decisions: Sequence[Decision], key: str) -> Table:
    """Each threshold with its rule, n and level, and what it gives on the test set."""
    rows = []
    for each in decisions:
        assert each.threshold is not None
        assert each.rates is not None
        on = chosen_on(each, row) if each.on else DASH
        cells = [Cell(each.rule), Cell(wanted_text(each), each.tpr), Cell(each.says), Cell(on, float(each.n))]
        cells.append(Cell(threshold_of(row, each.threshold), each.threshold))
        rows.append([*cells, *rate_cells(each.rates, *each.intervals, target=each.tpr)])
    method = methods(row.test.groups)["tpr_interval"]
    columns = [Column("rule"), Column("wanted"), Column("level"), *numeric("chosen on", "threshold")]
    columns += numeric("TPR, %", "FPR, %", group=f"test set, {PER_LEVEL} ({method})")
    return Table(f"{key}_thresholds", "Thresholds of the ensemble", columns, rows)


def promised_table(report: Report) -> Table:
    """One line for each row and promise, as ``decisions_table`` has for one row; without a threshold what it needs."""
    rows = []
    for row in report.rows:
        for each in evidence(row).decisions:
            if each.rule not in (NP, CRC):
                continue
            cells = [Cell(row.name), Cell(each.rule), Cell(wanted_text(each), each.tpr), Cell(each.says)]
            cells.append(Cell(chosen_on(each, row), float(each.n)))
            if each.threshold is None or each.rates is None:
                rows.append([*cells, Cell(DASH, None, f"needs {each.needed}"), Cell(DASH), Cell(DASH)])
                continue
            cells.append(Cell(threshold_of(row, each.threshold), each.threshold))
            rows.append([*cells, *rate_cells(each.rates, *each.intervals, target=each.tpr)])
    columns = [NAME, Column("rule"), Column("promise"), Column("level"), *numeric("from", "threshold")]
    columns += numeric("TPR, %", "FPR, %", group=f"test set, {PER_LEVEL}")
    return Table("promised", "Thresholds that promise a TPR on new samples", columns, rows)


def rate_cells(rates: Rates, of_tpr: list[float], of_fpr: list[float], *, target: float | None) -> list[Cell]:
    """TPR and FPR in per cent, each with its interval."""
    apart = () if target is None else (target,)
    cells = [percent(rates.tpr, *apart), percent(rates.fpr)]
    return [
        Cell(cell.text, cell.value, percent_bounds(*ends)) for cell, ends in zip(cells, (of_tpr, of_fpr), strict=True)
    ]


def percent_bounds(low: float, high: float) -> str:
    """An interval of rates in per cent."""
    return f"[{number(low, 1, percent=True)}, {number(high, 1, percent=True)}]"


def pair_tables(row: Row, found: Evidence, key: str) -> tuple[Table, ...]:
    """Rule out, refer, rule in; no table where none is given."""
    rows = []
    for pair in found.pairs:
        if pair.low is None or pair.high is None or pair.at_low is None or pair.at_high is None:
            continue
        low, high = pair.at_low, pair.at_high
        shares = [low.tpr - high.tpr, low.fpr - high.fpr]  # between the thresholds
        out, into = threshold_of(row, pair.low), threshold_of(row, pair.high)
        cells = [Cell(f"{exact_percent(pair.tpr)} %", pair.tpr), Cell(f"{exact_percent(pair.fpr)} %", pair.fpr)]
        cells += [Cell(exact(pair.risk), pair.risk), Cell(out, pair.low), Cell(into, pair.high)]
        cells += [percent(low.tpr, pair.tpr), percent(high.fpr, pair.fpr), *map(percent, shares)]
        rows.append(cells)
    if not rows:
        return ()
    columns = numeric("TPR", "FPR", "d", group="wanted") + numeric("out below", "in from", group="thresholds")
    columns += numeric("TPR of low", "FPR of high", "positives referred", "negatives referred", group="test set, in %")
    caption = "Rule out, refer, rule in: both rates hold with a probability of at least 1 - d"
    return (Table(f"{key}_pairs", caption, columns, rows),)
