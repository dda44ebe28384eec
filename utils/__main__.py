"""The program ``rarecall``, which is also ``python -m rarecall``."""

from __future__ import annotations

import sys

from .system import needs  # noqa: F401 (first: it ends the command where the system lacks what the rest imports)

# isort: split
from .commands import main
from .system.streams import run_command


def run() -> int:
    """Run it on the arguments of this process; returns the exit code."""
    return run_command(main)


if __name__ == "__main__":
    sys.exit(run())
