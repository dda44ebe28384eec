"""Disks that are full, fail, or lose what was not synced, for one process and its children."""

from __future__ import annotations

import builtins
import ctypes
import errno
import os
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from utils.run_files import history_jsonl as tracking
from utils.system import files

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_PRIVATE, MS_REMOUNT = 0x4000, 0x40000, 0x20


def mount_small_disk(folder: Path, size: int) -> bool:
    """A tmpfs of ``size`` bytes on ``folder``, for this process and its children; whether that is permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNS if os.geteuid() == 0 else CLONE_NEWNS | CLONE_NEWUSER
    if libc.unshare(flags) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        return False
    return not libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={size}".encode())


def resize_disk(folder: Path, size: int) -> None:
    """Give the disk of ``mount_small_disk`` another size."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", MS_REMOUNT, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "cannot remount")


def limit_files(size: int) -> None:
    """No file of this process grows beyond ``size`` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class _Failing:
    """A file of which the next write is cut in half and fails."""

    def __init__(self, stream: Any, number: int) -> None:
        self._stream, self._number = stream, number

    def write(self, content: Any) -> NoReturn:
        self._stream.write(content[: len(content) // 2])
        raise OSError(self._number, os.strerror(self._number))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Failing:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def fail(what: str, *, call: int, number: int) -> None:
    """Let the ``call``-th (from 1) ``write``, ``fsync`` or ``replace`` of this process fail, and all that follow.

    Args:
        number: ``errno`` of the failure, such as ``ENOSPC``.
    """
    count = 0

    def next_fails() -> bool:
        nonlocal count
        count += 1
        return count >= call

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            if next_fails():
                raise OSError(number, os.strerror(number))
            return function(*args, **options)

        return called

    def opened(path: Any, mode: str = "r", **options: Any) -> Any:
        stream = builtins.open(path, mode, **options)  # noqa: SIM115
        writes = mode[0] in "wa" and Path(path).name != ".lock"
        return _Failing(stream, number) if writes and next_fails() else stream

    if what == "write":
        for module in (files, tracking):
            setattr(module, "open", opened)  # noqa: B010 (it has none of its own)
    else:
        setattr(os, what, failing(getattr(os, what)))


class PowerCut:
    """Keeps account of what has not reached the disk, and takes it back.

    Renames that no sync of their folder followed are undone from the last one on, any number of them; files are cut
    back to what was synced, or to anything longer that they had. Event files are left alone: nothing is read from them.

    Args:
        shadow: an empty folder on the same file system, for what renames replace.
    """

    def __init__(self, shadow: Path, stream: random.Random) -> None:
        self.shadow, self.stream = shadow, stream
        self.synced: dict[int, int] = {}  # inode -> size
        self.written: dict[int, Path] = {}
        self.renames: list[tuple[Path, Path, Path | None]] = []

    def install(self) -> None:
        """Watch this process."""
        fsync, replace = os.fsync, os.replace

        def watched_fsync(descriptor: int) -> None:
            fsync(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path.is_dir():
                self.renames = [item for item in self.renames if item[1].parent != path]
            else:
                self.synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

        def watched_replace(source: Path, target: Path) -> None:
            source, target = Path(source).absolute(), Path(target).absolute()
            kept = self.shadow / str(len(list(self.shadow.iterdir()))) if target.exists() else None
            if kept:
                os.link(target, kept)
            replace(source, target)
            self.renames.append((source, target, kept))

        def opened(path: Any, mode: str = "r", **options: Any) -> Any:
            stream = builtins.open(path, mode, **options)  # noqa: SIM115
            if mode[0] in "wa" and Path(path).name != ".lock":
                state = os.fstat(stream.fileno())
                self.synced.setdefault(state.st_ino, state.st_size)
                self.written[state.st_ino] = Path(path).absolute()
            return stream

        for module in (files, tracking):
            setattr(module, "open", opened)  # noqa: B010
        setattr(os, "fsync", watched_fsync)  # noqa: B010
        setattr(os, "replace", watched_replace)  # noqa: B010
        self._replace = replace

    def cut(self) -> None:
        """Lose what was not synced, and die."""
        for _ in range(self.stream.randint(0, len(self.renames))):
            source, target, kept = self.renames.pop()
            if target.exists():
                self._replace(target, source)
            if kept:
                self._replace(kept, target)
        for path in (item for item in Path.cwd().rglob("*") if item.is_file()):
            size, inode = path.stat().st_size, path.stat().st_ino
            least = self.synced.get(inode, size)
            if inode in self.written and least < size:
                os.truncate(path, self.stream.choice((least, self.stream.randint(least, size))))
        os.kill(os.getpid(), signal.SIGKILL)


ERRORS = {"ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EIO": errno.EIO}
