"""Train and evaluate classifiers whose rare class must not be missed. ``rarecall train`` of the wheel is the same."""

from __future__ import annotations

import sys

import utils.system.needs  # noqa: F401 (first: it ends the command where the system lacks what the rest imports)

# isort: split
from utils.commands.main import main
from utils.system.streams import run_command

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
