"""How much memory is free, checked before large allocations."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ..errors import UserError
from .control_groups import memory_left


def memory_to_spare() -> int:
    """Bytes that this process may allocate without swapping, as far as the system reports.

    The least of what the machine has available, what the control groups around the process have left (a container's
    limit, that of a SLURM job), and the limit of its address space.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    bounds = [] if limit == resource.RLIM_INFINITY else [limit]
    bounds += memory_left()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        bounds += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(bounds, default=2**63)


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
