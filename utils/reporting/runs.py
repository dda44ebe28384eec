"""The runs of a folder, from their files. A damaged file becomes a ``Problem``; the rest is still reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..metrics.scores import ClassScores
from ..run_files.config_yaml import Record, read_record
from ..run_files.done import REMEDY, changed_files, checksums, read_done, read_failed
from ..run_files.history_jsonl import read_curves
from ..run_files.paths import CALIBRATION, PARTS, RunPaths, SeedPaths
from ..run_files.results_json import default_threshold, read_results
from ..run_files.table_json import Plan, read_plan
from ..system.files import is_held
from ..system.installation import typed
from .read_seeds import ClassRun, Run, SeedRun, read_class_seed, read_last, read_seed, same_samples

CURVES = ("train_auc", "val_auc")


@dataclass(frozen=True)
class Problem:
    """Something that failed or is missing, and what to do about it."""

    run: str
    seed: int | None
    state: str  # failed, running, unfinished, missing, damaged, changed, left out
    message: str


@dataclass(frozen=True)
class Folder:
    """The content of ``checkpoint/<subfolder_name>``."""

    path: Path
    plan: Plan
    runs: tuple[Run, ...]  # of K classes each critical one
    class_runs: tuple[ClassRun, ...]  # those of K classes as a whole
    problems: tuple[Problem, ...]


def read_folder(path: Path) -> Folder:
    """The runs in ``path``, by name.

    Raises:
        UserError: the folder does not exist, or has no run with a finished seed.
    """
    if not path.is_dir():
        raise UserError(f"no folder {path}; expected checkpoint/<subfolder_name>, the folder of the runs to compare")
    if (path / "config.yaml").is_file():
        raise UserError(f"{path} is a single run; expected the folder of the runs: {typed('report')} {path.parent}")
    plan = read_plan(path)
    problems: list[Problem] = []
    runs: list[Run | ClassRun] = []
    candidates = [item for item in sorted(path.iterdir()) if item.is_dir() and not item.name.startswith(".")]
    for folder in candidates:
        if not (folder / "config.yaml").exists() and not any(item.is_dir() for item in folder.glob("seed*")):
            continue
        if plan.rows and not plan.row(folder.name):
            why = "no row of table.json: the table was changed, or this run was made by hand"
            problems.append(Problem(folder.name, None, "left out", why))
            continue
        try:
            run = _read_run(folder, problems)
        except UserError as error:
            problems.extend(_failures(folder) or [Problem(folder.name, None, "damaged", str(error))])
        else:
            runs.append(run)
    _add_missing(runs, plan, problems)
    if not any(run.seeds for run in runs):
        first = f" ({problems[0].run}: {problems[0].message})" if problems else ""
        hint = "; give one level more" if not runs and list(path.glob("*/*/config.yaml")) else ""
        raise UserError(f"no finished seed in {path}{first}{hint}; expected {path}/<model_name>/seed<k>/done")
    return _folder(path, plan, runs, problems)


def read_single(path: Path) -> Folder:
    """The run in ``path``, as a folder of its own.

    Raises:
        UserError: there is no run, or it has no finished seed.
    """
    if not (path / "config.yaml").is_file():
        raise UserError(f"no run in {path}; expected checkpoint/<subfolder_name>/<model_name>, with its config.yaml")
    path = path.resolve()
    plan, problems = read_plan(path.parent), list[Problem]()
    run = _read_run(path, problems)
    if not run.seeds:
        why = f" ({problems[0].message})" if problems else ""
        raise UserError(f"no finished seed in {path}{why}; expected {path}/seed<k>/done")
    return _folder(path, replace(plan, title=run.folder), [run], problems)


def _folder(path: Path, plan: Plan, found: Sequence[Run | ClassRun], problems: Sequence[Problem]) -> Folder:
    runs = [view for run in found for view in (run.views if isinstance(run, ClassRun) else (run,))]
    return Folder(path, plan, tuple(runs), tuple(run for run in found if isinstance(run, ClassRun)), tuple(problems))


def _paths(folder: Path) -> RunPaths:
    return RunPaths(folder.parent.parent, folder.parent.name, folder.name)


def _read_run(folder: Path, problems: list[Problem]) -> Run | ClassRun:
    paths = _paths(folder)
    record = read_record(paths.config)
    results = _content(partial(read_results, paths.results), paths.results, problems, folder.name)
    classes = record.classes
    seeds: dict[int, SeedRun[Any]] = {}
    curves, finished = {}, [""]
    for number in paths.seeds_with():
        files = paths.seed(number)
        curves[number] = read_curves(files.history, CURVES)
        is_done, failure = files.done.exists(), read_failed(files)
        done = _content(partial(read_done, files), files.done, problems, folder.name)
        listed = results.get("seeds", {}).get(str(number))
        if failure is not None:
            problems.append(Problem(folder.name, number, "failed", failure))
        elif not is_done and listed is None:
            problems.append(_unfinished(folder.name, number, files, record))
        else:
            if not is_done and files.last.exists():
                before = "; the numbers are those of the earlier evaluation"
                problems.append(_unfinished(folder.name, number, files, record, before=before))
            in_results = listed or {}
            own = done if is_done else in_results
            try:
                seeds[number] = read_class_seed(files, own, classes) if classes else read_seed(files, own)
            except UserError as error:
                problems.append(Problem(folder.name, number, "damaged", str(error)))
                continue
            finished.append(str(done.get("finished", ""))[:40])
            if changes := _changes(files, own.get("checksums"), in_results.get("checksums")):
                problems.append(Problem(folder.name, number, "changed", changes))
    seeds = _on_one_test_set(folder.name, seeds, problems)
    if not classes:
        return Run(folder.name, record, seeds, curves, max(finished), default_threshold(results))
    last = {number: found for number in seeds if (found := _read_last(paths, number, seeds[number].test, problems))}
    critical = next(iter(seeds.values())).test.views if seeds else ()
    thresholds = {name: default_threshold(results, name) for name in critical}
    return ClassRun(folder.name, record, seeds, curves, max(finished), last, thresholds)


def _read_last(paths: RunPaths, number: int, test: ClassScores, problems: list[Problem]) -> ClassScores | None:
    try:
        return read_last(paths.seed(number), test)
    except UserError as error:
        problems.append(Problem(paths.model_name, number, "damaged", str(error)))
        return None


def _changes(files: SeedPaths, recorded: object, in_results: object) -> str:
    """Which files are not those with which the seed was finished, or ''; weights may have been taken away.

    Args:
        recorded: the checksums in ``done``; without one those in results.json.
        in_results: those in results.json. Both are whatever the file holds.
    """
    if not isinstance(recorded, dict) and not isinstance(in_results, dict):
        return ""
    try:
        found = checksums(files, without_best=not files.best.exists())
    except UserError as error:
        return str(error)
    if not files.done.exists() and files.last.exists():  # being trained further, so that best.pt may be newer
        found.pop(files.best.name, None)
    changed = changed_files(recorded, found)
    if changed:
        return f"{' and '.join(changed)} changed after the seed was finished; {REMEDY}"
    if changed_files(in_results, found):
        return "results.json is of other weights or scores; the same command again rebuilds it"
    return ""


def _on_one_test_set(run: str, seeds: dict[int, SeedRun[Any]], problems: list[Problem]) -> dict[int, SeedRun[Any]]:
    """Without seeds that were scored on other samples than the first: they cannot be averaged with it."""
    kept: dict[int, SeedRun[Any]] = {}
    for number, seed in seeds.items():
        first = next(iter(kept.values()), seed)
        pairs = [(getattr(first, part), getattr(seed, part)) for part in (*PARTS, CALIBRATION)]
        if all(same_samples(*pair) for pair in pairs if None not in pair):
            kept[number] = seed
        else:
            message = f"scored on other samples than seed {next(iter(kept))}; evaluate again with --train 0"
            problems.append(Problem(run, number, "damaged", message))
    return kept


def _content(read: Callable[[], dict[str, Any]], path: Path, problems: list[Problem], run: str) -> dict[str, Any]:
    """What ``read`` returns; nothing if there is no file, a problem if it is damaged."""
    if not path.exists():
        return {}
    try:
        return read()
    except UserError:
        problems.append(Problem(run, None, "damaged", f"cannot read {path.parent.name}/{path.name}"))
        return {}


def _failures(folder: Path) -> list[Problem]:
    """The failed seeds of a run that did not get to write its config.yaml."""
    paths = _paths(folder)
    messages = {number: read_failed(paths.seed(number)) for number in paths.seeds_with()}
    return [Problem(folder.name, number, "failed", text) for number, text in messages.items() if text is not None]


def _unfinished(run: str, number: int, files: SeedPaths, record: Record, *, before: str = "") -> Problem:
    epochs = len(read_curves(files.history, CURVES)["val_auc"])
    message = f"{epochs} of at most {record.options.get('num_epochs', '?')} epochs; --resume 1 goes on with it{before}"
    if is_held(files.lock):
        return Problem(run, number, "running", f"{epochs} epochs so far{before}")
    return Problem(run, number, "unfinished", message)


def _add_missing(runs: Sequence[Run | ClassRun], plan: Plan, problems: list[Problem]) -> None:
    """Report rows of the plan without a folder, and seeds that a row lacks but the plan or another row has."""
    accounted = {(problem.run, problem.seed) for problem in problems}
    elsewhere = {seed for run in runs for seed in run.seeds}
    names = {run.folder for run in runs} | {problem.run for problem in problems}
    absent = [row.folder for row in plan.rows if row.folder not in names]
    problems.extend(Problem(name, None, "missing", "not started") for name in absent)
    for run in runs:
        row = plan.row(run.folder)
        planned = set(row.seeds) if row else set()
        wanted = planned or elsewhere
        lacking = [seed for seed in sorted(wanted) if seed not in run.seeds and (run.folder, seed) not in accounted]
        if lacking:
            why = "planned, not started" if planned else "not started; other rows have them"
            problems.append(Problem(run.folder, None, "missing", f"seeds {' '.join(map(str, lacking))}: {why}"))
