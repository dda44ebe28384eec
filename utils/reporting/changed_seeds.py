"""Seeds whose weights or scores are not those with which they were finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..run_files.checksums import REMEDY, changed_files, checksums
from ..run_files.paths import RunPaths, SeedPaths
from ..system.text_files import read_json
from .runs import Folder, Problem


def with_changes(folder: Folder) -> Folder:
    """The folder with a problem ``changed`` for each such seed; its numbers are shown as its scores give them."""
    found = []
    for run in folder.runs:
        paths = RunPaths(folder.path.parent, folder.path.name, run.name)
        listed = _object(_json(paths.results).get("seeds"))
        for number in run.seeds:
            message = _changes(paths.seed(number), _object(listed.get(str(number))).get("checksums"))
            if message:
                found.append(Problem(run.name, number, "changed", message))
    return replace(folder, problems=(*folder.problems, *found))


def _changes(files: SeedPaths, in_results: object) -> str:
    """What is not as it was, or ''; weights that were taken away are none of the report's business."""
    is_done = files.done.exists()
    recorded = _json(files.done).get("checksums") if is_done else in_results
    if not isinstance(recorded, dict) and not isinstance(in_results, dict):
        return ""
    try:
        found = checksums(files, without_best=not files.best.exists())
    except UserError as error:
        return str(error)
    if not is_done and files.last.exists():  # being trained further, so that best.pt may be newer
        found.pop(files.best.name, None)
    changed = changed_files(recorded, found)
    if changed:
        return f"{' and '.join(changed)} changed after the seed was finished; {REMEDY}"
    if changed_files(in_results, found):
        return "results.json is of other weights or scores; the same command again rebuilds it"
    return ""


def _json(path: Path) -> dict[str, Any]:
    """An empty one for what cannot be read, which is a problem told elsewhere."""
    try:
        return _object(read_json(path))
    except (OSError, ValueError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
