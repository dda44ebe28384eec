"""Files that are whole or not there, and locks that die with their process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .errors import UserError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to the disk, then rename it.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part.

    Raises:
        UserError: the disk refuses (full, quota, no permission); the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror or error}; the last good version is kept") from error
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity have no place in JSON: an error."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def make_folder(folder: Path) -> None:
    """Make ``folder`` and its parents.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into the folder {folder}: no permission")


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of processes that were killed while they wrote; for the holder of the lock only."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a living process holds ``path`` as a lock; to look, it is held for a moment itself."""
    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _take(stream: IO[str], *, wait: bool) -> None:
    """Lock the open file; who does not want to wait tries for half a second, so that ``is_held`` is in nobody's way."""
    for _ in range(0 if wait else 10):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.05)
    return fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextlib.contextmanager
def locked(path: Path, *, what: str, wait: bool = False) -> Iterator[None]:
    """Hold ``path`` as a lock. The kernel lets go of it when the process ends, however it ends.

    Args:
        path: the lock file; it is left behind, empty of meaning, when nobody holds it.
        what: what is being locked, for the message.
        wait: wait for the other holder instead of giving up.

    Raises:
        UserError: another process holds it; the text names host, process and since when.
    """
    try:
        stream = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed below, with the lock)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    with stream:
        try:
            _take(stream, wait=wait)
        except BlockingIOError:
            stream.seek(0)
            raise UserError(f"{what} is in use by {stream.read().strip() or 'another process'}") from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        stream.flush()
        yield
