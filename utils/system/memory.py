"""How much memory is free, checked before large allocations."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from ..errors import UserError

OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
VERSION_2 = "memory.max", "memory.current", "inactive_file"


def memory_to_spare() -> int:
    """Bytes that this process may allocate without swapping, as far as the system reports.

    The least of what the machine has available, what the control groups around the process have left (a container's
    limit, that of a SLURM job), and the limit of its address space.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    bounds = [] if limit == resource.RLIM_INFINITY else [limit]
    bounds += _left_in_groups()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        bounds += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(bounds, default=2**63)


def _left_in_groups() -> Iterator[int]:
    """Bytes left in each control group around this process that limits memory.

    What a group holds of files counts as left where the kernel may drop it (``inactive_file``).
    """
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = GROUPS / "memory" if controllers else GROUPS
        limit, used, dropped = VERSION_1 if controllers else VERSION_2
        innermost = root / path.lstrip("/")
        # in a container the path may be the host's: then only the root is there
        for group in (innermost, *(folder for folder in innermost.parents if folder.is_relative_to(root))):
            try:
                most = int((group / limit).read_text())  # "max" is none
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield max(0, most - int((group / used).read_text()) + int(stat[dropped]))
            except (OSError, ValueError, KeyError):
                continue


def check_widths(widths: Sequence[int]) -> None:
    """Refuse layers whose weights, gradients, momentum and copy would take more than half of the free memory.

    Raises:
        UserError: they would; the message says how much.
    """
    needed, spare = sum(16 * ins * outs + 2**14 for ins, outs in pairwise(widths)), memory_to_spare()
    if needed > spare / 2:
        raise UserError(
            f"the model must fit in half of the {spare:,} free bytes, got hidden_widths that need {needed:,}; "
            "use fewer or narrower layers (--hidden_widths)"
        )
