"""What the control groups (cgroups) around this process leave it: the limits of a container, or of a SLURM job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def memory_left() -> Iterator[int]:
    """Bytes left in each group that limits memory.

    What a group holds of files counts as left where the kernel may drop it.
    """
    for group, version in _around("memory"):
        limit, used, dropped = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        try:
            most = int((group / limit).read_text())  # "max" is none
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield max(0, most - int((group / used).read_text()) + int(stat[dropped]))
        except (OSError, ValueError, KeyError):
            continue


def cores_allowed() -> Iterator[float]:
    """CPU seconds a second of each group that limits them, such as 1.5."""
    for group, version in _around("cpu"):
        try:
            if version == 2:
                quota, period = (group / "cpu.max").read_text().split()  # "max" is none
            else:
                quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:  # -1 is none
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue


def _around(controller: str) -> Iterator[tuple[Path, int]]:
    """The folder of each group around this process that may limit by ``controller``, and the version of its files."""
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = ROOT / controller if controllers else ROOT
        innermost = root / path.lstrip("/")
        # in a container the path may be the host's: then only the root is there
        for group in (innermost, *(folder for folder in innermost.parents if folder.is_relative_to(root))):
            yield group, 1 if controllers else 2
