"""Seeds whose weights or scores are not those with which they were finished."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UserError
from ..run_files.done import REMEDY, changed_files, checksums
from ..run_files.paths import RunPaths, SeedPaths
from .runs import Folder, Problem, SeedRun


def with_changes(folder: Folder) -> Folder:
    """The folder with a problem ``changed`` for each such seed; its numbers are shown as its scores give them."""
    found = []
    for run in folder.runs:
        paths = RunPaths(folder.path.parent, folder.path.name, run.name)
        for number, seed in run.seeds.items():
            message = _changes(paths.seed(number), seed)
            if message:
                found.append(Problem(run.name, number, "changed", message))
    return replace(folder, problems=(*folder.problems, *found))


def _changes(files: SeedPaths, seed: SeedRun) -> str:
    """What has changed, or ''; weights that were taken away do not concern the report."""
    if not isinstance(seed.recorded, dict) and not isinstance(seed.in_results, dict):
        return ""
    try:
        found = checksums(files, without_best=not files.best.exists())
    except UserError as error:
        return str(error)
    if not files.done.exists() and files.last.exists():  # being trained further, so that best.pt may be newer
        found.pop(files.best.name, None)
    changed = changed_files(seed.recorded, found)
    if changed:
        return f"{' and '.join(changed)} changed after the seed was finished; {REMEDY}"
    if changed_files(seed.in_results, found):
        return "results.json is of other weights or scores; the same command again rebuilds it"
    return ""
