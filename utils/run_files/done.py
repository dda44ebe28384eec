"""``done`` and ``failed``: how a seed ended, and whether its weights and scores are still those it ended with.

Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..errors import UserError, one_line
from ..system.files import locked, sha256, write_json, write_text
from ..system.text_files import read_json, read_text
from .paths import CALIBRATION, SeedPaths

REMEDY = "restore the original, or let --train 0 score best.pt as it is now"
FAILED_BYTES = 2**20
MOST_TEXT = 2000  # characters of the message in `failed` that are shown


def write_done(files: SeedPaths, *, best_epoch: int, epochs: int, stopped_early: bool) -> None:
    """Mark a seed as trained and evaluated, with the checksums of its weights and scores."""
    finished = time.strftime("%Y-%m-%d %H:%M:%S")
    content = {"finished": finished, "epochs": epochs, "stopped_early": stopped_early, "best_epoch": best_epoch}
    write_json(files.done, {**content, "checksums": checksums(files)})


def read_done(files: SeedPaths) -> dict[str, Any]:
    """The content of ``done``; checksums may be absent, as older versions did not record them.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = read_json(files.done)
        needed = {"epochs": int, "best_epoch": int, "stopped_early": bool}
        if not all(isinstance(content[name], kind) for name, kind in needed.items()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"cannot read {files.done}; remove it and add --resume 1") from None
    return content


def is_complete(done: Mapping[str, Any], num_epochs: int) -> bool:
    """Whether a finished seed has nothing left to train when ``num_epochs`` are asked for."""
    return bool(done["stopped_early"] or num_epochs <= done["epochs"])


def write_failed(files: SeedPaths, message: str) -> None:
    """Mark a seed as given up."""
    write_text(files.failed, f"{message}\n")


def read_failed(files: SeedPaths) -> str | None:
    """Why the seed was given up, in one line; None if it was not."""
    if not files.failed.exists():
        return None
    try:
        return one_line(read_text(files.failed, limit_bytes=FAILED_BYTES)[:MOST_TEXT]) or "no message"
    except (OSError, ValueError) as error:
        return f"cannot read {files.failed.name}: {error}"


def checksums(files: SeedPaths, *, without_best: bool = False) -> dict[str, str]:
    """SHA-256 of the weights, unless ``without_best``, and of their scores, by file name.

    Raises:
        UserError: one of the files cannot be read.
    """
    weights = () if without_best else (files.best,)
    return {path.name: sha256(path) for path in (*weights, *map(files.scores, files.scored))}


def changed_files(recorded: object, found: Mapping[str, str]) -> list[str]:
    """Names of the files whose checksum differs from ``recorded``, or that are gone although others do without them.

    Files that ``recorded`` does not name are left out.
    """
    expected = recorded if isinstance(recorded, dict) else {}
    names = [name for name in (*found, f"{CALIBRATION}.csv") if name in expected]
    return [name for name in dict.fromkeys(names) if found.get(name) != expected[name]]


def check_unchanged(files: SeedPaths, done: Mapping[str, Any]) -> dict[str, str]:
    """The checksums of a finished seed's files.

    Raises:
        UserError: the files are not those with which the seed was finished.
    """
    recorded, found = done.get("checksums"), checksums(files)
    changed = changed_files(recorded, found)
    if isinstance(recorded, dict) and changed and not files.done.exists():  # training goes on: keep the old numbers
        return {**found, **recorded}
    if changed:
        raise UserError(f"{' and '.join(changed)} in {files.folder} changed after the seed was finished; {REMEDY}")
    return found


def updated_checksums(files: SeedPaths, done: Mapping[str, Any] | None, *, evaluated: int | None) -> dict[str, str]:
    """The checksums of a seed that counts. If it was just evaluated, ``done`` records what was found.

    Args:
        files: the seed's files.
        done: the content of ``done``; None if the seed is not finished.
        evaluated: the best epoch of the evaluated checkpoint; None if it was not evaluated.

    Raises:
        UserError: a finished seed was changed, or it is in use.
    """
    if done is None:
        return checksums(files)
    if evaluated is not None:
        found = checksums(files)
        if done["best_epoch"] != evaluated or changed_files(done.get("checksums"), found):
            with locked(files.lock, what=str(files.folder)):
                done = {**read_done(files), "best_epoch": evaluated, "checksums": found}
                write_json(files.done, done)
    return check_unchanged(files, done)
