"""What failed or is missing, what cannot be compared, and where the numbers come from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..run_files.paths import PARTS
from .analysis import Report, Row, group_letter
from .runs import Run
from .tables import DASH, Cell, Column, Table

MOST_NAMED = 3  # rows of a warning


def problems_table(report: Report) -> Table:
    """Failed, unfinished, missing and damaged seeds, each with its reason."""
    columns = (Column("run"), Column("seed", numeric=True), Column("state"), Column("what"), Column("command"))
    commands = {run.name: run.record.commands for run in report.folder.runs}
    rows = tuple(
        (
            Cell(problem.run),
            Cell(DASH if problem.seed is None else str(problem.seed), float(problem.seed or 0)),
            Cell(problem.state),
            Cell(problem.message),
            Cell(_command(commands.get(problem.run, ()), problem.seed)),
        )
        for problem in report.folder.problems
    )
    return Table("problems", "What failed or is missing", columns, rows)


def _command(commands: Sequence[str], seed: int | None) -> str:
    """The last command for that seed alone, or else the last command."""
    own = [command for command in commands if re.search(rf"--seeds[ =]{seed}(?![-,\d])", command)]
    return (own or list(commands) or [DASH])[-1]


def data_table(report: Report) -> Table:
    """One line for each group of rows with the same data: counts, checksum, source, and how it differs."""
    columns = [Column("data"), Column("rows", numeric=True)]
    columns += [Column(part, "negatives : positives", numeric=True) for part in ("train", *PARTS)]
    columns += [Column("checksum (SHA-256)"), Column("source"), Column("differs")]
    rows = []
    for group, difference in enumerate(report.differences):
        members = [row for row in report.rows if row.group == group]
        record = members[0].run.record
        cells = [Cell(group_letter(group)), Cell(str(len(members)), float(len(members)))]
        for part in ("train", *PARTS):
            counts = record.class_counts[part]
            cells.append(Cell(f"{counts['negative']} : {counts['positive']}", float(counts["positive"])))
        cells += [Cell(record.checksum), Cell(record.source), Cell(difference or DASH)]
        rows.append(tuple(cells))
    return Table("data", "Data of the rows", tuple(columns), tuple(rows))


def versions_table(report: Report) -> Table:
    """Versions and devices; one line if all rows agree."""
    columns = (Column("rows"), Column("versions"), Column("device"))
    found: dict[tuple[str, str], list[str]] = {}
    for row in (*report.rows, *report.folds):
        record = row.run.record
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        found.setdefault((versions, record.machine), []).append(row.run.name)
    rows = tuple(
        (Cell("all" if len(found) == 1 else ", ".join(names)), Cell(versions), Cell(machine))
        for (versions, machine), names in found.items()
    )
    return Table("versions", "Versions and devices", columns, rows)


def commands(runs: Sequence[Run]) -> list[str]:
    """All commands that made the rows, each once."""
    return list(dict.fromkeys(command for run in runs for command in run.record.commands))


def summary_facts(report: Report) -> list[tuple[str, str]]:
    """The facts at the top of the page: (name, value)."""
    rows: Sequence[Row] = [row for row in report.rows if row.group == 0]
    everything = (*rows, *report.folds)
    record = everything[0].run.record
    facts = [("data", str(record.options.get("dataset_name", "?"))[:60]), ("model", _models(everything))]
    if rows:
        facts += [(name, _counts(rows[0], part)) for name, part in (("training", "train"), ("test", "test"))]
        facts.append(("rows", str(len(report.rows))))
    if report.folds:
        facts.append(("runs of the cross-validation", str(len(report.folds))))
    seeds = sorted({len(row.run.seeds) for row in (*report.rows, *report.folds)})
    facts.append(("seeds a row", "\N{EN DASH}".join(str(count) for count in dict.fromkeys((seeds[0], seeds[-1])))))
    facts.append(("data checksum", record.checksum[:12]))
    finished = max(run.finished for run in report.folder.runs)
    return [*facts, ("finished", finished)] if finished else facts


def _counts(row: Row, part: str) -> str:
    counts = row.run.record.class_counts[part]
    return f"{counts['negative']} negatives, {counts['positive']} positives"


def _models(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(str(row.run.record.options.get("resnet_type", "?"))[:40] for row in rows))


def warnings(report: Report) -> list[str]:
    """Sentences that the reader must not miss."""
    found = [
        f"Data {group_letter(group)} ({_named(report, group)}): not comparable with the other rows: {difference}."
        for group, difference in enumerate(report.differences)
        if difference
    ]
    count = len(report.folder.problems)
    if count:
        found.append(f"{count} item{'' if count == 1 else 's'} failed or missing: see the list below.")
    most = max((len(row.run.seeds) for row in report.rows), default=0)
    fewer = [f"{row.name} ({len(row.run.seeds)})" for row in report.rows if len(row.run.seeds) < most]
    if fewer:
        others = f"; and {len(fewer) - MOST_NAMED} more" if len(fewer) > MOST_NAMED else ""
        found.append(f"Fewer seeds than the {most} of other rows: {'; '.join(fewer[:MOST_NAMED])}{others}.")
    return [*found, *_seen_before(report), *_unresolved(report)]


def _seen_before(report: Report) -> list[str]:
    """How many runs were scored on the same test set, as choosing the best of them uses that set."""
    found = []
    for group in range(len(report.differences)):
        count = sum(row.group == group for row in report.rows)
        if count > 1:
            which = f"Data {group_letter(group)}: " if len(report.differences) > 1 else ""
            found.append(
                f"{which}{count} runs were scored on the same test set. The best of {count} by these numbers is better "
                "here than on new data: choose among them by validation."
            )
    return found


def _named(report: Report, group: int) -> str:
    """The rows of a group by name, or the first and last of many."""
    names = [row.name for row in report.rows if row.group == group]
    return "; ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} rows, {names[0]} to {names[-1]}"


def _unresolved(report: Report) -> list[str]:
    """TPRs that the number of positives cannot resolve."""
    found = []
    for row in [row for row in report.rows if row.group == 0][:1]:
        for part in PARTS:
            positives = row.run.record.class_counts[part]["positive"]
            fine = [f"{tpr * 100:g} %" for tpr in report.tprs if positives and 1 - 1 / positives < tpr < 1]
            if fine:
                what = f"cannot resolve TPR {', '.join(fine)}: that asks for all of them"
                found.append(f"The {positives} positives of the {part} set {what}.")
    return found
