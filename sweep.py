"""Train the rows of a table file, on this machine or on SLURM. ``rarecall sweep`` of the wheel is the same."""

from __future__ import annotations

import sys

from utils.commands.sweep import main
from utils.system.streams import run_command

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
