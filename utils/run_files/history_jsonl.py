"""history.jsonl: one JSON record for each epoch. Imports no torch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.files import write_text
from ..system.text_files import UnreadableError, parse_json, read_lines

HISTORY_BYTES = 2**26  # 150,000 epochs


class History:
    """Writes the file. NaN and infinity become null.

    Args:
        path: the file.
        keep: records of epochs before this one are kept from an earlier run; later ones are dropped.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self.path = path
        records = [record for record in read_history(path) if record["epoch"] < keep] if keep else []
        write_text(path, "".join(json.dumps(record) + "\n" for record in records))

    def append(self, record: dict[str, Any]) -> None:
        """Add one record and sync it to the disk: last.pt, which is written next, counts on it."""
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(clean) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records up to the first line that is not JSON, such as one cut short by a kill; none without a file.

    Raises:
        UserError: the file is too large, or a line of JSON is not a record of an epoch.
    """
    if not path.is_file():
        return
    try:
        for line in read_lines(path, limit_bytes=HISTORY_BYTES):
            try:
                record = parse_json(line)
            except UnreadableError:
                return
            if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
                raise UnreadableError("a line is not a record of an epoch")
            yield record
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {path}: {error}; remove it to continue without it") from None


def read_history(path: Path) -> list[dict[str, Any]]:
    """All ``records``, or none of them.

    Raises:
        UserError: see ``records``.
    """
    return list(records(path))


def read_curves(path: Path, names: tuple[str, ...]) -> dict[str, list[float | None]]:
    """One value for each epoch and name, None where it is not a finite number; up to the first damaged record."""
    curves: dict[str, list[float | None]] = {name: [] for name in names}
    try:
        for record in records(path):
            for name, curve in curves.items():
                value = record.get(name)
                curve.append(float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None)
    except UserError:
        pass  # a report shows what precedes the damage
    return curves


def finished_epochs(path: Path) -> int:
    """The number of whole lines, counted without parsing them; 0 if the file cannot be read."""
    try:
        return sum(line.endswith("\n") for line in read_lines(path, limit_bytes=HISTORY_BYTES))
    except (OSError, UnreadableError):
        return 0
