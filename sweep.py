"""Train the rows of a table file, on this machine or on SLURM. ``rarecall sweep`` of the wheel is the same."""

from __future__ import annotations

import sys

import utils.system.needs  # noqa: F401 (first: it ends the command where the system lacks what the rest imports)

# isort: split
from utils.commands.sweep import main
from utils.system.streams import run_command

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
