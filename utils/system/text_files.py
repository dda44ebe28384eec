"""Read untrusted text and JSON within limits of size, depth and digits."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

JSON_BYTES = 2**24  # results.json has 9 kB a seed
LINES_BYTES = 2**30  # of a file that is read line by line; the scores of 20 million samples
LINE_CHARACTERS = 2**16
MOST_DEPTH = 50  # nested lists and mappings
MOST_DIGITS = 40  # of a number; we write no longer ones, and parsing them takes quadratic time


class UnreadableError(ValueError):
    """A file cannot be read; the message is one line that says why."""


def read_text(path: Path, *, limit_bytes: int = JSON_BYTES) -> str:
    """The whole file as UTF-8.

    Raises:
        UnreadableError: it is not a regular file, too large or not UTF-8.
        OSError: it cannot be opened.
    """
    with _opened(path) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise UnreadableError(f"it has more than {limit_bytes:,} bytes")
    return _decoded(data)


def read_lines(path: Path, *, limit_bytes: int = LINES_BYTES) -> Iterator[str]:
    """The lines of a UTF-8 file, one at a time, with their line endings.

    Raises:
        UnreadableError: it is not a regular file, too large or not UTF-8, or a line is too long.
        OSError: it cannot be opened.
    """
    with _opened(path) as stream:
        if os.fstat(stream.fileno()).st_size > limit_bytes:
            raise UnreadableError(f"it has more than {limit_bytes:,} bytes")
        while line := stream.readline(LINE_CHARACTERS + 1):
            if len(line) > LINE_CHARACTERS:
                raise UnreadableError(f"it has a line of more than {LINE_CHARACTERS:,} characters")
            yield _decoded(line)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UnreadableError: it is not a regular file, too large, nested too deep or not JSON.
        OSError: it cannot be opened.
    """
    return parse_json(read_text(path, limit_bytes=JSON_BYTES))


def read_json_as_written(path: Path) -> Any:
    """The content of a JSON file that a user wrote: each number is the text that stands there.

    Raises:
        UnreadableError, OSError: as :func:`read_json`.
    """
    return parse_json(read_text(path, limit_bytes=JSON_BYTES), as_written=True)


def parse_json(text: str, *, as_written: bool = False) -> Any:
    """The value of a JSON text; ``as_written``: its numbers as texts.

    Raises:
        UnreadableError: it is not JSON, nested too deep, has a key twice, or contains a number with too many digits.
    """
    texts: dict[str, Any] = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), str) if as_written else {}
    try:
        content = json.loads(text, **{"parse_int": _whole_number, **texts}, object_pairs_hook=_mapping)
    except RecursionError:
        raise UnreadableError(f"it is nested more than {MOST_DEPTH} deep") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(str(error)) from None
    _check_depth(content)
    return content


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file, and refuse a pipe or a device, which may never end."""
    stream = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115 (for the caller)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise UnreadableError("it is not a regular file")
    return stream


def _decoded(data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff")  # the mark that some editors put at the start of a file
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8 text ({error.reason})") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UnreadableError(f"it has {twice:.80} twice; remove one")
    return result


def _whole_number(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise UnreadableError(f"it has a number of more than {MOST_DIGITS} digits")
    return int(text)


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MOST_DEPTH):
        containers = [value for value in level if isinstance(value, (list, dict))]
        level = [item for value in containers for item in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return
    raise UnreadableError(f"it is nested more than {MOST_DEPTH} deep")
