"""Make a data set of your own images or tables. ``rarecall prepare`` of the wheel is the same."""

from __future__ import annotations

import sys

import utils.system.needs  # noqa: F401 (first: it ends the command where the system lacks what the rest imports)

# isort: split
from utils.commands.prepare import main
from utils.system.streams import run_command

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
