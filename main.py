"""Train and evaluate classifiers whose rare class must not be missed. ``rarecall train`` of the wheel is the same."""

from __future__ import annotations

import sys

from utils.commands.main import main
from utils.system.streams import run_command

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
