"""What failed or is missing, what cannot be compared, and where the numbers come from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..run_files.config_yaml import Record
from ..run_files.paths import PARTS
from .analysis import Report, Row
from .data_groups import group_letter
from .labels import named_classes, ratio, shown
from .read_seeds import of_class
from .tables import DASH, Cell, Column, Table, count, cut, exact_percent, numeric

MOST_NAMED = 3  # rows of a warning


OPEN = ("running", "unfinished", "missing", "left out")  # states of a seed that did not go wrong


def problems_table(report: Report, *, unfinished: bool = False) -> Table:
    """What failed, is damaged or was changed, each with its reason; or what is only not finished yet."""
    columns = (Column("run"), *numeric("seed"), Column("state"), Column("what"), Column("command"))
    commands = {run.folder: run.record.commands for run in report.folder.runs}
    rows = []
    for problem in report.folder.problems:
        if (problem.state in OPEN) is not unfinished:
            continue
        command = _command(commands.get(problem.run, ()), problem.seed)
        texts = [Cell(text) for text in (problem.state, problem.message, command)]
        rows.append([Cell(problem.run), count(problem.seed), *texts])
    if unfinished:
        return Table("unfinished", "What is not finished, or not started", columns, rows)
    return Table("problems", "What failed or is damaged", columns, rows)


def _command(commands: Sequence[str], seed: int | None) -> str:
    """The last command for that seed alone, or else the last command."""
    own = [command for command in commands if re.search(rf"--seeds[ =]{seed}(?![-,\d])", command)]
    return (own or list(commands) or [DASH])[-1]


def data_table(report: Report) -> Table:
    """One line for each group of rows with the same data: counts, checksum, source, and how it differs."""
    columns = [Column("data"), *numeric("rows"), *numeric("train", *PARTS, group="negatives : positives")]
    columns += [Column("checksum (SHA-256)"), Column("source"), Column("differs")]
    rows = []
    for group, difference in enumerate(report.differences):
        members = _members(report, group)
        record = members[0].run.record
        cells = [Cell(group_letter(group), under=of_class(members[0].run.critical).strip()), count(len(members))]
        counts = [record.class_counts[part] for part in ("train", *PARTS)]
        cells += [Cell(ratio(each), float(each["positive"])) for each in counts]
        cells += [Cell(record.checksum), Cell(record.source), Cell(difference or DASH)]
        rows.append(cells)
    return Table("data", "Data of the rows", columns, rows)


def versions_table(report: Report) -> Table:
    """Versions and devices; one line if all rows agree."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in (*report.rows, *report.folds):
        record = row.run.record
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        found.setdefault((versions, record.machine), []).append(row.run.name)
    shared = len(found) == 1
    rows = [[Cell(text) for text in ("all" if shared else ", ".join(names), *key)] for key, names in found.items()]
    return Table("versions", "Versions and devices", [*map(Column, ("rows", "versions", "device"))], rows)


def summary_facts(report: Report) -> list[tuple[str, str]]:
    """The facts at the top of the page: (name, value)."""
    rows = _members(report, 0)
    record = (*rows, *report.folds)[0].run.record
    models = dict.fromkeys(shown(row.run.record.options.get("resnet_type", "?")) for row in (*rows, *report.folds))
    facts = [("data", shown(record.options.get("dataset_name", "?"))), ("model", ", ".join(models))]
    if names := named_classes(record.options):
        facts.insert(1, ("classes", names))
    if rows:
        for name, part in (("training", "train"), ("test", "test")):
            facts.append((name, _size(record, part)))
        if record.sizes:
            critical = dict.fromkeys(row.run.critical for row in report.rows if row.run.critical)
            facts.append(("critical", cut(", ".join(critical), 80)))
            facts.append(("runs", str(len({row.run.folder for row in report.rows}))))
        facts.append(("rows", str(len(report.rows))))
    if report.folds:
        facts.append(("runs of the cross-validation", str(len(report.folds))))
    everything = [list(row.run.seeds.values()) for row in (*report.rows, *report.folds)]
    epochs = [seed.epochs for seeds in everything for seed in seeds if seed.epochs is not None]
    facts += [("seeds a row", _range([len(seeds) for seeds in everything])), ("epochs a seed", _range(epochs))]
    facts += [("data checksum", record.checksum[:12]), ("finished", max(run.finished for run in report.folder.runs))]
    return [fact for fact in facts if fact[1]]


