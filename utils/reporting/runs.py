"""The runs of a folder, from their files. What cannot be read becomes a ``Problem``, not an end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line
from ..metrics.curves import checked
from ..metrics.scores import Scores
from ..run_files.paths import RunPaths, SeedPaths
from ..run_files.scores_csv import read_scores
from ..run_files.table_json import Plan, read_plan
from ..system.files import is_held
from ..system.text_files import parse_json, read_json, read_lines, read_text
from ..system.yaml_files import read_yaml

PARTS = ("validation", "test")
CURVES = ("train_auc", "val_auc")
MOST_TEXT = 2000  # characters of a message or a value that are shown
FAILED_BYTES = 2**20
HISTORY_BYTES = 2**26


@dataclass(frozen=True)
class Problem:
    """Something that is missing, and what to do about it."""

    run: str
    seed: int | None
    state: str  # failed, running, unfinished, missing, damaged, left out
    message: str


@dataclass(frozen=True)
class SeedRun:
    """A seed that counts: its scores, and its best epoch where that is known."""

    validation: Scores
    test: Scores
    best_epoch: int | None


@dataclass(frozen=True)
class Record:
    """What config.yaml says of a run."""

    options: dict[str, Any]
    commands: tuple[str, ...]
    class_counts: dict[str, dict[str, int]]
    checksum: str
    source: str
    versions: dict[str, str]
    machine: str


@dataclass(frozen=True)
class Run:
    """One run: ``checkpoint/<subfolder_name>/<name>``.

    Args:
        seeds: those with final scores.
        curves: for each seed that began, ``{"train_auc": [...], "val_auc": [...]}``, a value (or None) an epoch.
        finished: when its last seed ended, as text; empty where nothing says so.
    """

    name: str
    record: Record
    seeds: dict[int, SeedRun]
    curves: dict[int, dict[str, list[float | None]]]
    finished: str = ""


@dataclass(frozen=True)
class Folder:
    """All that lies in ``checkpoint/<subfolder_name>``."""

    path: Path
    plan: Plan
    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]


def read_folder(path: Path) -> Folder:
    """The runs in ``path``, by name.

    Raises:
        UserError: it is no folder, or holds no run with a finished seed.
    """
    if not path.is_dir():
        raise UserError(f"no folder {path}; expected checkpoint/<subfolder_name>, the folder of the runs to compare")
    plan = read_plan(path)
    problems: list[Problem] = []
    runs = []
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
    return Folder(path, plan, tuple(runs), tuple(problems))


def _read_run(folder: Path, problems: list[Problem]) -> Run:
    paths = RunPaths(folder.parent.parent, folder.parent.name, folder.name)
    record = read_record(paths.config)
    results = _json(paths.results, problems, folder.name) if paths.results.exists() else {}
    listed = results.get("seeds")
    in_results: Mapping[str, Any] = listed if isinstance(listed, dict) else {}
    seeds: dict[int, SeedRun] = {}
    curves, finished = {}, [""]
    for number in sorted(_seed_numbers(folder)):
        files = paths.seed(number)
        curves[number] = _curves(files.history)
        done = _json(files.done, problems, folder.name) if files.done.exists() else None
        if files.failed.exists():
            problems.append(Problem(folder.name, number, "failed", _message(files.failed)))
        elif done is None and str(number) not in in_results:
            problems.append(_unfinished(folder.name, number, files, record))
        else:
            if done is None and files.last.exists():
                problems.append(_unfinished(folder.name, number, files, record, before="; the numbers are of before"))
            source = done if done is not None else in_results.get(str(number))
            seed = _read_seed(files, source if isinstance(source, dict) else {}, problems, folder.name, number)
            if seed is not None:
                seeds[number] = seed
                finished.append(str((done or {}).get("finished", ""))[:40])
    run = Run(folder.name, record, seeds, curves, max(finished))
    return _on_one_test_set(run, problems)


def _read_seed(
    files: SeedPaths, source: dict[str, Any], problems: list[Problem], run: str, number: int
) -> SeedRun | None:
    try:
        scores = {part: read_scores(files.scores(part)) for part in PARTS}
        for part, values in scores.items():
            try:
                checked(values.label, values.score)
            except ValueError as error:
                raise UserError(f"{files.scores(part)}: {error}") from None
    except UserError as error:
        problems.append(Problem(run, number, "damaged", str(error)))
        return None
    epoch = source.get("best_epoch")
    return SeedRun(**scores, best_epoch=epoch if isinstance(epoch, int) else None)


def _on_one_test_set(run: Run, problems: list[Problem]) -> Run:
    """Without the seeds that were scored on other samples than the first: their scores have no common mean."""
    kept: dict[int, SeedRun] = {}
    for number, seed in run.seeds.items():
        first = next(iter(kept.values()), seed)
        if all(same_samples(getattr(first, part), getattr(seed, part)) for part in PARTS):
            kept[number] = seed
        else:
            message = f"scored on other samples than seed {next(iter(kept))}; evaluate again with --train 0"
            problems.append(Problem(run.name, number, "damaged", message))
    return Run(run.name, run.record, kept, run.curves, run.finished)


def same_samples(first: Scores, second: Scores) -> bool:
    """Whether two files hold the same samples in the same order."""
    same = first.index.tolist() == second.index.tolist() and first.label.tolist() == second.label.tolist()
    return same and first.split == second.split


def read_record(path: Path) -> Record:
    """config.yaml, with only plain values let through.

    Raises:
        UserError: it is not there or not what a run writes.
    """
    try:
        content = read_yaml(path)
        return Record(
            options={str(name): _plain(item["value"]) for name, item in content["options"].items()},
            commands=tuple(_shown(command) for command in content["commands"]),
            class_counts={
                str(part): {side: int(content["class_counts"][part][side]) for side in ("negative", "positive")}
                for part in ("train", *PARTS)
            },
            checksum=_shown(content["data"]["checksum"]),
            source=_shown(content["data"].get("source", "")),
            versions={str(name): _shown(value) for name, value in content["versions"].items()},
            machine=f"{_shown(content['device'])}, {_shown(content['threads'])} threads, {_shown(content['platform'])}",
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not what a run writes ({type(error).__name__})"
        raise UserError(f"cannot read {path.name}: {reason}") from None


def _plain(value: Any) -> Any:
    """A scalar or a flat list of scalars."""
    if isinstance(value, list):
        if any(isinstance(item, (list, dict)) for item in value):
            raise ValueError
        return tuple(value)
    if isinstance(value, dict):
        raise ValueError
    return value


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        raise ValueError
    return str(value)[:MOST_TEXT]


def _seed_numbers(folder: Path) -> list[int]:
    names = [item.name.removeprefix("seed") for item in folder.glob("seed*") if item.is_dir()]
    return [int(name) for name in names if name.isascii() and name.isdecimal()]


def _curves(path: Path) -> dict[str, list[float | None]]:
    """AUC against epoch; a record that a kill cut short ends it."""
    curves: dict[str, list[float | None]] = {name: [] for name in CURVES}
    try:
        for line in read_lines(path, limit_bytes=HISTORY_BYTES):
            record = parse_json(line)
            values = [record[name] for name in CURVES]
            for name, value in zip(CURVES, values, strict=True):
                usable = isinstance(value, (int, float)) and math.isfinite(value)
                curves[name].append(float(value) if usable else None)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return curves


def _json(path: Path, problems: list[Problem], run: str) -> dict[str, Any]:
    try:
        content = read_json(path)
        if isinstance(content, dict):
            return content
    except (OSError, ValueError):
        pass
    problems.append(Problem(run, None, "damaged", f"cannot read {path.parent.name}/{path.name}"))
    return {}


def _message(path: Path) -> str:
    try:
        return one_line(read_text(path, limit_bytes=FAILED_BYTES)[:MOST_TEXT]) or "no message"
    except (OSError, ValueError) as error:
        return f"cannot read {path.name}: {error}"


def _failures(folder: Path) -> list[Problem]:
    """The failed seeds of a run that never came so far as to write its config.yaml."""
    seeds = {number: SeedPaths(folder / f"seed{number}") for number in sorted(_seed_numbers(folder))}
    failed = {number: files.failed for number, files in seeds.items() if files.failed.exists()}
    return [Problem(folder.name, number, "failed", _message(path)) for number, path in failed.items()]


def _unfinished(run: str, number: int, files: SeedPaths, record: Record, *, before: str = "") -> Problem:
    epochs = len(_curves(files.history)["val_auc"])
    message = f"{epochs} of at most {record.options.get('num_epochs', '?')} epochs; --resume 1 goes on with it{before}"
    if is_held(files.lock):
        return Problem(run, number, "running", f"{epochs} epochs so far{before}")
    return Problem(run, number, "unfinished", message)


def _add_missing(runs: list[Run], plan: Plan, problems: list[Problem]) -> None:
    """Rows of the plan that have no folder, and seeds that a row lacks while another row or the plan has them."""
    accounted = {(problem.run, problem.seed) for problem in problems}
    elsewhere = {seed for run in runs for seed in run.seeds}
    names = {run.name for run in runs} | {problem.run for problem in problems}
    absent = [row.folder for row in plan.rows if row.folder not in names]
    problems.extend(Problem(name, None, "missing", "not started") for name in absent)
    for run in runs:
        row = plan.row(run.name)
        planned = set(row.seeds) if row else set()
        wanted = planned or elsewhere
        lacking = [seed for seed in sorted(wanted) if seed not in run.seeds and (run.name, seed) not in accounted]
        if lacking:
            why = "planned, not started" if planned else "not started; other rows have them"
            problems.append(Problem(run.name, None, "missing", f"seeds {' '.join(map(str, lacking))}: {why}"))
