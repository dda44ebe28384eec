"""Atomic, durable file writes, and locks that the kernel releases when their process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import UserError

# errors of file systems that do not support hard links, or not for this file
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # of those that do not support locks


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, before: Path | None = None) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to the disk, then rename it.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part. The same holds after a
    power failure, and no file that is written later survives one without this file.

    Args:
        before: where to keep the old file; at any moment one of the two is complete.

    Raises:
        UserError: the disk refuses (full, quota, no permission); the old file is unchanged.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "wb", opener=no_link) as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if before is not None and path.exists():
            _keep(path, before)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror or error}; the last good version is kept") from error
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def no_link(path: str, flags: int) -> int:
    """An opener for ``open`` that does not follow symbolic links, which may point anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _keep(path: Path, before: Path) -> None:
    """Link the file to ``before``; rename it where hard links are not supported."""
    link = _temporary(before)
    try:
        link.unlink(missing_ok=True)
        os.link(path, link)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(path, before)
        return
    try:
        os.replace(link, before)
    finally:
        link.unlink(missing_ok=True)  # it stays if both names already were links to the same file


def sync_folder(folder: Path) -> None:
    """Flush the renames in ``folder`` to the disk. Network file systems that lack this are accepted as they are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity are errors: JSON does not have them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents.

    Raises:
        UserError: it cannot be created or written to.
    """
    try:
        new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in new:  # files in a folder whose own directory entry is not on disk are lost in a power failure
            sync_folder(made.parent)
    except OSError as error:
        for part in (folder, *folder.parents):
            if part.is_symlink() and not part.exists():
                missing = f"a link to {os.readlink(part)}, which does not exist"
                raise UserError(f"{part} is {missing}; create that folder or remove the link") from error
        raise UserError(f"cannot create the folder {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to the folder {folder}: permission denied")


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of processes killed while writing. Only the holder of the lock may call this."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a process holds ``path`` as a lock. The check itself takes a shared lock for a moment."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:  # opening a pipe would block
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return False


def try_lock(stream: IO[Any], *, wait: bool = False) -> None:
    """Lock an open file until it and all its copies are closed.

    Raises:
        BlockingIOError: another process holds it; not with ``wait``.
        UserError: the file system does not support locks, or refuses.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        missing = "; its file system lacks locks, without which two processes could train one seed: keep results on "
        hint = f"{missing}another, with --checkpoint_root" if error.errno in _NO_LOCKS else ""
        raise UserError(f"cannot lock {stream.name}: {error.strerror or error}{hint}") from error


def _take(stream: IO[str], *, wait: bool) -> None:
    """Lock the open file. Without ``wait``, retry for half a second, so that a moment's ``is_held`` does not matter.

    After that time another holder has written its name.
    """
    for _ in range(0 if wait else 10):
        with contextlib.suppress(BlockingIOError):
            return try_lock(stream)
        time.sleep(0.05)
    return try_lock(stream, wait=wait)


def _sign(stream: IO[str]) -> None:
    """Write who holds the lock, replacing the previous holder."""
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    stream.flush()


@contextlib.contextmanager
def locked(path: Path, *, what: str, wait: bool = False) -> Iterator[None]:
    """Hold ``path`` as a lock. The kernel releases it when the process ends, however it ends.

    Args:
        path: the lock file; it remains on disk when nobody holds it, without meaning.
        what: what is being locked, for the message.
        wait: wait for the other holder instead of raising.

    Raises:
        UserError: another process holds it; the message names the host, the process and the time.
    """
    try:
        stream = open(path, "a+", encoding="utf-8", errors="replace", opener=no_link)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    with contextlib.ExitStack() as stack:
        stack.callback(_close, stream)
        try:
            _take(stream, wait=wait)
            _sign(stream)
        except BlockingIOError:
            stream.seek(0)
            raise UserError(f"{what} is in use by {stream.read().strip() or 'another process'}") from None
        except OSError as error:
            raise UserError(f"cannot lock {path}: {error.strerror or error}") from error
        yield


def _close(stream: IO[str]) -> None:
    """Close and thereby unlock; the flush of a signature that a full disk refuses must not prevent it."""
    with contextlib.suppress(OSError):
        stream.close()