def _size(record: Record, part: str) -> str:
    if not record.sizes:
        counts = record.class_counts[part]
        return f"{counts['negative']} negatives, {counts['positive']} positives"
    sizes = record.sizes[part].values()
    return f"{sum(sizes)} samples of {len(sizes)} classes, {_range(sorted(sizes))} of each"


def _range(numbers: Sequence[int]) -> str:
    return DASH.join(map(str, dict.fromkeys((min(numbers), max(numbers))))) if numbers else ""


def warnings(report: Report) -> list[str]:
    """Sentences that the reader must not miss."""
    found = [
        f"Data {group_letter(group)} ({_first([row.name for row in _members(report, group)])}): "
        f"not comparable with the other rows: {difference}."
        for group, difference in enumerate(report.differences)
        if difference
    ]
    opened = sum(problem.state in OPEN for problem in report.folder.problems)
    counts = {"failed or damaged": len(report.folder.problems) - opened, "not finished or not started": opened}
    if any(counts.values()):
        listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        found.append(f"{listed}: see the list{'s' * all(counts.values())} below.")
    most = max((len(row.run.seeds) for row in report.rows), default=0)
    fewer = [f"{row.name} ({len(row.run.seeds)})" for row in report.rows if len(row.run.seeds) < most]
    if fewer:
        found.append(f"Fewer seeds than the {most} of other rows: {_first(fewer)}.")
    return [*found, *_of_different_lengths(report), *_seen_before(report), *_unresolved(report)]


def _of_different_lengths(report: Report) -> list[str]:
    """Rows with a seed that ended, without early stopping, after fewer epochs than another one."""
    mixed = []
    for row in (*report.rows, *report.folds):
        seeds = row.run.seeds.items()
        epochs = {number: seed.epochs for number, seed in seeds if seed.epochs is not None}
        longest = max(epochs.values(), default=0)
        if any(epochs.get(number, longest) < longest and seed.stopped_early is False for number, seed in seeds):
            listed = [f"seed {number}: {count}" for number, count in epochs.items()]
            mixed.append(f"{row.name} ({_first(listed, most=12, join=', ')})")
    what = "Seeds of one row were trained for different numbers of epochs, which mean, SD and ensemble mix"
    return [f"{what}: {_first(mixed)}."] if mixed else []


def _seen_before(report: Report) -> list[str]:
    """How many runs were scored on the same test set, as choosing the best of them uses that set."""
    found, told = [], set[frozenset[str]]()
    for group in range(len(report.differences)):
        folders = frozenset(row.run.folder for row in _members(report, group))
        count = len(folders) + (len({row.run.folder for row in report.trials}) if group == 0 else 0)
        if count > 1 and folders not in told:  # of K classes they are those of each critical one
            told.add(folders)
            which = f"Data {group_letter(group)}: " if any(report.differences) else ""
            found.append(
                f"{which}{count} runs were scored on the same test set. The best of {count} by these numbers is better "
                "here than on new data: choose among them by validation."
            )
    return found


def _unresolved(report: Report) -> list[str]:
    """TPRs that the number of positives cannot resolve."""
    found = []
    first = {group: _members(report, group)[0] for group, other in enumerate(report.differences) if not other}
    for row in first.values():
        of = f" of class {cut(row.run.critical, 80)}" if row.run.critical else ""
        for part in PARTS:
            positives = row.run.record.class_counts[part]["positive"]
            fine = [f"{exact_percent(tpr)} %" for tpr in report.tprs if positives and 1 - 1 / positives < tpr < 1]
            if fine:
                what = f"cannot resolve TPR {', '.join(fine)}: that asks for all of them"
                found.append(f"The {positives} positives{of} of the {part} set {what}.")
    return found


def _members(report: Report, group: int) -> list[Row]:
    return [row for row in report.rows if row.group == group]


def _first(texts: Sequence[str], *, most: int = MOST_NAMED, join: str = "; ") -> str:
    """The texts, or the first and the number of the others."""
    others = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return join.join([*texts[:most], *others])
